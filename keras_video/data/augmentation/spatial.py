"""Augmentation of places: random crops, flips and erased boxes, the same in all frames."""

import math

import numpy as np

from keras_video.checks import check_int, check_number, check_range, check_size
from keras_video.data.augmentation.base import Augmentation, check_batch, to_dtype
from keras_video.data.augmentation.ops import resize

ATTEMPTS = 10  # draws of a box that may not fit, before the largest central one is used

# Positions of `MultiScaleCrop`, in quarters of the free height and width: corners and centre,
# middles of the edges, and centres of the four quadrants.
POSITIONS = (
    *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),
    *((0, 2), (2, 0), (2, 4), (4, 2)),
    *((1, 1), (1, 3), (3, 1), (3, 3)),
)


class _Crop(Augmentation):
    """Cuts the box that `draw_box` returns out of all frames and resizes it to `size`."""

    def __init__(self, size):
        self.size = check_size("size", size)

    def augment_clip(self, clip, rng):
        top, left, height, width = self.draw_box(*clip.shape[1:3], rng)
        return resize(clip[:, top : top + height, left : left + width], self.size)


class RandomResizedCrop(_Crop):
    """Cuts out a random box of random shape and resizes it (Szegedy et al. 2015, section 6).

    The area and the logarithm of the aspect ratio are uniform, so that wide and tall boxes are
    equally likely. A box that does not fit into the frame is drawn again, at most ten times; then
    the largest central box of an allowed shape is used. The defaults are those of MoViNet's
    training.

    Args:
        size: `(height, width)` of the result, or an int for a square.
        area: pair of numbers in (0, 1], minimum and maximum fraction of the frame's area.
        aspect: pair of positive numbers, minimum and maximum of width / height.

    Raises:
        ValueError: if an argument is outside of its range.

    Example:
    >>> crop = RandomResizedCrop(172)
    >>> clips, labels = crop(clips, labels, np.random.default_rng(0))
    """

    def __init__(self, size, area=(0.08, 1.0), aspect=(0.5, 2.0)):
        super().__init__(size)
        self.area = check_range("area", area, above=0, most=1)
        self.aspect = check_range("aspect", aspect, above=0)

    def draw_box(self, height, width, rng):
        """Draw `(top, left, height, width)` for a frame of `height` x `width` pixels."""
        for _ in range(ATTEMPTS):
            area = rng.uniform(*self.area) * height * width
            aspect = math.exp(rng.uniform(*map(math.log, self.aspect)))
            tall, wide = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
            if 0 < tall <= height and 0 < wide <= width:
                top, left = rng.integers((height - tall + 1, width - wide + 1))
                return int(top), int(left), tall, wide
        wide = max(1, min(width, int(height * self.aspect[1])))
        tall = max(1, min(height, int(width / self.aspect[0])))
        return (height - tall) // 2, (width - wide) // 2, tall, wide


class MultiScaleCrop(_Crop):
    """Cuts out a box of one of ten shapes at one of 13 positions and resizes it.

    This is the corner cropping with scale jittering of TSN (Wang et al. 2016, section 4.1), which
    bLVNet-TAM uses as well. The height and the width of the box are each one of the `scales` times
    the shorter side of the frame, rounded down. They are at most one step of the list apart, which
    gives ten pairs for four scales, equally likely. The positions are the corners, the centre, the
    middles of the edges and the centres of the quadrants, in steps of a quarter of the free height
    and width, rounded down.

    Args:
        size: `(height, width)` of the result, or an int for a square.
        scales: descending numbers in (0, 1].

    Raises:
        ValueError: if an argument is outside of its range.
    """

    def __init__(self, size, scales=(1, 0.875, 0.75, 0.66)):
        super().__init__(size)
        try:
            self.scales = tuple(float(check_number("scales", s, above=0, most=1)) for s in scales)
        except TypeError:
            self.scales = ()
        if not self.scales or list(self.scales) != sorted(self.scales, reverse=True):
            raise ValueError(f"scales: expected descending numbers, got {scales!r}.")

    def sizes(self, height, width):
        """Return the pairs `(height, width)` that boxes in a frame of this size may have."""
        sides = [max(1, int(min(height, width) * scale)) for scale in self.scales]
        return [
            (tall, wide)
            for i, tall in enumerate(sides)
            for j, wide in enumerate(sides)
            if abs(i - j) <= 1
        ]

    def draw_box(self, height, width, rng):
        """Draw `(top, left, height, width)` for a frame of `height` x `width` pixels."""
        sizes = self.sizes(height, width)
        tall, wide = sizes[rng.integers(len(sizes))]
        down, across = POSITIONS[rng.integers(len(POSITIONS))]
        return down * ((height - tall) // 4), across * ((width - wide) // 4), tall, wide


class RandomFlip(Augmentation):
    """Mirrors clips left to right.

    Args:
        label_map: dict of ints, or sequence of one int per class: the class of the mirrored clip,
            such as `{3: 4, 4: 3}` for "turn left" and "turn right". Applied twice, it must give the
            original class. Classes that a dict does not contain keep their label. `None` changes no
            label.
        probability: number in 0..1, probability that a clip is flipped.

    Call arguments:
        labels: with a `label_map`, ints `(batch,)` or numbers `(batch, classes)` (one-hot,
            multi-label or mixed).

    Raises:
        ValueError: if `label_map` is not such a map, or the labels do not fit it.
    """

    def __init__(self, label_map=None, probability=0.5):
        self.label_map = None if label_map is None else _check_map(label_map)
        self.probability = float(check_number("probability", probability, 0, 1))

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
                "labels: expected ints (batch,) or numbers (batch, classes), since label_map "
                f"changes them, got {old.dtype} of shape {old.shape}."
            )
        new = old.copy()
        if old.ndim == 1:
            for label, mirrored in self.label_map.items():
                new[flips & (old == label)] = mirrored
            return new
        if max(self.label_map, default=0) >= old.shape[1]:
            raise ValueError(
                f"labels: expected at least {max(self.label_map) + 1} columns, for all classes of "
                f"label_map, got {old.shape[1]}."
            )
        for label, mirrored in self.label_map.items():
            new[flips, mirrored] = old[flips, label]
        return new


def _check_map(label_map):
    try:
        pairs = label_map.items() if isinstance(label_map, dict) else enumerate(label_map)
        pairs = [tuple(check_int("label_map", label, 0) for label in pair) for pair in pairs]
    except TypeError:
        raise ValueError(
            f"label_map: expected a dict or list of ints, got {label_map!r}."
        ) from None
    known = dict(pairs)
    for label, mirrored in known.items():
        if known.get(mirrored, -1) != label:
            raise ValueError(
                f"label_map: expected {mirrored} -> {label}, the inverse of {label} -> {mirrored}, "
                f"got {mirrored} -> {known.get(mirrored, mirrored)}."
            )
    return {label: mirrored for label, mirrored in known.items() if label != mirrored}


class RandomErasing(Augmentation):
    """Overwrites a random box, the same in all frames (Zhong et al. 2020).

    The noise is the same in all frames as well, so that it does not flicker.
    `keras.layers.RandomErasing` draws new noise for each image.

    Args:
        probability: number in 0..1, probability that a clip is changed.
        area: pair of numbers in (0, 1], minimum and maximum fraction of the frame's area.
        aspect: pair of positive numbers, minimum and maximum of width / height.
        fill: number in 0..255, or `None` for uniform noise.

    Raises:
        ValueError: if an argument is outside of its range.
    """

    def __init__(self, probability=0.5, area=(0.02, 0.33), aspect=(0.3, 1 / 0.3), fill=None):
        self.probability = float(check_number("probability", probability, 0, 1))
        self.area = check_range("area", area, above=0, most=1)
        self.aspect = check_range("aspect", aspect, above=0)
        self.fill = check_number("fill", fill, 0, 255, none=True)
        self._boxes = RandomResizedCrop(1, self.area, self.aspect)

    def augment_clip(self, clip, rng):
        clip = clip.copy()
        if rng.random() < self.probability:
            top, left, height, width = self._boxes.draw_box(*clip.shape[1:3], rng)
            box = clip[:, top : top + height, left : left + width]
            fill = rng.uniform(0, 255, box.shape[1:]) if self.fill is None else self.fill
            box[:] = to_dtype(np.asarray(fill, np.float32), clip.dtype)
        return clip
