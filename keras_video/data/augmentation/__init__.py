"""Augmentation of clips, the same for all frames of a clip.

An augmentation is a function `augment(clips, labels, rng) -> (clips, labels)` of a batch of NumPy
arrays: clips `(batch, frames, height, width, 3)` of uint8 or floats in 0..255, and a
`numpy.random.Generator` for everything random. The data sets of `keras_video.data` have an argument
`augment` for it.

Keras has layers of the same names. These augmentations use NumPy for three reasons. Worker
processes start without Keras and do not use the accelerator, and forked processes work as well, in
which the operations of all three backends hang. The same generator gives the same clips on every
backend. And uint8 stays uint8. Keras layers without a counterpart here can be used through
`KerasAugmentation`.

Example:
>>> augment = Compose([
...     RandomResizedCrop(172),
...     RandomFlip(),
...     RandAugment(num_ops=2, magnitude=9),
... ])
>>> clips, labels = augment(clips, labels, np.random.default_rng(0))
"""

from keras_video.data.augmentation.base import Augmentation
from keras_video.data.augmentation.color import ColorJitter, RandAugment
from keras_video.data.augmentation.keras import KerasAugmentation
from keras_video.data.augmentation.mix import CutMix, MixUp
from keras_video.data.augmentation.spatial import (
    MultiScaleCrop,
    RandomErasing,
    RandomFlip,
    RandomResizedCrop,
)
from keras_video.lazy import listing

__all__ = [
    "Augmentation",
    "ColorJitter",
    "Compose",
    "CutMix",
    "KerasAugmentation",
    "MixUp",
    "MultiScaleCrop",
    "RandAugment",
    "RandomErasing",
    "RandomFlip",
    "RandomResizedCrop",
]


class Compose(Augmentation):
    """Applies several augmentations in order.

    Args:
        augmentations: list of functions `augment(clips, labels, rng) -> (clips, labels)`.

    Raises:
        ValueError: if one of them cannot be called.
    """

    def __init__(self, augmentations):
        self.augmentations = list(augmentations)
        for augmentation in self.augmentations:
            if isinstance(augmentation, type) or not callable(augmentation):
                raise ValueError(
                    "augmentations: expected functions (clips, labels, rng) -> (clips, labels), "
                    f"got {augmentation!r}."
                )

    def __call__(self, clips, labels, rng):
        for augmentation in self.augmentations:
            clips, labels = augmentation(clips, labels, rng)
        return clips, labels


__dir__ = listing(__all__)
