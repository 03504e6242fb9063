"""`SpatialAvgPool`: average pooling inside every frame.

`SpatialMaxPool`: max pooling inside every frame.

`TemporalPool`: maximum or mean of neighbouring frames.

`FrameMeans`: the spatial mean of every frame.
"""

from functools import reduce

import keras
import numpy as np
from keras import ops

from keras_video.layers.convolution import inside_xla, same_pads
from keras_video.layers.cumulative_avg_pool import frame_means
from keras_video.layers.frames import check_video, fold_frames, one_unknown, unfold_frames
from keras_video.specs import check_int, conv_output_size

PADDINGS = ("same", "symmetric")


@keras.saving.register_keras_serializable("keras_video")
class SpatialAvgPool(keras.layers.Layer):
    """Average pooling of every frame.

    It computes on rank 4, frames folded into the batch: mobile runtimes have no 3D pooling.

    Args:
        pool_size: int, extent over height and width.
        strides: int.
        padding: `"same"`, where the padding does not count in the average, or `"symmetric"`: zeros
            on all sides that do count, as in PyTorch networks; needs an odd `pool_size`.

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
        for argument, value in (("pool_size", pool_size), ("strides", strides)):
            check_int(argument, value)
        if padding not in PADDINGS:
            raise ValueError(f"padding: expected one of {PADDINGS}, got {padding!r}.")
        if padding == "symmetric" and pool_size % 2 == 0:
            raise ValueError(
                f"pool_size: expected an odd int beside padding='symmetric', got {pool_size}."
            )
        self.pool_size = pool_size
        self.strides = strides
        self.padding = padding

    def build(self, input_shape):
        check_video(self, input_shape)

    def compute_output_shape(self, input_shape):
        batch, frames, *extents, channels = input_shape
        extents = (n if n is None else conv_output_size(n, self.strides) for n in extents)
        return (batch, frames, *extents, channels)

    def call(self, inputs):
        return unfold_frames(self.pool(fold_frames(inputs)), inputs)

    def pool(self, x):
        """Pools frames that are folded into the batch."""
        if self.padding == "symmetric":
            pads = (self.pool_size // 2,) * 2
            x = ops.pad(x, ((0, 0), pads, pads, (0, 0)))
            return ops.average_pool(x, self.pool_size, self.strides, "valid", "channels_last")
        if keras.backend.backend() == "torch":
            return self._pool_padded(x)
        return ops.average_pool(x, self.pool_size, self.strides, "same", "channels_last")

    def _pool_padded(self, x):
        """Keras counts the padding on torch: pad with zeros, then divide by the share of pixels."""
        size, strides = (self.pool_size,) * 2, (self.strides,) * 2
        pads = same_pads(x.shape[1:3], size, strides)
        sums = ops.average_pool(
            ops.pad(x, ((0, 0), *pads, (0, 0))), size, strides, "valid", "channels_last"
        )
        rows, columns = (
            window_shares(n, pad, self.pool_size, self.strides)
            for n, pad in zip(x.shape[1:3], pads, strict=True)
        )
        return sums * ops.convert_to_tensor(1.0 / np.outer(rows, columns)[..., None], sums.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
        }


def window_shares(size, pads, window, stride):
    """Share of real pixels in each pooling window along one axis."""
    real = np.pad(np.ones(size), pads)
    return np.array([real[i : i + window].mean() for i in range(0, len(real) - window + 1, stride)])


@keras.saving.register_keras_serializable("keras_video")
class SpatialMaxPool(SpatialAvgPool):
    """Max pooling of every frame.

    Args:
        pool_size: int, extent over height and width.
        strides: int.
        padding: `"same"`, or `"symmetric"` for as much on one side as on the other, as in PyTorch
            networks; minus infinity in both. The latter needs an odd `pool_size`.

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
        padding, pads = "same", None
        if self.padding == "symmetric":
            pads = ((self.pool_size // 2,) * 2,) * 2
        elif keras.backend.backend() == "torch":  # wide strides: Keras pads by another rule
            size, strides = (self.pool_size,) * 2, (self.strides,) * 2
            pads = same_pads(x.shape[1:3], size, strides)
        if pads is not None:
            x = ops.pad(x, ((0, 0), *pads, (0, 0)), constant_values=float("-inf"))
            padding = "valid"
        return ops.max_pool(x, self.pool_size, self.strides, padding, "channels_last")


MODES = ("max", "avg")


@keras.saving.register_keras_serializable("keras_video")
class TemporalPool(keras.layers.Layer):
    """Pools over frames alone, with `same` padding that counts neither in maxima nor in means.

    Args:
        pool_size: int, number of frames in a window.
        strides: int.
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
        for argument, value in (("pool_size", pool_size), ("strides", strides)):
            check_int(argument, value)
        if mode not in MODES:
            raise ValueError(f"mode: expected one of {MODES}, got {mode!r}.")
        self.pool_size = pool_size
        self.strides = strides
        self.mode = mode

    def build(self, input_shape):
        check_video(self, input_shape)

    def compute_output_shape(self, input_shape):
        frames = input_shape[1]
        frames = None if frames is None else conv_output_size(frames, self.strides)
        return (input_shape[0], frames, *input_shape[2:])

    def call(self, inputs):
        fast = keras.backend.backend() == "tensorflow" and not inside_xla()
        if fast or inputs.shape[1] is None:
            return self._pool_image(inputs)
        return self._pool_windows(inputs)

    def _pool_windows(self, inputs):
        """One window after the other."""
        outputs = [self._pool(inputs[:, a:b]) for a, b in self._windows(inputs.shape[1])]
        return outputs[0] if len(outputs) == 1 else ops.concatenate(outputs, axis=1)

    def _windows(self, frames):
        """First frame, and the one after the last, of every window."""
        ((before, _),) = same_pads((frames,), (self.pool_size,), (self.strides,))
        starts = [i * self.strides - before for i in range(conv_output_size(frames, self.strides))]
        return [(max(start, 0), min(start + self.pool_size, frames)) for start in starts]

    def _pool(self, frames):
        if frames.shape[1] == 1:
            return frames
        if keras.backend.backend() != "jax":
            pool = ops.max if self.mode == "max" else ops.mean
            return pool(frames, axis=1, keepdims=True)
        # XLA is slow at reducing few elements, and fast at the same written out.
        count = frames.shape[1]
        join = ops.maximum if self.mode == "max" else ops.add
        total = reduce(join, (frames[:, i : i + 1] for i in range(count)))
        return total if self.mode == "max" else total / count

    def _pool_image(self, x):
        """In TensorFlow 2D pooling of frames by pixels: its gradient takes a tenth of the time."""
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
