"""The base class of all augmentations of clips, and its checks and conversion of dtypes."""

import numpy as np


class Augmentation:
    """Changes each clip of a batch at random, but all frames of a clip in the same way.

    A subclass implements `augment_clip(clip, rng)` for one clip `(frames, height, width, 3)`, or
    `__call__` if it mixes clips or labels. Augmentations have no mutable state: they can be
    pickled, and shared by threads and processes. Everything random comes from `rng`.

    Call arguments:
        clips: array `(batch, frames, height, width, 3)` of values in 0..255, uint8 or float.
        labels: labels of the clips, in any form, or `None`.
        rng: `numpy.random.Generator`; equal generators give equal results.

    Returns:
        The pair `(clips, labels)`. Clips keep their dtype; values stay in 0..255.

    Raises:
        ValueError: if `clips` or `rng` is invalid.
    """

    def __call__(self, clips, labels, rng):
        check_batch(clips, rng)
        return np.stack([self.augment_clip(clip, rng) for clip in clips]), labels

    def augment_clip(self, clip, rng):
        """Return one augmented clip; do not change `clip` itself."""
        raise NotImplementedError(f"{type(self).__name__} must implement augment_clip.")

    def __repr__(self):
        options = (f"{k}={v!r}" for k, v in vars(self).items() if not k.startswith("_"))
        return f"{type(self).__name__}({', '.join(options)})"


def check_batch(clips, rng):
    """Raise an error unless these are a batch of clips and a generator."""
    shape, dtype = getattr(clips, "shape", None), getattr(clips, "dtype", None)
    is_batch = isinstance(clips, np.ndarray) and clips.ndim == 5 and shape[-1] == 3 and clips.size
    if not is_batch or not (dtype == np.uint8 or np.issubdtype(dtype, np.floating)):
        raise ValueError(
            "clips: expected a NumPy array (batch, frames, height, width, 3) of uint8 or floats, "
            f"got {type(clips).__name__} of shape {shape} and dtype {dtype}."
        )
    if not isinstance(rng, np.random.Generator):
        raise ValueError(f"rng: expected a numpy.random.Generator, got {rng!r}.")


def to_dtype(values, dtype):
    """Return values limited to 0..255 as `dtype`; round them if it is uint8."""
    if dtype != np.uint8:
        return np.clip(values, 0, 255).astype(dtype, copy=False)
    if values.dtype == np.uint8:
        return values
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)
