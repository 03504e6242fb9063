"""Videos and pictures with something drawn over the frames: what a model answers, where it looks.

Needs matplotlib and Pillow (extra `plot`), and PyAV for videos (extra `video`).
"""

import contextlib
import itertools
import math
import os
from fractions import Fraction

import numpy as np

from keras_video.checks import check_int, check_number, check_rate, missing_extra
from keras_video.data import VideoReader
from keras_video.data.decoding import import_av, open_container
from keras_video.files import replacing
from keras_video.plotting.figures import DPI, TEXT, import_figure, save_figure

NEEDS = "Annotated videos need PyAV, matplotlib and Pillow."
# Names cannot be read in videos of fewer pixels; these are enlarged to at least so many.
LEAST_SIDE, ENLARGED_SIDE = 240, 360
TIME_BASE = Fraction(1, 90_000)
# What MP4 files hold and players play; other sound is encoded as AAC.
COPIED = {"aac", "mp3", "ac3", "eac3", "opus", "alac"}
# Okabe and Ito's colours for colour-blind readers, lighter where they would be dark on black.
BRIGHT = (
    "#56b4e9", "#f5a623", "#2fc99b", "#f0e442", "#e58bbf",
    "#ff8a5c", "#9bb8ff", "#b7d968", "#d9b38c", "#7fe0e0",
)  # fmt: skip
PANEL, TRACK, WHITE, FAINT = (12, 14, 18, 178), (255, 255, 255, 46), "#ffffff", "#c9ced6"


def annotate_video(
    source, path, answers, frame_rate=None, top=3, title=None, font=None, duration=None
):
    """Write a video with the answers of a model drawn in: names, bars and percentages.

    The result is an H.264 MP4 file that every player shows. The frames keep their times, the sound
    is kept, and a video of a phone is upright. Videos of less than 240 pixels are enlarged by a
    whole factor. The file appears at `path` when it is complete.

    Args:
        source: string or path of a video file, a `VideoReader`, or an iterable of frames, uint8
            arrays `(height, width, 3)`, such as a clip.
        path: string or path of the file to write; it ends in `.mp4`.
        answers: iterable of pairs `(seconds, [(name, probability), ...])`, in the order of time.
            Seconds count from the first frame. An answer is shown from its time until the next
            one. Generators are read only as far as the video has got.
        frame_rate: number, frames per second, if `source` is an iterable of frames, else `None`.
        top: int, number of names shown at most. They are shown in the order of the answer.
        title: string above the names, such as that of the model.
        font: string or path of a font file. The default, DejaVu Sans, has Latin, Greek, Cyrillic,
            Arabic and Hebrew letters.
        duration: number, seconds after which the result ends; `None` for the whole video.

    Returns:
        The path.

    Raises:
        ValueError: if an argument is invalid, or the video is damaged.
        FileNotFoundError: if there is no such source.
        ImportError: if a package is missing; the message names the extras.

    Example:
    >>> answers = [(0.0, [("skating", 0.9), ("skiing", 0.1)]), (2.5, [("skiing", 0.8)])]
    >>> keras_video.plotting.annotate_video("winter.mp4", "out.mp4", answers)  # doctest: +SKIP
    """
    is_file = isinstance(source, (str, os.PathLike)) or hasattr(source, "path")
    check_annotation(path, source)
    check_number("duration", duration, above=0, none=True)
    timeline = _Timeline(answers)
    looks = {"top": top, "title": title, "font": font}
    if not is_file:
        if frame_rate is None:
            raise ValueError("frame_rate: expected frames per second for a source that is not a "
                             "file, got None.")  # fmt: skip
        with AnnotatedVideo(path, frame_rate, **looks) as video:
            for number, frame in enumerate(source):
                if duration is not None and number / frame_rate >= duration:
                    break
                video.write(frame, timeline.at(number / frame_rate))
        return os.fspath(path)
    if frame_rate is not None:
        raise ValueError(f"frame_rate: expected None, because a file has its own, got "
                         f"{frame_rate!r}.")  # fmt: skip
    reader = source if isinstance(source, VideoReader) else VideoReader(_path(source))
    frames = reader.timed_frames()
    first = next(frames)
    begin, end = first[0], reader.duration if duration is None else duration
    sound = {"sound": reader.path, "sound_start": begin, "sound_end": duration}
    with AnnotatedVideo(path, reader.fps, **looks, **sound) as video:
        for time, frame in itertools.chain([first], frames):
            seconds = time - begin
            if duration is not None and seconds >= duration:
                break
            video.write(frame, timeline.at(seconds), seconds)
        video.end = end
    return os.fspath(path)


def check_annotation(path, source=None, name="path"):
    """Raise an error if an annotated video could not be written; it is made before long work.

    Args:
        path: file to write.
        source: the video to annotate, if it is a file: it must be another one.
        name: string, the argument, for the error.

    Raises:
        ValueError: if `path` is not one of an MP4 file, or is that of the source.
        ImportError: if a package or the H.264 encoder is missing.
    """
    path = os.fspath(path)
    if os.path.splitext(path)[1].lower() != ".mp4":
        raise ValueError(f"{name}: expected a file name that ends in .mp4, got {path!r}.")
    if isinstance(source, (str, os.PathLike)) or hasattr(source, "path"):
        source = _path(source)
        if os.path.exists(source) and os.path.exists(path) and os.path.samefile(source, path):
            raise ValueError(f"{name}: expected another file than the source, got {path!r}.")
    _import_pillow()
    try:
        av = import_av()
    except ImportError as error:
        raise missing_extra(NEEDS, "video,plot") from error
    if "libx264" not in av.codecs_available:
        raise ImportError(
            "Annotated videos need the H.264 encoder libx264, which this build of PyAV lacks. The "
            "wheels of `av` on PyPI have it."
        )


def _path(source):
    return os.fspath(getattr(source, "path", source))


def _import_pillow():
    """Return Pillow's modules for pictures, drawing and fonts, and the path of DejaVu Sans."""
    try:
        import matplotlib
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise missing_extra(NEEDS, "video,plot") from error
    fonts = os.path.join(matplotlib.get_data_path(), "fonts", "ttf")
    return Image, ImageDraw, ImageFont, os.path.join(fonts, "DejaVuSans.ttf")


class AnnotatedVideo:
    """Write an annotated video frame by frame, for cameras and for frames of your own.

    To be used in a `with` block: the file appears when the block ends without an error.

    Args:
        path: string or path of the file to write; it ends in `.mp4`.
        frame_rate: number, frames per second.
        top, title, font: as in `annotate_video`.
        sound: path of a file whose sound is added, or `None`.
        sound_start: float, second of that file at which the first frame is shown.
        sound_end: float, seconds after the first frame at which the sound ends; `None` for all.

    Attributes:
        end: float, seconds at which the last frame disappears. Default: after the time of one
            frame.

    Example:
    >>> with keras_video.plotting.AnnotatedVideo("out.mp4", frame_rate=12) as video:
    ...     for frame in clip:
    ...         video.write(frame, [("zoom in", 0.9), ("zoom out", 0.1)])
    """

    def __init__(
        self, path, frame_rate, top=3, title=None, font=None,
        sound=None, sound_start=0.0, sound_end=None,
    ):  # fmt: skip
        check_annotation(path)
        self.path = os.fspath(path)
        self.frame_rate = check_rate("frame_rate", frame_rate)
        self.end = None
        self._looks = check_int("top", top), title, font
        self._sound, self._sound_options = None, (sound, sound_start, sound_end)
        self._count, self._size, self._held = 0, None, None
        self._durations = {}
        self._stack = None

    def __enter__(self):
        self._stack = contextlib.ExitStack()
        partial = self._stack.enter_context(replacing(self.path))
        self._container = self._stack.enter_context(import_av().open(partial, "w", format="mp4"))
        return self

    def __exit__(self, kind, error, trace):
        with self._stack:  # closes the container, then gives the file its name
            if kind is None:
                self._finish()
            return self._stack.__exit__(kind, error, trace)

    def write(self, frame, answer=None, seconds=None):
        """Write the next frame.

        Args:
            frame: uint8 array `(height, width, 3)`, the same size for all frames.
            answer: list of pairs `(name, probability)` to draw, or `None`.
            seconds: float, when the frame appears, later than the frame before. Default: by the
                frame rate.
        """
        frame = np.asarray(frame)
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[-1] != 3 or 0 in frame.shape:
            raise ValueError(
                "frame: expected a uint8 array (height, width, 3), got "
                f"{frame.dtype} of shape {frame.shape}."
            )
        if self._size is None:
            self._open(frame.shape[:2])
        if frame.shape[:2] != self._size:
            raise ValueError(
                f"frame: expected the size of the first one, {self._size}, got {frame.shape[:2]}."
            )
        seconds = self._count / self.frame_rate if seconds is None else seconds
        stamp = round(seconds / TIME_BASE)
        pixels = self._fit(frame)
        if answer:
            self._panel.draw(pixels, _check_answer((seconds, answer))[1])
        self._count += 1
        if self._held is not None:
            stamp = max(stamp, self._held[0] + 1)
            self._encode(stamp)
        self._held = stamp, pixels

    def _open(self, size):
        self._size = size
        self._factor = 1 if min(size) >= LEAST_SIDE else math.ceil(ENLARGED_SIDE / min(size))
        height, width = (side * self._factor for side in size)
        self._padding = (0, height % 2), (0, width % 2), (0, 0)  # yuv420p needs even sides
        self._panel = _Panel((height, width), *self._looks)
        # Without B-frames, each frame of an MP4 file keeps its own duration, also the last one.
        options = {"crf": "18", "preset": "fast", "bf": "0"}
        rate = Fraction(self.frame_rate).limit_denominator(30_000)
        stream = self._container.add_stream("libx264", rate=max(rate, Fraction(1)), options=options)
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        context = stream.codec_context
        context.time_base = TIME_BASE
        context.colorspace = context.color_primaries = context.color_trc = 1  # BT.709
        context.color_range = 1  # 16..235
        self._stream = stream
        sound, *times = self._sound_options
        if sound is not None:
            self._sound = _Sound(sound, self._container, *times)
            self._stack.callback(self._sound.close)

    def _fit(self, frame):
        """Return a copy of the frame that may be drawn on, enlarged, with even sides."""
        if self._factor > 1:
            Image = _import_pillow()[0]
            size = tuple(side * self._factor for side in self._size[::-1])
            frame = np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC))
        if any(after for _, after in self._padding):
            return np.pad(frame, self._padding, mode="edge")
        return np.array(frame)

    def _encode(self, end):
        """Encode the frame that is held, which is shown until `end`."""
        av = import_av()
        stamp, pixels = self._held
        frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
        frame = frame.reformat(
            format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG", threads=1
        )
        frame.pts, frame.time_base = stamp, TIME_BASE
        self._durations[stamp] = end - stamp
        if self._sound is not None:
            self._sound.copy(float(stamp * TIME_BASE))
        self._mux(self._stream.encode(frame))

    def _mux(self, packets):
        for packet in packets:
            # The encoder gives every frame the average duration, also the last one.
            packet.duration = self._durations.pop(packet.pts, packet.duration)
            self._container.mux(packet)

    def _finish(self):
        if self._held is None:
            raise ValueError("source: expected at least one frame, got none.")
        stamp = self._held[0]
        end = stamp + round(1 / self.frame_rate / TIME_BASE)
        if self.end is not None:
            end = max(stamp + 1, round(self.end / TIME_BASE))
        self._encode(end)
        self._mux(self._stream.encode(None))
        if self._sound is not None:
            self._sound.copy(math.inf)


class _Sound:
    """Copies the sound of a file; what MP4 cannot hold is encoded as AAC.

    Args:
        path: file with the sound.
        output: container that gets it.
        start: second of the file that becomes 0.
        end: second of the result at which the sound ends, or `None`.
    """

    def __init__(self, path, output, start, end):
        self.container = open_container(os.fspath(path))
        self.output, self.start, self.end = output, start, math.inf if end is None else end
        self.stream, self.encoded, self.last = None, False, None
        source = self.container.streams.best("audio")
        self.packets = iter(())
        if source is None or source.codec_context is None:
            return
        self.packets = self._timed(source)
        self.waiting = next(self.packets, None)
        if self.waiting is None:
            return
        if source.codec_context.codec.canonical_name in COPIED:
            self.stream = output.add_stream_from_template(source)
        else:
            self.encoded = True
            self.stream = output.add_stream("aac", rate=source.codec_context.sample_rate)
            layout = source.codec_context.layout  # PCM does not name its channels
            usual = {1: "mono", 2: "stereo"}
            self.stream.codec_context.layout = usual.get(layout.nb_channels, layout.name)

    def _timed(self, source):
        """Yield `(seconds, packet)`; a damaged end of the file ends the sound."""
        import av

        with contextlib.suppress(av.FFmpegError):
            for packet in self.container.demux(source):
                if packet.pts is not None and packet.size:
                    yield float(packet.pts * packet.time_base) - self.start, packet

    def copy(self, seconds):
        """Copy the packets up to a second of the result, all of them for infinity."""
        if self.stream is None:
            return
        while self.waiting is not None and self.waiting[0] <= min(seconds, self.end):
            self._add(self.waiting[1])
            self.waiting = next(self.packets, None)
        if seconds == math.inf and self.encoded:
            self.output.mux(self.stream.encode(None))

    def _add(self, packet):
        import av

        shift = round(self.start / packet.time_base)
        if self.encoded:
            frames = []
            with contextlib.suppress(av.FFmpegError):  # damaged sound is left out
                frames = packet.decode()
            for frame in frames:
                if frame.pts is not None:
                    frame.pts -= round(self.start / frame.time_base)
                self.output.mux(self.stream.encode(frame))
            return
        packet.pts -= shift
        packet.dts = packet.pts if packet.dts is None else packet.dts - shift
        if self.last is None or packet.dts > self.last:  # MP4 needs ascending times
            self.last = packet.dts
            packet.stream = self.stream
            self.output.mux(packet)

    def close(self):
        self.container.close()


class _Timeline:
    """Answers over time, read as far as they are asked for."""

    def __init__(self, answers):
        try:
            self._answers = iter(answers)
        except TypeError:
            raise ValueError(
                f"answers: expected pairs (seconds, [(name, probability), ...]), got {answers!r}."
            ) from None
        self._now, self._next, self._started = None, None, False

    def at(self, seconds):
        """Return the answer at a second; the seconds asked for must ascend."""
        if not self._started:
            self._started = True
            self._advance()
            if self._next is None:
                raise ValueError("answers: expected at least one, got none.")
        while self._next is not None and self._next[0] <= seconds + 1e-6:
            self._now = self._next[1]
            self._advance()
        return self._now

    def _advance(self):
        before = self._next
        pair = next(self._answers, None)
        self._next = None if pair is None else _check_answer(pair)
        if before and self._next and self._next[0] < before[0]:
            raise ValueError(
                f"answers: expected ascending seconds, got {self._next[0]:g} after {before[0]:g}."
            )


def _check_answer(pair):
    """Return a pair `(seconds, [(name, probability), ...])` with plain values."""
    try:
        seconds, names = pair
        answer = [(str(name), float(probability)) for name, probability in names]
        seconds = float(seconds)
    except (TypeError, ValueError):
        raise ValueError(
            f"answers: expected pairs (seconds, [(name, probability), ...]), got {pair!r}."
        ) from None
    if not math.isfinite(seconds):
        raise ValueError(f"answers: expected finite seconds, got {seconds}.")
    for name, probability in answer:
        if not -1e-3 <= probability <= 1 + 1e-3:
            raise ValueError(
                f"answers: expected probabilities from 0 to 1, got {probability:g} for {name!r}. "
                "A model without classifier_activation='softmax' returns logits."
            )
    return seconds, answer


class _Panel:
    """Draw names and bars in the lower left corner of frames of one size.

    Args:
        size: `(height, width)` of the frames.
        top, title, font: as in `annotate_video`.
    """

    def __init__(self, size, top, title, font):
        self._pillow = Image, _, fonts, path = _import_pillow()
        height, width = size
        self.em = em = max(12, round(0.034 * min(size)))
        self.margin, self.pad = round(0.7 * em), round(0.75 * em)
        self.row = round(1.95 * em)
        self.width = min(max(round(0.36 * width), 21 * em), width - 2 * self.margin)
        self.title = title
        room = 0.5 * height - 2 * self.margin - self.pad - self._heading
        self.top = max(1, min(top, int(room // self.row)))
        self.frame = size
        bold = path.replace("Sans.ttf", "Sans-Bold.ttf")
        try:
            self.fonts = [fonts.truetype(os.fspath(font or name), em) for name in (path, bold)]
            self.small = fonts.truetype(os.fspath(font or path), max(10, round(0.8 * em)))
        except OSError as error:
            raise ValueError(f"font: expected a font file, got {font!r} ({error}).") from None
        self.colors, self._key = {}, None

    @property
    def _heading(self):
        return round(1.45 * self.em) if self.title else 0

    def draw(self, pixels, answer):
        """Draw an answer, a list of pairs `(name, probability)`, into a frame."""
        answer = [(name, min(max(p, 0.0), 1.0)) for name, p in answer[: self.top]]
        if answer != self._key:
            self._key = answer
            drawn = np.asarray(self._render(answer)).astype("uint16")
            self._keep = 255 - drawn[..., 3:]
            self._add = drawn[..., :3] * drawn[..., 3:] + 127
        height, width = self._keep.shape[:2]
        bottom = self.frame[0] - self.margin
        part = pixels[bottom - height : bottom, self.margin : self.margin + width]
        part[...] = (part * self._keep + self._add) // 255

    def _render(self, answer):
        """Return the panel as an RGBA picture."""
        Image, ImageDraw, _, _ = self._pillow
        em, pad = self.em, self.pad
        size = self.width, self._heading + self.row * len(answer) + 2 * pad - round(0.35 * em)
        scale = 4 if self.width < 800 else 2  # shapes are drawn larger: Pillow's have rough edges
        shapes = Image.new("RGBA", (size[0] * scale, size[1] * scale), (*PANEL[:3], 0))
        draw = ImageDraw.Draw(shapes)

        def box(left, top, right, bottom, radius, fill):
            corners = [round(scale * v) for v in (left, top, right, bottom)]
            draw.rounded_rectangle(
                (corners[0], corners[1], corners[2] - 1, corners[3] - 1), scale * radius, fill
            )

        box(0, 0, *size, 0.5 * em, PANEL)
        left, right, bar = pad, size[0] - pad, max(3, round(0.3 * em))
        for place, (name, probability) in enumerate(answer):
            top = pad + self._heading + place * self.row + round(1.15 * em)
            box(left, top, right, top + bar, bar / 2, (*_blend(TRACK, PANEL), 210))
            long = max(bar, probability * (right - left))
            if probability >= 0.005:
                box(left, top, left + long, top + bar, bar / 2, self._color(name))
        panel = shapes.resize(size, Image.Resampling.LANCZOS)
        draw = ImageDraw.Draw(panel)
        if self.title:
            title = _fitting(self.title, self.small, right - left)
            draw.text((left, pad + 0.75 * em), title, FAINT, self.small, "ls")
        for place, (name, probability) in enumerate(answer):
            base = pad + self._heading + place * self.row + round(0.82 * em)
            font = self.fonts[place == 0]
            percent = f"{100 * probability:.0f} %"
            draw.text((right, base), percent, WHITE, font, "rs")
            room = right - left - font.getlength(percent) - 0.6 * em
            draw.text((left, base), _fitting(name, font, room), WHITE, font, "ls")
        return panel

    def _color(self, name):
        """Return the colour of a class, the same in all frames."""
        return self.colors.setdefault(name, BRIGHT[len(self.colors) % len(BRIGHT)])


def _blend(over, under):
    share = over[3] / 255
    return tuple(round(a * share + b * (1 - share)) for a, b in zip(over[:3], under, strict=False))


def _fitting(text, font, room):
    """Return a text without underscores, cut so that it is at most `room` pixels long."""
    text = text.replace("_", " ")
    if font.getlength(text) <= room:
        return text
    while text and font.getlength(text + "…") > room:
        text = text[:-1]
    return text.rstrip() + "…"


def plot_saliency(frames, maps, path, frame_rate=None, count=8, title=None):
    """Draw where a model looked: maps of `keras_video.models.saliency` over the frames.

    Args:
        frames: uint8 array `(frames, height, width, 3)`, or floats in 0..255: the clip.
        maps: float array `(frames, height, width)` in 0..1.
        path: string or path. A name that ends in `.mp4` gives a video, others a picture (`.png`,
            `.svg`, `.pdf`, ...) of some frames, and below them the same frames with the map over
            them. The file appears when it is complete.
        frame_rate: number, frames per second. The video plays at this rate (default 5); in the
            picture it gives the seconds of the frames.
        count: int, frames in the picture, evenly spread over the clip.
        title: string above the picture.

    Returns:
        The path.

    Raises:
        ValueError: if the shapes do not match, or the file format is unknown.
        ImportError: if a package is missing; the message names the extras.

    Example:
    >>> maps = keras_video.models.saliency(model, clip)  # doctest: +SKIP
    >>> keras_video.plotting.plot_saliency(clip, maps, "saliency.png")  # doctest: +SKIP
    """
    path, count = os.fspath(path), check_int("count", count)
    check_rate("frame_rate", frame_rate, none=True)
    frames, maps = _check_clip(frames), np.asarray(maps, "float32")
    if maps.shape != frames.shape[:3]:
        raise ValueError(
            f"maps: expected shape {frames.shape[:3]}, one map for each frame, got {maps.shape}."
        )
    if not (np.isfinite(maps).all() and maps.min() >= 0 and maps.max() <= 1):
        raise ValueError("maps: expected values from 0 to 1, got "
                         f"{maps.min():g} to {maps.max():g}.")  # fmt: skip
    Figure = import_figure()
    if path.lower().endswith(".mp4"):
        with AnnotatedVideo(path, frame_rate or 5) as video:
            for frame, heat in zip(frames, maps, strict=True):
                video.write(_heated(frame, heat))
        return path
    count = min(count, len(frames))
    chosen = [int((k + 0.5) * len(frames) / count) for k in range(count)]
    height, width = frames.shape[1:3]
    side = 10.4 / count if count > 3 else 2.6  # inches
    tall = side * height / width
    top, foot, gap, right = 0.42 if title else 0.12, 0.34, 0.05, 0.75
    size = (0.12 + count * (side + gap) + right, top + 2 * (tall + gap) + foot)
    figure = Figure(figsize=size, dpi=DPI)

    def place(left, bottom, width, height):
        box = left / size[0], bottom / size[1], width / size[0], height / size[1]
        axes = figure.add_axes(box)
        axes.set_axis_off()
        return axes

    for column, number in enumerate(chosen):
        left = 0.12 + column * (side + gap)
        heated = _heated(frames[number], maps[number])
        place(left, foot + tall + gap, side, tall).imshow(frames[number])
        place(left, foot, side, tall).imshow(heated)
        label = f"{number / frame_rate:.1f} s" if frame_rate else f"frame {number}"
        figure.text(
            (left + side / 2) / size[0], 0.11 / size[1], label, ha="center", fontsize=9, color=TEXT
        )
    axes = place(size[0] - right + 0.05, foot, 0.14, tall)
    axes.set_axis_on()
    axes.imshow(_colors(np.linspace(1, 0, 128))[:, None], aspect="auto", extent=(0, 1, 0, 1))
    axes.set_xticks([])
    axes.set_yticks([0, 0.5, 1], ["0", "0.5", "1"], fontsize=8.5, color=TEXT)
    axes.yaxis.tick_right()
    axes.tick_params(length=2)
    axes.spines[:].set_visible(False)
    if title:
        figure.text(
            0.12 / size[0], 1 - 0.27 / size[1], title, fontsize=12, weight="bold", color=TEXT
        )
    return save_figure(figure, path)


def _check_clip(frames):
    """Return a clip as a uint8 array `(frames, height, width, 3)`."""
    frames = np.asarray(frames)
    if frames.ndim != 4 or frames.shape[-1] != 3 or 0 in frames.shape:
        raise ValueError(f"frames: expected shape (frames, height, width, 3), got {frames.shape}.")
    return np.clip(np.round(frames), 0, 255).astype("uint8")


def _heated(frame, heat):
    """Lay a map over a frame: grey and dark where the map is 0, coloured where it is high."""
    grey = frame @ np.array([0.299, 0.587, 0.114], "float32")
    under = 0.5 * frame + 0.5 * grey[..., None]
    share = (0.8 * np.sqrt(heat))[..., None]
    return np.round(under * (1 - share) + 255 * _colors(heat) * share).astype("uint8")


def _colors(heat):
    import matplotlib

    return matplotlib.colormaps["inferno"](0.15 + 0.8 * heat)[..., :3]
