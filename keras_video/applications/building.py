"""From what a user passes as `weights` to a filled network: what all families share.

What the builders of all families check before they build: input, pooling, classes.
"""

import io
import os
import re
import warnings
import zipfile
from typing import NamedTuple

import keras

from keras_video.applications.pretrained import converted_path, resolve_checkpoint
from keras_video.checkpoints import weight_map
from keras_video.specs import check_int

LAST = "classifier/*"  # the last layer
HEAD = "classifier*"  # it and what only it needs


class Source(NamedTuple):
    """Weights found, not yet in a network.

    Args:
        label: string, what to call them.
        classes: int, outputs of their classifier, or `None` without one.
        named: dict of our names to arrays, or `None` for a file of Keras' own.
        path: string, that file.
        lacking: tuple of pairs: a pattern of names that are not in `named` and start at random, and
            what they are called.
    """

    label: str
    classes: int | None
    named: dict | None = None
    path: str | None = None
    lacking: tuple = ()


def read(weights, data_sets, locate, check, load):
    """Reads weights by name or from a file.

    Args:
        weights: string or path.
        data_sets: names of published weights.
        locate: function `data set -> path of an .npz file` of ours; raises for unknown names.
        check: function `(named, path) -> classes or None` that raises unless our names fit.
        load: function `path -> (named, classes or None)` for files of other projects.

    Returns:
        `Source`; all but a file of Keras' own is known to fit.
    """
    weights = os.path.expanduser(os.fspath(weights))
    exists = os.path.exists(weights) or os.path.exists(f"{weights}.index")
    if weights in data_sets or not exists:
        path = locate(weights)
        named = weight_map.load(path)
        return Source(weights, check(named, path), named)
    if weights.endswith((".weights.h5", ".keras")):
        return Source(weights, _keras_classes(weights), path=weights)
    if weights.endswith(".npz"):
        named = weight_map.load(weights)
        return Source(weights, check(named, weights), named)
    named, classes = load(resolve_checkpoint(weights))
    return Source(weights, classes, named)


def convert_once(record, load):
    """Path of the `.npz` file of a downloaded record, written on the first call.

    Args:
        record: `WeightsRecord` with a url.
        load: function without arguments that returns our names and arrays.
    """
    path = converted_path(record)
    if not path.is_file():
        named = load()
        path.parent.mkdir(parents=True, exist_ok=True)
        weight_map.save(path, named, half=False)
    return path


def fill(model, source, rebuild):
    """Copies weights into a network, all but the classifier where its class count differs.

    Args:
        model: `VideoClassifier` that `source` was read for.
        source: `Source`.
        rebuild: function of `include_top` and `classes` that builds the same network anew, for
            files of Keras' own, which only load into a network with their classifier.
    """
    classes = model.info["classes"]
    named = source.named
    if named is None:
        twin = model
        if source.classes != classes:
            twin = rebuild(source.classes is not None, source.classes)
        _load_keras(twin, source.path)
        named = None if twin is model else weight_map.export(twin)
    if named is not None:
        skip = ()
        if classes is None:
            skip = (HEAD,)
        elif source.classes != classes:
            skip = (LAST,) if source.classes else (HEAD,)
        weight_map.assign(model, named, (*skip, *(pattern for pattern, _ in source.lacking)))
    _report(source, classes)


def _report(source, classes):
    """Says what was not loaded and starts at random."""
    reasons = [f"no {what}" for _, what in source.lacking]
    kept = [f"the {what}" for _, what in source.lacking]
    if classes is not None and source.classes != classes:
        missing = "no classifier" if source.classes is None else f"{source.classes} classes"
        reasons.append(f"{missing}, the model {classes} classes")
        kept.append("the classifier" if source.classes is None else "the last layer")
    if kept:
        verb = "starts" if len(kept) == 1 else "start"
        print(
            f"weights: {source.label} has {' and '.join(reasons)}: everything but "
            f"{' and '.join(kept)} was loaded, which {verb} at random."
        )


def _keras_classes(path):
    """Class count in a `.weights.h5` or `.keras` file: that of the last of its dense layers."""
    import h5py

    try:
        with open(path, "rb") as file:
            if path.endswith(".keras"):
                with zipfile.ZipFile(file) as archive:
                    file = io.BytesIO(archive.read("model.weights.h5"))
            with h5py.File(file, "r") as store:
                numbers = [re.fullmatch(r"dense(?:_(\d{1,3}))?", name) for name in store["layers"]]
                dense = [(int(match[1] or 0), match[0]) for match in numbers if match]
                return int(store[f"layers/{max(dense)[1]}/vars/1"].shape[0]) if dense else None
    except (OSError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"weights: expected a file of Keras in {path}: {error}.") from None


def _load_keras(model, path):
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a file that does not fit, Keras warns per layer
            model.load_weights(path)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        text = str(error).strip().splitlines()[0]
        raise ValueError(
            f"weights: {path} does not fit {model.name}, or is damaged ({text}). Expected weights "
            "saved from the same network: size, frames, variant and options."
        ) from error


def frames_input(input_shape, input_tensor, default, check):
    """The Keras tensor of the frames, from whichever argument the user gave.

    Args:
        input_shape: `(frames, height, width, channels)` or `None`.
        input_tensor: Keras tensor or `None`.
        default: the shape where neither is given.
        check: function of the argument's name and the shape that raises if the family cannot.
    """
    if input_tensor is not None:
        shape = tuple(input_tensor.shape)[1:]
        check("input_tensor", shape)
        if input_shape is not None and tuple(input_shape) != shape:
            raise ValueError(
                f"input_shape: expected that of input_tensor, {shape}, got {tuple(input_shape)}."
            )
        return input_tensor
    shape = default if input_shape is None else tuple(input_shape)
    check("input_shape", shape)
    return keras.Input(shape, name="frames")


def check_video_shape(argument, shape, channels=3):
    """Raises unless `shape` is `(frames, height, width, channels)` of positive ints or `None`."""
    sizes = [n for n in shape[:3] if n is not None]
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in sizes)
    if len(shape) != 4 or shape[-1] != channels or not whole or any(n < 1 for n in sizes):
        hint = " Channels come last." if channels in shape[:2] and shape[-1] != channels else ""
        raise ValueError(
            f"{argument}: expected (frames, height, width, {channels}) of positive ints or None, "
            f"got {shape}.{hint}"
        )


def check_reducible_shape(argument, shape, smallest=32):
    """Raises unless `shape` is that of a video of a size that a network reduces to 1 or more."""
    check_video_shape(argument, shape)
    if any(n is not None and n < smallest for n in shape[1:3]):
        raise ValueError(
            f"{argument}: expected height and width of at least {smallest}, which the network "
            f"reduces to 1, got {shape}."
        )


def check_head(pooling, classes):
    """Raises unless `pooling` and `classes` are what builders take."""
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"pooling: expected None, 'avg' or 'max', got {pooling!r}.")
    if classes is not None:
        check_int("classes", classes)
