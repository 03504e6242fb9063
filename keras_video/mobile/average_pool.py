"""Average pooling as a depthwise convolution: XNNPACK has no int8 kernel for average pooling."""

import keras
import numpy as np
from keras import ops

from keras_video.layers.convolution import same_pads
from keras_video.layers.spatial_avg_pool import window_shares


@keras.saving.register_keras_serializable("keras_video")
class BorderCorrection(keras.layers.Layer):
    """Divides the sums of windows by the share of each window that lies inside the image.

    Args:
        image_size: `(height, width)` before pooling.
        pool_size, strides: ints, those of the pooling.

    Call arguments:
        inputs: tensor `(batch * frames, new_height, new_width, channels)`.
    """

    def __init__(self, image_size, pool_size, strides, **kwargs):
        super().__init__(**kwargs)
        self.image_size = tuple(image_size)
        self.pool_size = pool_size
        self.strides = strides

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        size, strides = (self.pool_size,) * 2, (self.strides,) * 2
        pads = same_pads(self.image_size, size, strides)
        rows, columns = (
            window_shares(n, pad, self.pool_size, self.strides)
            for n, pad in zip(self.image_size, pads, strict=True)
        )
        factors = 1.0 / np.outer(rows, columns)[None, :, :, None]
        return inputs * ops.convert_to_tensor(factors, inputs.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "pool_size": self.pool_size,
            "strides": self.strides,
        }


def pool_by_kernel(layer, inputs, ranged):
    """Writes a `FrameAvgPool` as a kernel of equal weights, and corrects the borders if need be.

    Args:
        layer: the pooling.
        inputs: tensor `(batch * frames, height, width, channels)`.
        ranged: function of a tensor and a name that puts a range behind it.
    """
    size = layer.pool_size
    counted = layer.padding == "symmetric"  # zeros around the image belong to the average
    if counted:
        pad = keras.layers.ZeroPadding2D(size // 2, dtype="float32", name=f"{layer.name}_padded")
        inputs = pad(inputs)
    kernel = keras.layers.DepthwiseConv2D(
        size,
        layer.strides,
        padding="valid" if counted else "same",
        use_bias=False,
        depthwise_initializer=keras.initializers.Constant(1 / size**2),
        trainable=False,
        dtype="float32",
        name=layer.name if counted else f"{layer.name}_sums",
    )
    sums = ranged(kernel(inputs), kernel.name)
    if counted:
        return sums
    correction = BorderCorrection(
        inputs.shape[1:3], size, layer.strides, dtype="float32", name=layer.name
    )
    return ranged(correction(sums), layer.name)
