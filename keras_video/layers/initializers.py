"""`HeNormal`: Keras' initializer, drawn with NumPy."""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("keras_video")
class HeNormal(keras.initializers.Initializer):
    """Truncated normal of deviation `sqrt(2 / fan_in)`, as `keras.initializers.HeNormal`.

    It draws with NumPy: JAX compiles Keras' form anew for every shape, which made building a
    MoViNet-A0 take 20 seconds instead of one.

    Args:
        seed: int, or `None` for one that follows `keras.utils.set_random_seed`.

    Call arguments:
        shape: `(..., fan_in channels, filters)`.
        dtype: string.
    """

    def __init__(self, seed=None):
        self._given_seed = seed
        self.seed = np.random.randint(2**31) if seed is None else seed

    def __call__(self, shape, dtype=None, **kwargs):
        # 0.8796 is the standard deviation of a unit normal that is cut off at two.
        deviation = np.sqrt(2.0 / max(1, int(np.prod(shape[:-1])))) / 0.87962566103423978
        random = np.random.default_rng(self.seed)
        draws = random.standard_normal(shape, dtype="float32")
        while (outside := np.abs(draws) > 2).any():
            draws[outside] = random.standard_normal(int(outside.sum()), dtype="float32")
        return ops.convert_to_tensor(draws * np.float32(deviation), dtype=dtype)

    def get_config(self):
        return {"seed": self._given_seed}


def get_initializer(identifier):
    """`keras.initializers.get`, with `"he_normal"` meaning the one above."""
    return HeNormal() if identifier == "he_normal" else keras.initializers.get(identifier)
