"""Random crops, resized to one size: `RandomResizedCrop` and TSN's `MultiScaleCrop`.

`RandomFlip`: mirrors clips, and exchanges the labels of left and right.

`RandomErasing`: hides a box of a clip.
"""

import math
import numbers

import numpy as np

from keras_video.data.augmentation.base import (
    Augmentation,
    check_batch,
    check_probability,
    check_range,
    to_dtype,
)
from keras_video.data.augmentation.ops import resize
from keras_video.data.frames import check_size

ATTEMPTS = 10  # draws of a box that may not fit, before the largest central one is taken

# Where `MultiScaleCrop` puts a crop, in quarters of the free height and width: corners, centre,
# middles of the edges, and the centres of the four quadrants.
POSITIONS = (
    *((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)),
    *((0, 2), (2, 0), (2, 4), (4, 2)),
    *((1, 1), (1, 3), (3, 1), (3, 3)),
)


class _Crop(Augmentation):
    """Cuts the box that `draw_box` gives out of all frames and resizes it to `size`."""

    def __init__(self, size):
        if size is None:
            raise ValueError("`size` must be a positive int or a pair (height, width) of them.")
        self.size = check_size(size)

    def augment_clip(self, clip, rng):
        top, left, height, width = self.draw_box(*clip.shape[1:3], rng)
        return resize(clip[:, top : top + height, left : left + width], self.size)


class RandomResizedCrop(_Crop):
    """Cuts out a random box of random shape and resizes it (Szegedy et al. 2015, section 6).

    The area is uniform, the logarithm of the aspect ratio too, so that wide and tall boxes are
    equally likely. A box that does not fit into the frame is drawn again; after ten of them the
    largest central box of an allowed shape is taken. The defaults are those of MoViNet's training.

    Args:
        size: int or `(height, width)` of the result.
        area: pair of numbers in (0, 1], least and greatest part of the frame's area.
        aspect: pair of positive numbers, least and greatest width / height.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
    >>> crop = RandomResizedCrop(172)
    >>> clips, labels = crop(clips, labels, np.random.default_rng(0))
    """

    def __init__(self, size, area=(0.08, 1.0), aspect=(0.5, 2.0)):
        super().__init__(size)
        self.area = check_range("area", area, high=1)
        self.aspect = check_range("aspect", aspect)

    def draw_box(self, height, width, rng):
        """Draws `(top, left, height, width)` for a frame of `height` x `width` pixels."""
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
    """Corner cropping with scale jittering (TSN; Wang et al. 2016, section 4.1), and bLVNet-TAM's.

    Height and width of the crop are each one of the `scales` times the shorter side of the frame,
    rounded down, at most one step of the list apart: ten pairs, equally likely. The crop lies at
    one of 13 places: corners, centre, middles of the edges, centres of the quadrants, counted in
    steps of a quarter, rounded down, of the free height and width.

    Args:
        size: int or `(height, width)` of the result.
        scales: descending numbers in (0, 1].

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(self, size, scales=(1, 0.875, 0.75, 0.66)):
        super().__init__(size)
        try:
            self.scales = tuple(float(scale) for scale in scales)
        except (TypeError, ValueError):
            self.scales = ()
        ordered = sorted(self.scales, reverse=True)
        if (
            not self.scales
            or list(self.scales) != ordered
            or not 0 < ordered[-1] <= ordered[0] <= 1
        ):
            raise ValueError(
                f"`scales` must be descending numbers above 0, up to 1. Received: scales={scales!r}"
            )

    def sizes(self, height, width):
        """The list of pairs `(height, width)` that crops of a frame may have."""
        sides = [max(1, int(min(height, width) * scale)) for scale in self.scales]
        return [
            (tall, wide)
            for i, tall in enumerate(sides)
            for j, wide in enumerate(sides)
            if abs(i - j) <= 1
        ]

    def draw_box(self, height, width, rng):
        """Draws `(top, left, height, width)` for a frame of `height` x `width` pixels."""
        sizes = self.sizes(height, width)
        tall, wide = sizes[rng.integers(len(sizes))]
        down, across = POSITIONS[rng.integers(len(POSITIONS))]
        return down * ((height - tall) // 4), across * ((width - wide) // 4), tall, wide


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
