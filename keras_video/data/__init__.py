"""Video in, arrays out: readers of files and cameras, and data sets of clips for training."""

import importlib

from keras_video.data.decoding import VideoError as VideoError
from keras_video.data.reader import Camera, VideoReader

# What needs Keras, or another package that not everybody has, is imported when it is used.
_LAZY = {
    "OpenCVReader": "reader",
    "VideoDataset": "dataset",
    "augmentation": None,
    "measure": "bench",
    "read_shards": "shards",
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
    """A `VideoReader` for a path, a `Camera` for a camera index (`0` or `"0"`)."""
    if isinstance(source, int) or str(source).isdigit():
        return Camera(int(source))
    return VideoReader(source, partial=partial)
