"""MoViNet weights: where they are, what they want to see, how their answers are called.

Published accuracies are those of the README of `official/projects/movinet` in the TensorFlow Model
Garden: one clip from the middle of the video, smaller side resized, centre crop. Class names are in
alphabetical order; that the Kinetics-400 checkpoints keep it, as those of Kinetics-600 do, could
not be seen on a checkpoint. This module needs no Keras.

From what a user passes as `weights` to a MoViNet's weights by our names.
"""

from pathlib import Path

import numpy as np

from keras_video.applications import building
from keras_video.applications.movinet import checkpoints
from keras_video.applications.movinet.config import CONFIGS
from keras_video.applications.pretrained import WeightsRecord, fetch, resolve_checkpoint
from keras_video.specs import check_int

_FOLDER = Path(__file__).parent / "files"
_URL = "https://storage.googleapis.com/tf_model_garden/vision/movinet/"
_SOURCE = "README of the TensorFlow Model Garden's MoViNet (single clip; not measured again)"

# network: Kinetics-600 base, Kinetics-600 stream, Kinetics-400 base, each (top-1, top-5) in percent
PUBLISHED = {
    "movinet_a0": ((72.28, 90.92), (72.05, 90.63), (69.40, 89.18)),
    "movinet_a1": ((76.69, 93.40), (76.45, 93.25), (74.57, 92.03)),
    "movinet_a2": ((78.62, 94.17), (78.40, 94.05), (75.91, 92.63)),
    "movinet_a3": ((81.79, 95.67), (80.09, 94.84), (79.34, 94.52)),
    "movinet_a4": ((83.48, 96.16), (81.49, 95.66), (80.64, 94.93)),
    "movinet_a5": ((84.27, 96.39), (82.37, 95.79), (81.39, 95.06)),
}


def _published(config):
    """The records of one architecture, by `(weights, variant)`."""
    size = config.name.removeprefix("movinet_")
    frames, height, width, _ = config.clip
    sets = (
        ("kinetics600", "base", f"movinet_{size}_base", 600),
        ("kinetics600", "stream", f"movinet_{size}_stream", 600),
        ("kinetics400", "base", f"movinet_{size}_base_k400", 400),
    )
    return {
        (name, variant): WeightsRecord(
            name=name,
            variant=variant,
            url=f"{_URL}{archive}.tar.gz",
            classes=classes,
            labels=f"applications/movinet/files/{name}_labels.txt",
            frames=frames,
            size=(height, width),
            frame_rate=config.frame_rate,
            resize_side=config.resize_side,
            top1=top1,
            top5=top5,
            source=_SOURCE,
        )
        for (name, variant, archive, classes), (top1, top5) in zip(
            sets, PUBLISHED[config.name], strict=True
        )
    }


def _moving_digits(variant):
    """The record of the weights that ship with the library; see their model cards beside them."""
    return WeightsRecord(
        name="moving_digits",
        variant=variant,
        file=f"applications/movinet/files/movinet_a0_{variant}_moving_digits.npz",
        classes=16,
        labels="applications/movinet/files/moving_digits_labels.txt",
        frames=8,
        size=(48, 48),
        frame_rate=4.0,
        resize_side=48,
        top1={"base": 99.81, "stream": 99.12}[variant],
        source="examples/train_moving_digits.py, 1,600 test clips",
    )


RECORDS = {name: _published(CONFIGS[name]) for name in PUBLISHED}
for _variant in ("base", "stream"):
    RECORDS["movinet_a0"]["moving_digits", _variant] = _moving_digits(_variant)


def weights_record(name, weights, streaming=False):
    """What is known of a set of weights.

    Args:
        name: string, for example `"movinet_a0"`.
        weights: string, for example `"kinetics600"`.
        streaming: bool, whether the causal variant is meant.

    Returns:
        `WeightsRecord`.

    Raises:
        ValueError: if there are no such weights; lists those that there are.
    """
    records = RECORDS.get(name, {})
    variant = "stream" if streaming else "base"
    if (weights, variant) not in records:
        known = ", ".join(f"{w!r} ({v})" for w, v in records) or "none"
        raise ValueError(
            f"weights: {name} has no {weights!r} weights for its {variant} variant, nor is that an "
            f"existing path. Known are: {known}."
        )
    return records[weights, variant]


def labels(record):
    """Class names of a `WeightsRecord` or a data set's name, in the order of the outputs."""
    if isinstance(record, WeightsRecord):
        path = Path(__file__).parents[2] / record.labels
    else:
        path = _FOLDER / f"{record}_labels.txt"
    if not path.is_file():
        known = sorted(p.name.removesuffix("_labels.txt") for p in _FOLDER.glob("*_labels.txt"))
        name = getattr(record, "name", record)
        raise ValueError(f"labels: expected one of {known}, got {name!r}.")
    return path.read_text("utf-8").splitlines()


def preprocess_input(x):
    """Pixels 0..255 to [0, 1], for models built with `include_preprocessing=False`.

    Models take 0..255 by default and need no preprocessing besides size and frame rate.

    Args:
        x: array `(..., height, width, 3)` of numbers in 0..255.

    Returns:
        A float32 array of the same shape.
    """
    return np.asarray(x, dtype="float32") / 255.0


def decode_predictions(preds, top=5, labels="kinetics600"):
    """Names the best classes.

    Args:
        preds: array `(batch, classes)`: probabilities, or logits, which are told apart by their
            sums and turned into probabilities.
        top: int, how many to return.
        labels: list of class names, or the name of a data set whose names are shipped.

    Returns:
        For each sample a list of `(class name, probability)`, best first.

    Raises:
        ValueError: if the shape is another, or does not fit the labels.
    """
    preds = np.asarray(preds, dtype="float64")
    names = globals()["labels"](labels) if isinstance(labels, str) else list(labels)
    if preds.ndim != 2 or preds.shape[1] != len(names):
        raise ValueError(f"preds: expected shape (batch, {len(names)}), got {preds.shape}.")
    check_int("top", top)
    if (preds < 0).any() or not np.allclose(preds.sum(axis=1), 1, atol=1e-2):
        preds = np.exp(preds - preds.max(axis=1, keepdims=True))
        preds /= preds.sum(axis=1, keepdims=True)
    return [[(names[k], float(row[k])) for k in np.argsort(-row)[:top]] for row in preds]


fill = building.fill


def read(config, weights):
    """Reads weights by name or from a file, as `MoViNetA0` describes them.

    Args:
        config: `MoViNetConfig` of the network to fill.
        weights: string or path.

    Returns:
        `applications.loading.Source`.
    """

    def locate(name):
        record = weights_record(config.name, name, config.variant.causal)
        if record.file is not None:
            return fetch(record)
        return building.convert_once(record, lambda: load(resolve_checkpoint(fetch(record)))[0])

    def check(named, path):
        return checkpoints.check_contents(named, config, path).classes

    def load(path):
        named, contents = checkpoints.load(path, config)
        return named, contents.classes

    names = {name for records in RECORDS.values() for name, _ in records}
    return building.read(weights, names, locate, check, load)
