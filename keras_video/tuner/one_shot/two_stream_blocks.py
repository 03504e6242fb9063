"""`MaskedMBConv3D`: all variants of a two-stream network's bottleneck in one."""

from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_video.layers import convolution
from keras_video.layers.frames import unfold_frames
from keras_video.specs import round_channels
from keras_video.tuner.one_shot.masked import (
    MaskedConv3D,
    MaskedDepthwise3D,
    MaskedSqueezeExcite,
    Width,
)
from keras_video.tuner.one_shot.two_stream_channels import pair, pick_width_of_two

NORM = {"epsilon": 1e-5}


class JoinedConv3D(MaskedConv3D):
    """A 1x1x1 convolution of channels that lie in parts.

    Call arguments:
        x: tensor `(batch, frames, height, width, joined.size)`.
        joined: `Joined`.
        width: `Width` of what comes out.
        norm: bool, whether batch norm and activation follow.
    """

    def call(self, x, joined, width, norm=True):
        x = ops.cast(x, self.compute_dtype)
        kernel = ops.cast(joined.take(self.kernel, 3), x.dtype)[..., : width.size]
        y = convolution.convolve(x, kernel, None, self.strides, 1, x.shape[1], space="symmetric")
        if norm:
            y = self.norm(y, width=width)
            y = y if self._activation is None else self._activation(y)
        elif width.mask is not None:
            y = y * ops.cast(width.mask, y.dtype)
        return unfold_frames(y, x)

    def part(self, rows, filters, norm=True):
        """The weights of one network, as the plain layer's."""
        kernel = ops.convert_to_numpy(self.kernel)[..., rows, :filters]
        return {"kernel": kernel} | (self.norm.part(filters) if norm else {})


class GroupOptions(NamedTuple):
    """What may be chosen in a group of blocks: tuples of values."""

    filters: tuple
    expansion: tuple
    temporal_kernel: tuple
    spatial_kernel: tuple

    @property
    def inner(self):
        """Channels inside: int array by filters and expansion."""
        table = [[int(e * n) for e in self.expansion] for n in self.filters]
        return np.array(table)

    @property
    def hidden(self):
        """Those of the squeeze-excite's hidden layer."""
        return np.vectorize(lambda inner: round_channels(inner / 16))(self.inner)

    @property
    def kernels(self):
        """Extents of all kernels, by the temporal, then the spatial one."""
        return [(t, k, k) for t in self.temporal_kernel for k in self.spatial_kernel]

    @property
    def kernel_sizes(self):
        """How many temporal and spatial kernels there are."""
        return len(self.temporal_kernel), len(self.spatial_kernel)


@dataclass(frozen=True)
class GroupPicked:
    """What is chosen in a group: `Width`s of output, inside and hidden layer; the kernel."""

    outputs: Width
    inner: Width
    hidden: Width
    kernel: object

    @classmethod
    def of(cls, options, filters, expansion, temporal, spatial):
        """From the choices, each an int or a tensor."""
        kernel = pair(temporal, spatial, options.kernel_sizes)
        inner, hidden = (
            pick_width_of_two(table, filters, expansion)
            for table in (options.inner, options.hidden)
        )
        outputs = pick_width_of_two(np.array(options.filters)[:, None], filters, 0)
        return cls(outputs, inner, hidden, kernel)


class MaskedMBConv3D(keras.layers.Layer):
    """All variants of `blocks.mbconv3d` in one.

    Args:
        channels: int, how many may come in.
        options: `GroupOptions`.
        stride: int, over height and width.
        squeeze_excite: bool.
        first: bool, whether the block is the first of its group: only there the channels may
            change.
        mode: how to choose between families of kernels, see `masked.switching.one_of`.

    Call arguments:
        x: tensor `(batch, frames, height, width, joined.size)`.
        joined: `Joined`, the channels of `x`.
        picked: `GroupPicked`.

    Returns:
        A tensor `(batch, frames, new_height, new_width, picked.outputs.size)`, zeros in channels
        that do not count.
    """

    def __init__(
        self, channels, options, stride, squeeze_excite, first, mode="switch", **kwargs
    ):  # fmt: skip
        super().__init__(**{"autocast": False, **kwargs})
        inner, filters = int(options.inner.max()), max(options.filters)
        common = {"dtype": self.dtype_policy, **NORM}
        strides = (1, stride, stride)
        self.stride = stride
        self.expansion = JoinedConv3D(
            channels, inner, activation="relu", name="expansion", **common
        )
        self.feature = MaskedDepthwise3D(
            inner, options.kernels, strides, padding="symmetric", mode=mode, name="feature",
            activation=None if squeeze_excite else "swish", **common,
        )  # fmt: skip
        self.squeeze_excite = None
        if squeeze_excite:
            self.squeeze_excite = MaskedSqueezeExcite(
                inner, int(options.hidden.max()), activation="relu", dtype=self.dtype_policy,
                name="squeeze_excite",
            )  # fmt: skip
        self.projection = MaskedConv3D(
            inner, filters, gamma_initializer="zeros", name="projection", **common
        )
        self.shortcut = None
        if first:
            self.shortcut = JoinedConv3D(
                channels, filters, strides=strides, name="shortcut", **common
            )

    def build(self, *shapes):
        for layer in self._layers:
            layer.build()

    def call(self, x, joined, picked):
        y = self.expansion(x, joined=joined, width=picked.inner)
        y = self.feature(y, width=picked.inner, kernel=picked.kernel)
        if self.squeeze_excite is not None:
            y = keras.activations.silu(self.squeeze_excite(y, hidden=picked.hidden))
        y = self.projection(y, width=picked.outputs)
        return ops.relu(self._shortcut(ops.cast(x, y.dtype), joined, picked.outputs) + y)

    def _shortcut(self, x, joined, width):
        """The input; convolved where stride or channels change, with a norm if channels do."""
        if self.shortcut is None:
            return x
        same = _same(joined, width)
        if same is False:
            return self.shortcut(x, joined=joined, width=width)
        if self.stride == 1:
            kept = joined.compact(x, width.size)
        else:
            kept = self.shortcut(x, joined=joined, width=width, norm=False)
        if same is True:
            return kept
        share = ops.cast(same, x.dtype)
        return share * kept + (1.0 - share) * self.shortcut(x, joined=joined, width=width)

    def unused(self, joined, outputs, kernel):
        """Variables that have no effect, given what is fixed: list.

        Args:
            joined: `Joined` of what comes in, or `None` where it is not fixed.
            outputs: `Width`, or `None`.
            kernel: int, or `None`.
        """
        found = []
        if kernel is not None:
            for box, family in zip(self.feature.boxes, self.feature.families, strict=True):
                found += [] if kernel in family.members else [box]
        if None not in (self.shortcut, joined, outputs) and _same(joined, outputs):
            kept = self.shortcut if self.stride == 1 else self.shortcut.norm
            found += kept.trainable_variables
        return found

    def part(self, rows, joined, kernel):
        """The weights of one network's block.

        Args:
            rows: `specs.MBConv3D`.
            joined: `Joined` of what comes in.
            kernel: int, which of the kernels it has.

        Returns:
            Dict of arrays by `"layer/variable"`.
        """
        inner, filters = rows.expansion.filters, rows.filters
        parts = {
            rows.expansion.name: self.expansion.part(joined.rows, inner),
            rows.feature.name: self.feature.part(kernel, inner),
            rows.projection.name: self.projection.part(inner, filters),
        }
        if rows.squeeze_excite is not None:
            hidden = rows.squeeze_excite.hidden
            parts[rows.squeeze_excite.name] = self.squeeze_excite.part(inner, hidden)
        if rows.shortcut is not None:
            parts[rows.shortcut.name] = self.shortcut.part(joined.rows, filters, rows.shortcut.norm)
        return flat(parts)


def flat(parts):
    """`{"layer/variable": array}` from dicts of arrays by layer."""
    return {f"{layer}/{name}": a for layer, arrays in parts.items() for name, a in arrays.items()}


def _same(joined, width):
    """Whether as many channels come in as go out: bool, or a scalar tensor of 0 or 1."""
    outputs = width.size if width.mask is None else ops.sum(width.mask)
    if isinstance(joined.count, int) and isinstance(outputs, int):
        return joined.count == outputs
    return ops.cast(ops.abs(joined.count - outputs) < 0.5, "float32")
