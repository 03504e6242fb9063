"""Fills a model from a flat dict `{"layer/variable": array}`, all of it or nothing."""

import os
import zipfile
import zlib
from fnmatch import fnmatchcase

import numpy as np

SHOWN = 6


def check(named, expected, skip=()):
    """Compares names and shapes, and raises one error that lists every difference.

    Args:
        named: dict, name to array.
        expected: dict, name to shape.
        skip: patterns such as `"classifier/*"`; names that match one may be missing, superfluous or
            of any shape.

    Raises:
        ValueError: with the missing, the unexpected and the wrongly shaped names.
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


def check_network(named, config, path):
    """Raises unless weights by our names fit a network in all but the class count.

    Args:
        named: dict, name to array.
        config: a network's config, with `name` and `weight_shapes`.
        path: where they come from, for the error.

    Returns:
        The number of classes, or `None` without a classifier.
    """
    shape = np.shape(named.get("classifier/kernel", ()))
    classes = shape[-1] if len(shape) == 2 else None
    include_top = any(name.startswith("classifier") for name in named)
    try:
        check(named, config.weight_shapes(classes or 1, include_top))
    except ValueError as error:
        text = str(error).removeprefix("weights: ")
        raise ValueError(f"weights: {path} does not fit {config.name}: {text}") from None
    return classes


def assign(model, named, skip=()):
    """Copies arrays into a Keras model; nothing is written unless everything fits.

    Args:
        model: Keras model. A variable is called `layer.name/variable.name`, for every layer of
            `model.layers`.
        named: dict, such a name to an array.
        skip: patterns of names that are left as they are, as in `check`.
    """
    variables = {}
    for layer in model.layers:
        for variable in layer.weights:
            name = f"{layer.name}/{variable.name}"
            if name in variables:
                raise ValueError(f"weights: the model has two variables named {name}.")
            variables[name] = variable
    check(named, {name: variable.shape for name, variable in variables.items()}, skip)
    for name, variable in variables.items():
        if not _matches(name, skip):
            variable.assign(named[name])


def shorten(items):
    """The first few of a list, and how many more there are."""
    items = [str(item) for item in items]
    more = f", and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(items[:SHOWN]) + more


def _matches(name, patterns):
    return any(fnmatchcase(name, pattern) for pattern in patterns)


def export(model):
    """The weights of a Keras model as `{"layer/variable": array}`, in float32."""
    import keras

    return {
        f"{layer.name}/{variable.name}": keras.ops.convert_to_numpy(variable).astype("float32")
        for layer in model.layers
        for variable in layer.weights
    }


def save(path, named, half=True):
    """Writes `{name: array}` as an `.npz` file, to a temporary name that is then renamed.

    Args:
        path: string.
        named: dict.
        half: bool, stores kernels in half precision. Vectors and scalars stay in float32: they
            weigh little, and a variance may be too small for half precision.
    """
    stored = {
        name: value.astype("float16") if half and np.ndim(value) > 1 else value
        for name, value in named.items()
    }
    partial = f"{path}.partial"
    with open(partial, "wb") as file:
        np.savez_compressed(file, **stored)
    os.replace(partial, path)


def load(path):
    """Reads a file written by `save` as float32; nothing in it is executed."""
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name].astype("float32") for name in file.files}
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error, EOFError, AttributeError) as error:
        raise ValueError(
            f"weights: expected an .npz file of arrays in {path}, got none: {error}."
        ) from error
