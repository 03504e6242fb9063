"""Channel attention: gates computed from the pooled channels of a video.

`SqueezeExcite` works on clips and streams, optionally with the position of every frame in the
stream; `PositionalEncoding` is that position as a layer of its own. `ContextGate` is the form
without a hidden layer.
"""

import keras
import numpy as np
from keras import ops

from keras_video.checks import check_choice, check_int
from keras_video.layers.activations import ACTIVATIONS, GATES, lookup
from keras_video.layers.cumulative_avg_pool import frame_means, running_mean
from keras_video.layers.frames import check_video
from keras_video.layers.initializers import get_initializer
from keras_video.layers.streaming import StreamingLayer

SQUEEZES = ("3d", "2d", "2plus3d")


@keras.saving.register_keras_serializable("keras_video")
class SqueezeExcite(StreamingLayer):
    """Multiply a video by gates computed from its pooled channels.

    Two dense layers with bias turn the pooled features into one gate per channel (Hu et al. 2018,
    "Squeeze-and-Excitation Networks"; for streams Kondratyuk et al. 2021, section 3.2, "CausalSE").

    Args:
        hidden: int, width of the first dense layer.
        squeeze: what is pooled. `"3d"`: the mean over space and time; `"2d"`: the spatial mean of
            each frame; `"2plus3d"`: both, concatenated in this order.
        causal: bool, the mean over time covers the frames so far instead of the whole clip.
        activation: name of the activation between the dense layers.
        gate: `"sigmoid"`, `"hard_sigmoid"`, `"hard_sigmoid_keras2"` or `"hard_sigmoid_tf_models"`.
        positional_encoding: bool, adds the encoded frame positions to the pooled features, times a
            trainable scalar that starts at zero. Requires `causal=True`.
        kernel_initializer: initializer of both kernels, each drawn separately.
        output_activation: name of the activation of the gated video, or `None`.

    Call arguments:
        inputs: float tensor `(batch, frames, height, width, channels)`.
        state: `None`, or the state returned by the last call. If the squeeze has a running mean,
            the state is the mean `(batch, channels)` in float32 and the number of frames seen
            `(batch,)` in int32. If only the positions need a state, it is that number alone.

    Returns:
        `outputs` of the shape of the inputs; with a state, the pair `(outputs, new_state)`.

    Example:
    >>> attention = keras_video.layers.SqueezeExcite(8, squeeze="2plus3d", causal=True)
    >>> attention(keras.random.normal((2, 6, 4, 4, 16))).shape
    (2, 6, 4, 4, 16)
    """

    def __init__(
        self,
        hidden,
        squeeze="3d",
        causal=False,
        activation="swish",
        gate="sigmoid",
        positional_encoding=False,
        kernel_initializer="he_normal",
        output_activation=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.hidden = check_int("hidden", hidden)
        self.squeeze = check_choice("squeeze", squeeze, SQUEEZES)
        if positional_encoding and not causal:
            raise ValueError("positional_encoding: requires causal=True.")
        self.causal = bool(causal)
        self.activation = activation
        self.gate = gate
        self.positional_encoding = bool(positional_encoding)
        self.kernel_initializer = get_initializer(kernel_initializer)
        self._activation = lookup(ACTIVATIONS, "activation", activation)
        self._gate = lookup(GATES, "gate", gate)
        self.output_activation = output_activation
        self._output_activation = lookup(ACTIVATIONS, "output_activation", output_activation)

    def build(self, input_shape):
        check_video(self, input_shape)
        channels = input_shape[-1]
        pooled = 2 * channels if self.squeeze == "2plus3d" else channels

        def dense(name, inputs, outputs):
            initializer = self.kernel_initializer.clone()
            kernel = self.add_weight((inputs, outputs), initializer, name=f"{name}_kernel")
            return kernel, self.add_weight((outputs,), "zeros", name=f"{name}_bias")

        self.reduce_kernel, self.reduce_bias = dense("reduce", pooled, self.hidden)
        self.expand_kernel, self.expand_bias = dense("expand", self.hidden, channels)
        if self.positional_encoding:
            self.position_scale = self.add_weight((), "zeros", name="position_scale")

    @property
    def _runs(self):
        """bool, whether the state has a running mean."""
        return self.causal and self.squeeze != "2d"

    def state_spec(self, input_shape):
        count = keras.KerasTensor((input_shape[0],), "int32")
        if self._runs:
            return keras.KerasTensor((input_shape[0], input_shape[-1]), "float32"), count
        return count if self.positional_encoding else None

    def compute_output_shape(self, input_shape):
        check_video(self, input_shape)
        return input_shape

    def call(self, inputs, state=None):
        if state is not None:
            self.check_state(state, inputs.shape)
        x = ops.cast(inputs, self.compute_dtype)
        pooled, state = self._pool(inputs, state)
        outputs = x * self.gates(ops.cast(pooled, x.dtype))[:, :, None, None]
        if self._output_activation is not None:
            outputs = self._output_activation(outputs)
        return outputs if state is None else (outputs, state)

    def gates(self, pooled):
        """Return the gates of pooled features, both `(..., channels)`."""
        y = self._dense(pooled, self.reduce_kernel, self.reduce_bias)
        y = y if self._activation is None else self._activation(y)
        return self._gate(self._dense(y, self.expand_kernel, self.expand_bias))

    def _pool(self, inputs, state):
        """Return pooled features `(batch, frames or 1, channels)` in float32, and the new state."""
        frames = frame_means(inputs)
        seen = state[1] if self._runs and state is not None else state
        parts = []
        if self._runs:
            mean, state = running_mean(frames, state)
            parts.append(mean)
        elif self.squeeze != "2d":
            mean = ops.mean(frames, axis=1, keepdims=True)
            parts.append(mean if self.squeeze == "3d" else ops.zeros_like(frames) + mean)
        elif state is not None:
            state = state + ops.shape(inputs)[1]
        if self.squeeze != "3d":
            parts.append(frames)
        pooled = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=-1)
        if self.positional_encoding:
            pooled = pooled + ops.cast(self.position_scale, "float32") * sinusoids(pooled, seen)
        return pooled, state

    def _dense(self, x, kernel, bias):
        return ops.matmul(x, ops.cast(kernel, x.dtype)) + ops.cast(bias, x.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "hidden": self.hidden,
            "squeeze": self.squeeze,
            "causal": self.causal,
            "activation": self.activation,
            "gate": self.gate,
            "positional_encoding": self.positional_encoding,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "output_activation": self.output_activation,
        }


@keras.saving.register_keras_serializable("keras_video")
class ContextGate(keras.layers.Layer):
    """Multiply a video by `sigmoid(W m + b)`, where `m` is its mean over frames, height and width.

    This is the context gating of Xie et al. 2018 ("Rethinking spatiotemporal feature learning",
    S3D-G), as Tiny Video Networks use it (Piergiovanni et al. 2019).

    Args:
        kernel_initializer: initializer of `W`.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`.

    Returns:
        A tensor of the shape of the inputs.

    Example:
    >>> gate = keras_video.layers.ContextGate()
    >>> gate(keras.random.normal((2, 6, 4, 4, 16))).shape
    (2, 6, 4, 4, 16)
    """

    def __init__(self, kernel_initializer="he_normal", **kwargs):
        super().__init__(**kwargs)
        self.kernel_initializer = get_initializer(kernel_initializer)

    def build(self, input_shape):
        check_video(self, input_shape)
        channels = input_shape[-1]
        shape = (channels, channels)
        self.gate_kernel = self.add_weight(shape, self.kernel_initializer, name="gate_kernel")
        self.gate_bias = self.add_weight((channels,), "zeros", name="gate_bias")

    def compute_output_shape(self, input_shape):
        check_video(self, input_shape)
        return input_shape

    def call(self, inputs):
        means = ops.mean(ops.cast(inputs, "float32"), axis=(1, 2, 3))
        return inputs * self.gates(ops.cast(means, inputs.dtype))[:, None, None, None]

    def gates(self, means):
        """Return the gates of mean features, both `(..., channels)`."""
        kernel, bias = (ops.cast(w, means.dtype) for w in (self.gate_kernel, self.gate_bias))
        return ops.sigmoid(ops.matmul(means, kernel) + bias)

    def get_config(self):
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "kernel_initializer": initializer}


@keras.saving.register_keras_serializable("keras_video")
class PositionalEncoding(StreamingLayer):
    """Add sines and cosines of the frame number, times one trainable scalar that starts at zero.

    With `D` channels and frame number `p`, counted from 0 over the whole stream, channel `i` has
    the angle `p / 10000 ** (2 * floor(i / 2) / D)`. The encoding is the sines of all even `i`,
    followed by the cosines of all odd `i`: two halves, not interleaved (Kondratyuk et al. 2021,
    section 3.2, after Vaswani et al. 2017).

    Call arguments:
        inputs: tensor `(batch, frames, channels)`.
        state: `None`, or the number of frames seen so far, `(batch,)` in int32.

    Returns:
        A tensor of the shape of the inputs; with a state, the pair `(outputs, new_state)`.

    Example:
    >>> keras_video.layers.PositionalEncoding()(keras.random.normal((2, 6, 8))).shape
    (2, 6, 8)
    """

    def build(self, input_shape):
        if len(input_shape) != 3 or input_shape[-1] is None:
            raise ValueError(
                f"{self.name}: expected inputs of shape (batch, frames, channels) with known "
                f"channels, got {tuple(input_shape)}."
            )
        self.scale = self.add_weight(shape=(), initializer="zeros", name="scale")

    def state_spec(self, input_shape):
        return keras.KerasTensor((input_shape[0],), "int32")

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs, state=None):
        if state is not None:
            self.check_state(state, inputs.shape)
        frames = ops.shape(inputs)[1]
        encoding = ops.cast(self.scale, "float32") * sinusoids(inputs, state)
        outputs = ops.cast(inputs, self.compute_dtype) + ops.cast(encoding, self.compute_dtype)
        return outputs if state is None else (outputs, state + frames)


def sinusoids(frames, seen=None):
    """Encode the positions of `frames`; return `(batch or 1, frames, channels)` in float32.

    Args:
        frames: tensor `(batch, frames, channels)`, of which only the shape is used.
        seen: `None`, or int32 `(batch,)`, the number of frames before these.
    """
    positions = ops.arange(ops.shape(frames)[1], dtype="int32")[None, :]
    if seen is not None:
        positions = positions + seen[:, None]
    return encode(ops.cast(positions, "float32")[:, :, None], frames.shape[-1])


def encode(positions, channels):
    """Encode frame numbers `(..., 1)` in float32 as `(..., channels)`."""
    index = np.arange(channels)
    rates = (10000.0 ** (-2.0 * (index // 2) / channels)).astype("float32")
    sines, cosines = ops.sin(positions * rates[0::2]), ops.cos(positions * rates[1::2])
    return ops.concatenate([sines, cosines], axis=-1)
