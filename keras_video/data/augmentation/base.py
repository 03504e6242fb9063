"""What all augmentations of clips share: the call, the checks, the way back to the dtype."""

import math
import numbers

import numpy as np


class Augmentation:
    """Changes a batch of clips: each clip by parameters of its own, the same for all its frames.

    A subclass implements `augment_clip(clip, rng)` for one clip `(frames, height, width, 3)`, or
    `__call__` where clips or labels are mixed. Augmentations hold plain data only: they can be
    pickled, and shared by threads and processes. Everything random comes from `rng`.

    Call arguments:
        clips: array `(batch, frames, height, width, 3)` of values in 0..255, uint8 or float.
        labels: the labels of the clips, in any form, or `None`.
        rng: `numpy.random.Generator`; equal generators give equal results.

    Returns:
        The pair `(clips, labels)`. Clips keep their dtype; values stay in 0..255.

    Raises:
        ValueError: if `clips` or `rng` is something else.
    """

    def __call__(self, clips, labels, rng):
        check_batch(clips, rng)
        return np.stack([self.augment_clip(clip, rng) for clip in clips]), labels

    def augment_clip(self, clip, rng):
        """Returns one augmented clip; `clip` itself is left as it is."""
        raise NotImplementedError(f"{type(self).__name__} must implement `augment_clip`.")

    def __repr__(self):
        options = (f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({', '.join(options)})"


def check_batch(clips, rng):
    """Raises unless these are a batch of clips and a generator."""
    shape, dtype = getattr(clips, "shape", None), getattr(clips, "dtype", None)
    is_batch = isinstance(clips, np.ndarray) and clips.ndim == 5 and shape[-1] == 3 and clips.size
    if not is_batch or not (dtype == np.uint8 or np.issubdtype(dtype, np.floating)):
        raise ValueError(
            "`clips` must be a NumPy array (batch, frames, height, width, 3) of uint8 or floats. "
            f"Received: {type(clips).__name__} of shape {shape} and dtype {dtype}"
        )
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"`rng` must be a numpy.random.Generator. Received: {rng!r}")


def check_probability(name, value):
    """Returns `value` as a float in 0..1, or raises a ValueError that names it."""
    if not isinstance(value, numbers.Real) or not 0 <= value <= 1:
        raise ValueError(f"`{name}` must be a number from 0 to 1. Received: {name}={value!r}")
    return float(value)


def check_range(name, value, high=math.inf):
    """Returns a pair of floats `0 < a <= b <= high`, or raises a ValueError that names it."""
    try:
        a, b = (float(number) for number in value)
    except (TypeError, ValueError):
        a = b = math.nan
    if not 0 < a <= b <= high or math.isinf(b):
        limit = "" if math.isinf(high) else f", up to {high}"
        raise ValueError(
            f"`{name}` must be an ascending pair of numbers above 0{limit}. "
            f"Received: {name}={value!r}"
        )
    return a, b


def to_dtype(values, dtype):
    """Values limited to 0..255; rounded where `dtype` is uint8."""
    if dtype != np.uint8:
        return np.clip(values, 0, 255).astype(dtype, copy=False)
    if values.dtype == np.uint8:
        return values
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
