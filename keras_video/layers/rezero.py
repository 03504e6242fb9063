"""`ReZero`: one trainable scalar on a residual branch."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_video")
class ReZero(keras.layers.Layer):
    """Multiplies its input by one trainable scalar that starts at zero.

    A freshly built residual network is then the identity (Bachlechner et al. 2020, "ReZero is All
    You Need", arXiv 2003.04887). Every MoViNet block has it.

    Args:
        scale_initializer: initializer of the scalar.

    Call arguments:
        inputs: tensor of any shape.

    Returns:
        A tensor of the same shape.

    Example:
    >>> float(keras.ops.max(keras_video.layers.ReZero()(keras.ops.ones((2, 3)))))
    0.0
    """

    def __init__(self, scale_initializer="zeros", **kwargs):
        super().__init__(**kwargs)
        self.scale_initializer = keras.initializers.get(scale_initializer)

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer=self.scale_initializer, name="scale")

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        return inputs * ops.cast(self.scale, inputs.dtype)

    def get_config(self):
        initializer = keras.initializers.serialize(self.scale_initializer)
        return {**super().get_config(), "scale_initializer": initializer}
