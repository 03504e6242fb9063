"""Augmentations that mix the clips of a batch with each other: `MixUp` and `CutMix`."""

import math

import numpy as np

from keras_video.checks import check_int, check_labels, check_number
from keras_video.data.augmentation.base import Augmentation, check_batch


class _Mix(Augmentation):
    """Mixes each clip with another of the batch, and their labels in the same proportion."""

    def __init__(self, alpha, num_classes):
        self.alpha = float(check_number("alpha", alpha, above=0))
        self.num_classes = None if num_classes is None else check_int("num_classes", num_classes)

    def __call__(self, clips, labels, rng):
        check_batch(clips, rng)
        labels = self._one_hot(labels, len(clips))
        partners = rng.permutation(len(clips))
        shares = rng.beta(self.alpha, self.alpha, len(clips))
        clips, shares = self.mix(clips, partners, shares, rng)
        shares = shares.astype(np.float32)[:, None]
        return clips, shares * labels + (1 - shares) * labels[partners]

    def mix(self, clips, partners, shares, rng):
        """Return the mixed clips, and the fraction `(batch,)` that each keeps of itself."""
        raise NotImplementedError

    def _one_hot(self, labels, count):
        labels = np.asarray(labels)
        classes = self.num_classes
        if labels.shape == (count,) and np.issubdtype(labels.dtype, np.integer):
            if classes is None:
                raise ValueError(
                    f"num_classes: expected an int, since the labels of {type(self).__name__} are "
                    "class numbers (batch,), got None."
                )
            return np.eye(classes, dtype=np.float32)[check_labels("labels", labels, classes)]
        if (
            labels.ndim == 2
            and len(labels) == count
            and labels.shape[1] == (classes or labels.shape[1])
        ):
            return labels.astype(np.float32)
        raise ValueError(
            f"labels: expected ints (batch,) or numbers (batch, {classes or 'classes'}), got "
            f"{labels.dtype} of shape {labels.shape}."
        )


class MixUp(_Mix):
    """Averages pairs of clips with weights drawn from Beta(alpha, alpha) (Zhang et al. 2018).

    Each clip of the batch is mixed with another one and has its own weight, which is the same for
    all frames. The computation is that of `keras.layers.MixUp`.

    Args:
        alpha: positive number. If it is below 1, usually one of the two clips dominates.
        num_classes: int, required if labels are ints.

    Call arguments:
        labels: class numbers `(batch,)` as ints, or numbers `(batch, num_classes)`.

    Returns:
        The pair `(clips, labels)`, both float32; labels `(batch, num_classes)`.

    Raises:
        ValueError: if an argument or the labels are invalid.
    """

    def __init__(self, alpha=0.2, num_classes=None):
        super().__init__(alpha, num_classes)

    def mix(self, clips, partners, shares, rng):
        weights = shares.astype(np.float32).reshape(-1, 1, 1, 1, 1)
        mixed = clips * weights
        mixed += clips[partners] * (1 - weights)
        return mixed.astype(np.float32, copy=False), shares


class CutMix(_Mix):
    """Pastes a box of one clip into another (Yun et al. 2019).

    The box has the aspect ratio of the frame. Its fraction of the area is drawn from
    Beta(alpha, alpha), its centre is uniform in the frame, and the part outside of the frame is cut
    off. It is the same in all frames. Labels are mixed in proportion to the pasted pixels.

    Args:
        alpha: positive number; with 1, all fractions are equally likely.
        num_classes: int, required if labels are ints.

    Call arguments:
        labels: class numbers `(batch,)` as ints, or numbers `(batch, num_classes)`.

    Returns:
        The pair `(clips, labels)`: clips of unchanged dtype, labels float32
        `(batch, num_classes)`.

    Raises:
        ValueError: if an argument or the labels are invalid.
    """

    def __init__(self, alpha=1.0, num_classes=None):
        super().__init__(alpha, num_classes)

    def mix(self, clips, partners, shares, rng):
        height, width = clips.shape[2:4]
        mixed, kept = clips.copy(), np.empty(len(clips))
        for i, (partner, share) in enumerate(zip(partners, shares, strict=True)):
            side = math.sqrt(1 - share)
            (top, bottom), (left, right) = (
                _stretch(rng.uniform(0, length), side * length, length)
                for length in (height, width)
            )
            box = np.s_[:, top:bottom, left:right]
            mixed[i][box] = clips[partner][box]
            kept[i] = 1 - (bottom - top) * (right - left) / (height * width)
        return mixed, kept


def _stretch(centre, length, limit):
    start, end = round(centre - length / 2), round(centre + length / 2)
    return max(start, 0), min(end, limit)
