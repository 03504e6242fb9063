"""Clips that show a quantizer what a network will see."""

import numpy as np
from keras import ops

from keras_video.mobile.rewriting import state_of
from keras_video.mobile.runner import append

MOST = 256  # clips that are kept of an endless iterable


def clips_of(data, shape, streaming, pixels=None):
    """Clips as one array `(clips, frames, height, width, 3)`.

    Args:
        data: such an array, or an iterable of batches, with or without labels.
        shape: `(frames, height, width, 3)` of the network; streams take clips of any length.
        pixels: number, the largest value of a pixel, 255 or 1, where the network says so. Clips in
            the other range would give ranges in which every real frame is black or white.

    Raises:
        ValueError: if it is something else, or empty.
    """
    batches = [data] if hasattr(data, "shape") else _batches(data)
    expected = (f"{shape[0]} or more" if streaming else shape[0], *shape[1:])
    for batch in batches:
        frames = batch.shape[1] if batch.ndim == 5 else 0
        fits = frames >= shape[0] if streaming else frames == shape[0]
        if batch.ndim != 5 or batch.shape[2:] != tuple(shape[1:]) or not fits or not len(batch):
            raise ValueError(
                "representative_data: expected clips of shape (clips, "
                f"{', '.join(map(str, expected))}), got {batch.shape}."
            )
    if not batches:
        raise ValueError("representative_data: expected clips, got none.")
    if len({batch.shape[1] for batch in batches}) > 1:
        raise ValueError("representative_data: expected clips of one length, got several.")
    clips = np.concatenate(batches).astype("float32")
    if not np.isfinite(clips).all():
        raise ValueError("representative_data: expected finite pixels, got others.")
    largest = float(clips.max())
    if (pixels == 1 and largest > 1.5) or (pixels == 255 and 0 < largest <= 1.0):
        raise ValueError(
            f"representative_data: expected pixels from 0 to {pixels}, as the network takes them, "
            f"got at most {largest:g}."
        )
    return clips


def pixel_range(model):
    """The largest value of a pixel, where the model says so."""
    info = getattr(model, "info", None) or {}
    return info.get("pixels")


def _batches(data):
    try:
        iterator = iter(data)
    except TypeError:
        raise ValueError(
            f"representative_data: expected an array or an iterable of clips, got {data!r}."
        ) from None
    batches, count = [], 0
    for batch in iterator:
        batch = batch[0] if isinstance(batch, (tuple, list)) else batch
        batch = np.asarray(ops.convert_to_numpy(batch) if hasattr(batch, "dtype") else batch)
        batches.append(batch)
        count += len(batch) if batch.ndim else 1
        if count >= MOST:
            break
    return batches


def stream_inputs(form, clips, streaming):
    """A function that gives the inputs of a form in operation, step by step.

    Streams roll over each clip with the state that the form itself computes: the first frames of
    streams, with their empty states, would show the quantizer too little.

    Args:
        form: from `mobile_form` with `stream` or `flat`.
        clips: array `(clips, frames, height, width, 3)`.

    Returns:
        A function without arguments that returns an iterator of dicts by name.
    """
    shapes = {tensor.name: tuple(tensor.shape) for tensor in form.inputs}
    frames = shapes["frames"][0]

    def roll():
        for clip in clips:
            if not streaming:
                yield {"frames": clip}
                continue
            state = {name: np.zeros(s, "float32") for name, s in state_of(form).items()}
            for i in range(0, len(clip) - frames + 1, frames):
                inputs = {"frames": clip[i : i + frames], **_clocks(shapes, i, frames)}
                inputs |= {name: value.copy() for name, value in state.items()}
                yield inputs
                outputs = form({k: ops.convert_to_tensor(v) for k, v in inputs.items()})
                for name, value in state.items():
                    append(value, ops.convert_to_numpy(outputs[name]))

    return roll


def _clocks(shapes, seen, frames):
    """The inputs that count: `inverse_count` and `position`, where the form has them."""
    numbers = (seen + np.arange(1, frames + 1)).reshape(-1, 1, 1, 1)
    values = {"inverse_count": 1.0 / numbers, "position": numbers - 1.0}
    return {k: v.astype("float32") for k, v in values.items() if k in shapes}
