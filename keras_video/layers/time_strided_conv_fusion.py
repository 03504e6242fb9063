"""`TimeStridedConvFusion`: a dense stream's video at the frames of a sparse one, by convolution."""

import keras

from keras_video.layers.frames import check_frame_stride
from keras_video.layers.video_conv3d import VideoConv3D
from keras_video.specs import check_int


@keras.saving.register_keras_serializable("keras_video")
class TimeStridedConvFusion(VideoConv3D):
    """Convolves over frames with a stride, then batch norm and ReLU.

    The lateral connection of SlowFast networks (Feichtenhofer et al. 2019, arXiv 1812.03982,
    section 3.3, "time-strided convolution"): `ratio` times the channels, for one of every `stride`
    frames. The window is centred at the first frame of each `stride`.

    Args:
        stride: int, frames of the dense stream for one of the sparse one.
        kernel_size: odd int, frames that the kernel sees.
        ratio: int, output channels for one input channel.
        batch_norm, activation: as for `VideoConv3D`, present here unless said otherwise.
        **kwargs: `use_bias`, `kernel_initializer`, `momentum` and `epsilon` of `VideoConv3D`, and
            the arguments of every Keras layer.

    Call arguments:
        inputs: float tensor `(batch, frames, height, width, channels)`, `frames` a multiple of
            `stride`.
        training: bool; whether batch norm uses the statistics of the batch.

    Returns:
        A tensor `(batch, frames / stride, height, width, ratio * channels)`.

    Example:
    >>> fusion = keras_video.layers.TimeStridedConvFusion(8)
    >>> fusion(keras.random.normal((2, 32, 4, 4, 8))).shape
    (2, 4, 4, 4, 16)
    """

    def __init__(
        self, stride, kernel_size=5, ratio=2, batch_norm=True, activation="relu", **kwargs
    ):
        for argument, value in (("stride", stride), ("kernel_size", kernel_size), ("ratio", ratio)):
            check_int(argument, value)
        super().__init__(
            ratio,  # `build` knows the filters
            (kernel_size, 1, 1),
            (stride, 1, 1),
            padding="symmetric",
            batch_norm=batch_norm,
            activation=activation,
            **kwargs,
        )
        self.stride = stride
        self.ratio = ratio

    def build(self, input_shape):
        check_frame_stride(self, input_shape, self.stride)
        self.filters = self.ratio * input_shape[-1]
        super().build(input_shape)

    def compute_output_shape(self, input_shape):
        check_frame_stride(self, input_shape, self.stride)
        return (*super().compute_output_shape(input_shape)[:-1], self.ratio * input_shape[-1])

    def get_config(self):
        config = super().get_config()
        taken = ("filters", "strides", "padding", "groups", "implementation")
        return {
            **{k: v for k, v in config.items() if k not in taken},
            "kernel_size": self.kernel_size[0],
            "stride": self.stride,
            "ratio": self.ratio,
        }
