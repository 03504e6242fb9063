"""Random crops, resized to one size: `RandomResizedCrop` and TSN's `MultiScaleCrop`."""

import math

from keras_video.data.augmentation_base import Augmentation, check_range
from keras_video.data.augmentation_ops import resize
from keras_video.data.geometry import check_size

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
