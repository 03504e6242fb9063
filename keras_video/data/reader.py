"""Readers of video files and cameras: the wanted frames, at the wanted rate and size.

`VideoReader` decodes with PyAV, `OpenCVReader` with OpenCV where PyAV is not installed. `Camera`
uses OpenCV if it is installed, else PyAV (Linux only).

Frames of a compressed video depend on other frames, back to the last key frame. These must be
decoded as well, but only the chosen frames are resized and converted to RGB.
"""

import contextlib
import functools
import io
import itertools
import math
import os
import shutil
import tempfile
import time
import urllib.request
import warnings

import numpy as np

from keras_video.checks import check_int, check_rate
from keras_video.data.decoding import OpenVideo, VideoError, check_file, decode_runs, import_av
from keras_video.data.frames import FrameConverter, layout, upright_size
from keras_video.data.sampling import time_indices

SEEK_AFTER = 10.0  # seconds; clips that begin earlier are decoded from the start of the file
TIMEOUT = 10.0  # seconds to wait for a frame of a camera


class VideoReader:
    """Read a video file of any container and codec that FFmpeg supports, GIF included.

    The constructor decodes the first frame only. Every call of `get`, `frames` or `clip` opens the
    file again, so that a reader can be used any number of times, by several threads at once, and
    can be pickled. A rotation stored in the file, as phones do, is applied; mirroring is not.

    `len(reader)` is the number of frames. It is counted from the packets of the file, since headers
    may be wrong. Where packets may not be frames (VP8, damaged files, recordings that begin in the
    middle), the video is decoded once to count them.

    Args:
        path: string or path of the file.
        partial: bool. A video that is cut short or damaged raises a `VideoError` that says how much
            of it can be read. With `partial=True` this is a warning, and the frames that can be
            read are used.

    Attributes:
        size: `(height, width)` of the upright frames.
        duration: float, seconds from the first frame to the end of the last.
        fps: float, average number of frames per second.
        decoded: int, number of frames that the last call of `get` decoded.

    Raises:
        FileNotFoundError: if there is no such file.
        VideoError: if the file is not a video that FFmpeg can decode.

    Example:
    >>> video = keras_video.data.VideoReader("skating.mp4")
    >>> video.get([0, 40, 80], size=(172, 172)).shape
    (3, 172, 172, 3)
    >>> video.clip(50, frame_rate=5, size=(172, 172), resize_side=192).shape
    (50, 172, 172, 3)
    """

    def __init__(self, path, partial=False):
        self.path = os.fspath(path)
        self.partial = partial
        self.decoded = 0
        self._warned = False
        with self._open(threads=1) as video:
            video.check_index()
            frame = next((frame for _, frame in video.decode()), None)
            if frame is None:
                raise VideoError(f"{self.path}: not a single frame of this video can be decoded.")
            self.size = upright_size(frame)
            self._tolerance = video.tolerance

    @property
    def duration(self):
        moments, end = self._moments
        return end - moments[0]

    @property
    def fps(self):
        return _rate(len(self._moments[0]), self.duration)

    def __len__(self):
        return self._count

    def __repr__(self):
        with contextlib.suppress(VideoError, OSError):  # of a file that has gone or is damaged
            if self._index is not None:  # otherwise counting would decode the whole video
                return _describe(self)
        return f"VideoReader({self.path!r}, size={tuple(self.size)})"

    @functools.cached_property
    def _count(self):
        if self._index is not None:
            return len(self._index)
        with self._open() as video:
            return sum(1 for _ in video.decode())

    def get(self, indices, size=None, crop=True, resize_side=None):
        """Read the frames with the given numbers.

        Frame `k` is always the `k`-th frame in display order, as when the whole video is decoded.
        If the packets tell where the frames are, decoding starts at the key frame before each
        requested frame, and the rest of the video is skipped. Otherwise the video is decoded up to
        the last requested frame.

        Args:
            indices: sequence of ints in `[0, len(reader))`, in any order; numbers may repeat.
            size: `(height, width)` of the result, an int for a square, or `None` to cut nothing
                off.
            crop: `True` or `"centre"` keeps the aspect ratio and cuts `size` out of the centre;
                `"left"` and `"right"` (or `"top"` and `"bottom"`) cut it out at the two ends of the
                longer side. `False` squeezes the frame into `size`. A box `(top, left, height,
                width)` in pixels of the upright video is cut out and squeezed into `size`.
            resize_side: int, length to which the smaller side is resized before `size` is cut out
                (as in the evaluation of published models). `None` resizes no further than `size`
                needs.

        Returns:
            uint8 RGB array of shape `(len(indices), height, width, 3)`.

        Raises:
            ValueError: if there is no frame with such a number, or an argument is invalid.
            VideoError: if the video is damaged, cut short or not a video at all.
        """
        numbers = _check_indices(indices)
        convert = FrameConverter(self.size, size, crop, resize_side)
        clip = np.empty((len(numbers), *convert.size, 3), "uint8")
        rows = _rows(numbers)

        def fill(number, frame):
            first, *others = rows[number]
            convert.into(frame, clip[first])
            clip[others] = clip[first]

        if self._index is not None:
            _check_below(rows, len(self), self.path)
            if self._index.seekable:
                if self._get_runs(rows, fill):
                    return clip
                # The packet index is wrong; decode sequentially from now on.
                self._index = None
                vars(self).pop("_count", None)
                vars(self).pop("_moments", None)
        self._get_in_order(rows, fill)
        return clip

    def _get_runs(self, wanted, fill):
        """Decode only the needed packets; return whether that gave all wanted frames."""
        decoded, missing = 0, set(wanted)
        with self._open(threads=1) as video:
            for number, frame in decode_runs(video, self._index.runs(sorted(wanted))):
                decoded += 1
                if number in missing and not frame.is_corrupt:
                    missing.discard(number)
                    fill(number, frame)
        self.decoded = decoded
        return not missing

    def _get_in_order(self, wanted, fill):
        """Decode from the start to the last wanted frame, or to the end if frames are uncounted."""
        last = max(wanted, default=-1)
        decoded = 0
        with self._open(threads=1) as video:
            for number, (_, frame) in enumerate(video.decode()):
                decoded += 1
                if number in wanted:
                    fill(number, frame)
                if number >= last and "_count" in vars(self):
                    video.check_damage()
                    break
            else:
                self._count = decoded
        self.decoded = decoded
        _check_below(wanted, self._count, self.path)

    def frames(self, frame_rate=None, size=None, crop=True, resize_side=None):
        """Iterate over the whole video.

        Args:
            frame_rate: frames per second, or `None` for every frame of the video. Frame `k` is the
                one on the screen `k / frame_rate` seconds after the first frame appeared. This also
                holds for videos with a variable frame rate. A slower video repeats frames.
            size, crop, resize_side: as in `get`.

        Returns:
            Iterator over uint8 RGB arrays of shape `(height, width, 3)`.

        Raises:
            ValueError: if an argument is invalid.
            VideoError: during iteration, if the video is damaged or cut short.
        """
        check_rate("frame_rate", frame_rate, none=True)
        return self._frames(frame_rate, FrameConverter(self.size, size, crop, resize_side))

    def _frames(self, frame_rate, convert):
        with self._open() as video:
            decoded = video.decode()
            if frame_rate is None:
                frames = (frame for _, frame in decoded)
            else:
                first = next(decoded)
                ticks = _ticks(first[0], frame_rate)
                frames = video.on_screen(itertools.chain([first], decoded), ticks)
            yield from map(convert, frames)

    def timed_frames(self):
        """Iterate over all frames and their times.

        Returns:
            Iterator over pairs `(seconds, frame)`: when the frame appears, by the clock of the
            file, which need not start at 0, and a uint8 RGB array of shape `(height, width, 3)`.

        Raises:
            VideoError: during iteration, if the video is damaged or cut short.
        """
        convert = FrameConverter(self.size)
        with self._open() as video:
            for time, frame in video.decode():
                yield time, convert(frame)

    def clip(self, num_frames, frame_rate=None, size=None, crop=True, resize_side=None):
        """Read `num_frames` frames from the middle of the video.

        A video that is too short is repeated from its start, as in the evaluation of the published
        models.

        Args:
            num_frames: int, frames of the clip.
            frame_rate, size, crop, resize_side: as in `frames`.

        Returns:
            uint8 RGB array of shape `(num_frames, height, width, 3)`.

        Raises:
            ValueError: if an argument is invalid.
            VideoError: if the video is damaged or cut short.
        """
        check_int("num_frames", num_frames)
        check_rate("frame_rate", frame_rate, none=True)
        convert = FrameConverter(self.size, size, crop, resize_side)
        moments, end = self._moments
        total = len(moments)
        if frame_rate is not None:
            total = math.ceil((end - self._tolerance - moments[0]) * frame_rate)
            moments = _ticks(moments[0], frame_rate)
        first = max(0, (total - num_frames) // 2)
        wanted = list(itertools.islice(moments, first, min(first + num_frames, total)))
        frames = list(map(convert, self._at(wanted)))
        if not frames:
            raise VideoError(
                f"{self.path}: no frame can be decoded {wanted[0]:.1f} s into the file."
            )
        return np.stack([frames[k % len(frames)] for k in range(num_frames)])

    def _at(self, moments):
        """Yield the frames that are on the screen at the given moments."""
        if self._index is not None and moments[0] - self._moments[0][0] > SEEK_AFTER:
            with self._open() as video:
                decoded = video.decode_from(moments[0])
                if decoded is not None:
                    yield from video.on_screen(decoded, moments)
                    return
        with self._open() as video:
            yield from video.on_screen(video.decode(), moments)

    def _open(self, threads=0):
        return OpenVideo(self.path, self._complain, threads)

    def _complain(self, message):
        if not self.partial:
            raise VideoError(f"{self.path}: {message} Pass partial=True to use what can be read.")
        if not self._warned:
            self._warned = True
            warnings.warn(f"{self.path}: {message}", stacklevel=2)

    @functools.cached_property
    def _index(self):
        """`PacketIndex` of the video, or `None` if the packets are not reliable."""
        with self._open() as video:
            return video.scan()

    @functools.cached_property
    def _moments(self):
        """Seconds at which the frames appear, and the second at which the last one ends."""
        if self._index is not None:
            return self._index.times, self._index.end
        with self._open() as video:
            return [time for time, _ in video.decode()], video.end


def _rate(frames, seconds):
    """Return frames per second, without the digits that rounding of the seconds brings."""
    return round(frames / seconds, 6)


def _describe(reader):
    """Return one line about a reader that knows its frames."""
    return (
        f"{type(reader).__name__}({reader.path!r}, size={tuple(reader.size)}, {len(reader)} "
        f"frames, {reader.fps:g} frames/s, {reader.duration:g} s)"
    )


def _ticks(start, frame_rate):
    return (start + k / frame_rate for k in itertools.count())


def _rows(numbers):
    """Return `{frame number: rows of the clip that show it}`."""
    rows = {}
    for row, number in enumerate(numbers):
        rows.setdefault(number, []).append(row)
    return rows


def _check_indices(indices):
    """Return `indices` as a list of ints that are not negative."""
    numbers = np.asarray(indices)
    if numbers.ndim != 1 or (numbers.size and numbers.dtype.kind not in "iu"):
        raise ValueError(f"indices: expected a sequence of ints, got {indices!r}.")
    if numbers.size and numbers.min() < 0:
        raise ValueError(f"indices: expected ints of at least 0, got {int(numbers.min())}.")
    return numbers.tolist()


def _check_below(numbers, count, path):
    """Raise an error unless all numbers are below the number of frames."""
    if numbers and max(numbers) >= count:
        raise ValueError(
            f"indices: expected ints below {count}, the number of frames of {path}, got "
            f"{max(numbers)}."
        )


class OpenCVReader:
    """Read a video file with OpenCV.

    It gives the same frames as `VideoReader`, except for rounding of the colors and for another
    interpolation when resizing. Every frame up to the last requested one is decoded, since OpenCV
    does not seek exactly. OpenCV does not report damage: it is noticed only if a requested frame is
    missing.

    `len(reader)` decodes the video once to count the frames.

    Args:
        path: string or path of the file.

    Attributes:
        size: `(height, width)` of the upright frames.
        duration: float, seconds from the first frame to the end of the last.
        fps: float, average number of frames per second.
        decoded: int, number of frames that the last call of `get` decoded.

    Raises:
        FileNotFoundError: if there is no such file.
        VideoError: if the file is not a video that OpenCV can decode.
        ImportError: if OpenCV is missing.
    """

    def __init__(self, path):
        self.path = os.fspath(path)
        self.decoded = 0
        with self._open() as capture:
            read, pixels = capture.read()
        if not read:
            raise VideoError(f"{self.path}: not a single frame of this video can be decoded.")
        self.size = pixels.shape[:2]

    @property
    def duration(self):
        return self._extent[1]

    @property
    def fps(self):
        return _rate(len(self), self.duration)

    def __len__(self):
        return self._extent[0]

    def __repr__(self):
        if "_extent" in vars(self):  # otherwise counting would decode the whole video
            return _describe(self)
        return f"OpenCVReader({self.path!r}, size={tuple(self.size)})"

    @functools.cached_property
    def _extent(self):
        """Number of frames, and the seconds that they last."""
        cv2 = import_cv2()
        count, times = 0, []
        with self._open() as capture:
            period = 1 / (capture.get(cv2.CAP_PROP_FPS) or 25)
            while capture.grab():
                count += 1
                times = [*times[:1], capture.get(cv2.CAP_PROP_POS_MSEC) / 1000]
        if count < 2 or times[1] <= times[0]:
            return count, count * period
        return count, (times[1] - times[0]) * count / (count - 1)

    def get(self, indices, size=None, crop=True, resize_side=None):
        """Read the frames with the given numbers; see `VideoReader.get`."""
        cv2 = import_cv2()
        numbers = _check_indices(indices)
        size = layout(self.size, size, crop, resize_side).size
        clip = np.empty((len(numbers), *size, 3), "uint8")
        rows = _rows(numbers)
        self.decoded = 0
        with self._open() as capture:
            for number in range(max(numbers, default=-1) + 1):
                if not capture.grab():
                    _check_below(numbers, number, self.path)
                self.decoded += 1
                if number in rows:
                    _, pixels = capture.retrieve()
                    clip[rows[number]] = _convert(cv2, pixels, size, crop, resize_side)
        return clip

    @contextlib.contextmanager
    def _open(self):
        check_file(self.path)
        cv2 = import_cv2()
        capture = cv2.VideoCapture(self.path, cv2.CAP_FFMPEG)
        try:
            if not capture.isOpened():
                raise VideoError(f"{self.path}: not a video that OpenCV can read.")
            yield capture
        finally:
            capture.release()


def _convert(cv2, pixels, size, crop, resize_side):
    """Convert a BGR frame to RGB of the requested size."""
    steps = layout(pixels.shape[:2], size, crop, resize_side)
    if steps.box is not None:
        top, left, height, width = steps.box
        pixels = pixels[top : top + height, left : left + width]
    if pixels.shape[:2] != steps.resized:
        shrinks = steps.resized[0] < pixels.shape[0] or steps.resized[1] < pixels.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        pixels = cv2.resize(pixels, steps.resized[::-1], interpolation=how)
    top, left = steps.corner
    return pixels[top : top + size[0], left : left + size[1], ::-1]


def import_cv2():
    """Return the module `cv2`; raise an `ImportError` that says how to install OpenCV."""
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "This reader needs OpenCV: `pip install opencv-python-headless`."
        ) from error
    return cv2


class FrameArray:
    """Frames in memory, with the methods of a `VideoReader`.

    Args:
        frames: uint8 array `(frames, height, width, 3)`.
        frame_rate: number, frames per second. `None`: not known, then 1.

    Attributes:
        size, duration, fps: as of `VideoReader`.
        at_pace: bool, whether no frame rate was given.
    """

    path = "frames"
    _tolerance = 1e-6  # seconds, for the rounding of times

    def __init__(self, frames, frame_rate=None):
        frames = np.asarray(frames)
        check_rate("frame_rate", frame_rate, none=True)
        if frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
            raise ValueError(
                "video: expected frames of shape (frames, height, width, 3), got an array of shape "
                f"{frames.shape}."
            )
        if frames.dtype != "uint8":
            raise ValueError(f"video: expected uint8 pixels in 0..255, got {frames.dtype}.")
        self._frames = frames
        self.size = frames.shape[1:3]
        self.at_pace = frame_rate is None
        self.fps = frame_rate or 1.0
        self.duration = len(frames) / self.fps
        self._moments = np.arange(len(frames)) / self.fps, self.duration

    def __len__(self):
        return len(self._frames)

    def get(self, indices, size=None, crop=True, resize_side=None):
        """Return the frames with the given numbers; see `VideoReader.get`."""
        numbers = _check_indices(indices)
        _check_below(numbers, len(self), "the array")
        convert = self._converter(size, crop, resize_side)
        return np.stack([convert(self._frames[k]) for k in numbers])

    def frames(self, frame_rate=None, size=None, crop=True, resize_side=None):
        """Iterate over the frames; see `VideoReader.frames`."""
        check_rate("frame_rate", frame_rate, none=True)
        numbers = range(len(self))
        if frame_rate is not None:
            moments, end = self._moments
            numbers = time_indices(moments, end, frame_rate, self._tolerance)
        convert = self._converter(size, crop, resize_side)
        return (convert(self._frames[k]) for k in numbers)

    def _converter(self, size, crop, resize_side):
        """Return a function that brings a frame to the requested size."""
        steps = layout(self.size, size, crop, resize_side)
        if steps.box is None and steps.resized == tuple(self.size):
            top, left = steps.corner
            height, width = steps.size
            return lambda frame: frame[top : top + height, left : left + width]
        av = import_av()
        convert = FrameConverter(self.size, size, crop, resize_side)
        return lambda frame: convert(av.VideoFrame.from_ndarray(frame, "rgb24"))


@contextlib.contextmanager
def opened(video, frame_rate=None, cameras=False):
    """Open any kind of video for a `with` block.

    Args:
        video: path, `http` or `https` address, content of a file as `bytes`, `VideoReader`, uint8
            array of frames, or, with `cameras=True`, a `Camera`.
        frame_rate: number, frames per second of an array. Files and readers have their own.

    Yields:
        `VideoReader`, `FrameArray` or `Camera`.

    Raises:
        ValueError: for anything else.
    """
    kinds = (VideoReader, FrameArray, Camera) if cameras else (VideoReader, FrameArray)
    is_array = hasattr(video, "shape") and hasattr(video, "dtype")
    if frame_rate is not None and not is_array:
        raise ValueError(
            "frame_rate: expected None for a video that has its own frame rate, got "
            f"{frame_rate!r}. It is the rate of the frames in an array."
        )
    if isinstance(video, kinds):
        yield video
    elif is_array:
        yield FrameArray(video, frame_rate)
    elif isinstance(video, (bytes, bytearray, memoryview)):
        with _temporary_file(io.BytesIO(video)) as path:
            yield VideoReader(path)
    elif isinstance(video, str) and video.startswith(("http://", "https://")):
        with _download(video) as source, _temporary_file(source) as path:
            yield VideoReader(path)
    elif isinstance(video, (str, os.PathLike)):
        yield VideoReader(video)
    else:
        expected = "a path, bytes, a VideoReader or an array of frames"
        raise ValueError(
            f"video: expected {expected}{' or a Camera' * cameras}, got {type(video).__name__}."
        )


@contextlib.contextmanager
def _temporary_file(source):
    """Write what an open file gives to a temporary file; yield its path."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "video")
        with open(path, "wb") as file:
            shutil.copyfileobj(source, file)
        yield path


def _download(address):
    """Open the video at an address; raise a `VideoError` that names it if there is none."""
    try:
        return urllib.request.urlopen(address, timeout=TIMEOUT)
    except OSError as error:
        raise VideoError(f"{address}: the video cannot be downloaded ({error}).") from error


class Camera:
    """Read frames from a camera, as they come.

    Args:
        index: int, number of the camera; 0 is the first.
    """

    def __init__(self, index=0):
        self.index = index

    def __repr__(self):
        return f"Camera({self.index!r})"

    def frames(self, frame_rate=None, size=None, crop=True, resize_side=None):
        """Iterate over the frames of the camera until it stops.

        At most `frame_rate` frames are taken per second. Frames that arrive while the caller is
        busy are dropped.

        Args:
            frame_rate: frames per second, or `None` for every frame.
            size, crop, resize_side: as in `VideoReader.get`.

        Returns:
            Iterator over uint8 RGB arrays of shape `(height, width, 3)`.

        Raises:
            ValueError: if an argument is invalid.
            VideoError: during iteration, if there is no such camera or it gives no frame.
        """
        check_rate("frame_rate", frame_rate, none=True)
        return self._frames(frame_rate, dict(size=size, crop=crop, resize_side=resize_side))

    def _frames(self, frame_rate, geometry):
        av = import_av()
        try:
            import cv2
        except ImportError:
            frames = _from_v4l2(av, self.index)
        else:
            frames = _from_opencv(av, cv2, self.index)
        convert, due = None, None
        for frame in frames:
            now = time.monotonic()
            if due is not None and now < due:
                continue
            if frame_rate is not None:
                due = max((due or now) + 1 / frame_rate, now)
            convert = convert or FrameConverter(upright_size(frame), **geometry)
            yield convert(frame)
        if convert is None:
            raise VideoError(f"Camera {self.index} gives no frame.")


def _from_opencv(av, cv2, index):
    capture = cv2.VideoCapture(index)
    try:
        if not capture.isOpened():
            raise VideoError(f"There is no camera {index}, or another program uses it.")
        read, pixels = capture.read()
        while read:
            yield av.VideoFrame.from_ndarray(pixels, "bgr24")
            read, pixels = capture.read()
    finally:
        capture.release()


def _from_v4l2(av, index):
    device = f"/dev/video{index}"
    if not os.path.exists(device):
        raise VideoError(
            f"There is no camera {index}: {device} does not exist. "
            "(Outside Linux, cameras need OpenCV: `pip install opencv-python-headless`.)"
        )
    try:
        with av.open(device, format="v4l2", timeout=TIMEOUT) as container:
            yield from container.decode(video=0)
    except (av.FFmpegError, ValueError) as error:
        raise VideoError(f"Camera {index} ({device}) cannot be read: {error}.") from error
