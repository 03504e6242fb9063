"""`Space`: what a search needs to know of a family of networks.

Clips cut to what a network takes, so that one data set serves networks of every size.

What of a network tells its latency: multiply-adds by kind of layer and kernel, and traffic.
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


class Slots(NamedTuple):
    """A group of copies that can grow and shrink, as the blocks of a network do.

    Args:
        count: name of the hyperparameter that says how many there are.
        prefix: what the names of a copy's hyperparameters begin with: `prefix`, a number, `"/"`.
        start: int, number of the first copy.
    """

    count: str
    prefix: str
    start: int = 0


class Space(keras_tuner.HyperModel):
    """A family of networks: hyperparameters, their costs without building, the built network.

    `values` is everywhere the plain dict of the active hyperparameters. Keys that begin with
    `"tuner/"` are the tuner's own.

    Attributes:
        name: string, written into the project, so that a search is not continued in another space.
        slots: tuple of `Slots`. The copies of a group must be declared alike, each on the
            condition that the count is large enough.
    """

    slots = ()

    def declare(self, hp):
        """Declares all hyperparameters with their conditions, in one pass; builds nothing.

        Args:
            hp: `keras_tuner.HyperParameters`.
        """
        raise NotImplementedError

    def invalid(self, values):
        """`None`, or a string that says why these values make no network."""
        return None

    def costs(self, values):
        """`{"macs": int, "params": int, "memory": bytes}`, from the values alone."""
        raise NotImplementedError

    def cost(self, values, name):
        """One of the costs; a space may count it without the others."""
        return self.costs(values)[name]

    def features(self, values):
        """Float array `(features,)` of the values, from which a latency can be predicted."""
        raise NotImplementedError

    def build(self, hp):
        """The uncompiled network.

        Args:
            hp: `keras_tuner.HyperParameters`, anything else with `.values`, or a dict of values.
        """
        raise NotImplementedError

    def clip(self, values):
        """`(frames, height, width, frame_stride)` of the clips the network takes.

        `None` stands for clips that are taken as they come.
        """
        return None

    def fit(self, hp, model, x=None, y=None, validation_data=None, **kwargs):
        """Trains a network on clips cut to its own frames, frame stride and size.

        One data set of long, large clips then serves all networks of the space: each sees every
        `frame_stride`-th frame from the middle of a clip, resized with antialiasing.

        Args:
            hp: as in `build`.
            model: what `build` returned, compiled.
            x, y: arrays `(clips, frames, height, width, 3)` and `(clips,)`; or `x` alone, a
                `keras.utils.PyDataset` of such pairs.
            validation_data: the pair of arrays, or a `PyDataset`.
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
    """The dict of values of a `HyperParameters`, or the dict itself, without the tuner's keys."""
    values = hp if isinstance(hp, dict) else getattr(hp, "values", None)
    if not isinstance(values, dict):
        raise ValueError(
            f"hp: expected HyperParameters or a dict of values, got {type(hp).__name__}."
        )
    return {name: value for name, value in values.items() if not name.startswith("tuner/")}


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
    """Sums over a network's layers, by their kind and kernel size.

    Multiply-adds alone say little about time: a multiply-add of a depthwise or a 7x7 kernel takes
    longer than one of a 1x1 convolution. The work of a pooling is its kernel's cells, that of
    other layers their multiply-adds; the traffic is the values they read and write.

    Args:
        config: config whose `plan(classes)` and `trace(clip, classes)` give rows and steps.
        classes: int.

    Returns:
        Float array `(len(NAMES),)`, in millions; `"layers"` in hundreds.
    """
    sums = dict.fromkeys(NAMES, 0.0)
    rows = {row.name: row for row in config.plan(classes).rows()}
    for step in config.trace(config.clip, classes):
        row = rows[step.name]
        if isinstance(row, Scale):  # done beside the sum
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
    """The kind of a row, and its kernel size."""
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
