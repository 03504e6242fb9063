"""Weights as a flat dict `{"layer/variable": array}`: checked, copied, written and read."""

import zipfile
import zlib
from fnmatch import fnmatchcase

import numpy as np

from keras_video import files

SHOWN = 6  # names that an error lists


def check(named, expected, skip=()):
    """Compare names and shapes, and raise one error that lists all differences.

    Args:
        named: dict, name to array.
        expected: dict, name to shape.
        skip: patterns such as `"classifier/*"`. Names that match one are not compared.

    Raises:
        ValueError: if names are missing or unexpected, or shapes differ.
    """
    named = {name: np.shape(value) for name, value in named.items() if not _matches(name, skip)}
    expected = {name: tuple(s) for name, s in expected.items() if not _matches(name, skip)}
    shapes = [
        f"{name}: expected {expected[name]}, got {named[name]}"
        for name in expected
        if name in named and expected[name] != named[name]
    ]
    problems = {
        "missing": [name for name in expected if name not in named],
        "unexpected": [name for name in named if name not in expected],
        "of another shape": shapes,
    }
    problems = {kind: names for kind, names in problems.items() if names}
    if problems:
        counts = ", ".join(f"{len(names)} {kind}" for kind, names in problems.items())
        lines = [f"\n  {kind}: {shorten(names)}" for kind, names in problems.items()]
        raise ValueError(
            f"weights: expected {len(expected)} arrays for this model, got {len(named)}: {counts}."
            + "".join(lines)
        )


def check_network(named, config, path, skip=(), frames=None):
    """Check that weights fit a model, with any number of classes.

    Args:
        named: dict, name to array.
        config: config of the model, with `name` and `weight_shapes`.
        path: string, source of the weights, for the error.
        skip: patterns as in `check`.
        frames: int, number of frames of the model, if its weights depend on it.

    Returns:
        The number of classes, or `None` without a classifier.
    """
    shape = np.shape(named.get("classifier/kernel", ()))
    classes = shape[-1] if len(shape) == 2 else None
    include_top = any(name.startswith("classifier") for name in named)
    options = {} if frames is None else {"frames": frames}
    try:
        check(named, config.weight_shapes(classes or 1, include_top, **options), skip)
    except ValueError as error:
        text = str(error).removeprefix("weights: ")
        model, hint = config.name, ""
        if frames is not None:
            model += f" for {frames} frames"
            hint = "\n  The variables depend on the number of frames and on the options."
        raise ValueError(f"weights: {path} does not fit {model}: {text}{hint}") from None
    return classes


def assign(model, named, skip=()):
    """Copy arrays into a Keras model. If anything does not fit, nothing is copied.

    Args:
        model: Keras model. The name of a variable is `layer.name/variable.name`, for all layers in
            `model.layers`.
        named: dict, name to array.
        skip: patterns as in `check`, of variables that keep their values.
    """
    variables = {}
    for layer in model.layers:
        for variable in layer.weights:
            name = f"{layer.name}/{variable.name}"
            if name in variables:
                raise ValueError(
                    f"weights: expected one variable named {name} in the model, got two."
                )
            variables[name] = variable
    check(named, {name: variable.shape for name, variable in variables.items()}, skip)
    for name, variable in variables.items():
        if not _matches(name, skip):
            variable.assign(named[name])


def shorten(items):
    """Join the first items of a list, and say how many more there are."""
    items = [str(item) for item in items]
    more = f", and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _matches(name, patterns):
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def export(model):
    """Return the weights of a Keras model as `{"layer/variable": array}` in float32."""
    import keras

    return {
        f"{layer.name}/{variable.name}": keras.ops.convert_to_numpy(variable).astype("float32")
        for layer in model.layers
        for variable in layer.weights
    }


def save(path, named, half=True):
    """Write `{name: array}` as an `.npz` file.

    Args:
        path: string.
        named: dict.
        half: bool, whether to store kernels in half precision. Vectors and scalars stay in float32:
            they are small, and variances can be too small for half precision.
    """
    stored = {
        name: value.astype("float16") if half and np.ndim(value) > 1 else value
        for name, value in named.items()
    }
    with files.replacing(path) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **stored)


def load(path):
    """Read a file written by `save` as float32. No code in it is executed."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name].astype("float32") for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, AttributeError) as error:
        raise ValueError(
            f"weights: expected an .npz file of arrays, got {path}: {error}."
        ) from error
