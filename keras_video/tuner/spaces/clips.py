"""Clips cut to what a network takes, so that one data set serves networks of every size."""

import keras
import numpy as np

CHUNK = 64  # frames resized at a time, to bound the memory of the float copies


def adapt(data, frames, height, width, frame_stride):
    """Cuts arrays of clips, or the batches of a data set, to a network's clip.

    Args:
        data: array `(clips, frames, height, width, 3)` or `keras.utils.PyDataset` of tuples that
            begin with such an array.
        frames, height, width, frame_stride: ints, see `cut`.

    Returns:
        An array, or a `PyDataset`.
    """
    if isinstance(data, keras.utils.PyDataset):
        return _Adapted(data, (frames, height, width, frame_stride))
    if not hasattr(data, "shape") or len(data.shape) != 5:
        raise ValueError(
            "data: expected an array (clips, frames, height, width, channels) or a "
            f"keras.utils.PyDataset, got {getattr(data, 'shape', type(data).__name__)}."
        )
    return cut(data, frames, height, width, frame_stride)


def cut(clips, frames, height, width, frame_stride=1):
    """Every `frame_stride`-th frame from the middle of the clips, resized.

    Args:
        clips: array `(clips, frames, height, width, channels)`; may be mapped from a file.
        frames: int, how many frames to take.
        height, width: ints, new size in pixels.
        frame_stride: int, distance of the frames taken.

    Returns:
        Array `(clips, frames, height, width, channels)` of the same dtype.

    Raises:
        ValueError: if the clips have fewer than `(frames - 1) * frame_stride + 1` frames.
    """
    span = (frames - 1) * frame_stride + 1
    spare = clips.shape[1] - span
    if spare < 0:
        raise ValueError(
            f"clips: expected at least {span} frames, for {frames} frames with stride "
            f"{frame_stride}, got {clips.shape[1]}. Bound them by the space's video_frames."
        )
    clips = clips[:, spare // 2 : spare // 2 + span : frame_stride]
    if tuple(clips.shape[2:4]) == (height, width):
        return np.ascontiguousarray(clips)
    rows, columns = resizing(clips.shape[2], height), resizing(clips.shape[3], width)
    result = np.empty((*clips.shape[:2], height, width, clips.shape[4]), clips.dtype)
    step = max(1, CHUNK // frames)
    for start in range(0, len(clips), step):
        part = np.asarray(clips[start : start + step], "float32")
        part = rows @ part.reshape(*part.shape[:3], -1)
        part = columns @ part.reshape(*part.shape[:3], clips.shape[3], -1)
        if np.issubdtype(clips.dtype, np.integer):
            part = np.rint(part)
        result[start : start + step] = part
    return result


def resizing(length, new_length):
    """Float32 matrix `(new_length, length)` that resizes bilinearly, with antialiasing.

    Pixels are centred at half integers. Where the picture shrinks, the triangle is as much wider.
    """
    scale = length / new_length
    centres = (np.arange(new_length) + 0.5) * scale - 0.5
    distances = np.abs(np.arange(length) - centres[:, None]) / max(scale, 1.0)
    weights = np.maximum(0, 1 - distances)
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")


class _Adapted(keras.utils.PyDataset):
    """Another data set, its clips cut."""

    def __init__(self, data, clip):
        super().__init__(
            workers=data.workers,
            use_multiprocessing=data.use_multiprocessing,
            max_queue_size=data.max_queue_size,
        )
        self.data, self.clip = data, clip

    def __len__(self):
        return len(self.data)

    def __getitem__(self, index):
        first, *rest = self.data[index]
        return (cut(np.asarray(first), *self.clip), *rest)

    def on_epoch_begin(self):
        self.data.on_epoch_begin()

    def on_epoch_end(self):
        self.data.on_epoch_end()
