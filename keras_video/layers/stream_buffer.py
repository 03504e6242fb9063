"""`StreamBuffer`: the frames a temporal kernel still needs."""

import keras
from keras import ops

from keras_video.layers.frames import pad_frames
from keras_video.layers.streaming import StreamingLayer
from keras_video.specs import check_int


@keras.saving.register_keras_serializable("keras_video")
class StreamBuffer(StreamingLayer):
    """Puts the last frames of the past in front of a video.

    A temporal kernel of extent `k` without padding, applied to the output of `StreamBuffer(k - 1)`,
    is a causal convolution: zeros stand for the past of a clip, remembered frames for that of a
    stream (Kondratyuk et al. 2021, section 3.2, equations 1 and 2).

    Args:
        buffer_size: int, number of frames to remember, at least 0.

    Call arguments:
        inputs: tensor `(batch, frames, ...)` of any rank from 2.
        state: `None`, or the tensor `(batch, buffer_size, ...)` returned by the last call.

    Returns:
        `outputs` of shape `(batch, buffer_size + frames, ...)`; with a state, the pair
        `(outputs, new_state)`.

    Example:
    >>> buffer = keras_video.layers.StreamBuffer(2)
    >>> buffer(keras.random.normal((1, 5, 8, 8, 3))).shape
    (1, 7, 8, 8, 3)
    """

    def __init__(self, buffer_size, **kwargs):
        super().__init__(**kwargs)
        check_int("buffer_size", buffer_size, 0)
        self.buffer_size = buffer_size

    def state_spec(self, input_shape):
        shape = (input_shape[0], self.buffer_size, *input_shape[2:])
        return keras.KerasTensor(shape, "float32")

    def compute_output_shape(self, input_shape):
        frames = input_shape[1]
        frames = None if frames is None else frames + self.buffer_size
        return (input_shape[0], frames, *input_shape[2:])

    def call(self, inputs, state=None):
        inputs = ops.cast(inputs, self.compute_dtype)
        if state is None:
            return pad_frames(inputs, self.buffer_size, 0)
        self.check_state(state, inputs.shape)
        outputs = ops.concatenate([ops.cast(state, inputs.dtype), inputs], axis=1)
        # From the front, because `[-0:]` would keep everything.
        start = ops.shape(outputs)[1] - self.buffer_size
        return outputs, ops.cast(outputs[:, start:], state.dtype)

    def get_config(self):
        return {**super().get_config(), "buffer_size": self.buffer_size}
