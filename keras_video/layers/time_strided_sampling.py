"""`TimeStridedSampling`: a few frames of a dense video."""

import keras
from keras import ops

from keras_video.layers.frames import check_frame_stride, slice_frames
from keras_video.specs import check_int

POSITIONS = ("stride", "spread")


@keras.saving.register_keras_serializable("keras_video")
class TimeStridedSampling(keras.layers.Layer):
    """Takes one of every `stride` frames.

    Between the streams of a network it is the fusion of that name in SlowFast (Feichtenhofer et al.
    2019, arXiv 1812.03982, section 3.3); at its input it makes the sparse clip from the dense one.

    Args:
        stride: int.
        positions: which frames are taken. `"stride"`: `0, stride, 2 * stride, ...`, which is where
            the strided fusions look; `"spread"`: from the first frame to the last, evenly, rounded
            down, as the published code of SlowFast takes its slow frames.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`, `frames` a multiple of `stride`;
            for `"spread"` it must be known when the layer is built.

    Returns:
        A tensor `(batch, frames / stride, height, width, channels)`.

    Example:
    >>> sampling = keras_video.layers.TimeStridedSampling(8)
    >>> sampling(keras.random.normal((2, 32, 4, 4, 3))).shape
    (2, 4, 4, 4, 3)
    """

    def __init__(self, stride, positions="stride", **kwargs):
        super().__init__(**kwargs)
        check_int("stride", stride)
        if positions not in POSITIONS:
            raise ValueError(f"positions: expected one of {POSITIONS}, got {positions!r}.")
        self.stride = stride
        self.positions = positions

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
        batch, frames, *picture = ops.shape(inputs)
        windows = ops.reshape(inputs, (-1, self.stride, *picture))
        frames = frames // self.stride
        leading = (-1, frames) if isinstance(frames, int) else (batch, frames)
        return ops.reshape(slice_frames(windows, 0, 1), (*leading, *picture))

    def get_config(self):
        return {**super().get_config(), "stride": self.stride, "positions": self.positions}


def frames_spread(frames, stride):
    """Numbers of `frames // stride` frames, evenly from the first to the last, rounded down."""
    count = frames // stride
    return [i * (frames - 1) // max(count - 1, 1) for i in range(count)]
