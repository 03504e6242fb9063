"""Layers of the two-stream super-network: bottleneck, fusion and global reasoning.

After a fusion, the channels of the sparse stream lie in parts: its own channels, then those of each
kind of fusion. A kernel that reads them has separate rows for each kind, and a narrow network uses
the first rows of each part. `Joined` describes such channels.
"""

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_video.layers import TimeStridedSampling, TimeToChannelFusion, convolution
from keras_video.layers.frames import unfold_frames
from keras_video.specs import FUSIONS, round_channels
from keras_video.tuner.one_shot.masked import (
    MaskedConv3D,
    MaskedDepthwise3D,
    MaskedSqueezeExcite,
    Width,
    fit,
    pick_width,
)
from keras_video.tuner.one_shot.masked.conv import BatchStatisticsNorm

NORM = {"epsilon": 1e-5}
CONV = "time_strided_conv"  # the only kind of fusion that has weights


@dataclass(frozen=True)
class Joined:
    """The computed channels of a video, among all channels of all parts.

    Args:
        rows: int array, indices of the computed channels among all channels.
        mask: float32 tensor with one entry per computed channel: 1 if it is selected, else 0;
            `None` if all are selected.
    """

    rows: np.ndarray
    mask: object = None

    @property
    def size(self):
        """Int, number of computed channels."""
        return len(self.rows)

    @property
    def first(self):
        """Bool, whether the computed channels are the first of all."""
        return bool((self.rows == np.arange(self.size)).all())

    @property
    def count(self):
        """Number of selected channels: int or float32 scalar tensor."""
        return self.size if self.mask is None else ops.sum(self.mask)

    def take(self, array, axis=0):
        """Return the entries of a weight that belong to the computed channels."""
        if self.first:
            place = (slice(None),) * (axis % len(array.shape))
            return array[(*place, slice(0, self.size))]
        return ops.take(array, self.rows, axis=axis)

    def masked(self, vector):
        """Return the entries of a vector, times the mask."""
        vector = self.take(vector)
        return vector if self.mask is None else vector * ops.cast(self.mask, vector.dtype)

    def compact(self, x, size):
        """Return a video of `size` channels with the selected channels first, in their order."""
        if self.mask is None:
            return fit(x, size)
        place = ops.cumsum(self.mask) - 1.0
        distance = ops.abs(place[:, None] - ops.arange(size, dtype="float32"))
        table = ops.cast(distance < 0.5, "float32")
        return ops.matmul(x, ops.cast(table * self.mask[:, None], x.dtype))


def plain(width):
    """Return the `Joined` of a `Width`: a single part."""
    return Joined(np.arange(width.size), width.mask)


def join(parts):
    """Concatenate parts.

    Args:
        parts: list of pairs: index of the first row of a part, and its `Joined`.
    """
    rows = np.concatenate([start + part.rows for start, part in parts])
    if all(part.mask is None for _, part in parts):
        return Joined(rows)
    masks = [np.ones(p.size, "float32") if p.mask is None else p.mask for _, p in parts]
    return Joined(rows, ops.concatenate([ops.convert_to_tensor(m, "float32") for m in masks]))


def fused_sizes(kinds, channels, stride):
    """Return the number of channels of each kind of fusion: dict of ints, ordered as `kinds`.

    Args:
        kinds: names from `specs.FUSIONS`.
        channels: int, largest number of channels of the dense stream.
        stride: int, number of dense frames for one sparse frame.
    """
    rows = {kind: FUSIONS[kind] for kind in kinds if FUSIONS[kind] is not None}
    return {kind: row.make("", channels, stride).filters for kind, row in rows.items()}


def fused(kind, filters, channels, chosen, stride):
    """Return the `Joined` channels of a kind of fusion.

    Args:
        kind: name from `specs.FUSIONS`, not `"none"`.
        filters: tuple of ints, the options of the dense stream's group.
        channels: int, the largest of them.
        chosen: the choice among the filters, int or tensor.
        stride: int, number of dense frames for one sparse frame.
    """
    if kind == "time_to_channel":  # all channels of the first frame in the window, then of the next
        width = pick_width(filters, chosen)
        rows = (np.arange(stride)[:, None] * channels + np.arange(width.size)).reshape(-1)
        return Joined(rows, None if width.mask is None else ops.tile(width.mask, [stride]))
    return plain(pick_width([FUSIONS[kind].make("", n, stride).filters for n in filters], chosen))


def pick_width_of_two(table, first, second):
    """Return the `Width` that two choices select.

    Args:
        table: 2D array of ints.
        first, second: choices of its row and its column, ints or tensors.
    """
    table = np.asarray(table)
    if isinstance(first, int):
        return pick_width(table[first], second)
    if isinstance(second, int):
        return pick_width(table[:, second], first)
    return pick_width(table.reshape(-1), pair(first, second, table.shape))


def pair(first, second, sizes):
    """Combine two choices into one choice among all pairs, in row-major order."""
    if isinstance(first, int) and isinstance(second, int):
        return first * sizes[1] + second
    first, second = (
        ops.convert_to_tensor(np.eye(size, dtype="float32")[choice])
        if isinstance(choice, int)
        else ops.cast(choice, "float32")
        for choice, size in zip((first, second), sizes, strict=True)
    )
    return ops.reshape(first[:, None] * second, (-1,))


def times(mask, share, size):
    """Multiply a mask by a scalar. A mask of `None` and a share of `True` mean 1."""
    if share is True:
        return mask
    ones = np.ones(size, "float32") if mask is None else mask
    return ops.cast(ones, "float32") * ops.cast(share, "float32")


class JoinedConv3D(MaskedConv3D):
    """A 1x1x1 convolution of channels that lie in parts.

    Call arguments:
        x: tensor `(batch, frames, height, width, joined.size)`.
        joined: `Joined`, the channels of `x`.
        width: `Width` of the output.
        norm: bool, whether batch norm and activation are applied.
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
        """Return the weights of one network, by the names of the plain layer."""
        kernel = ops.convert_to_numpy(self.kernel)[..., rows, :filters]
        return {"kernel": kernel} | (self.norm.part(filters) if norm else {})


class GroupOptions(NamedTuple):
    """The options of a group of blocks: tuples of values."""

    filters: tuple
    expansion: tuple
    temporal_kernel: tuple
    spatial_kernel: tuple

    @property
    def inner(self):
        """Inner channels: int array `(filters, expansions)`."""
        table = [[int(e * n) for e in self.expansion] for n in self.filters]
        return np.array(table)

    @property
    def hidden(self):
        """Hidden units of squeeze-excite: int array `(filters, expansions)`."""
        return np.vectorize(lambda inner: round_channels(inner / 16))(self.inner)

    @property
    def kernels(self):
        """Sizes of all kernels; the spatial size changes fastest."""
        return [(t, k, k) for t in self.temporal_kernel for k in self.spatial_kernel]

    @property
    def kernel_sizes(self):
        """Numbers of temporal and of spatial kernel sizes."""
        return len(self.temporal_kernel), len(self.spatial_kernel)


@dataclass(frozen=True)
class GroupPicked:
    """The choices for a group: `Width`s of output, inner and hidden layer, and the kernel."""

    outputs: Width
    inner: Width
    hidden: Width
    kernel: object

    @classmethod
    def of(cls, options, filters, expansion, temporal, spatial):
        """Make it from the choices, each an int or a tensor."""
        kernel = pair(temporal, spatial, options.kernel_sizes)
        inner, hidden = (
            pick_width_of_two(table, filters, expansion)
            for table in (options.inner, options.hidden)
        )
        outputs = pick_width_of_two(np.array(options.filters)[:, None], filters, 0)
        return cls(outputs, inner, hidden, kernel)


class MaskedMBConv3D(keras.layers.Layer):
    """All variants of `blocks.mbconv3d` in one layer.

    Args:
        channels: int, largest number of input channels.
        options: `GroupOptions`.
        stride: int, over height and width.
        squeeze_excite: bool.
        first: bool, whether the block is the first of its group. Only this block can change the
            number of channels.
        mode: how to choose between families of kernels, see `masked.depthwise.one_of`.

    Call arguments:
        x: tensor `(batch, frames, height, width, joined.size)`.
        joined: `Joined`, the channels of `x`.
        picked: `GroupPicked`.

    Returns:
        A tensor `(batch, frames, new_height, new_width, picked.outputs.size)`, zero in channels
        that are not selected.
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
        layers = (
            self.expansion, self.feature, self.squeeze_excite, self.projection, self.shortcut,
        )  # fmt: skip
        for layer in layers:
            if layer is not None:
                layer.build()

    def call(self, x, joined, picked):
        y = self.expansion(x, joined=joined, width=picked.inner)
        y = self.feature(y, width=picked.inner, kernel=picked.kernel)
        if self.squeeze_excite is not None:
            y = keras.activations.silu(self.squeeze_excite(y, hidden=picked.hidden))
        y = self.projection(y, width=picked.outputs)
        return ops.relu(self._shortcut(ops.cast(x, y.dtype), joined, picked.outputs) + y)

    def _shortcut(self, x, joined, width):
        """Return the input, convolved if stride or channels change, and normed if channels do."""
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
        """Return the list of variables that have no effect, given the fixed choices.

        Args:
            joined: `Joined` of the input, or `None` if it is not fixed.
            outputs: `Width` of the output, or `None` if it is not fixed.
            kernel: int, or `None` if it is not fixed.
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
        """Return the weights of this block in one network.

        Args:
            rows: `specs.MBConv3D`, the block in the plan of that network.
            joined: `Joined` of the input.
            kernel: int, index of its kernel.

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
    """Return `{"layer/variable": array}` for dicts of arrays by layer."""
    return {f"{layer}/{name}": a for layer, arrays in parts.items() for name, a in arrays.items()}


def _same(joined, width):
    """Return whether input and output have equally many channels: bool, or scalar 0 or 1."""
    outputs = width.size if width.mask is None else ops.sum(width.mask)
    if isinstance(joined.count, int) and isinstance(outputs, int):
        return joined.count == outputs
    return ops.cast(ops.abs(joined.count - outputs) < 0.5, "float32")


class MaskedFusion(keras.layers.Layer):
    """All kinds of fusion of the dense into the sparse stream in one layer.

    Args:
        kinds: tuple of names from `specs.FUSIONS`.
        filters: tuple of ints, the options of the dense stream's group.
        stride: int, number of dense frames for one sparse frame.

    Call arguments:
        x: tensor, the video of the dense stream.
        kind, filters: choices, ints or tensors.
        share: weight of the dense stream, scalar tensor in 0..1, or `True` for 1.

    Returns:
        List of tensors, one for each entry of `channels(kind, filters, share)`.
    """

    def __init__(self, kinds, filters, stride, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        self.kinds, self.filters, self.stride = tuple(kinds), tuple(filters), stride
        self.sizes = fused_sizes(kinds, max(filters), stride)
        options = {"dtype": self.dtype_policy}
        self.conv = None
        if CONV in self.sizes:
            self.conv = MaskedConv3D(
                max(filters), self.sizes[CONV], (5, 1, 1), (stride, 1, 1), padding="symmetric",
                activation="relu", name="conv", **options, **NORM,
            )  # fmt: skip
        self.sampling = TimeStridedSampling(stride, name="sampling", **options)
        self.packing = TimeToChannelFusion(stride, name="packing", **options)

    def build(self, *shapes):
        if self.conv is not None:
            self.conv.build()
        self.sampling.built = self.packing.built = True

    def channels(self, kind, filters, share=True):
        """Return the channels of each kind that is computed.

        Returns:
            List of `(kind, index of its first row, Joined)`.
        """
        found, start = [], 0
        for name, size in self.sizes.items():
            gate = True
            if not isinstance(kind, int):
                gate = ops.cast(kind, "float32")[self.kinds.index(name)]
            if gate is not True or self.kinds[kind] == name:
                there = fused(name, self.filters, max(self.filters), filters, self.stride)
                mask = times(times(there.mask, gate, there.size), share, there.size)
                found.append((name, start, Joined(there.rows, mask)))
            start += size
        return found

    def call(self, x, kind, filters, share=True):
        outputs = []
        for name, _, joined in self.channels(kind, filters, share):
            if name == CONV:
                outputs.append(self.conv(x, width=Width(joined.size, joined.mask)))
                continue
            y = self.sampling(x) if name == "time_strided_sampling" else self.packing(x)
            mask = joined.mask
            outputs.append(y if mask is None else y * ops.cast(mask, y.dtype))
        return outputs


class MaskedGloRe(keras.layers.Layer):
    """`layers.GloRe` with as many nodes as selected channels; it may be selected or not.

    Args:
        channels: int, largest number of input channels.
        nodes: int, largest number of channels that can be selected at the same time.

    Call arguments:
        x: tensor `(batch, frames, height, width, joined.size)`.
        joined: `Joined`, the channels of `x`.
        share: weight of the layer, scalar tensor in 0..1, or `True` for 1.

    Returns:
        A tensor of the same shape.
    """

    def __init__(self, channels, nodes, **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        self.channels, self.nodes = channels, nodes
        self.norm = BatchStatisticsNorm(
            channels, 1e-4, "zeros", dtype=self.dtype_policy, name="norm"
        )

    def build(self, *shapes):
        channels, nodes, states = self.channels, self.nodes, 2 * self.nodes
        shapes = {
            "state_kernel": (channels, states), "state_bias": (states,),
            "node_kernel": (channels, nodes), "node_bias": (nodes,),
            "mix_nodes_kernel": (nodes, nodes), "mix_nodes_bias": (nodes,),
            "mix_states_kernel": (states, states), "kernel": (states, channels),
        }  # fmt: skip
        self.parts = {}
        for name, shape in shapes.items():
            initializer = "he_normal" if name.endswith("kernel") else "zeros"
            self.parts[name] = self.add_weight(shape, initializer, name=name)
        self.norm.build()

    def call(self, x, joined, share=True):
        x = ops.cast(x, self.compute_dtype)
        count, nodes = joined.count, self.nodes
        masks = [None, None]
        if isinstance(count, int):
            nodes = count
        else:
            # The half keeps the comparison away from rounding errors.
            masks = [
                ops.cast(ops.arange(n, dtype="float32") + 0.5 < k * count, "float32")
                for n, k in ((nodes, 1.0), (2 * nodes, 2.0))
            ]
        flat = ops.reshape(x, (-1, prod(x.shape[1:4]), x.shape[-1]))
        y = self._reason(ops.cast(flat, "float32"), joined, nodes, *masks)
        y = ops.reshape(ops.cast(y, x.dtype), (-1, *x.shape[2:]))
        y = unfold_frames(self.norm(y, width=joined), x)
        return x + (y if share is True else y * ops.cast(share, y.dtype))

    def _reason(self, x, joined, nodes, node_mask, state_mask):
        """Return the result at all positions, `(batch, positions, channels)`, before the norm."""
        parts = self._of(joined, nodes, 2 * nodes)
        weights = _masked(ops.matmul(x, parts["node_kernel"]) + parts["node_bias"], node_mask)
        gathered = ops.matmul(ops.transpose(weights, (0, 2, 1)), x)
        held = ops.matmul(gathered, parts["state_kernel"])
        held = held + ops.sum(weights, axis=1)[:, :, None] * parts["state_bias"]
        held = _masked(held / float(x.shape[1]), state_mask)
        mixed = ops.matmul(ops.transpose(parts["mix_nodes_kernel"]), held)
        held = ops.relu(held + mixed + parts["mix_nodes_bias"][:, None])
        # The mixing above made masked states non-zero. Masked nodes have zero weights below.
        held = ops.matmul(_masked(held, state_mask), parts["mix_states_kernel"])
        held = _masked(held, state_mask)
        return ops.matmul(weights, ops.matmul(held, parts["kernel"]))

    def _of(self, joined, nodes, states):
        """Return the weights between the computed channels, in float32."""
        found = {}
        for name, weight in self.parts.items():
            weight = ops.cast(weight, "float32")
            if name in ("state_kernel", "node_kernel"):
                weight = joined.take(weight)
            elif name in ("mix_nodes_kernel", "mix_states_kernel"):
                weight = weight[: nodes if "nodes" in name else states]
            elif name == "kernel":
                weight = joined.take(weight[:states], 1)
            last = {"state": states, "node": nodes, "mix_nodes": nodes, "mix_states": states}
            size = last.get(name.rsplit("_", 1)[0])
            found[name] = weight if size is None else weight[..., :size]
        return found

    def part(self, joined):
        """Return the weights of one network, by the names of the plain layer."""
        nodes = joined.size
        found = {n: ops.convert_to_numpy(w) for n, w in self._of(joined, nodes, 2 * nodes).items()}
        found["kernel"] = found["kernel"][None, None, None]
        for name in ("gamma", "beta"):
            found[name] = ops.convert_to_numpy(getattr(self.norm, name))[joined.rows]
        return found


def _masked(x, mask):
    return x if mask is None else x * mask
