"""`ColorJitter`: random brightness, contrast, saturation and hue.

`RandAugment`: a few operations out of fourteen, all of one strength.
"""

import math
import numbers

import numpy as np

from keras_video.data.augmentation import ops as ops
from keras_video.data.augmentation.base import Augmentation, to_dtype


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


# Strengths at magnitude 10, the ranges of AutoAugment (Cubuk et al. 2019, table 6).
SHEAR = 0.3
TRANSLATION = 150 / 331  # of the side: 150 pixels of the 331 that AutoAugment was searched on
ROTATION = math.radians(30)
ENHANCEMENT = 0.9
POSTERIZED_BITS = 4

GEOMETRY = {  # matrices that say where in the old frame the values of the new one come from
    "shear_x": lambda m, size: [[1, SHEAR * m, 0], [0, 1, 0]],
    "shear_y": lambda m, size: [[1, 0, 0], [SHEAR * m, 1, 0]],
    "translate_x": lambda m, size: [[1, 0, TRANSLATION * m * size[1]], [0, 1, 0]],
    "translate_y": lambda m, size: [[1, 0, 0], [0, 1, TRANSLATION * m * size[0]]],
    "rotate": lambda m, size: [
        [math.cos(ROTATION * m), math.sin(ROTATION * m), 0],
        [-math.sin(ROTATION * m), math.cos(ROTATION * m), 0],
    ],
}
ENHANCE = {  # either way: more of it, or less
    "brightness": ops.brightness,
    "color": ops.saturation,
    "contrast": ops.contrast,
    "sharpness": ops.sharpness,
}
COLOURS = {
    "identity": lambda clip, m: clip,
    "auto_contrast": lambda clip, m: ops.auto_contrast(clip),
    "equalize": lambda clip, m: ops.equalize(clip),
    "posterize": lambda clip, m: ops.posterize(clip, 8 - round(POSTERIZED_BITS * m)),
    "solarize": lambda clip, m: ops.solarize(clip, 256 - 256 * m),
}
OPERATIONS = (*COLOURS, *ENHANCE, *GEOMETRY)


class RandAugment(Augmentation):
    """RandAugment (Cubuk et al. 2020): `num_ops` random operations of one magnitude.

    The fourteen operations of the paper: identity, auto-contrast, equalise, posterise, solarise,
    brightness, colour, contrast, sharpness, shear and translation along x and y, rotation. The
    last nine go either way, which is drawn. What is drawn holds for all frames of a clip.

    `keras.layers.RandAugment` draws the strengths anew for every image, so that frames of a clip
    would be torn apart, and computes all of its operations to keep one; this form does not.

    Args:
        num_ops: int, at least 0, operations per clip, one after the other; an operation may come
            up twice.
        magnitude: number in 0..10. At 10 a frame is turned by 30 degrees, sheared by 0.3 or moved
            by 45 % of its side, colours change by a factor of 0.1 or 1.9, 4 bits are left, and all
            values are inverted.
        fill: number in 0..255, the value of what comes into the frame from outside.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(self, num_ops=2, magnitude=9, fill=128):
        if isinstance(num_ops, bool) or not isinstance(num_ops, numbers.Integral) or num_ops < 0:
            raise ValueError(
                f"`num_ops` must be an int of at least 0. Received: num_ops={num_ops!r}"
            )
        for name, value, high in (("magnitude", magnitude, 10), ("fill", fill, 255)):
            if not isinstance(value, numbers.Real) or not 0 <= value <= high:
                raise ValueError(
                    f"`{name}` must be a number from 0 to {high}. Received: {name}={value!r}"
                )
        self.num_ops, self.magnitude, self.fill = int(num_ops), magnitude, fill

    def augment_clip(self, clip, rng):
        for name in rng.choice(OPERATIONS, self.num_ops):
            clip = self.apply(str(name), clip, rng.choice((-1, 1)))
        return clip

    def apply(self, name, clip, sign=1):
        """Applies one operation.

        Args:
            name: one of `OPERATIONS`.
            clip: array `(frames, height, width, 3)`.
            sign: 1 or -1, the way an operation goes that has two.
        """
        strength = self.magnitude / 10
        if name in GEOMETRY:
            matrix = np.array(GEOMETRY[name](sign * strength, clip.shape[1:3]))
            return ops.warp(clip, matrix, self.fill)
        values = clip.astype(np.float32)
        if name in ENHANCE:
            values = ENHANCE[name](values, 1 + sign * ENHANCEMENT * strength)
        else:
            values = COLOURS[name](values, strength)
        return to_dtype(values, clip.dtype)
