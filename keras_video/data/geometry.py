"""From the size of a picture to the size that is wanted: what to cut out, what to resize."""

from typing import NamedTuple

import numpy as np

# Where `size` is cut out of the longer side: part of what is left over that lies before it.
POSITIONS = {"centre": 0.5, "center": 0.5, "left": 0, "top": 0, "right": 1, "bottom": 1}


class Layout(NamedTuple):
    """Three steps from an upright picture to one of `size`.

    Args:
        box: `(top, left, height, width)` that is cut out first, `None` for the whole picture.
        resized: `(height, width)` to which the box is resized.
        corner: `(top, left)` at which `size` is cut out of the resized picture.
        size: `(height, width)` of the result.
    """

    box: tuple | None
    resized: tuple
    corner: tuple
    size: tuple


def layout(source, size=None, crop=True, resize_side=None):
    """The `Layout` for an upright picture.

    Args:
        source: `(height, width)` of the picture.
        size: `(height, width)` wanted, an int for a square, `None` for the size of
            what is not cut off.
        crop: `True` or `"centre"` keeps the aspect ratio and cuts `size` out of the
            centre. `"left"` and `"right"` cut it out at the ends of the side that
            has more to spare, which are the top and the bottom of a portrait
            video; `"top"` and `"bottom"` are other names for them. `False`
            squeezes the picture into `size`. Four ints `(top, left, height,
            width)`, in pixels of the upright source, cut out this box first, and
            squeeze it into `size`.
        resize_side: int, length to which the smaller side is resized before `size`
            is cut out; `None` resizes no further than `size` needs.

    Raises:
        ValueError: an argument makes no sense, or does not fit the others.
    """
    size, crop = check_size(size), check_crop(crop)
    if isinstance(crop, tuple):
        if resize_side is not None:
            raise ValueError("`resize_side` keeps the aspect ratio: it rules out a box as `crop`.")
        top, left, height, width = crop
        if top + height > source[0] or left + width > source[1]:
            raise ValueError(
                f"`crop` {crop} (top, left, height, width) reaches beyond the picture of {source}."
            )
        size = size or (height, width)
        return Layout(crop, size, (0, 0), size)
    resized_to = resized(source, size, crop is not False, resize_side)
    size = size or resized_to
    if crop is False:
        return Layout(None, resized_to, (0, 0), size)
    spare = resized_to[0] - size[0], resized_to[1] - size[1]
    corner = [spare[0] // 2, spare[1] // 2]
    longer = 0 if spare[0] > spare[1] else 1
    corner[longer] = int(spare[longer] * POSITIONS[crop])
    return Layout(None, resized_to, tuple(corner), size)


def resized(source, size, crop=True, resize_side=None):
    """`(height, width)` to which a picture is resized before `size` is cut out."""
    height, width = source
    if resize_side is not None:
        if int(resize_side) != resize_side or resize_side < 1:
            raise ValueError(f"`resize_side` must be a positive int. Received: {resize_side}")
        if not crop:
            raise ValueError("`resize_side` keeps the aspect ratio: it rules out `crop=False`.")
        side = min(height, width)
        height, width = height * resize_side // side, width * resize_side // side
        if size is not None and (size[0] > height or size[1] > width):
            raise ValueError(
                f"`size` {size} does not fit into the picture of {(height, width)} that "
                f"`resize_side={resize_side}` makes of {source}."
            )
        return height, width
    if size is None:
        return height, width
    if not crop:
        return size
    if size[0] * width >= size[1] * height:  # the height decides, the width is cut
        return size[0], max(size[1], round(width * size[0] / height))
    return max(size[0], round(height * size[1] / width)), size[1]


def check_size(size):
    """`size` as a pair of positive ints, or `None`."""
    if size is None:
        return None
    pair = (size, size) if np.isscalar(size) else tuple(size)
    if len(pair) != 2 or any(int(side) != side or side < 1 for side in pair):
        raise ValueError(
            f"`size` must be a positive int or a pair (height, width) of them. Received: {size}"
        )
    return int(pair[0]), int(pair[1])


def check_crop(crop):
    """`crop` as one of `POSITIONS`, `False`, or a tuple of four ints."""
    if isinstance(crop, str):
        if crop in POSITIONS:
            return crop
    elif np.ndim(crop) == 0:
        return "centre" if crop else False
    elif np.shape(crop) == (4,) and all(int(side) == side for side in crop):
        box = tuple(int(side) for side in crop)
        if min(box[:2]) >= 0 and min(box[2:]) > 0:
            return box
    raise ValueError(
        f"`crop` must be a bool, one of {', '.join(POSITIONS)}, or a box (top, left, height, "
        f"width) inside the picture. Received: {crop!r}"
    )


def turn_back(box, size, turns):
    """Where a box of an upright picture lies in the picture as it is stored.

    Args:
        box: `(top, left, height, width)` in the upright picture.
        size: `(height, width)` of the upright picture.
        turns: int, quarter turns anticlockwise that make the stored picture upright.
    """
    for _ in range(turns):
        top, left, height, width = box
        box, size = (left, size[0] - top - height, width, height), size[::-1]
    return box
