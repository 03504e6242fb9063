"""`TimeToChannelFusion`: a dense stream's video at the frames of a sparse one, rearranged."""

import keras
from keras import ops

from keras_video.layers.frames import check_frame_stride
from keras_video.specs import check_int


@keras.saving.register_keras_serializable("keras_video")
class TimeToChannelFusion(keras.layers.Layer):
    """Packs the frames of every window of `stride` frames into the channels of one.

    "Time-to-channel" of SlowFast networks (Feichtenhofer et al. 2019, arXiv 1812.03982, section
    3.3). The channels of the window's first frame come first, then those of its second, ...

    Args:
        stride: int, frames of a window.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`, `frames` a multiple of `stride`.

    Returns:
        A tensor `(batch, frames / stride, height, width, stride * channels)`.

    Example:
    >>> fusion = keras_video.layers.TimeToChannelFusion(8)
    >>> fusion(keras.random.normal((2, 32, 4, 4, 3))).shape
    (2, 4, 4, 4, 24)
    """

    def __init__(self, stride, **kwargs):
        super().__init__(**kwargs)
        check_int("stride", stride)
        self.stride = stride

    def build(self, input_shape):
        check_frame_stride(self, input_shape, self.stride)

    def compute_output_shape(self, input_shape):
        check_frame_stride(self, input_shape, self.stride)
        batch, frames, height, width, channels = input_shape
        frames = None if frames is None else frames // self.stride
        return (batch, frames, height, width, self.stride * channels)

    def call(self, inputs):
        batch, frames, height, width, channels = ops.shape(inputs)
        # Rank 4 all the way, pixels in one axis.
        windows = ops.reshape(inputs, (-1, self.stride, height * width, channels))
        windows = ops.transpose(windows, (0, 2, 1, 3))
        frames = frames // self.stride
        leading = (-1, frames) if isinstance(frames, int) else (batch, frames)
        return ops.reshape(windows, (*leading, height, width, self.stride * channels))

    def get_config(self):
        return {**super().get_config(), "stride": self.stride}
