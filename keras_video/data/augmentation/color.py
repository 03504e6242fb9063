"""Augmentation of colors: `ColorJitter`, and `RandAugment`, which also moves pixels."""

import math

import numpy as np

from keras_video.checks import check_int, check_number
from keras_video.data.augmentation import ops
from keras_video.data.augmentation.base import Augmentation, to_dtype


class ColorJitter(Augmentation):
    """Changes brightness, contrast, saturation and hue, in random order.

    With `brightness=0.4`, the values of a clip are multiplied by a number drawn from 0.6..1.4.
    `contrast` and `saturation` scale the distance from the mean brightness of the clip and from
    gray in the same way. `hue=0.1` rotates the hue by up to a tenth of the color circle in either
    direction. An operation whose argument is 0 is skipped.

    Args:
        brightness: number of at least 0.
        contrast: number of at least 0.
        saturation: number of at least 0.
        hue: number in 0..0.5.

    Raises:
        ValueError: if an argument is outside of its range.

    Example:
    >>> jitter = ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1)
    """

    def __init__(self, brightness=0.0, contrast=0.0, saturation=0.0, hue=0.0):
        self.brightness = float(check_number("brightness", brightness, 0))
        self.contrast = float(check_number("contrast", contrast, 0))
        self.saturation = float(check_number("saturation", saturation, 0))
        self.hue = float(check_number("hue", hue, 0, 0.5))

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


# Strengths at magnitude 10, the ranges of AutoAugment (Cubuk et al. 2019, table 6).
SHEAR = 0.3
TRANSLATION = 150 / 331  # of the side: 150 pixels of the 331 that AutoAugment was searched on
ROTATION = math.radians(30)
ENHANCEMENT = 0.9
POSTERIZED_BITS = 4

GEOMETRY = {  # matrices from the place of a pixel to the place where its value comes from
    "shear_x": lambda m, size: [[1, SHEAR * m, 0], [0, 1, 0]],
    "shear_y": lambda m, size: [[1, 0, 0], [SHEAR * m, 1, 0]],
    "translate_x": lambda m, size: [[1, 0, TRANSLATION * m * size[1]], [0, 1, 0]],
    "translate_y": lambda m, size: [[1, 0, 0], [0, 1, TRANSLATION * m * size[0]]],
    "rotate": lambda m, size: [
        [math.cos(ROTATION * m), math.sin(ROTATION * m), 0],
        [-math.sin(ROTATION * m), math.cos(ROTATION * m), 0],
    ],
}
ENHANCE = {  # in both directions: stronger or weaker
    "brightness": ops.brightness,
    "color": ops.saturation,
    "contrast": ops.contrast,
    "sharpness": ops.sharpness,
}
COLORS = {
    "identity": lambda clip, m: clip,
    "auto_contrast": lambda clip, m: ops.auto_contrast(clip),
    "equalize": lambda clip, m: ops.equalize(clip),
    "posterize": lambda clip, m: ops.posterize(clip, 8 - round(POSTERIZED_BITS * m)),
    "solarize": lambda clip, m: ops.solarize(clip, 256 - 256 * m),
}
OPERATIONS = (*COLORS, *ENHANCE, *GEOMETRY)


class RandAugment(Augmentation):
    """Applies `num_ops` random operations of one magnitude (RandAugment; Cubuk et al. 2020).

    The fourteen operations of the paper: identity, auto-contrast, equalize, posterize, solarize,
    brightness, color, contrast, sharpness, shear and translation along x and y, rotation. The last
    nine have two directions, of which one is drawn. All frames of a clip get the same operations.

    `keras.layers.RandAugment` draws new strengths for every image, so that the frames of a clip
    would no longer fit together. It also computes all operations to use only one.

    Args:
        num_ops: int, at least 0, number of operations per clip; an operation may repeat.
        magnitude: number in 0..10. At 10, a frame is rotated by 30 degrees, sheared by 0.3 or moved
            by 45 % of its side, colors change by a factor of 0.1 or 1.9, 4 bits remain, and all
            values are inverted.
        fill: number in 0..255, value of the pixels that come from outside of the frame.

    Raises:
        ValueError: if an argument is outside of its range.
    """

    def __init__(self, num_ops=2, magnitude=9, fill=128):
        self.num_ops = check_int("num_ops", num_ops, 0)
        self.magnitude = check_number("magnitude", magnitude, 0, 10)
        self.fill = check_number("fill", fill, 0, 255)

    def augment_clip(self, clip, rng):
        for name in rng.choice(OPERATIONS, self.num_ops):
            clip = self.apply(str(name), clip, rng.choice((-1, 1)))
        return clip

    def apply(self, name, clip, sign=1):
        """Apply one operation.

        Args:
            name: string, one of `OPERATIONS`.
            clip: array `(frames, height, width, 3)`.
            sign: 1 or -1, the direction of operations that have two.

        Returns:
            Array of the shape and dtype of `clip`.
        """
        strength = self.magnitude / 10
        if name in GEOMETRY:
            matrix = np.array(GEOMETRY[name](sign * strength, clip.shape[1:3]))
            return ops.warp(clip, matrix, self.fill)
        values = clip.astype(np.float32)
        if name in ENHANCE:
            values = ENHANCE[name](values, 1 + sign * ENHANCEMENT * strength)
        else:
            values = COLORS[name](values, strength)
        return to_dtype(values, clip.dtype)
