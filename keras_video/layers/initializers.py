"""`HeNormal` and `FanInNormal`: initializers drawn with NumPy.

JAX compiles Keras' forms anew for every shape, which made building a MoViNet-A0 take 20 seconds
instead of one.
"""

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable("keras_video")
class FanInNormal(keras.initializers.Initializer):
    """Normal numbers of deviation `sqrt(scale / fan_in)`, those beyond two deviations redrawn.

    The deviation is that before the cut, which takes away an eighth.

    Args:
        scale: float above 0.
        seed: int, or `None` for one that follows `keras.utils.set_random_seed`.

    Call arguments:
        shape: `(..., fan_in channels, filters)`.
        dtype: string.
    """

    def __init__(self, scale=2.0, seed=None):
        if isinstance(scale, bool) or not isinstance(scale, (int, float)) or not scale > 0:
            raise ValueError(f"scale: expected a number above 0, got {scale!r}.")
        self.scale = scale
        self._given_seed = seed
        self.seed = np.random.randint(2**31) if seed is None else seed

    def __call__(self, shape, dtype=None, **kwargs):
        deviation = np.sqrt(self.scale / max(1, int(np.prod(shape[:-1]))))
        random = np.random.default_rng(self.seed)
        draws = random.standard_normal(shape, dtype="float32")
        while (outside := np.abs(draws) > 2).any():
            draws[outside] = random.standard_normal(int(outside.sum()), dtype="float32")
        return ops.convert_to_tensor(draws * np.float32(deviation), dtype=dtype)

    def get_config(self):
        return {"scale": self.scale, "seed": self._given_seed}


@keras.saving.register_keras_serializable("keras_video")
class HeNormal(FanInNormal):
    """Truncated normal of deviation `sqrt(2 / fan_in)`, as `keras.initializers.HeNormal`.

    Args:
        seed: int, or `None` for one that follows `keras.utils.set_random_seed`.

    Call arguments:
        shape: `(..., fan_in channels, filters)`.
        dtype: string.
    """

    def __init__(self, seed=None):
        # 0.8796 is the standard deviation of a unit normal that is cut off at two.
        super().__init__(2.0 / 0.87962566103423978**2, seed)

    def get_config(self):
        return {"seed": self._given_seed}


def get_initializer(identifier):
    """`keras.initializers.get`, with `"he_normal"` meaning the one above."""
    return HeNormal() if identifier == "he_normal" else keras.initializers.get(identifier)
