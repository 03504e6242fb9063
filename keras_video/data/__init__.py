"""Readers of video files and cameras, and data sets of clips for training."""

import importlib

from keras_video.data.decoding import VideoError as VideoError
from keras_video.data.reader import Camera, VideoReader

# Imported on first use, since they need Keras or an optional package, or take time.
_LAZY = {
    "OpenCVReader": "reader",
    "VideoDataset": "dataset",
    "augmentation": None,
    "measure": "bench",
    "read_shards": "dataset",
    "sampling": None,
    "video_dataset_from_directory": "folders",
    "video_dataset_from_file_list": "folders",
    "write_shards": "shards",
}

__all__ = sorted([*_LAZY, "Camera", "VideoError", "VideoReader", "open_video"])


def __getattr__(name):
    if name not in _LAZY:
        raise AttributeError(f"module 'keras_video.data' has no attribute {name!r}")
    if _LAZY[name] is None:
        return importlib.import_module(f"keras_video.data.{name}")
    return getattr(importlib.import_module(f"keras_video.data.{_LAZY[name]}"), name)


def __dir__():
    return sorted([*globals(), *__all__])


def open_video(source, partial=False):
    """Return a `VideoReader` for a path, or a `Camera` for a camera index (`0` or `"0"`).

    Args:
        source: string or path of a file, or the number of a camera as an int or string.
        partial: bool, as in `VideoReader`.
    """
    if isinstance(source, int) or str(source).isdigit():
        return Camera(int(source))
    return VideoReader(source, partial=partial)
