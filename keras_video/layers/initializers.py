"""Initializers of kernels, drawn with NumPy.

JAX compiles the initializers of Keras for every shape, which made building a MoViNet-A0 take 20
seconds instead of one.
"""

import keras
import numpy as np
from keras import ops

from keras_video.checks import check_int, check_number


@keras.saving.register_keras_serializable("keras_video")
class FanInNormal(keras.initializers.Initializer):
    """Draw normal numbers of deviation `sqrt(scale / fan_in)`; redraw those beyond two deviations.

    This is the deviation before the cut. The cut makes it an eighth smaller.

    Args:
        scale: float above 0.
        seed: int, or `None` to draw a seed, which follows `keras.utils.set_random_seed`.

    Call arguments:
        shape: `(..., fan_in channels, filters)`.
        dtype: string.
    """

    def __init__(self, scale=2.0, seed=None):
        self.scale = check_number("scale", scale, above=0)
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
    """Draw truncated normal numbers of deviation `sqrt(2 / fan_in)`.

    The distribution is that of `keras.initializers.HeNormal`.

    Args:
        seed: int, or `None` to draw a seed, which follows `keras.utils.set_random_seed`.

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
    """Draw normal numbers of deviation `sqrt(2 / fan_out)`, without a cut.

    The ResNets of PyTorch use this one (He et al. 2015, "Delving Deep into Rectifiers", section
    2.2, equation 14).

    Args:
        seed: int, or `None` to draw a seed, which follows `keras.utils.set_random_seed`.

    Call arguments:
        shape: `(..., channels, filters)`. Fan out is the product of all extents but the channels.
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
    """Make a kernel of `TemporalAggregation` that moves some channels by a frame (TSM).

    Lin et al. 2019, "TSM: Temporal Shift Module for Efficient Video Understanding", section 3. A
    kernel of three frames takes one part of the channels from the next frame and one part from the
    previous frame. A kernel of two frames (the online form) takes one part from the previous frame.
    All other channels stay.

    Args:
        divisor: int of at least 2; a part is `channels // divisor` channels.

    Call arguments:
        shape: `(2 or 3, channels)`.
        dtype: string.
    """

    def __init__(self, divisor=8):
        self.divisor = check_int("divisor", divisor, 2)

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
    """Return an initializer; the names in `SHORT` mean the classes above, others those of Keras."""
    if isinstance(identifier, str) and identifier in SHORT:
        return SHORT[identifier]()
    return keras.initializers.get(identifier)
