"""`MaskedBottleneck`: all variants of a MoViNet bottleneck in one layer, and its squeeze-excite."""

from dataclasses import dataclass
from typing import NamedTuple

import keras
from keras import ops

from keras_video.layers import SpatialAvgPool
from keras_video.layers.activations import ACTIVATIONS, GATES, lookup
from keras_video.layers.cumulative_avg_pool import frame_means, running_mean
from keras_video.layers.initializers import HeNormal
from keras_video.specs import round_channels
from keras_video.tuner.one_shot.masked.conv import (
    MaskedConv3D,
    Width,
    fit,
    pick,
    pick_width,
)
from keras_video.tuner.one_shot.masked.depthwise import MaskedDepthwise3D


class MaskedSqueezeExcite(keras.layers.Layer):
    """Channel attention like `layers.SqueezeExcite`, which may be selected or not.

    Args:
        channels, hidden: ints, largest numbers of channels and hidden units.
        squeeze: `"3d"`, `"2d"` or `"2plus3d"`.
        causal: bool.
        activation, gate: names.

    Call arguments:
        x: tensor `(batch, frames, height, width, size)`, zero in channels that are not
            selected.
        hidden: `Width` of the hidden layer.
        share: weight of the gates, scalar tensor in 0..1, or `True` for 1.

    Returns:
        A tensor of the same shape.
    """

    def __init__(
        self, channels, hidden, squeeze="3d", causal=False, activation="swish", gate="sigmoid",
        **kwargs,
    ):  # fmt: skip
        super().__init__(**{"autocast": False, **kwargs})
        self.channels, self.hidden = channels, hidden
        self.squeeze, self.causal = squeeze, causal
        self._activation = lookup(ACTIVATIONS, "activation", activation)
        self._gate = lookup(GATES, "gate", gate)

    @property
    def _parts(self):
        """Int, number of pooled features per channel."""
        return 2 if self.squeeze == "2plus3d" else 1

    def build(self, *shapes):
        def dense(name, shape):
            # One kernel for each pooled feature, so that the first channels are a slice of it.
            kernel = self.add_weight(shape, _dense_init, name=f"{name}_kernel")
            return kernel, self.add_weight(shape[-1:], "zeros", name=f"{name}_bias")

        shape = (self._parts, self.channels, self.hidden)
        self.reduce_kernel, self.reduce_bias = dense("reduce", shape)
        shape = (self.hidden, self.channels)
        self.expand_kernel, self.expand_bias = dense("expand", shape)

    def call(self, x, hidden, share=True):
        x = ops.cast(x, self.compute_dtype)
        size = x.shape[-1]
        kernel = ops.cast(self.reduce_kernel, x.dtype)[:, :size, : hidden.size]
        y = sum(
            ops.matmul(ops.cast(pooled, x.dtype), kernel[i])
            for i, pooled in enumerate(self._pool(x))
        )
        y = y + ops.cast(self.reduce_bias, x.dtype)[: hidden.size]
        y = y if self._activation is None else self._activation(y)
        if hidden.mask is not None:
            y = y * ops.cast(hidden.mask, y.dtype)
        kernel = ops.cast(self.expand_kernel, x.dtype)[: hidden.size, :size]
        gates = self._gate(ops.matmul(y, kernel) + ops.cast(self.expand_bias, x.dtype)[:size])
        if share is not True:
            share = ops.cast(share, gates.dtype)
            gates = share * gates + (1.0 - share)
        return x * gates[:, :, None, None]

    def _pool(self, x):
        """Return the pooled features, each `(batch, frames or 1, channels)` in float32."""
        frames = frame_means(x)
        if self.causal and self.squeeze != "2d":
            mean, _ = running_mean(frames)
        else:
            mean = ops.mean(frames, axis=1, keepdims=True)
        return {"3d": [mean], "2d": [frames], "2plus3d": [mean, frames]}[self.squeeze]

    def part(self, channels, hidden):
        """Return the weights of the first channels, by the names of the plain layer."""
        reduce, expand = map(ops.convert_to_numpy, (self.reduce_kernel, self.expand_kernel))
        return {
            "reduce_kernel": reduce[:, :channels, :hidden].reshape(-1, hidden),
            "reduce_bias": ops.convert_to_numpy(self.reduce_bias)[:hidden],
            "expand_kernel": expand[:hidden, :channels],
            "expand_bias": ops.convert_to_numpy(self.expand_bias)[:channels],
        }


def _dense_init(shape, dtype=None):
    return HeNormal()(shape, dtype)


class BottleneckOptions(NamedTuple):
    """The options of a bottleneck.

    Args:
        filters, expand: tuples of ints, numbers of output and inner channels.
        kernels: tuple of kernel sizes, each three odd ints.
        squeeze: tuple of bools, whether there is squeeze-excite.
    """

    filters: tuple
    expand: tuple
    kernels: tuple
    squeeze: tuple = (True,)


@dataclass(frozen=True)
class Picked:
    """The choices for a bottleneck, each an int or a tensor (see `masked.conv`).

    Args:
        outputs: `Width` of the output.
        expand, kernel, squeeze: choices among the options.
        active: weight of the layer's branch, scalar tensor in 0..1, or `True` for 1.
        identity: for a layer with a projected skip: weight of the unchanged input, which is used
            if it is as wide as the output. A scalar tensor in 0..1, or a bool.
    """

    outputs: Width
    expand: object
    kernel: object
    squeeze: object = 0
    active: object = True
    identity: object = False


class MaskedBottleneck(keras.layers.Layer):
    """All variants of `blocks.bottleneck` in one layer.

    With a selection it computes the same as `blocks.bottleneck` with batch statistics and without
    stochastic depth: expansion, depthwise convolution, squeeze-excite, projection, scale, and the
    sum with the input.

    Args:
        in_channels: int, largest number of input channels.
        options: `BottleneckOptions`.
        variant: `applications.movinet.Variant`.
        strides: three ints.
        projected: bool, whether the skip has a pooling and a convolution, for layers that change
            size or width.
        mode: how to choose between families of kernels, see `masked.depthwise.one_of`.

    Call arguments:
        x: tensor `(batch, frames, height, width, channels)`, zero in channels that are not
            selected.
        picked: `Picked`.

    Returns:
        A tensor `(batch, frames, new_height, new_width, picked.outputs.size)`.
    """

    def __init__(
        self, in_channels, options, variant, strides=(1, 1, 1), projected=False, mode="switch",
        **kwargs,
    ):  # fmt: skip
        super().__init__(**{"autocast": False, **kwargs})
        self.options, self.variant = options, variant
        widest, filters = max(options.expand), max(options.filters)
        padding = "causal" if variant.causal else "same"
        common = {"padding": padding, "dtype": self.dtype_policy}
        active = {**common, "activation": variant.activation}
        self.expansion = MaskedConv3D(in_channels, widest, name="expansion", **active)
        kernels = options.kernels
        if variant.factorized:
            kernels = tuple((1, *kernel[1:]) for kernel in kernels)
        self.feature = MaskedDepthwise3D(
            widest, kernels, strides, mode=mode, name="feature", **active
        )
        # Indices of the kernels with a separate temporal part.
        self.temporal = tuple(
            i for i, kernel in enumerate(options.kernels) if variant.factorized and kernel[0] > 1
        )
        self.feature_temporal = None
        if self.temporal:
            self.feature_temporal = MaskedDepthwise3D(
                widest, [(options.kernels[i][0], 1, 1) for i in self.temporal],
                mode=mode, name="feature_temporal", **active,
            )  # fmt: skip
        self.squeeze_excite = None
        if any(options.squeeze) and variant.squeeze != "none":
            self.squeeze_excite = MaskedSqueezeExcite(
                widest, max(map(self.hidden, options.expand)), variant.squeeze, variant.causal,
                variant.activation, variant.gate, dtype=self.dtype_policy, name="squeeze_excite",
            )  # fmt: skip
        self.projection = MaskedConv3D(widest, filters, name="projection", **common)
        self.skip_pool, self.skip = None, None
        if projected:
            if strides != (1, 1, 1):
                self.skip_pool = SpatialAvgPool(3, strides[1], dtype=self.dtype_policy, name="pool")
            self.skip = MaskedConv3D(in_channels, filters, name="skip", **common)

    def hidden(self, expand):
        """Return the hidden width of squeeze-excite for an inner width."""
        return round_channels(0.25 * expand * (2 if self.variant.squeeze == "2plus3d" else 1))

    def build(self, *shapes):
        for layer in (
            self.expansion, self.feature, self.feature_temporal, self.squeeze_excite,
            self.projection, self.skip,
        ):  # fmt: skip
            if layer is not None:
                layer.build()
        self.scale = self.add_weight((), "zeros", name="scale")

    def call(self, x, picked):
        inner = pick_width(self.options.expand, picked.expand)
        y = self.expansion(x, width=inner)
        y = self._convolve(y, inner, picked.kernel)
        if self.squeeze_excite is not None:
            y = self._attend(y, picked)
        y = self.projection(y, width=picked.outputs)
        scale = ops.cast(self.scale, y.dtype)
        if picked.active is not True:
            scale = scale * ops.cast(picked.active, y.dtype)
        return self._shortcut(ops.cast(x, y.dtype), picked) + scale * y

    def _convolve(self, y, inner, kernel):
        """Apply the depthwise convolutions."""
        if not isinstance(kernel, int):
            kernel = ops.cast(kernel, "float32")
        y = self.feature(y, width=inner, kernel=kernel)
        if isinstance(kernel, int):
            if kernel in self.temporal:
                place = self.temporal.index(kernel)
                y = self.feature_temporal(y, width=inner, kernel=place)
        elif self.temporal:
            chosen = ops.stack([kernel[i] for i in self.temporal])
            mixed = self.feature_temporal(y, width=inner, kernel=chosen)
            if len(self.temporal) == len(self.options.kernels):
                return mixed
            share = ops.cast(ops.sum(chosen), y.dtype)
            y = share * mixed + (1.0 - share) * y
        return y

    def _attend(self, y, picked):
        share = pick([float(on) for on in self.options.squeeze], picked.squeeze)
        if isinstance(share, float):
            if not share:
                return y
            share = True
        hidden = pick_width([self.hidden(e) for e in self.options.expand], picked.expand)
        return self.squeeze_excite(y, hidden=hidden, share=share)

    def _shortcut(self, x, picked):
        """Return the skip: `(batch, frames, new_height, new_width, outputs.size)`."""
        size = picked.outputs.size
        if self.skip is None or picked.identity is True:
            return fit(x, size)
        skip = x if self.skip_pool is None else self.skip_pool(x)
        skip = self.skip(skip, width=picked.outputs)
        if picked.identity is False:
            return skip
        share = ops.cast(picked.identity, x.dtype)
        return share * fit(x, size) + (1.0 - share) * skip

    def part(self, name, rows, kernel):
        """Return the weights of this layer in one network, by the names of its plan.

        Args:
            name: string, beginning of the names, such as `"block0_layer1"`.
            rows: the layer's rows in the plan, `applications.movinet.config.Block`.
            kernel: int, index of its kernel.

        Returns:
            Dict of arrays by `"layer/variable"`.
        """
        inner, filters = rows.expansion.filters, rows.projection.filters
        parts = {
            "expansion": self.expansion.part(rows.expansion.in_channels, inner),
            "feature": self.feature.part(kernel, inner),
            "projection": self.projection.part(inner, filters),
            "rezero": {"scale": ops.convert_to_numpy(self.scale)},
        }
        if rows.feature_temporal is not None:
            place = self.temporal.index(kernel)
            parts["feature_temporal"] = self.feature_temporal.part(place, inner)
        if rows.squeeze_excite is not None:
            parts["squeeze_excite"] = self.squeeze_excite.part(inner, rows.squeeze_excite.hidden)
        if rows.skip is not None:
            parts["skip"] = self.skip.part(rows.skip.in_channels, filters)
        return {
            f"{name}_{layer}/{variable}": array
            for layer, arrays in parts.items()
            for variable, array in arrays.items()
        }
