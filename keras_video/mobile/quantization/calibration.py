"""Calibration: ranges of activations from clips, chosen so that int8 changes them least.

Clip forms see whole clips. Stream forms roll over them frame by frame, with the states that they
compute themselves: the first frames alone, with their empty states, would show too little. The
representative clips are checked first and split into batches.
"""

import keras
import numpy as np
from keras import ops

from keras_video.mobile.primitives import Refold, ShiftedRelu6
from keras_video.mobile.quantization.fake_quantization import LEVELS, FakeQuantize, holding_zero
from keras_video.mobile.quantization.insertion import (
    insert,
    known_ranges,
    ranges_of,
    round_kernels,
)
from keras_video.mobile.rewriting import Graph
from keras_video.mobile.runner import append

MOST = 256  # clips that are taken from an iterable, which may be endless
BATCH_PIXELS = 2**19
CLOCKS = ("inverse_count", "position")  # inputs of stream forms that are no state


def clips_of(data, shape, streaming, pixels=None):
    """Return representative clips as one float32 array `(clips, frames, height, width, 3)`.

    Args:
        data: array of that shape, or an iterable of such batches, with or without labels. At most
            256 clips of an iterable are taken, in whole batches.
        shape: `(frames, height, width, 3)` of the model. For streams, clips may be longer.
        streaming: bool, whether the clips are for a stream.
        pixels: number, the largest value of a pixel, 255 or 1, or `None` if it is not known. Clips
            in the other range are refused: with their ranges every real frame would be black or
            white.

    Raises:
        ValueError: for other data, shapes, pixels that are not finite, or no clips.
    """
    parts = [data] if hasattr(data, "shape") else _parts(data)
    expected = (f"{shape[0]} or more" if streaming else shape[0], *shape[1:])
    for batch in parts:
        frames = batch.shape[1] if batch.ndim == 5 else 0
        fits = frames >= shape[0] if streaming else frames == shape[0]
        if batch.ndim != 5 or batch.shape[2:] != tuple(shape[1:]) or not fits or not len(batch):
            raise ValueError(
                "representative_data: expected clips of shape (clips, "
                f"{', '.join(map(str, expected))}), got {batch.shape}."
            )
    if not parts:
        raise ValueError("representative_data: expected clips, got none.")
    if len({batch.shape[1] for batch in parts}) > 1:
        raise ValueError("representative_data: expected clips of one length, got several lengths.")
    clips = np.concatenate(parts).astype("float32")
    if not np.isfinite(clips).all():
        raise ValueError("representative_data: expected finite pixels, got NaN or infinity.")
    largest = float(clips.max())
    if (pixels == 1 and largest > 1.5) or (pixels == 255 and 0 < largest <= 1.0):
        raise ValueError(
            f"representative_data: expected pixels from 0 to {pixels}, as the model takes them, "
            f"got at most {largest:g}."
        )
    return clips


def pixel_range(model):
    """Return the largest value of a pixel, 255 or 1, or `None` if the model does not tell."""
    info = getattr(model, "info", None) or {}
    return info.get("pixels")


def _parts(data):
    try:
        iterator = iter(data)
    except TypeError:
        raise ValueError(
            f"representative_data: expected an array or an iterable of clips, got {data!r}."
        ) from None
    parts, count = [], 0
    for batch in iterator:
        batch = batch[0] if isinstance(batch, (tuple, list)) else batch
        batch = np.asarray(ops.convert_to_numpy(batch) if hasattr(batch, "dtype") else batch)
        parts.append(batch)
        count += len(batch) if batch.ndim else 1
        if count >= MOST:
            break
    return parts


def batches(clips):
    """Split an array of clips into batches of about the same size.

    All tensors of a network for one batch have to fit into memory.
    """
    most = max(1, BATCH_PIXELS // int(np.prod(clips.shape[1:4])))
    size = -(-len(clips) // -(-len(clips) // most))
    return [clips[i : i + size] for i in range(0, len(clips), size)]


def roll(form, clips, step):
    """Run a stream form over clips, frame by frame, from the empty state at the start of each.

    Args:
        form: stream form from `mobile_form`, or a model with the same inputs.
        clips: array `(clips, frames, height, width, 3)`. If the form takes one frame at a time,
            several clips run at once.
        step: function of the inputs, arrays by name. It returns a pair of anything and the outputs
            of the form, arrays by name.

    Yields:
        Pairs of the inputs of a step and what `step` returned.
    """
    shapes = {tensor.name: tuple(tensor.shape) for tensor in form.inputs}
    frames = shapes["frames"][0]
    states = [name for name in shapes if name not in ("frames", *CLOCKS)]
    size = len(batches(clips[:, :1])[0]) if frames == 1 else 1
    for first in range(0, len(clips), size):
        batch = clips[first : first + size]
        state = {name: np.zeros((len(batch), *shapes[name][1:]), "float32") for name in states}
        for i in range(0, clips.shape[1] - frames + 1, frames):
            pixels = batch[:, i : i + frames].reshape(-1, *batch.shape[2:])
            inputs = {"frames": pixels, **_clocks(shapes, i, frames)}
            inputs |= {name: value.copy() for name, value in state.items()}
            result = step(inputs)
            yield inputs, result
            for name, value in state.items():
                append(value, np.asarray(result[1][name]))


def _clocks(shapes, seen, frames):
    """Return the inputs that count frames, `inverse_count` and `position`, if the form has them."""
    numbers = (seen + np.arange(1, frames + 1)).reshape(-1, 1, 1, 1)
    values = {"inverse_count": 1.0 / numbers, "position": numbers - 1.0}
    return {k: v.astype("float32") for k, v in values.items() if k in shapes}


def stream_inputs(form, clips, streaming):
    """Return a function that gives the inputs of a form in operation, for the converter.

    Args:
        form: from `mobile_form` with `stream` or `flat`.
        clips: array `(clips, frames, height, width, 3)`.
        streaming: bool, whether the form is a stream form.

    Returns:
        A function without arguments that returns an iterator of arrays by name.
    """

    def inputs_of_clips():
        if not streaming:
            yield from ({"frames": clip} for clip in clips)
            return
        for clip in clips:
            for inputs, _ in roll(form, clip[None], lambda x: (None, form.predict_on_batch(x))):
                yield inputs

    return inputs_of_clips


BINS = 2048
CLIPPED = np.geomspace(1.0, 0.1, 41)  # shares of the extremes that are tried as ends of a range


class OpenRange(FakeQuantize):
    """A range that lets its input pass until `close` gives it limits. It has no weights."""

    def build(self, input_shape):
        pass

    def call(self, inputs):
        return inputs if self.limits is None else super().call(inputs)

    def close(self, smallest, largest):
        """Set the limits. Compiled models keep what they had: compile them again."""
        self.limits = holding_zero(smallest, largest)


def with_open_ranges(form, keep_float=(), every_frame=False):
    """Copy a form with an `OpenRange` wherever an int8 runtime rounds, see `insert`."""

    def make_range(name):
        return OpenRange(name=name, dtype="float32")

    return insert(form, make_range, keep_float, every_frame=every_frame)


def quantized(form, clips, keep_float=(), pixels=None):
    """Quantize a form for its file: collect ranges on it, then round activations and kernels.

    Args:
        form: clip or stream form from `mobile_form`.
        clips: array `(clips, frames, height, width, 3)`.
        keep_float: names of layers of the form that compute in float.
        pixels: number, the largest value of a pixel, 255 or 1. `None` observes it.

    Returns:
        The form with fake quantization and rounded kernels, ready for the converter.
    """
    copy = with_open_ranges(form, keep_float)
    for name, limits in find_ranges(copy, clips, pixels).items():
        copy.get_layer(name).close(*limits)
    round_kernels(copy)
    return copy


def calibrate(form, clips, keep_float=(), pixels=None, every_frame=False):
    """Choose the range of every tensor that int8 rounds.

    Args:
        form, clips, keep_float, pixels: see `quantized`.
        every_frame: bool, whether a causal clip form is observed after each frame, as a stream
            answers. Means of the first few frames can be far from zero.

    Returns:
        `{range name: (smallest, largest)}`.

    Raises:
        ValueError: if a tensor is not finite.
    """
    return find_ranges(with_open_ranges(form, keep_float, every_frame), clips, pixels)


def find_ranges(copy, clips, pixels=None):
    """Choose the ranges of a copy from `with_open_ranges`.

    A histogram is made of the values of each tensor. The range is the one within the extremes that
    changes the values least in the mean square, by rounding and clipping together. If only a hard
    swish sees a tensor, the change of its result counts: it ignores values below -3.

    Returns:
        `{range name: (smallest, largest)}`.
    """
    probe, names = observer(copy)
    extremes = dict.fromkeys(names, (0.0, 0.0))
    for tensors in observe(probe, clips):
        for name, values in zip(names, tensors, strict=True):
            low, high = extremes[name]
            extremes[name] = (min(low, float(values.min())), max(high, float(values.max())))
    for name, (low, high) in extremes.items():
        if not np.isfinite((low, high)).all():
            raise ValueError(
                f"representative_data: expected clips that the model computes finite numbers for, "
                f"got others at {name.removesuffix('_range')}."
            )
        if low == high:  # a tensor that is zero for all clips
            extremes[name] = (0.0, 1.0)
    counts = {name: np.zeros(BINS, np.int64) for name in names}
    for tensors in observe(probe, clips):
        for name, values in zip(names, tensors, strict=True):
            counts[name] += np.histogram(values, BINS, extremes[name])[0]
    effects = dict.fromkeys(seen_by_hard_swish(copy), hard_swish)
    ranges = {name: best_range(counts[name], *extremes[name], effects.get(name)) for name in names}
    return ranges | {k: v for k, v in known_ranges(copy, pixels).items() if k in ranges}


def observer(copy):
    """Return a model that also gives the tensors at the ranges of a copy, and their names.

    The model returns `([tensor, ...], outputs of the copy)`.
    """
    ranges = ranges_of(copy)
    outputs = [layer.output for layer in ranges.values()]
    return keras.Model(copy.input, (outputs, copy.output)), list(ranges)


def observe(probe, clips):
    """Yield the lists of tensors that a model of `observer` gives for clips, batch by batch."""
    step = probe.predict_on_batch
    if not isinstance(probe.input, dict):
        for batch in batches(clips):
            yield step(batch)[0]
    elif len(probe.input) > 1:  # frames and a state
        for _, (tensors, _) in roll(probe, clips, step):
            yield tensors
    else:
        for batch in batches(clips):
            yield step({"frames": batch.reshape(-1, *batch.shape[2:])})[0]


def seen_by_hard_swish(copy):
    """Return the names of the ranges whose tensor is only used in `x * relu6(x + 3)`."""
    graph = Graph(copy)
    found = []
    for name, layer in ranges_of(copy).items():
        users = _users(graph, layer.output)
        gates = [user for user in users if isinstance(user, ShiftedRelu6)]
        products = [user for user in users if isinstance(user, keras.layers.Multiply)]
        if len(users) == 2 and len(gates) == len(products) == 1:
            (gate_range,) = graph.users(gates[0].output)
            if products[0] in _users(graph, gate_range.output):
                found.append(name)
    return found


def _users(graph, tensor):
    """Return the layers that compute with a tensor, also those that take it reshaped."""
    found = []
    for layer in graph.users(tensor):
        found += _users(graph, layer.output) if isinstance(layer, Refold) else [layer]
    return found


def hard_swish(x):
    """Compute six times the hard swish of an array."""
    return x * np.clip(x + 3.0, 0.0, 6.0)


def best_range(counts, low, high, effect=None):
    """Find the range within `[low, high]` of the smallest mean square error.

    Args:
        counts: int array, a histogram over `[low, high]`, which contains zero.
        low, high: floats.
        effect: function of arrays. The error is measured on its values; `None` is the identity.

    Returns:
        `(smallest, largest)`.
    """
    effect = effect or (lambda x: x)
    width = (high - low) / len(counts)
    centres = low + width * (np.arange(len(counts)) + 0.5)
    used = counts > 0
    centres, weights = centres[used], counts[used] / counts.sum()
    values = effect(centres)
    slopes = (effect(centres + 1e-4 * width) - effect(centres - 1e-4 * width)) / (2e-4 * width)
    rounding = np.append(0.0, np.cumsum(weights * slopes**2 / 12))  # times the square of a step

    def clipping(ends, outside):
        errors = np.where(outside, (effect(ends)[:, None] - values) ** 2, 0.0)
        return errors @ weights

    # The two ends clip different values, so that their errors add up.
    lows = low * (CLIPPED if low < 0 else np.ones(1))
    highs = high * (CLIPPED if high > 0 else np.ones(1))
    errors = clipping(lows, centres < lows[:, None])[:, None]
    errors = errors + clipping(highs, centres > highs[:, None])
    first, last = np.searchsorted(centres, lows), np.searchsorted(centres, highs, "right")
    steps = (highs - lows[:, None]) / LEVELS
    errors += (rounding[last] - rounding[first][:, None]) * steps**2
    i, j = np.unravel_index(errors.argmin(), errors.shape)
    return holding_zero(lows[i], highs[j])
