"""`MaskedSqueezeExcite`: channel attention that may be there or not, on channels that may count."""

import keras
from keras import ops

from keras_video.layers.activations import ACTIVATIONS, GATES, lookup
from keras_video.layers.cumulative_avg_pool import frame_means, running_mean
from keras_video.layers.initializers import HeNormal


class MaskedSqueezeExcite(keras.layers.Layer):
    """Gates of a video's channels, as those of `layers.SqueezeExcite`.

    Args:
        channels, hidden: ints, how many there are at most.
        squeeze: `"3d"`, `"2d"` or `"2plus3d"`.
        causal: bool.
        activation, gate: names.

    Call arguments:
        x: tensor `(batch, frames, height, width, size)`, zeros in channels that do not count.
        hidden: `Width` of the hidden layer.
        share: how far the gates are there: scalar tensor in 0..1, or `True`.

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
        """int, pooled features per channel."""
        return 2 if self.squeeze == "2plus3d" else 1

    def build(self, *shapes):
        def dense(name, shape):
            # A kernel for each pooled feature, so that the first channels are a slice.
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
        """The pooled features, each `(batch, frames or 1, channels)` in float32."""
        frames = frame_means(x)
        if self.causal and self.squeeze != "2d":
            mean, _ = running_mean(frames)
        else:
            mean = ops.mean(frames, axis=1, keepdims=True)
        return {"3d": [mean], "2d": [frames], "2plus3d": [mean, frames]}[self.squeeze]

    def part(self, channels, hidden):
        """The weights of the first channels by the names of the plain layer's."""
        reduce, expand = map(ops.convert_to_numpy, (self.reduce_kernel, self.expand_kernel))
        return {
            "reduce_kernel": reduce[:, :channels, :hidden].reshape(-1, hidden),
            "reduce_bias": ops.convert_to_numpy(self.reduce_bias)[:hidden],
            "expand_kernel": expand[:hidden, :channels],
            "expand_bias": ops.convert_to_numpy(self.expand_bias)[:channels],
        }


def _dense_init(shape, dtype=None):
    return HeNormal()(shape, dtype)
