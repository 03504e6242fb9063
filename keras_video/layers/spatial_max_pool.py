"""`SpatialMaxPool`: max pooling inside every frame."""

import keras
from keras import ops

from keras_video.layers.convolution import same_pads
from keras_video.layers.spatial_avg_pool import SpatialAvgPool


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
