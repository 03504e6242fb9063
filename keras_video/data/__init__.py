"""Readers of video files and cameras, and data sets of clips for training."""

from keras_video.data.decoding import VideoError as VideoError
from keras_video.data.reader import Camera, VideoReader
from keras_video.lazy import lazy_names

# The others need Keras or an optional package, or take time.
__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "bench": ("measure",),
        "dataset": ("VideoDataset", "read_shards"),
        "folders": ("video_dataset_from_directory", "video_dataset_from_file_list"),
        "reader": ("OpenCVReader",),
        "shards": ("write_shards",),
    },
    modules=("augmentation", "sampling"),
    here=("Camera", "VideoError", "VideoReader", "open_video"),
)


def open_video(source, partial=False):
    """Return a `VideoReader` for a path, or a `Camera` for a camera index (`0` or `"0"`).

    Args:
        source: string or path of a file, or the number of a camera as an int or string.
        partial: bool, as in `VideoReader`.
    """
    if isinstance(source, int) or str(source).isdigit():
        return Camera(int(source))
    return VideoReader(source, partial=partial)
