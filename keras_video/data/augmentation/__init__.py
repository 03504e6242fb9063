"""Augmentation of clips, the same for all frames of a clip.

An augmentation is a callable `augment(clips, labels, rng) -> (clips, labels)` on a batch in NumPy:
clips `(batch, frames, height, width, 3)` of uint8 or floats in 0..255, and a
`numpy.random.Generator` from which everything random comes. The data sets of `keras_video.data`
take one as their argument `augment`.

Why NumPy, where Keras has layers of the same names: worker processes then start without Keras and
without a second claim on the accelerator (and forked ones, in which the operations of all three
backends hang, work too); the same generator gives the same clips on every backend; uint8 stays
uint8.
Layers of Keras that have no counterpart here can be used all the same, see `KerasAugmentation`.

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
    """Applies augmentations one after the other.

    Args:
        augmentations: list of callables `augment(clips, labels, rng) -> (clips, labels)`.

    Raises:
        ValueError: if one of them cannot be called.
    """

    def __init__(self, augmentations):
        self.augmentations = list(augmentations)
        for augmentation in self.augmentations:
            if isinstance(augmentation, type) or not callable(augmentation):
                raise ValueError(
                    "`augmentations` must be callables (clips, labels, rng) -> (clips, labels). "
                    f"Received: {augmentation!r}"
                )

    def __call__(self, clips, labels, rng):
        for augmentation in self.augmentations:
            clips, labels = augmentation(clips, labels, rng)
        return clips, labels
