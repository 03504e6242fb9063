"""Reading video: files and cameras in, uint8 frames `(height, width, 3)` out."""

from keras_video.data.camera import Camera
from keras_video.data.container import VideoError
from keras_video.data.reader import VideoReader

__all__ = ["Camera", "VideoError", "VideoReader", "open_video"]


def open_video(source, partial=False):
    """A `VideoReader` for a path, a `Camera` for a camera index (`0` or `"0"`)."""
    if isinstance(source, int) or str(source).isdigit():
        return Camera(int(source))
    return VideoReader(source, partial=partial)
