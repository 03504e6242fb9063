"""`RandomFlip`: mirrors clips, and exchanges the labels of left and right."""

import numpy as np

from keras_video.data.augmentation_base import Augmentation, check_batch, check_probability


class RandomFlip(Augmentation):
    """Mirrors clips left to right.

    Args:
        label_map: dict of ints, or sequence of one int per class: the class that the mirror image
            of a class belongs to, as in `{3: 4, 4: 3}` for "turn left" and "turn right". Mirrored
            twice, every class must be itself. Classes that a dict does not name keep their label.
            `None` changes no label.
        probability: number in 0..1, of each clip to be flipped.

    Call arguments:
        labels: with a `label_map`, ints `(batch,)` or numbers `(batch, classes)` (one-hot,
            multi-label or mixed).

    Raises:
        ValueError: if `label_map` is no such map, or the labels do not fit to it.
    """

    def __init__(self, label_map=None, probability=0.5):
        self.label_map = None if label_map is None else _check_map(label_map)
        self.probability = check_probability("probability", probability)

    def __call__(self, clips, labels, rng):
        check_batch(clips, rng)
        flips = rng.random(len(clips)) < self.probability
        out = clips.copy()
        out[flips] = clips[flips, :, :, ::-1]
        return out, labels if self.label_map is None else self._map_labels(labels, flips)

    def _map_labels(self, labels, flips):
        old = np.asarray(labels)
        whole = np.issubdtype(old.dtype, np.integer)
        if len(old.shape) not in (1, 2) or len(old) != len(flips) or (old.ndim == 1 and not whole):
            raise ValueError(
                "`labels` must be ints (batch,) or numbers (batch, classes) where flipping changes "
                f"them. Received: labels of shape {old.shape} and dtype {old.dtype}"
            )
        new = old.copy()
        if old.ndim == 1:
            for label, mirrored in self.label_map.items():
                new[flips & (old == label)] = mirrored
            return new
        if max(self.label_map, default=0) >= old.shape[1]:
            raise ValueError(
                f"`label_map` names class {max(self.label_map)}, the labels have "
                f"{old.shape[1]} classes."
            )
        for label, mirrored in self.label_map.items():
            new[flips, mirrored] = old[flips, label]
        return new


def _check_map(label_map):
    try:
        pairs = label_map.items() if isinstance(label_map, dict) else enumerate(label_map)
        pairs = [tuple(map(_integer, pair)) for pair in pairs]
    except TypeError:
        raise ValueError(f"`label_map` must map ints to ints. Received: {label_map}") from None
    known = dict(pairs)
    for label, mirrored in known.items():
        if known.get(mirrored, -1) != label:
            raise ValueError(
                f"`label_map` sends class {label} to {mirrored}, but {mirrored} to "
                f"{known.get(mirrored, mirrored)}: mirrored twice, a class must be itself."
            )
    return {label: mirrored for label, mirrored in known.items() if label != mirrored}


def _integer(value):
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 0:
        raise TypeError
    return int(value)
