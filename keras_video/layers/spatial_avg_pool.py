"""`SpatialAvgPool`: average pooling inside every frame."""

import keras
import numpy as np
from keras import ops

from keras_video.layers.convolution import same_pads
from keras_video.layers.frames import check_video, fold_frames, unfold_frames
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
