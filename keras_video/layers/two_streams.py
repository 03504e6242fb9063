"""Layers between two streams of one video, a dense one and a sparse one of fewer frames.

Each brings the dense video to the frames of the sparse one, as in SlowFast networks (Feichtenhofer
et al. 2019, arXiv 1812.03982, section 3.3): by taking frames, by packing frames into channels, or
by convolution.
"""

import keras
from keras import ops

from keras_video.checks import check_choice, check_int
from keras_video.layers import backend
from keras_video.layers.frames import check_frame_stride
from keras_video.layers.video_conv3d import VideoConv3D

POSITIONS = ("stride", "spread")


@keras.saving.register_keras_serializable("keras_video")
class TimeStridedSampling(keras.layers.Layer):
    """Take one of every `stride` frames.

    Between the streams of a network this is the fusion of that name in SlowFast (Feichtenhofer et
    al. 2019, arXiv 1812.03982, section 3.3). At the input of a network it makes the sparse clip
    from the dense one.

    Args:
        stride: int, frames of the inputs for one frame of the outputs.
        positions: which frames are taken. `"stride"`: `0, stride, 2 * stride, ...`, the centres of
            the windows of `TimeStridedConvFusion`; `"spread"`: evenly from the first frame to the
            last, rounded down, as the published code of SlowFast takes its slow frames.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`, `frames` a multiple of `stride`.
            For `"spread"` the number of frames must be known when the layer is built.

    Returns:
        A tensor `(batch, frames / stride, height, width, channels)`.

    Example:
    >>> sampling = keras_video.layers.TimeStridedSampling(8)
    >>> sampling(keras.random.normal((2, 32, 4, 4, 3))).shape
    (2, 4, 4, 4, 3)
    """

    def __init__(self, stride, positions="stride", **kwargs):
        super().__init__(**kwargs)
        self.stride = check_int("stride", stride)
        self.positions = check_choice("positions", positions, POSITIONS)

    def build(self, input_shape):
        check_frame_stride(self, input_shape, self.stride)
        if self.positions == "spread" and input_shape[1] is None:
            raise ValueError(
                f"{self.name}: expected inputs of a known number of frames for "
                f"positions='spread', got {tuple(input_shape)}."
            )

    def compute_output_shape(self, input_shape):
        check_frame_stride(self, input_shape, self.stride)
        frames = None if input_shape[1] is None else input_shape[1] // self.stride
        return (input_shape[0], frames, *input_shape[2:])

    def call(self, inputs):
        if self.positions == "spread":
            return ops.take(inputs, frames_spread(inputs.shape[1], self.stride), axis=1)
        batch, frames, *rest = ops.shape(inputs)
        windows = ops.reshape(inputs, (-1, self.stride, *rest))
        frames = frames // self.stride
        leading = (-1, frames) if isinstance(frames, int) else (batch, frames)
        return ops.reshape(backend.slice_frames(windows, 0, 1), (*leading, *rest))

    def get_config(self):
        return {**super().get_config(), "stride": self.stride, "positions": self.positions}


def frames_spread(frames, stride):
    """Return `frames // stride` frame numbers, evenly from the first to the last, rounded down."""
    count = frames // stride
    return [i * (frames - 1) // max(count - 1, 1) for i in range(count)]


@keras.saving.register_keras_serializable("keras_video")
class TimeToChannelFusion(keras.layers.Layer):
    """Pack the frames of every window of `stride` frames into the channels of one frame.

    This is "time-to-channel" of SlowFast networks (Feichtenhofer et al. 2019, arXiv 1812.03982,
    section 3.3). The channels of the first frame of a window come first, then those of the second,
    and so on.

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
        self.stride = check_int("stride", stride)

    def build(self, input_shape):
        check_frame_stride(self, input_shape, self.stride)

    def compute_output_shape(self, input_shape):
        check_frame_stride(self, input_shape, self.stride)
        batch, frames, height, width, channels = input_shape
        frames = None if frames is None else frames // self.stride
        return (batch, frames, height, width, self.stride * channels)

    def call(self, inputs):
        batch, frames, height, width, channels = ops.shape(inputs)
        # In rank 4, with all pixels in one axis.
        windows = ops.reshape(inputs, (-1, self.stride, height * width, channels))
        windows = ops.transpose(windows, (0, 2, 1, 3))
        frames = frames // self.stride
        leading = (-1, frames) if isinstance(frames, int) else (batch, frames)
        return ops.reshape(windows, (*leading, height, width, self.stride * channels))

    def get_config(self):
        return {**super().get_config(), "stride": self.stride}


@keras.saving.register_keras_serializable("keras_video")
class TimeStridedConvFusion(VideoConv3D):
    """Convolve over frames with a stride, then apply batch norm and ReLU.

    This is the lateral connection of SlowFast networks (Feichtenhofer et al. 2019, arXiv
    1812.03982, section 3.3, "time-strided convolution"). Windows are centred at frames `0, stride,
    2 * stride, ...`.

    Args:
        stride: int, frames of the dense stream for one frame of the sparse one.
        kernel_size: odd int, frames in the kernel.
        ratio: int, output channels for one input channel.
        batch_norm, activation: as for `VideoConv3D`, with other defaults.
        **kwargs: `use_bias`, `kernel_initializer`, `momentum` and `epsilon` of `VideoConv3D`, and
            the arguments of every Keras layer.

    Call arguments:
        inputs: float tensor `(batch, frames, height, width, channels)`, `frames` a multiple of
            `stride`.
        training: bool, whether batch norm uses the statistics of the batch.

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
            ratio,  # `build` sets the filters
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
