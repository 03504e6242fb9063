"""Ranges of activations from clips: what a form's tensors take on, and how much of it int8 keeps.

The clip form of a streaming network computes, frame by frame, what a stream computes from its first
frame on. Calibration on clips therefore is calibration on roll-outs, running means and remembered
frames included.
"""

import keras
import numpy as np

from keras_video.mobile.primitives import Refold, ShiftedRelu6
from keras_video.mobile.quantization.fake_quantization import LEVELS, holding_zero
from keras_video.mobile.quantization.insertion import insert, known_ranges

BATCH_PIXELS = 2**19
BINS = 2048
CLIPPED = np.geomspace(1.0, 0.1, 41)  # parts of the extremes that are tried as ends of a range


def calibrate(form, clips, keep_float=(), pixels=None, every_frame=False):
    """Chooses the range of every tensor that int8 rounds.

    Of the observed values a histogram is made; the range is the one within the extremes that
    changes them least in the mean square, rounding and clipping together. What only a hard swish
    sees counts by what it makes of it: below -3 nothing is left.

    Args:
        form: trainable clip form from `mobile_form`.
        clips: array `(clips, frames, height, width, 3)`.
        keep_float: names of layers of the form that compute in float.
        pixels: number, the largest value of a pixel: 255 or 1. `None` observes it.
        every_frame: bool, for streams: what they answer after each frame of a clip counts, the
            first one as well, when means of few frames are far from zero.

    Returns:
        `{range name: (smallest, largest)}`.
    """
    probe, names = observer(form, keep_float, every_frame)
    extremes = {name: (0.0, 0.0) for name in names}
    for batch in batches(clips):
        for name, values in zip(names, probe.predict_on_batch(batch), strict=True):
            low, high = extremes[name]
            extremes[name] = (min(low, float(values.min())), max(high, float(values.max())))
    for name, (low, high) in extremes.items():
        if not np.isfinite((low, high)).all():
            raise ValueError(
                f"model: expected finite numbers for the representative_data, got others at {name}."
            )
        if low == high:  # a tensor that is zero for all clips
            extremes[name] = (0.0, 1.0)
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    for batch in batches(clips):
        for name, values in zip(names, probe.predict_on_batch(batch), strict=True):
            counts[name] += np.histogram(values, BINS, extremes[name])[0]
    effects = dict.fromkeys(seen_by_hard_swish(probe), hard_swish)
    ranges = {name: best_range(counts[name], *extremes[name], effects.get(name)) for name in names}
    return ranges | {k: v for k, v in known_ranges(form, pixels).items() if k in ranges}


def batches(clips):
    """Pieces of an array of clips: all tensors of a network have to fit into memory at once."""
    size = max(1, BATCH_PIXELS // int(np.prod(clips.shape[1:4])))
    return [clips[i : i + size] for i in range(0, len(clips), size)]


def observer(form, keep_float=(), every_frame=False):
    """A model of the form's tensors that int8 would round, and the names of their ranges."""
    copy = insert(form, lambda name: _Watch(name=name), keep_float, False, every_frame)
    watches = [layer for layer in copy.layers if isinstance(layer, _Watch)]
    return keras.Model(copy.inputs[0], [w.output for w in watches]), [w.name for w in watches]


class _Watch(keras.layers.Layer):
    """Marks a tensor."""

    def __init__(self, name):
        super().__init__(name=name, dtype="float32")

    def call(self, inputs):
        return inputs


def seen_by_hard_swish(probe):
    """Names of the watched tensors that go nowhere but into `x * relu6(x + 3)`."""
    found = []
    for watch in probe.layers:
        if isinstance(watch, _Watch):
            users = _users(watch.output)
            gates = [layer for layer in users if isinstance(layer, ShiftedRelu6)]
            products = [layer for layer in users if isinstance(layer, keras.layers.Multiply)]
            if len(users) == 2 and len(gates) == len(products) == 1:
                if products[0] in _users(_users(gates[0].output)[0].output):
                    found.append(watch.name)
    return found


def _users(tensor):
    """The layers that compute with a tensor, also where it is reshaped before."""
    found = []
    for node in tensor._keras_history.operation._outbound_nodes:
        layer = node.operation
        found += _users(layer.output) if isinstance(layer, Refold) else [layer]
    return found


def hard_swish(x):
    """Six times the hard swish, of arrays."""
    return x * np.clip(x + 3.0, 0.0, 6.0)


def best_range(counts, low, high, effect=None):
    """The range within `[low, high]` of the smallest mean square error.

    Args:
        counts: histogram over `[low, high]`, which holds zero.
        effect: function of arrays whose values the error is measured on; `None` for the identity.
    """
    effect = effect or (lambda x: x)
    width = (high - low) / len(counts)
    centres = low + width * (np.arange(len(counts)) + 0.5)
    used = counts > 0
    centres, weights = centres[used], counts[used] / counts.sum()
    slopes = (effect(centres + 1e-4 * width) - effect(centres - 1e-4 * width)) / (2e-4 * width)
    rounding = weights * slopes**2 / 12  # times the square of a step
    best, least = (low, high), np.inf
    for a in CLIPPED if low < 0 else (1.0,):
        for b in CLIPPED if high > 0 else (1.0,):
            clipped = np.clip(centres, a * low, b * high)
            inside = clipped == centres
            step = (b * high - a * low) / LEVELS
            error = np.dot(weights, (effect(clipped) - effect(centres)) ** 2)
            error += rounding[inside].sum() * step**2
            if error < least:
                best, least = (a * low, b * high), error
    return holding_zero(*best)
