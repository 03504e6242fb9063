"""`ColorJitter`: random brightness, contrast, saturation and hue."""

import numbers

import numpy as np

from keras_video.data import augmentation_ops as ops
from keras_video.data.augmentation_base import Augmentation, to_dtype


class ColorJitter(Augmentation):
    """Changes brightness, contrast, saturation and hue, in random order.

    With `brightness=0.4` the values of a clip are multiplied by a number drawn from 0.6..1.4;
    `contrast` and `saturation` likewise scale the distance from the mean brightness of the clip
    and from grey. `hue=0.1` turns the hue by up to a tenth of the circle to either side. An
    operation whose argument is 0 is left out.

    Args:
        brightness: number of at least 0.
        contrast: number of at least 0.
        saturation: number of at least 0.
        hue: number in 0..0.5.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
    >>> jitter = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    """

    def __init__(self, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0):
        self.brightness = _check_strength("brightness", brightness)
        self.contrast = _check_strength("contrast", contrast)
        self.saturation = _check_strength("saturation", saturation)
        self.hue = _check_strength("hue", hue, 0.5)

    def augment_clip(self, clip, rng):
        changed = clip.astype(np.float32)
        for name in rng.permutation(["brightness", "contrast", "saturation", "hue"]):
            strength = getattr(self, name)
            if not strength:
                continue
            if name == "hue":
                value = rng.uniform(-strength, strength)
            else:
                value = rng.uniform(max(0, 1 - strength), 1 + strength)
            changed = np.clip(getattr(ops, name)(changed, value), 0, 255)
        return to_dtype(changed, clip.dtype)


def _check_strength(name, value, high=np.inf):
    if not isinstance(value, numbers.Real) or not 0 <= value <= high or np.isinf(value):
        limit = "" if np.isinf(high) else f", up to {high}"
        raise ValueError(
            f"`{name}` must be a number of at least 0{limit}. Received: {name}={value!r}"
        )
    return float(value)
