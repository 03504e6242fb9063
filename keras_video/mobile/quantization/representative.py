"""Representative clips: checked, split into batches, and fed to a form as in operation."""

import numpy as np
from keras import ops

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
