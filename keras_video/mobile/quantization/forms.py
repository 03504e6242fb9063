"""Mobile forms for int8: how they are built, given ranges, and which layers stay in float."""

import numpy as np

from keras_video.mobile.quantization.calibration import batches
from keras_video.mobile.quantization.fake_quantization import FakeQuantize
from keras_video.mobile.quantization.insertion import insert, round_kernels
from keras_video.mobile.rewriting import mobile_form


def clip_form(model, frames):
    """Return the trainable clip form, with hard swish as int8 computes it."""
    return mobile_form(model, frames=frames, hard_swish="folded")


def file_form(model, stream=False, frames=None):
    """Return the form that a file is made from, with hard swish as int8 computes it."""
    return mobile_form(model, stream, frames, flat=not stream, hard_swish="folded")


def with_ranges(form, ranges, keep_float=()):
    """Copy a form, with these ranges and with rounded kernels.

    Args:
        form: Functional model from `mobile_form`.
        ranges: `{range name: (smallest, largest)}`.
        keep_float: names of layers of the form that compute in float.

    Raises:
        ValueError: if a range is missing.
    """

    def make_range(name):
        if name not in ranges:
            raise ValueError(f"ranges: expected a range {name} for {form.name}, got none.")
        return FakeQuantize(ranges[name], dtype="float32", name=name)

    copy = insert(form, make_range, keep_float)
    round_kernels(copy)
    return copy


def kept_layers(form, model, names):
    """Return the names of the layers of a form that come from these layers of the model.

    Args:
        form: Functional model from `mobile_form`.
        model: the model that the form was made from.
        names: iterable of names of layers of `model`, or one name.

    Raises:
        ValueError: for names that the model does not have.
    """
    names = [names] if isinstance(names, str) else list(names)
    sources = source_layers(form, model)
    unknown = [name for name in names if name not in sources.values()]
    if unknown:
        known = sorted(set(sources.values()))
        raise ValueError(f"keep_float: expected names among {known}, got {unknown}.")
    return tuple(layer for layer, source in sources.items() if source in names)


def source_layers(form, model):
    """Return `{name of a layer of the form: name of the layer of the model it comes from}`."""
    names = sorted((layer.name for layer in model.layers), key=len, reverse=True)
    found = {}
    for layer in form.layers:
        for name in names:
            if layer.name == name or layer.name.startswith(f"{name}_"):
                found[layer.name] = name
                break
    return found


def predictions(form, clips):
    """Return the predictions of a trainable clip form for an array of clips."""
    return np.concatenate([np.asarray(form.predict_on_batch(batch)) for batch in batches(clips)])
