"""Reads video files with PyAV: the wanted frames, at the wanted rate and size.

Frames of a compressed video build on one another and on the last key frame. What has to be
decoded on the way is decoded, but only the chosen frames are resized and turned into RGB.

Reads video files with OpenCV, where that is installed and PyAV is not.

Reads a camera with OpenCV where it is installed, else with PyAV (Linux).
"""

import contextlib
import functools
import itertools
import math
import os
import time
import warnings

import numpy as np

from keras_video.data.decoding import (
    OpenVideo,
    VideoError,
    check_file,
    check_indices,
    check_range,
    decode_runs,
    import_av,
)
from keras_video.data.frames import FrameConverter, check_rate, layout, upright_size

SEEK_AFTER = 10.0  # seconds; what begins earlier is reached by plain decoding


class VideoReader:
    """Reads a video file of any container and codec that FFmpeg knows, GIF included.

    Opening looks at the first frame only; every call of `get`, `frames` or `clip`
    reads the file afresh, so that a reader can be used any number of times, by
    several threads at once, and can be pickled. A rotation noted in the file
    (phones do) is applied; mirroring is not.

    `len(reader)` is the number of frames. The packets of the file are counted,
    not the promises of its header; where packets may not be frames (VP8, damaged
    files, recordings that begin in the middle), the video is decoded once.

    Args:
        path: path of the file.
        partial: bool. A video that is cut short or damaged raises a `VideoError`
            that tells how much of it could be read. With `partial=True` this is
            a warning instead, and what could be read is used.

    Attributes:
        size: `(height, width)` of the upright frames.
        duration: seconds from the first frame to the end of the last.
        fps: average number of frames per second.
        decoded: number of frames that came out of the decoder in the last `get`.

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
        return len(self._moments[0]) / self.duration

    def __len__(self):
        return self._count

    @functools.cached_property
    def _count(self):
        if self._index is not None:
            return len(self._index)
        with self._open() as video:
            return sum(1 for _ in video.decode())

    def get(self, indices, size=None, crop=True, resize_side=None):
        """Reads the frames with the given numbers.

        Frame `k` is the `k`-th on the screen, as decoding the whole video gives
        it, however it is asked for. Where the packets tell where the frames are,
        each is decoded from the key frame before it and the rest of the video is
        left out; else the video is decoded up to the last frame that is asked for.

        Args:
            indices: sequence of ints in `[0, len(reader))`, in any order; a frame
                may be asked for repeatedly.
            size: `(height, width)` of the result, an int for a square, `None`
                for the size of what is not cut off.
            crop: `True` or `"centre"` keeps the aspect ratio and cuts `size` out
                of the centre; `"left"` and `"right"` (or `"top"` and `"bottom"`)
                cut it out at the two ends of the longer side, whichever that is.
                `False` squeezes the picture into `size`. A box `(top, left,
                height, width)` in pixels of the upright video is cut out and
                squeezed into `size`.
            resize_side: int, length to which the smaller side is resized before
                `size` is cut out (as in the evaluation of published models).
                `None` resizes no further than `size` needs.

        Returns:
            uint8 RGB array of shape `(len(indices), height, width, 3)`.

        Raises:
            ValueError: there is no frame with such a number.
            VideoError: the video is damaged, cut short or not a video at all.
        """
        numbers = check_indices(indices)
        convert = FrameConverter(self.size, size, crop, resize_side)
        clip = np.empty((len(numbers), *convert.size, 3), "uint8")
        rows = {}
        for row, number in enumerate(numbers):
            rows.setdefault(number, []).append(row)

        def fill(number, frame):
            first, *others = rows[number]
            convert.into(frame, clip[first])
            clip[others] = clip[first]

        if self._index is not None:
            check_range(rows, len(self), self.path)
            if self._index.seekable:
                if self._get_runs(rows, fill):
                    return clip
                self._index = None  # the packets promised too much: never ask them again
                vars(self).pop("_count", None)
                vars(self).pop("_moments", None)
        self._get_in_order(rows, fill)
        return clip

    def _get_runs(self, wanted, fill):
        """Decodes what the packets say must be decoded; tells whether that gave all frames."""
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
        """Decodes from the start: to the last frame wanted, or to the end to count the frames."""
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
        check_range(wanted, self._count, self.path)

    def frames(self, frame_rate=None, size=None, crop=True, resize_side=None):
        """Iterates over the whole video.

        Args:
            frame_rate: frames per second wanted, `None` for every frame there is.
                Frame `k` is the one on the screen `k / frame_rate` seconds after
                the first frame appeared. So it is for variable frame rates, and
                frames of a slower video are repeated.
            size, crop, resize_side: as in `get`.

        Returns:
            An iterator over uint8 RGB arrays of shape `(height, width, 3)`.
        """
        check_rate(frame_rate)
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

    def clip(self, num_frames, frame_rate=None, size=None, crop=True, resize_side=None):
        """Reads `num_frames` frames from the middle of the video.

        A video that is too short is repeated from its start, as in the evaluation
        of the published models. The other arguments are those of `frames`.

        Returns:
            uint8 RGB array of shape `(num_frames, height, width, 3)`.
        """
        if int(num_frames) != num_frames or num_frames < 1:
            raise ValueError(f"`num_frames` must be a positive int. Received: {num_frames}")
        check_rate(frame_rate)
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
                f"{self.path}: nothing can be decoded {wanted[0]:.1f} s into the file."
            )
        return np.stack([frames[k % len(frames)] for k in range(num_frames)])

    def _at(self, moments):
        """Yields the frames that are on the screen at the given moments."""
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
            raise VideoError(f"{self.path}: {message} Pass `partial=True` to use what can be read.")
        if not self._warned:
            self._warned = True
            warnings.warn(f"{self.path}: {message}", stacklevel=2)

    @functools.cached_property
    def _index(self):
        """What the packets tell without being decoded; `None` if that is in doubt."""
        with self._open() as video:
            return video.scan()

    @functools.cached_property
    def _moments(self):
        """When each frame appears and when the last one ends, in seconds."""
        if self._index is not None:
            return self._index.times, self._index.end
        with self._open() as video:
            return [time for time, _ in video.decode()], video.end


def _ticks(start, frame_rate):
    return (start + k / frame_rate for k in itertools.count())


class OpenCVReader:
    """Reads a video file with OpenCV.

    Gives the same frames as `VideoReader`, but for the rounding of colours and
    another way to interpolate when resizing. Every frame up to the last one
    wanted is decoded, since OpenCV does not seek exactly, and damage is noticed
    only where a wanted frame is missing, since it does not tell.

    `len(reader)` decodes the video once to count the frames.

    Args:
        path: path of the file.

    Attributes:
        size: `(height, width)` of the upright frames.
        duration: seconds from the first frame to the end of the last.
        fps: average number of frames per second.
        decoded: number of frames that were decoded in the last `get`.
    """

    def __init__(self, path):
        self.path = os.fspath(path)
        self.decoded = 0
        with self._open() as capture:
            read, picture = capture.read()
        if not read:
            raise VideoError(f"{self.path}: not a single frame of this video can be decoded.")
        self.size = picture.shape[:2]

    @property
    def duration(self):
        return self._extent[1]

    @property
    def fps(self):
        return len(self) / self.duration

    def __len__(self):
        return self._extent[0]

    @functools.cached_property
    def _extent(self):
        """Number of frames, and seconds that they last."""
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
        """Reads the frames with the given numbers; see `VideoReader.get`."""
        cv2 = import_cv2()
        numbers = check_indices(indices)
        size = layout(self.size, size, crop, resize_side).size
        clip = np.empty((len(numbers), *size, 3), "uint8")
        rows = {}
        for row, number in enumerate(numbers):
            rows.setdefault(number, []).append(row)
        self.decoded = 0
        with self._open() as capture:
            for number in range(max(numbers, default=-1) + 1):
                if not capture.grab():
                    check_range(numbers, number, self.path)
                self.decoded += 1
                if number in rows:
                    _, picture = capture.retrieve()
                    clip[rows[number]] = _convert(cv2, picture, size, crop, resize_side)
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


def _convert(cv2, picture, size, crop, resize_side):
    """A BGR picture as RGB of the wanted size."""
    steps = layout(picture.shape[:2], size, crop, resize_side)
    if steps.box is not None:
        top, left, height, width = steps.box
        picture = picture[top : top + height, left : left + width]
    if picture.shape[:2] != steps.resized:
        shrinks = steps.resized[0] < picture.shape[0] or steps.resized[1] < picture.shape[1]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        picture = cv2.resize(picture, steps.resized[::-1], interpolation=how)
    top, left = steps.corner
    return picture[top : top + size[0], left : left + size[1], ::-1]


def import_cv2():
    """Imports OpenCV, or says how to install it."""
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            "This reader needs OpenCV: `pip install opencv-python-headless`."
        ) from error
    return cv2


TIMEOUT = 10.0  # seconds without a picture


class Camera:
    """Frames from a camera, as they come.

    Args:
        index: int, number of the camera; 0 is the first.
    """

    def __init__(self, index=0):
        self.index = index

    def frames(self, frame_rate=None, size=None, crop=True, resize_side=None):
        """Iterates over the pictures of the camera until it stops.

        At most `frame_rate` of them are taken per second; what comes while the
        caller is busy is dropped. Arguments and frames are those of
        `VideoReader.frames`.
        """
        check_rate(frame_rate)
        return self._frames(frame_rate, dict(size=size, crop=crop, resize_side=resize_side))

    def _frames(self, frame_rate, geometry):
        av = import_av()
        try:
            import cv2
        except ImportError:
            pictures = _from_v4l2(av, self.index)
        else:
            pictures = _from_opencv(av, cv2, self.index)
        convert, due = None, None
        for picture in pictures:
            now = time.monotonic()
            if due is not None and now < due:
                continue
            if frame_rate is not None:
                due = max((due or now) + 1 / frame_rate, now)
            convert = convert or FrameConverter(upright_size(picture), **geometry)
            yield convert(picture)
        if convert is None:
            raise VideoError(f"Camera {self.index} gives no picture.")


def _from_opencv(av, cv2, index):
    capture = cv2.VideoCapture(index)
    try:
        if not capture.isOpened():
            raise VideoError(f"There is no camera {index}, or another program uses it.")
        read, picture = capture.read()
        while read:
            yield av.VideoFrame.from_ndarray(picture, "bgr24")
            read, picture = capture.read()
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
