"""From what a user passes as `weights` to a filled network."""

import io
import os
import warnings
import zipfile
from typing import NamedTuple

from keras_video.applications.movinet.weights import RECORDS, weights_record
from keras_video.applications.pretrained import converted_path, fetch, resolve_checkpoint
from keras_video.converters import movinet, weight_map


class Source(NamedTuple):
    """Weights found, not yet in a network.

    Args:
        label: string, what to call them.
        classes: int, outputs of their classifier, or `None` without one.
        named: dict of our names to arrays, or `None` for a file of Keras' own.
        path: string, that file.
    """

    label: str
    classes: int | None
    named: dict | None = None
    path: str | None = None


def read(config, weights):
    """Reads weights by name or from a file, as `MoViNetA0` describes them.

    Args:
        config: `MoViNetConfig` of the network to fill.
        weights: string or path.

    Returns:
        `Source`; all but a file of Keras' own is known to fit `config`.
    """
    weights = os.path.expanduser(os.fspath(weights))
    names = {name for records in RECORDS.values() for name, _ in records}
    exists = os.path.exists(weights) or os.path.exists(f"{weights}.index")
    if weights in names or not exists:
        record = weights_record(config.name, weights, config.variant.causal)
        return _ours(config, _converted(config, record), record.name)
    if weights.endswith((".weights.h5", ".keras")):
        return Source(weights, _keras_classes(weights), path=weights)
    if weights.endswith(".npz"):
        return _ours(config, weights, weights)
    named, contents = movinet.load(resolve_checkpoint(weights), config)
    return Source(weights, contents.classes, named)


def fill(model, source, rebuild):
    """Copies weights into a network, all but the classifier where its class count differs.

    Args:
        model: `VideoClassifier` of a config that `source` was read for.
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
            skip = ("classifier*",)
        elif source.classes != classes:
            skip = (movinet.CLASSIFIER,) if source.classes else ("classifier*",)
        weight_map.assign(model, named, skip)
    if classes is not None and source.classes != classes:
        missing = "no classifier" if source.classes is None else f"{source.classes} classes"
        kept = "the classifier" if source.classes is None else "the last layer"
        print(
            f"weights: {source.label} has {missing}, the model {classes} classes: everything but "
            f"{kept} was loaded, which starts at random."
        )


def _converted(config, record):
    """The `.npz` file of a record: shipped, or downloaded and converted once."""
    if record.file is not None:
        return fetch(record)
    path = converted_path(record)
    if not path.is_file():
        named, _ = movinet.load(resolve_checkpoint(fetch(record)), config)
        path.parent.mkdir(parents=True, exist_ok=True)
        weight_map.save(path, named, half=False)
    return path


def _ours(config, path, label):
    named = weight_map.load(path)
    return Source(label, movinet.check_contents(named, config, path).classes, named)


def _keras_classes(path):
    """Class count in a `.weights.h5` or `.keras` file: the second of our two dense layers."""
    import h5py

    try:
        with open(path, "rb") as file:
            if path.endswith(".keras"):
                with zipfile.ZipFile(file) as archive:
                    file = io.BytesIO(archive.read("model.weights.h5"))
            with h5py.File(file, "r") as store:
                key = "layers/dense_1/vars/1"
                return int(store[key].shape[0]) if key in store else None
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
            "saved from the same network: size, causal or not, and options."
        ) from error
