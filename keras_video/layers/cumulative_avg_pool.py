"""`CumulativeAvgPool`: the mean of all frames so far."""

import keras
from keras import ops

from keras_video.layers.frames import check_video
from keras_video.layers.streaming import StreamingLayer


@keras.saving.register_keras_serializable("keras_video")
class CumulativeAvgPool(StreamingLayer):
    """Average all frames so far over space and time.

    This is the running mean of Kondratyuk et al. 2021, section 3.2, equation 4.

    Args:
        keep_frames: bool. If true, frame `t` of the output is the mean of frames `0..t` of the
            video. If false there is one output per call, the mean of all frames so far: for a
            classifier at the end of a network.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`.
        state: `None`, or the pair returned by the last call: the mean so far `(batch, channels)`
            in float32 and the number of frames seen `(batch,)` in int32. A mean, unlike a sum,
            stays bounded however long the stream runs.

    Returns:
        `outputs` of shape `(batch, frames, channels)`, or `(batch, channels)` if `keep_frames` is
        false; with a state, the pair `(outputs, new_state)`.

    Example:
    >>> pool = keras_video.layers.CumulativeAvgPool()
    >>> pool(keras.random.normal((2, 6, 4, 4, 8))).shape
    (2, 6, 8)
    """

    def __init__(self, keep_frames=True, **kwargs):
        super().__init__(**kwargs)
        self.keep_frames = bool(keep_frames)

    def build(self, input_shape):
        check_video(self, input_shape)

    def state_spec(self, input_shape):
        batch, channels = input_shape[0], input_shape[-1]
        return (
            keras.KerasTensor((batch, channels), "float32"),
            keras.KerasTensor((batch,), "int32"),
        )

    def compute_output_shape(self, input_shape):
        batch, frames, *_, channels = input_shape
        return (batch, frames, channels) if self.keep_frames else (batch, channels)

    def call(self, inputs, state=None):
        frames = frame_means(inputs)
        if state is not None:
            self.check_state(state, inputs.shape)
        means, state = running_mean(frames, state, self.keep_frames)
        outputs = ops.cast(means, self.compute_dtype)
        return outputs if state is None else (outputs, state)

    def get_config(self):
        return {**super().get_config(), "keep_frames": self.keep_frames}


def frame_means(inputs):
    """Return the spatial mean of every frame, `(batch, frames, channels)` in float32."""
    return ops.mean(ops.cast(inputs, "float32"), axis=(2, 3))


def running_mean(frames, state=None, keep_frames=True):
    """Average all frames so far.

    Args:
        frames: float32 tensor `(batch, frames, channels)`.
        state: `None`, or the pair of `CumulativeAvgPool`.
        keep_frames: bool, return the mean after every frame, not only after the last one.

    Returns:
        The means, and the new state (`None` without a state).
    """
    count = ops.shape(frames)[1]
    if state is None and not keep_frames:
        return ops.mean(frames, axis=1), None
    if keep_frames and not (isinstance(count, int) and count == 1):
        sums, steps = ops.cumsum(frames, axis=1), ops.arange(1, count + 1, dtype="int32")
    else:
        sums, steps = ops.sum(frames, axis=1, keepdims=True), count
    seen = ops.reshape(ops.cast(steps, "int32"), (1, -1))
    if state is not None:
        mean, before = state
        sums = sums + ops.expand_dims(mean * ops.cast(before, "float32")[:, None], axis=1)
        seen = seen + before[:, None]
    means = sums / ops.cast(seen, "float32")[:, :, None]
    if state is not None:
        state = (means[:, -1], seen[:, -1])
    return (means if keep_frames else means[:, -1]), state
