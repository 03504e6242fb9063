"""From decoded frames to RGB arrays: crop, resize, convert colors and rotate.

`layout` computes what to cut out and what to resize to; `FrameConverter` does it to PyAV frames.
"""

from typing import NamedTuple

import numpy as np

from keras_video.checks import check_int, check_size

# Where `size` is cut out of the longer side: the fraction of the surplus that lies before it.
POSITIONS = {"centre": 0.5, "center": 0.5, "left": 0, "top": 0, "right": 1, "bottom": 1}
# Formats that store half the columns of the colors or fewer. They may also do so when resized.
HALF_COLORS = ("yuv420p", "yuvj420p", "yuv422p", "yuvj422p")


class Layout(NamedTuple):
    """Three steps from an upright frame to one of the requested size.

    Args:
        box: `(top, left, height, width)` that is cut out first, `None` for the whole frame.
        resized: `(height, width)` to which the box is resized.
        corner: `(top, left)` at which `size` is cut out of the resized frame.
        size: `(height, width)` of the result.
    """

    box: tuple | None
    resized: tuple
    corner: tuple
    size: tuple


def layout(source, size=None, crop=True, resize_side=None):
    """Return the `Layout` for an upright frame.

    Args:
        source: `(height, width)` of the frame.
        size: `(height, width)` of the result, an int for a square, or `None` to cut nothing off.
        crop: `True` or `"centre"` keeps the aspect ratio and cuts `size` out of the centre.
            `"left"` and `"right"` cut it out at the ends of the side that has more to spare,
            which are the top and the bottom of a portrait video; `"top"` and `"bottom"` are other
            names for them. `False` squeezes the frame into `size`. Four ints `(top, left, height,
            width)`, in pixels of the upright source, cut out this box and squeeze it into `size`.
        resize_side: int, length to which the smaller side is resized before `size` is cut out;
            `None` resizes no further than `size` needs.

    Raises:
        ValueError: if an argument is invalid or does not fit the others.
    """
    size = None if size is None else check_size("size", size)
    crop = check_crop(crop)
    if isinstance(crop, tuple):
        if resize_side is not None:
            raise ValueError(
                f"resize_side: expected None if crop is a box, got {resize_side!r}. It keeps the "
                "aspect ratio, a box does not."
            )
        top, left, height, width = crop
        if top + height > source[0] or left + width > source[1]:
            raise ValueError(
                f"crop: expected a box (top, left, height, width) inside the frame of {source}, "
                f"got {crop}."
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
    """Return `(height, width)` to which a frame is resized before `size` is cut out."""
    height, width = source
    if resize_side is not None:
        check_int("resize_side", resize_side)
        if not crop:
            raise ValueError(
                f"resize_side: expected None if crop=False, got {resize_side!r}. It keeps the "
                "aspect ratio, crop=False does not."
            )
        side = min(height, width)
        height, width = height * resize_side // side, width * resize_side // side
        if size is not None and (size[0] > height or size[1] > width):
            raise ValueError(
                f"size: expected one that fits into {(height, width)}, got {size}. "
                f"resize_side={resize_side} resizes the frame of {source} to {(height, width)}."
            )
        return height, width
    if size is None:
        return height, width
    if not crop:
        return size
    if size[0] * width >= size[1] * height:  # the height decides, the width is cut
        return size[0], max(size[1], round(width * size[0] / height))
    return max(size[0], round(height * size[1] / width)), size[1]


def check_crop(crop):
    """Return `crop` as one of `POSITIONS`, `False`, or a tuple of four ints."""
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
        f"crop: expected a bool, one of {', '.join(map(repr, POSITIONS))}, or a box (top, left, "
        f"height, width) inside the frame, got {crop!r}."
    )


class FrameConverter:
    """Converts PyAV frames into uint8 RGB arrays `(height, width, 3)` of one size.

    It resizes first and converts to RGB afterwards. FFmpeg can do both in one step, but is up to
    four times slower that way. The FFmpeg contexts are reused from frame to frame.

    Args:
        source: `(height, width)` of the upright video.
        size, crop, resize_side: as in `layout`.

    Attributes:
        size: `(height, width)` of the arrays.
    """

    def __init__(self, source, size=None, crop=True, resize_side=None):
        from av.video.reformatter import VideoReformatter

        self.crop = crop
        self.resize_side = resize_side
        self.size = layout(source, size, crop, resize_side).size
        self._resize, self._pack = VideoReformatter().reformat, VideoReformatter().reformat
        self._steps = {}  # the size or format may change within a video

    def __call__(self, frame):
        out = np.empty((*self.size, 3), "uint8")
        self.into(frame, out)
        return out

    def into(self, frame, out):
        """Convert a frame into the uint8 array `out` of shape `(*self.size, 3)`."""
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
        pixels = rows[:, : 3 * width].reshape(height, width, 3)
        if turns:
            pixels = np.rot90(pixels, turns)
        out[...] = pixels[top : top + self.size[0], left : left + self.size[1]]

    def _prepare(self, frame):
        upright, turns = upright_size(frame), quarter_turns(frame)
        steps = layout(upright, self.size, self.crop, self.resize_side)
        cut = None
        if steps.box is not None:
            cut = cutter(frame, turn_back(steps.box, upright, turns))
        stored = steps.resized[::-1] if turns % 2 else steps.resized
        planar = "yuv422p" if frame.format.name.startswith(HALF_COLORS) else "gbrp"
        return cut, stored, planar, steps.corner, turns


def resize_frame(frame, size=None, crop=True, resize_side=None):
    """Convert an RGB array `(height, width, 3)` as a reader converts its frames; see `layout`."""
    from av import VideoFrame

    convert = FrameConverter(frame.shape[:2], size, crop, resize_side)
    return convert(VideoFrame.from_ndarray(np.ascontiguousarray(frame), "rgb24"))


def cutter(frame, box):
    """Return a function that cuts the box `(top, left, height, width)` out of similar frames.

    FFmpeg's crop filter only moves the pointers into the planes: no pixels are copied.
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


def turn_back(box, size, turns):
    """Return where a box of an upright frame lies in the frame as it is stored.

    Args:
        box: `(top, left, height, width)` in the upright frame.
        size: `(height, width)` of the upright frame.
        turns: int, quarter turns anticlockwise that make the stored frame upright.
    """
    for _ in range(turns):
        top, left, height, width = box
        box, size = (left, size[0] - top - height, width, height), size[::-1]
    return box


def quarter_turns(frame):
    """Return how many quarter turns anticlockwise make a PyAV frame upright."""
    return round(frame.rotation / 90) % 4


def upright_size(frame):
    """Return `(height, width)` of a PyAV frame after it was turned upright."""
    size = frame.height, frame.width
    return size[::-1] if quarter_turns(frame) % 2 else size
