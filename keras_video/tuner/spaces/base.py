"""`Space`: a family of networks to search, with costs, features and clips of each network.

The second part of this file cuts clips to the size that a network takes, so that one data set
serves networks of every size. The third part computes the features from which latency is predicted.
"""

from typing import NamedTuple

import keras
import keras_tuner
import numpy as np

from keras_video.specs import (
    ContextGate,
    Conv,
    Dense,
    Depthwise,
    GloRe,
    NonLocal,
    Pool,
    Scale,
    SqueezeExcite,
    TimeStridedSampling,
    TimeToChannel,
)


class Slots(NamedTuple):
    """A group of repeated parts whose number can grow and shrink, such as the blocks of a network.

    Args:
        count: name of the hyperparameter that holds the number of parts.
        prefix: beginning of the names of a part's hyperparameters: `prefix`, a number, `"/"`.
        start: int, number of the first part.
    """

    count: str
    prefix: str
    start: int = 0


class Space(keras_tuner.HyperModel):
    """A family of networks: hyperparameters, costs without building, and the built network.

    In all methods `values` is the plain dict of the active hyperparameters. Keys that begin with
    `"tuner/"` belong to the tuner.

    Attributes:
        name: string. It is written into the project, so that a search cannot be continued in
            another space.
        slots: tuple of `Slots`. All parts of a group must be declared alike, each on the condition
            that the count is large enough.
    """

    slots = ()

    def declare(self, hp):
        """Declare all hyperparameters with their conditions, in one pass, without building.

        Args:
            hp: `keras_tuner.HyperParameters`.
        """
        raise NotImplementedError

    def invalid(self, values):
        """Return `None`, or a string that says why no network has these values."""
        return None

    def costs(self, values):
        """Return `{"macs": int, "params": int, "memory": bytes}`, computed from the values."""
        raise NotImplementedError

    def cost(self, values, name):
        """Return one of the costs. A space may compute it without computing the others."""
        return self.costs(values)[name]

    def features(self, values):
        """Return a float array `(features,)` from which a latency can be predicted."""
        raise NotImplementedError

    def build(self, hp):
        """Return the uncompiled network.

        Args:
            hp: `keras_tuner.HyperParameters`, any other object with `.values`, or a dict of values.
        """
        raise NotImplementedError

    def clip(self, values):
        """Return `(frames, height, width, frame_stride)` of the clips that the network takes.

        `None` means that clips are used as they are.
        """
        return None

    def fit(self, hp, model, x=None, y=None, validation_data=None, **kwargs):
        """Train a network on clips that are cut to its number of frames, frame stride and size.

        One data set of long, large clips serves all networks of the space. Each network takes every
        `frame_stride`-th frame from the middle of a clip, resized with antialiasing.

        Args:
            hp: see `build`.
            model: the compiled result of `build`.
            x, y: arrays `(clips, frames, height, width, 3)` and `(clips,)`; or only `x`, a
                `keras.utils.PyDataset` of such pairs.
            validation_data: pair of arrays, or a `PyDataset`.
            **kwargs: further arguments of `model.fit`.

        Returns:
            The `History`.

        Raises:
            ValueError: if the clips have too few frames.
        """
        clip = self.clip(values_of(hp))
        if clip is not None:
            x = adapt(x, *clip)
            if isinstance(validation_data, (tuple, list)):
                first, *rest = validation_data
                validation_data = (adapt(first, *clip), *rest)
            elif validation_data is not None:
                validation_data = adapt(validation_data, *clip)
        return model.fit(x, y, validation_data=validation_data, **kwargs)


def values_of(hp):
    """Return the dict of values of `HyperParameters` or of a dict, without the tuner's keys."""
    values = hp if isinstance(hp, dict) else getattr(hp, "values", None)
    if not isinstance(values, dict):
        raise ValueError(
            f"hp: expected HyperParameters or a dict of values, got {type(hp).__name__}."
        )
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}


# Clips

CHUNK = 64  # frames that are resized at a time; limits the memory of their float copies


def adapt(data, frames, height, width, frame_stride):
    """Cut an array of clips, or the batches of a data set, to the clip of a network.

    Args:
        data: array `(clips, frames, height, width, 3)`, or a `keras.utils.PyDataset` of tuples that
            begin with such an array.
        frames, height, width, frame_stride: ints, see `cut`.

    Returns:
        An array, or a `PyDataset`.

    Raises:
        ValueError: if `data` is neither, or if the clips have too few frames.
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
    """Take every `frame_stride`-th frame from the middle of clips, and resize them.

    Args:
        clips: array `(clips, frames, height, width, channels)`; may be memory-mapped.
        frames: int, number of frames to take.
        height, width: ints, new size in pixels.
        frame_stride: int, distance between two of these frames.

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
            f"{frame_stride}, got {clips.shape[1]}. The argument video_frames of the space "
            "excludes networks that need more."
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
    """Return the float32 matrix `(new_length, length)` of a bilinear resize with antialiasing.

    Pixel centres lie at half integers. When the image shrinks, the triangle of weights is widened
    by the same factor.
    """
    scale = length / new_length
    centres = (np.arange(new_length) + 0.5) * scale - 0.5
    distances = np.abs(np.arange(length) - centres[:, None]) / max(scale, 1.0)
    weights = np.maximum(0, 1 - distances)
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")


class _Adapted(keras.utils.PyDataset):
    """A data set whose clips are cut when a batch is read."""

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


# Features

KERNELS = (2, 3, 4, 5, 6, 7, 8)
KINDS = ("pointwise", "conv", "depthwise", "temporal", "pool", "temporal_pool", "gate", "non_local")
BY_KERNEL = ("conv", "depthwise", "temporal", "pool")
NAMES = (
    *(f"{kind}_work" for kind in KINDS),
    *(f"{kind}{kernel}_work" for kind in BY_KERNEL for kernel in KERNELS),
    *(f"{kind}_traffic" for kind in KINDS),
    "layers",
)  # fmt: skip


def layer_features(config, classes):
    """Sum work and memory traffic over the layers of a network, by kind and kernel size.

    Multiply-adds alone predict time badly: one multiply-add of a depthwise or a 7x7 kernel takes
    longer than one of a 1x1 convolution. Work means multiply-adds; for a pooling layer it is the
    number of kernel cells read. Traffic is the number of values that a layer reads and writes.

    Args:
        config: config with the methods `plan(classes)` and `trace(clip, classes)`.
        classes: int.

    Returns:
        Float array `(len(NAMES),)`, in millions; `"layers"` in hundreds.
    """
    sums = dict.fromkeys(NAMES, 0.0)
    rows = {row.name: row for row in config.plan(classes).rows()}
    for step in config.trace(config.clip, classes):
        row = rows[step.name]
        if isinstance(row, Scale):  # computed together with the sum that follows
            continue
        kind, kernel = _kind(row)
        work = step.alive * kernel if isinstance(row, Pool) else step.macs
        sums[f"{kind}_work"] += work
        sums[f"{kind}_traffic"] += step.alive
        if kind in BY_KERNEL:
            sums[f"{kind}{min(max(kernel, KERNELS[0]), KERNELS[-1])}_work"] += work
        sums["layers"] += 1e4
    return np.array([sums[name] for name in NAMES]) / 1e6


def _kind(row):
    """Return the kind of a row and its kernel size."""
    if isinstance(row, (SqueezeExcite, ContextGate, Dense)):
        return "gate", 1
    if isinstance(row, (NonLocal, GloRe)):
        return "non_local", 1
    if isinstance(row, (TimeStridedSampling, TimeToChannel)):
        return "temporal_pool", 1
    temporal, spatial = row.kernel[0], row.kernel[1]
    if isinstance(row, Pool):
        return ("temporal_pool", temporal) if temporal > 1 else ("pool", spatial)
    if isinstance(row, Depthwise):
        return "depthwise", spatial
    if isinstance(row, Conv) and temporal > 1:
        return "temporal", temporal
    return ("conv", spatial) if spatial > 1 else ("pointwise", 1)
