"""From decoded frames to RGB arrays: cut, resize, colours and rotation."""

import numpy as np

from keras_video.data.geometry import layout, turn_back

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
