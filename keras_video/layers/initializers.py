"""`HeNormal`, `FanInNormal` and `FanOutNormal`, drawn with NumPy, and `TemporalShift`.

JAX compiles Keras' forms anew for every shape, which made building a MoViNet-A0 take 20 seconds
instead of one.
"""

import keras
import numpy as np
from keras import ops

from keras_video.specs import check_int


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


@keras.saving.register_keras_serializable("keras_video")
class FanOutNormal(keras.initializers.Initializer):
    """Normal numbers of deviation `sqrt(2 / fan_out)`, not cut off, as for PyTorch's ResNets.

    He et al. 2015, "Delving Deep into Rectifiers", section 2.2, equation 14.

    Args:
        seed: int, or `None` for one that follows `keras.utils.set_random_seed`.

    Call arguments:
        shape: `(..., channels, filters)`; fan out is the product of all but the channels.
        dtype: string.
    """

    def __init__(self, seed=None):
        self._given_seed = seed
        self.seed = np.random.randint(2**31) if seed is None else seed

    def __call__(self, shape, dtype=None, **kwargs):
        fan_out = int(np.prod(shape[:-2])) * shape[-1]
        draws = np.random.default_rng(self.seed).standard_normal(shape, dtype="float32")
        return ops.convert_to_tensor(draws * np.float32(np.sqrt(2.0 / fan_out)), dtype=dtype)

    def get_config(self):
        return {"seed": self._given_seed}


@keras.saving.register_keras_serializable("keras_video")
class TemporalShift(keras.initializers.Initializer):
    """A temporal kernel that moves some channels by a frame: TSM as a `TemporalAggregation`.

    Lin et al. 2019, "TSM: Temporal Shift Module for Efficient Video Understanding", section 3. With
    three frames one part of the channels comes from the next frame, one from the last frame; with
    two frames (the online form) one part comes from the last frame. All others stay.

    Args:
        divisor: int, a part is one `divisor`-th of the channels, rounded down.

    Call arguments:
        shape: `(2 or 3, channels)`.
        dtype: string.
    """

    def __init__(self, divisor=8):
        check_int("divisor", divisor, 2)
        self.divisor = divisor

    def __call__(self, shape, dtype=None, **kwargs):
        frames, channels = shape
        if frames not in (2, 3):
            raise ValueError(f"kernel_size: expected 2 or 3 frames for a shift, got {frames}.")
        part = channels // self.divisor
        kernel = np.zeros(shape, "float32")
        if frames == 3:
            kernel[2, :part] = kernel[0, part : 2 * part] = kernel[1, 2 * part :] = 1.0
        else:
            kernel[0, :part] = kernel[1, part:] = 1.0
        return ops.convert_to_tensor(kernel, dtype=dtype)

    def get_config(self):
        return {"divisor": self.divisor}


SHORT = {"fan_out_normal": FanOutNormal, "he_normal": HeNormal, "temporal_shift": TemporalShift}


def get_initializer(identifier):
    """`keras.initializers.get`, with the names in `SHORT` meaning those above."""
    if isinstance(identifier, str) and identifier in SHORT:
        return SHORT[identifier]()
    return keras.initializers.get(identifier)
