"""`BatchStatisticsNorm`: batch norm without moving statistics, of channels that may not count."""

import keras
from keras import ops

from keras_video.layers.batch_norm import with_batch_statistics


class BatchStatisticsNorm(keras.layers.Layer):
    """Normalises with the statistics of the batch, in training and out of it.

    It keeps no moving statistics: those of one network of a super-network say nothing about
    another, and there is nothing to update inside a branch or a recomputed part of the step.

    Args:
        channels: int, how many there are at most.
        epsilon: float, added to the variance.
        gamma_initializer: initializer of the scale.

    Call arguments:
        x: tensor `(batch, height, width, width.size)`.
        width: `Width`. Channels that do not count come out as zeros.

    Returns:
        A tensor of the same shape and dtype.
    """

    def __init__(self, channels, epsilon=1e-3, gamma_initializer="ones", **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        self.channels, self.epsilon = channels, epsilon
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    def build(self, *shapes):
        self.gamma = self.add_weight((self.channels,), self.gamma_initializer, name="gamma")
        self.beta = self.add_weight((self.channels,), "zeros", name="beta")

    def call(self, x, width):
        gamma, beta = (width.masked(ops.convert_to_tensor(v)) for v in (self.gamma, self.beta))
        y, _, _ = with_batch_statistics(ops.cast(x, "float32"), gamma, beta, self.epsilon)
        return ops.cast(y, x.dtype)

    def part(self, channels):
        """`{"gamma": array, "beta": array}` of the first channels."""
        return {
            name: ops.convert_to_numpy(getattr(self, name))[:channels] for name in ("gamma", "beta")
        }
