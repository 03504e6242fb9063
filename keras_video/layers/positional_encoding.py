"""`PositionalEncoding`: where in the stream a frame stands."""

import keras
import numpy as np
from keras import ops

from keras_video.layers.streaming import StreamingLayer


@keras.saving.register_keras_serializable("keras_video")
class PositionalEncoding(StreamingLayer):
    """Adds sines and cosines of the frame number, times one trainable scalar that starts at zero.

    With `D` channels and frame number `p`, counted from 0 over the whole stream, channel `i` has
    the angle `p / 10000 ** (2 * floor(i / 2) / D)`. The encoding is all sines of even `i`, then all
    cosines of odd `i`: two halves, not interleaved (Kondratyuk et al. 2021, section 3.2, after
    Vaswani et al. 2017).

    Call arguments:
        inputs: tensor `(batch, frames, channels)`.
        state: `None`, or the number of frames seen `(batch,)` in int32.

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
    """Encoding of the positions of `frames`, `(batch or 1, frames, channels)` in float32.

    Args:
        frames: tensor `(batch, frames, channels)`; only its shape counts.
        seen: `None`, or int32 `(batch,)`, the number of frames before these.
    """
    positions = ops.arange(ops.shape(frames)[1], dtype="int32")[None, :]
    if seen is not None:
        positions = positions + seen[:, None]
    return encode(ops.cast(positions, "float32")[:, :, None], frames.shape[-1])


def encode(positions, channels):
    """Encoding `(..., channels)` of frame numbers `(..., 1)` in float32."""
    index = np.arange(channels)
    rates = (10000.0 ** (-2.0 * (index // 2) / channels)).astype("float32")
    sines, cosines = ops.sin(positions * rates[0::2]), ops.cos(positions * rates[1::2])
    return ops.concatenate([sines, cosines], axis=-1)
