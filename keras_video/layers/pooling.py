"""Pooling of videos: over the pixels of every frame, over frames, or over whole frames.

`FrameVote` pools over frames as well, the logits of frames to those of the clip.
"""

import keras
from keras import ops

from keras_video.checks import check_choice, check_int
from keras_video.layers import backend
from keras_video.layers.cumulative_avg_pool import frame_means
from keras_video.layers.frames import (
    check_video,
    fold_frames,
    one_unknown,
    same_pads,
    unfold_frames,
)
from keras_video.specs import conv_output_size

PADDINGS = ("same", "symmetric")
MODES = ("max", "avg")


@keras.saving.register_keras_serializable("keras_video")
class SpatialAvgPool(keras.layers.Layer):
    """Average the pixels of every frame over windows.

    The layer computes on rank 4, with the frames folded into the batch, because mobile runtimes
    have no 3D pooling.

    Args:
        pool_size: int, extent of the window over height and width.
        strides: int, step of the window over height and width.
        padding: `"same"`, where the padding does not count in the average, or `"symmetric"`, where
            zeros on all sides do count, as in PyTorch networks; needs an odd `pool_size`.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`.

    Returns:
        A tensor `(batch, frames, ceil(height / strides), ceil(width / strides), channels)`.

    Example:
    >>> pool = keras_video.layers.SpatialAvgPool(3, strides=2)
    >>> pool(keras.random.normal((1, 4, 9, 8, 3))).shape
    (1, 4, 5, 4, 3)
    """

    def __init__(self, pool_size, strides=1, padding="same", **kwargs):
        super().__init__(**kwargs)
        self.pool_size = check_int("pool_size", pool_size)
        self.strides = check_int("strides", strides)
        self.padding = check_choice("padding", padding, PADDINGS)
        if padding == "symmetric" and pool_size % 2 == 0:
            raise ValueError(
                f"pool_size: expected an odd int for padding='symmetric', got {pool_size}."
            )

    def build(self, input_shape):
        check_video(self, input_shape)

    def compute_output_shape(self, input_shape):
        batch, frames, *extents, channels = input_shape
        extents = (n if n is None else conv_output_size(n, self.strides) for n in extents)
        return (batch, frames, *extents, channels)

    def call(self, inputs):
        return unfold_frames(self.pool(fold_frames(inputs)), inputs)

    def pool(self, x):
        """Pool frames that are folded into the batch."""
        if self.padding == "same":
            return backend.average_pool(x, self.pool_size, self.strides)
        pads = (self.pool_size // 2,) * 2
        x = ops.pad(x, ((0, 0), pads, pads, (0, 0)))
        return ops.average_pool(x, self.pool_size, self.strides, "valid", "channels_last")

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }


@keras.saving.register_keras_serializable("keras_video")
class SpatialMaxPool(SpatialAvgPool):
    """Take the maxima of the pixels of every frame over windows.

    Args:
        pool_size: int, extent of the window over height and width.
        strides: int, step of the window over height and width.
        padding: `"same"`, or `"symmetric"` for the same padding on all sides, as in PyTorch
            networks; needs an odd `pool_size`. The padding never is the maximum.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`.

    Returns:
        A tensor `(batch, frames, ceil(height / strides), ceil(width / strides), channels)`.

    Example:
    >>> pool = keras_video.layers.SpatialMaxPool(3, strides=2)
    >>> pool(keras.random.normal((1, 4, 9, 8, 3))).shape
    (1, 4, 5, 4, 3)
    """

    def pool(self, x):
        if self.padding == "same":
            return backend.max_pool(x, self.pool_size, self.strides)
        pads = (self.pool_size // 2,) * 2
        x = ops.pad(x, ((0, 0), pads, pads, (0, 0)), constant_values=float("-inf"))
        return ops.max_pool(x, self.pool_size, self.strides, "valid", "channels_last")


@keras.saving.register_keras_serializable("keras_video")
class TemporalPool(keras.layers.Layer):
    """Pool over frames alone, with `"same"` padding that counts neither in maxima nor in means.

    Args:
        pool_size: int, number of frames in a window.
        strides: int, step of the window in frames.
        mode: `"max"` or `"avg"`.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`.

    Returns:
        A tensor `(batch, ceil(frames / strides), height, width, channels)`.

    Example:
    >>> pool = keras_video.layers.TemporalPool(2, strides=2)
    >>> pool(keras.random.normal((1, 5, 9, 8, 3))).shape
    (1, 3, 9, 8, 3)
    """

    def __init__(self, pool_size, strides=1, mode="max", **kwargs):
        super().__init__(**kwargs)
        self.pool_size = check_int("pool_size", pool_size)
        self.strides = check_int("strides", strides)
        self.mode = check_choice("mode", mode, MODES)

    def build(self, input_shape):
        check_video(self, input_shape)

    def compute_output_shape(self, input_shape):
        frames = input_shape[1]
        frames = None if frames is None else conv_output_size(frames, self.strides)
        return (input_shape[0], frames, *input_shape[2:])

    def call(self, inputs):
        if inputs.shape[1] is None or backend.frames_as_image():
            return self._pool_image(inputs)
        return self.pool_windows(inputs)

    def pool_windows(self, inputs):
        """Pool one window after the other, of inputs with a known number of frames."""
        windows = (inputs[:, start:end] for start, end in self._windows(inputs.shape[1]))
        outputs = [x if x.shape[1] == 1 else backend.reduce_frames(x, self.mode) for x in windows]
        return outputs[0] if len(outputs) == 1 else ops.concatenate(outputs, axis=1)

    def _windows(self, frames):
        """Return the first frame, and the one after the last, of every window."""
        ((before, _),) = same_pads((frames,), (self.pool_size,), (self.strides,))
        starts = [i * self.strides - before for i in range(conv_output_size(frames, self.strides))]
        return [(max(start, 0), min(start + self.pool_size, frames)) for start in starts]

    def _pool_image(self, x):
        """Pool frames by pixels in 2D: on TensorFlow its gradient takes a tenth of the time."""
        batch, frames, height, width, channels = ops.shape(x)
        y = ops.reshape(x, (*one_unknown((batch, frames, height * width)), channels))
        pool = ops.max_pool if self.mode == "max" else ops.average_pool
        y = pool(y, (self.pool_size, 1), (self.strides, 1), "same", "channels_last")
        frames = conv_output_size(frames, self.strides)
        return ops.reshape(y, (*one_unknown((batch, frames, height, width)), channels))

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "mode": self.mode,
        }


@keras.saving.register_keras_serializable("keras_video")
class FrameMeans(keras.layers.Layer):
    """Average every frame over height and width.

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


@keras.saving.register_keras_serializable("keras_video")
class FrameVote(keras.layers.Layer):
    """Sum the logits of all frames, weighted by their own softmax over time.

    Compute `sum_t(z_t * softmax_t(z_t / sqrt(frames)))` for every class separately. Frames with a
    high logit for a class get a high weight. The published code of Tiny Video Networks
    (Piergiovanni et al. 2019) has this head for long clips.

    Call arguments:
        inputs: logits `(batch, frames, classes)`.

    Returns:
        Logits `(batch, classes)`.

    Example:
    >>> keras_video.layers.FrameVote()(keras.random.normal((2, 8, 10))).shape
    (2, 10)
    """

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(
                f"{self.name}: expected inputs of shape (batch, frames, classes), "
                f"got {tuple(input_shape)}."
            )
        return (input_shape[0], input_shape[2])

    def call(self, inputs):
        logits = ops.cast(inputs, "float32")
        frames = ops.cast(ops.shape(logits)[1], "float32")
        weights = ops.softmax(logits / ops.sqrt(frames), axis=1)
        return ops.cast(ops.sum(logits * weights, axis=1), self.compute_dtype)
