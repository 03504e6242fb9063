"""Ranges of activations from clips: what a form's tensors take on, and how much of it int8 keeps.

The clip form of a streaming network computes, frame by frame, what a stream computes from its first
frame on. Calibration on clips therefore is calibration on roll-outs, running means and remembered
frames included.
"""

import keras
import numpy as np
from keras import ops

from keras_video.mobile.fake_quantization import LEVELS, holding_zero
from keras_video.mobile.insertion import insert

BINS = 2048
CLIPPED = np.linspace(1.0, 0.5, 26)  # parts of the extremes that are tried as ends of a range


def calibrate(form, clips, keep_float=(), pixels=None):
    """Chooses the range of every tensor that int8 rounds.

    Of the observed values a histogram is made; the range is the one within the extremes that
    changes them least in the mean square, rounding and clipping together.

    Args:
        form: trainable clip form from `mobile_form`.
        clips: list of arrays `(batch, frames, height, width, 3)`, as `check_clips` returns them.
        keep_float: names of layers of the form that compute in float.
        pixels: number, the largest value of a pixel: 255 or 1. `None` observes it.

    Returns:
        `{range name: (smallest, largest)}`.
    """
    probe, names = observer(form, keep_float)
    extremes = {name: (0.0, 0.0) for name in names}
    for batch in clips:
        for name, values in zip(names, probe.predict_on_batch(batch), strict=True):
            low, high = extremes[name]
            extremes[name] = (min(low, float(values.min())), max(high, float(values.max())))
    for name, (low, high) in extremes.items():
        if not np.isfinite((low, high)).all():
            raise ValueError(f"representative_data: {name} is not finite for these clips.")
        if low == high:  # a tensor that is zero for all clips
            extremes[name] = (0.0, 1.0)
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    for batch in clips:
        for name, values in zip(names, probe.predict_on_batch(batch), strict=True):
            counts[name] += np.histogram(values, BINS, extremes[name])[0]
    ranges = {name: best_range(counts[name], *extremes[name]) for name in names}
    if pixels is not None:
        ranges["frames_range"] = (0.0, float(pixels))
    return ranges


def observer(form, keep_float=()):
    """A model of the form's tensors that int8 would round, and the names of their ranges."""
    copy = insert(form, lambda name: _Watch(name=name), keep_float, round_kernels=False)
    watches = [layer for layer in copy.layers if isinstance(layer, _Watch)]
    return keras.Model(copy.inputs, [w.output for w in watches]), [w.name for w in watches]


class _Watch(keras.layers.Layer):
    """Marks a tensor."""

    def __init__(self, name):
        super().__init__(name=name, dtype="float32")

    def call(self, inputs):
        return inputs


def best_range(counts, low, high):
    """The range within `[low, high]` of the smallest mean square error.

    Args:
        counts: histogram over `[low, high]`, which holds zero.
    """
    width = (high - low) / len(counts)
    centres = low + width * (np.arange(len(counts)) + 0.5)
    used = counts > 0
    centres, weights = centres[used], counts[used] / counts.sum()
    best, least = (low, high), np.inf
    for a in CLIPPED if low < 0 else (1.0,):
        for b in CLIPPED if high > 0 else (1.0,):
            outside = np.maximum(a * low - centres, 0.0) + np.maximum(centres - b * high, 0.0)
            inside = outside == 0
            step = (b * high - a * low) / LEVELS
            error = np.dot(weights, outside**2) + weights[inside].sum() * step**2 / 12
            if error < least:
                best, least = (a * low, b * high), error
    return holding_zero(*best)


def check_clips(data, shape, argument="representative_data"):
    """Clips as a list of float32 batches, or one error that names the argument.

    Args:
        data: array of clips, or an iterable of batches: arrays, or tuples that begin with one, as
            data sets with labels give them.
        shape: `(frames, height, width, channels)`; frames may be `None`, the same for all then.
    """
    expected = f"{argument}: expected clips (batch, {', '.join(str(n or 'frames') for n in shape)})"
    if data is None:
        raise ValueError(f"{expected} like those that the network will see, got None.")
    if hasattr(data, "shape"):
        data = [data[i : i + 1] for i in range(len(data))] if data.shape else [data]
    elif isinstance(data, keras.utils.PyDataset):
        data = (data[i] for i in range(len(data)))
    elif not hasattr(data, "__iter__") or isinstance(data, (str, bytes, dict)):
        raise ValueError(f"{expected}, got {type(data).__name__}.")
    batches = []
    for batch in data:
        if isinstance(batch, (tuple, list)) and len(batch):
            batch = batch[0]
        batch = np.asarray(ops.convert_to_numpy(batch))
        if batch.ndim != 5 or 0 in batch.shape:
            raise ValueError(f"{expected}, got a batch of shape {batch.shape}.")
        shape = (shape[0] or batch.shape[1], *shape[1:])
        if batch.shape[1:] != tuple(shape):
            raise ValueError(f"{expected}, all of {tuple(shape)}, got {batch.shape[1:]}.")
        if batch.dtype.kind not in "uif" or not np.isfinite(batch).all():
            raise ValueError(f"{expected} of finite numbers, got {batch.dtype} with others.")
        batches.append(batch.astype("float32"))
    if not batches:
        raise ValueError(f"{expected}, got no clip.")
    return batches
