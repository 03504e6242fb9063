"""Reads a camera with OpenCV where it is installed, else with PyAV (Linux)."""

import os
import time

from keras_video.data.container import VideoError, import_av
from keras_video.data.convert import FrameConverter, check_rate, upright_size

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
