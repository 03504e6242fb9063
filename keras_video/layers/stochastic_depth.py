"""`StochasticDepth`: drops whole residual branches in training."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_video")
class StochasticDepth(keras.layers.Layer):
    """Sets whole samples of a residual branch to zero in training.

    One draw per sample; the survivors are divided by the keep probability, so that the expected
    value stays (Huang et al. 2016, "Deep Networks with Stochastic Depth", arXiv 1603.09382).

    Args:
        rate: float in [0, 1), probability of dropping a sample's branch.
        seed: int or `None`.

    Call arguments:
        inputs: tensor `(batch, ...)`.
        training: bool; nothing is dropped where it is false.

    Returns:
        A tensor of the same shape.

    Example:
    >>> keras_video.layers.StochasticDepth(0.2)(keras.ops.ones((4, 2)), training=True).shape
    (4, 2)
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate < 1:
            raise ValueError(f"rate: expected a number in [0, 1), got {rate!r}.")
        self.rate = rate
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
