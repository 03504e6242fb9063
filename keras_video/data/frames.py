"""From decoded frames to RGB arrays: cut, resize, colours and rotation.

From the size of a picture to the size that is wanted: what to cut out, what to resize.
"""

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


# Formats that hold half the columns of the colours or fewer, and may do so when resized.
HALF_COLOURS = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p")


class FrameConverter:
    """Turns PyAV frames into uint8 arrays `(height, width, 3)` of one size.

    FFmpeg resizes first and turns the result into RGB then: in one step it takes a
    slow path, up to four times as long. Its contexts are reused from frame to frame.

    Args:
        source: `(height, width)` of the upright video.
        size, crop, resize_side: what is wanted, see `geometry.layout`.

    Attributes:
        size: `(height, width)` of the arrays.
    """

    def __init__(self, source, size=None, crop=True, resize_side=None):
        from av.video.reformatter import VideoReformatter

        self.crop = crop
        self.resize_side = resize_side
        self.size = layout(source, size, crop, resize_side).size
        self._resize, self._pack = VideoReformatter().reformat, VideoReformatter().reformat
        self._steps = {}  # videos may change their size or format on the way

    def __call__(self, frame):
        out = np.empty((*self.size, 3), "uint8")
        self.into(frame, out)
        return out

    def into(self, frame, out):
        """Writes a frame into a uint8 array `(*self.size, 3)`."""
        kind = frame.width, frame.height, frame.format.name, quarter_turns(frame)
        if kind not in self._steps:
            self._steps[kind] = self._prepare(frame)
        cut, (height, width), planar, (top, left), turns = self._steps[kind]
        if cut is not None:
            frame = cut(frame)
        if (frame.height, frame.width) != (height, width):
            frame = self._resize(frame, height=height, width=width, format=planar, threads=1)
        plane = self._pack(frame, format="rgb24", threads=1).planes[0]
        rows = np.frombuffer(plane, "uint8").reshape(height, plane.line_size)
        picture = rows[:, : 3 * width].reshape(height, width, 3)
        if turns:
            picture = np.rot90(picture, turns)
        out[...] = picture[top : top + self.size[0], left : left + self.size[1]]

    def _prepare(self, frame):
        upright, turns = upright_size(frame), quarter_turns(frame)
        steps = layout(upright, self.size, self.crop, self.resize_side)
        cut = None
        if steps.box is not None:
            cut = cutter(frame, turn_back(steps.box, upright, turns))
        stored = steps.resized[::-1] if turns % 2 else steps.resized
        planar = "yuv422p" if frame.format.name.startswith(HALF_COLOURS) else "gbrp"
        return cut, stored, planar, steps.corner, turns


def cutter(frame, box):
    """A function that cuts `(top, left, height, width)` out of frames like this one.

    FFmpeg's filter moves the pointers into the planes: nothing is copied.
    """
    from av.filter import Graph

    top, left, height, width = box
    graph = Graph()
    source = graph.add(
        "buffer",
        video_size=f"{frame.width}x{frame.height}",
        pix_fmt=frame.format.name,
        time_base="1/1000",
        pixel_aspect="1/1",
        colorspace=str(int(frame.colorspace)),
        range=str(int(frame.color_range)),
    )
    crop = graph.add("crop", f"{width}:{height}:{left}:{top}:exact=1")
    graph.link_nodes(source, crop, graph.add("buffersink")).configure()

    def cut(frame):
        graph.vpush(frame)
        return graph.vpull()

    return cut


def check_rate(frame_rate):
    """Raises unless `frame_rate` is `None` or positive."""
    if frame_rate is not None and not 0 < frame_rate < float("inf"):
        raise ValueError(f"`frame_rate` must be positive. Received: {frame_rate}")


def quarter_turns(frame):
    """How many times the frame must be turned by 90 degrees (anticlockwise) to stand upright."""
    return round(frame.rotation / 90) % 4


def upright_size(frame):
    """`(height, width)` of a PyAV frame that stands upright."""
    size = frame.height, frame.width
    return size[::-1] if quarter_turns(frame) % 2 else size
