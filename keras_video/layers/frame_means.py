"""`FrameMeans`: the spatial mean of every frame."""

import keras
from keras import ops

from keras_video.layers.cumulative_avg_pool import frame_means
from keras_video.layers.frames import check_video


@keras.saving.register_keras_serializable("keras_video")
class FrameMeans(keras.layers.Layer):
    """Mean over height and width, frame by frame.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`.

    Returns:
        A tensor `(batch, frames, channels)`.

    Example:
    >>> keras_video.layers.FrameMeans()(keras.random.normal((1, 4, 9, 8, 3))).shape
    (1, 4, 3)
    """

    def build(self, input_shape):
        check_video(self, input_shape)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], input_shape[-1])

    def call(self, inputs):
        return ops.cast(frame_means(inputs), self.compute_dtype)
