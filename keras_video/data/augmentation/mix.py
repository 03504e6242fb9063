"""Augmentations that mix clips with each other: `MixUp` and `CutMix`."""

import math
import numbers

import numpy as np

from keras_video.data.augmentation.base import Augmentation, check_batch


class _Mix(Augmentation):
    """Mixes each clip with another of the batch, and their labels by the same proportion."""

    def __init__(self, alpha, num_classes):
        if not isinstance(alpha, numbers.Real) or not 0 < alpha < math.inf:
            raise ValueError(f"`alpha` must be a positive number. Received: alpha={alpha!r}")
        whole = isinstance(num_classes, numbers.Integral) and not isinstance(num_classes, bool)
        if num_classes is not None and not (whole and num_classes > 0):
            raise ValueError(
                "`num_classes` must be a positive int or None. "
                f"Received: num_classes={num_classes!r}"
            )
        self.alpha, self.num_classes = float(alpha), num_classes

    def __call__(self, clips, labels, rng):
        check_batch(clips, rng)
        labels = self._one_hot(labels, len(clips))
        partners = rng.permutation(len(clips))
        shares = rng.beta(self.alpha, self.alpha, len(clips))
        clips, shares = self.mix(clips, partners, shares, rng)
        shares = shares.astype(np.float32)[:, None]
        return clips, shares * labels + (1 - shares) * labels[partners]

    def mix(self, clips, partners, shares, rng):
        """Returns the mixed clips, and the share `(batch,)` that each has of itself."""
        raise NotImplementedError

    def _one_hot(self, labels, count):
        labels = np.asarray(labels)
        name, classes = type(self).__name__, self.num_classes
        whole = np.issubdtype(labels.dtype, np.integer)
        if labels.shape == (count,) and whole:
            if classes is None:
                raise ValueError(f"{name} needs `num_classes` where labels are ints (batch,).")
            if labels.min() < 0 or labels.max() >= classes:
                wrong = labels[(labels < 0) | (labels >= classes)][0]
                raise ValueError(
                    f"`labels` must be ints from 0 to {classes - 1}. Received: {wrong}"
                )
            return np.eye(classes, dtype=np.float32)[labels]
        if (
            labels.ndim == 2
            and len(labels) == count
            and labels.shape[1] == (classes or labels.shape[1])
        ):
            return labels.astype(np.float32)
        raise ValueError(
            f"`labels` must be ints (batch,) or numbers (batch, {classes or 'classes'}). "
            f"Received: labels of shape {labels.shape} and dtype {labels.dtype}"
        )


class MixUp(_Mix):
    """Adds two clips, weighted by a share drawn from Beta(alpha, alpha) (Zhang et al. 2018).

    Each clip of the batch is mixed with another one by a share of its own; all frames have the
    same share. The arithmetic of `keras.layers.MixUp`, in NumPy for data workers.

    Args:
        alpha: positive number. Below 1, one clip dominates.
        num_classes: int, needed where labels are ints.

    Call arguments:
        labels: ints `(batch,)` or numbers `(batch, num_classes)`.

    Returns:
        The pair `(clips, labels)`, both float32; labels `(batch, num_classes)`.

    Raises:
        ValueError: if an argument is out of its range, or the labels are something else.
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

    The box has the aspect ratio of the frame and a share of its area drawn from
    Beta(alpha, alpha); its centre is uniform in the frame, and what lies outside is cut off. It is
    the same in all frames. Labels are mixed by the pixels that were really pasted.

    Args:
        alpha: positive number; 1 makes all shares equally likely.
        num_classes: int, needed where labels are ints.

    Call arguments:
        labels: ints `(batch,)` or numbers `(batch, num_classes)`.

    Returns:
        The pair `(clips, labels)`: clips of their old dtype, labels `(batch, num_classes)` in
        float32.

    Raises:
        ValueError: if an argument is out of its range, or the labels are something else.
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
