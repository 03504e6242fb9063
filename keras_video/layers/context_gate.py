"""`ContextGate`: channel gates from the mean over the clip, without a hidden layer."""

import keras
from keras import ops

from keras_video.layers.frames import check_video
from keras_video.layers.initializers import get_initializer


@keras.saving.register_keras_serializable("keras_video")
class ContextGate(keras.layers.Layer):
    """Multiplies a video by `sigmoid(W m + b)`, `m` its mean over frames, height and width.

    The context gating of Xie et al. 2018 ("Rethinking spatiotemporal feature learning", S3D-G), as
    Tiny Video Networks use it (Piergiovanni et al. 2019).

    Args:
        kernel_initializer: initializer of `W`.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`.

    Returns:
        A tensor of the shape of the inputs.

    Example:
    >>> gate = keras_video.layers.ContextGate()
    >>> gate(keras.random.normal((2, 6, 4, 4, 16))).shape
    (2, 6, 4, 4, 16)
    """

    def __init__(self, kernel_initializer="he_normal", **kwargs):
        super().__init__(**kwargs)
        self.kernel_initializer = get_initializer(kernel_initializer)

    def build(self, input_shape):
        check_video(self, input_shape)
        channels = input_shape[-1]
        shape = (channels, channels)
        self.gate_kernel = self.add_weight(shape, self.kernel_initializer, name="gate_kernel")
        self.gate_bias = self.add_weight((channels,), "zeros", name="gate_bias")

    def compute_output_shape(self, input_shape):
        check_video(self, input_shape)
        return input_shape

    def call(self, inputs):
        means = ops.mean(ops.cast(inputs, "float32"), axis=(1, 2, 3))
        return inputs * self.gates(ops.cast(means, inputs.dtype))[:, None, None, None]

    def gates(self, means):
        """Factors from mean features, both `(..., channels)`."""
        kernel, bias = (ops.cast(w, means.dtype) for w in (self.gate_kernel, self.gate_bias))
        return ops.sigmoid(ops.matmul(means, kernel) + bias)

    def get_config(self):
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "kernel_initializer": initializer}
