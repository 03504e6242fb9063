"""`RandomErasing`: hides a box of a clip."""

import numbers

import numpy as np

from keras_video.data.augmentation_base import (
    Augmentation,
    check_probability,
    check_range,
    to_dtype,
)
from keras_video.data.augmentation_crop import RandomResizedCrop


class RandomErasing(Augmentation):
    """Overwrites a random box, the same in all frames (Zhong et al. 2020).

    `keras.layers.RandomErasing` fills each image with noise of its own; here the noise, too, is
    the same in all frames, lest it flicker.

    Args:
        probability: number in 0..1, of each clip to be changed.
        area: pair of numbers in (0, 1], least and greatest part of the frame's area.
        aspect: pair of positive numbers, least and greatest width / height of the box.
        fill: number in 0..255, or `None` for uniform noise.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(self, probability=0.5, area=(0.02, 0.33), aspect=(0.3, 1 / 0.3), fill=None):
        self.probability = check_probability("probability", probability)
        self.area = check_range("area", area, high=1)
        self.aspect = check_range("aspect", aspect)
        if fill is not None and not (isinstance(fill, numbers.Real) and 0 <= fill <= 255):
            raise ValueError(f"`fill` must be a number from 0 to 255, or None. Received: {fill!r}")
        self.fill = fill
        self._boxes = RandomResizedCrop(1, self.area, self.aspect)

    def augment_clip(self, clip, rng):
        clip = clip.copy()
        if rng.random() < self.probability:
            top, left, height, width = self._boxes.draw_box(*clip.shape[1:3], rng)
            box = clip[:, top : top + height, left : left + width]
            fill = rng.uniform(0, 255, box.shape[1:]) if self.fill is None else self.fill
            box[:] = to_dtype(np.asarray(fill, np.float32), clip.dtype)
        return clip
