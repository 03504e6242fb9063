"""Layers of residual branches: a trainable scale, and dropping whole branches in training."""

import keras
from keras import ops

from keras_video.checks import check_number


@keras.saving.register_keras_serializable("keras_video")
class ReZero(keras.layers.Layer):
    """Multiply the inputs by one trainable scalar that starts at zero.

    A new residual network is then the identity (Bachlechner et al. 2020, "ReZero is All You Need",
    arXiv 2003.04887). Every MoViNet block has such a scalar.

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


@keras.saving.register_keras_serializable("keras_video")
class StochasticDepth(keras.layers.Layer):
    """Set whole samples of a residual branch to zero in training.

    There is one draw per sample. The other samples are divided by the probability of keeping one,
    so that the expected value stays the same (Huang et al. 2016, "Deep Networks with Stochastic
    Depth", arXiv 1603.09382).

    Args:
        rate: float in [0, 1), probability of dropping a sample's branch.
        seed: int or `None`.

    Call arguments:
        inputs: tensor `(batch, ...)`.
        training: bool. If false, nothing is dropped.

    Returns:
        A tensor of the same shape.

    Example:
    >>> keras_video.layers.StochasticDepth(0.2)(keras.ops.ones((4, 2)), training=True).shape
    (4, 2)
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate = check_number("rate", rate, 0, below=1)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if rate else None
        self.built = True

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs, training=False):
        if not training or not self.rate:
            return inputs
        shape = (ops.shape(inputs)[0],) + (1,) * (len(inputs.shape) - 1)
        draws = keras.random.uniform(shape, seed=self.seed_generator)
        keep = ops.cast(draws >= self.rate, inputs.dtype)
        return inputs * keep * (1.0 / (1.0 - self.rate))

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
