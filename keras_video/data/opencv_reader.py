"""Reads video files with OpenCV, where that is installed and PyAV is not."""

import contextlib
import functools
import os

import numpy as np

from keras_video.data.container import VideoError, check_file
from keras_video.data.geometry import layout
from keras_video.data.seeking import check_indices, check_range


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
