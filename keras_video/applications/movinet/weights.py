"""MoViNet weights: what is published, how they are read, preprocessing and class names.

Published accuracies are those of the README of `official/projects/movinet` in the TensorFlow Model
Garden: one clip from the middle of the video, smaller side resized, centre crop. Class names are in
alphabetical order. This was confirmed for the Kinetics-600 checkpoints; no Kinetics-400 checkpoint
was available to confirm it. No Keras here.
"""

import numpy as np

from keras_video import answers
from keras_video.applications import pretrained
from keras_video.applications.movinet import checkpoints
from keras_video.applications.movinet.config import CONFIGS
from keras_video.applications.pretrained import WeightsRecord
from keras_video.checks import check_int

_URL = "https://storage.googleapis.com/tf_model_garden/vision/movinet/"
_SOURCE = "README of the TensorFlow Model Garden's MoViNet (single clip; not measured again)"

# (top-1, top-5) in percent: Kinetics-600 base, Kinetics-600 stream, Kinetics-400 base.
PUBLISHED = {
    "movinet_a0": ((72.28, 90.92), (72.05, 90.63), (69.40, 89.18)),
    "movinet_a1": ((76.69, 93.40), (76.45, 93.25), (74.57, 92.03)),
    "movinet_a2": ((78.62, 94.17), (78.40, 94.05), (75.91, 92.63)),
    "movinet_a3": ((81.79, 95.67), (80.09, 94.84), (79.34, 94.52)),
    "movinet_a4": ((83.48, 96.16), (81.49, 95.66), (80.64, 94.93)),
    "movinet_a5": ((84.27, 96.39), (82.37, 95.79), (81.39, 95.06)),
}


def _published(config):
    """Return the records of one architecture by `(weights, variant)`."""
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
    """Return the record of weights that come with the library, with a model card for each file."""
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
    """Return the record of published weights.

    Args:
        name: string, for example `"movinet_a0"`.
        weights: string, for example `"kinetics600"`.
        streaming: bool, whether to return the record of the causal variant.

    Returns:
        `WeightsRecord`.

    Raises:
        ValueError: if there are no such weights; lists those that exist.
    """
    return pretrained.find_record(RECORDS, name, weights, "stream" if streaming else "base")


def preprocess_input(x):
    """Scale pixels from 0..255 to [0, 1], for models built with `include_preprocessing=False`.

    By default models take pixels in 0..255, and only the size and frame rate must be right.

    Args:
        x: array `(..., height, width, 3)` of numbers in 0..255.

    Returns:
        A float32 array of the same shape.
    """
    return np.asarray(x, dtype="float32") / 255.0


NAMED = {600: "kinetics600", 400: "kinetics400", 16: "moving_digits"}  # by number of classes


def decode_predictions(preds, top=5, labels=None):
    """Return the most probable classes with their names.

    `model.decode_predictions` does the same for any model that knows its class names.

    Args:
        preds: array `(batch, classes)` of probabilities or logits. Rows that are not probabilities
            (not between 0 and 1 with a sum of 1) are taken as logits.
        top: int, number of classes to return.
        labels: list of class names, or the name of a data set, see `movinet.labels`. Default: that
            of the published weights with as many classes.

    Returns:
        For each sample a list of `(class name, probability)`, best first.

    Raises:
        ValueError: if the shape of `preds` does not fit the labels.
    """
    preds = answers.to_numpy(preds).astype("float64")
    if labels is None:
        labels = NAMED.get(preds.shape[-1] if preds.ndim else 0)
        if labels is None:
            raise ValueError(
                f"preds: expected shape (batch, classes) with {', '.join(map(str, NAMED))} classes "
                f"if no labels are given, got {preds.shape}."
            )
    names = pretrained.labels(labels) if isinstance(labels, str) else list(labels)
    if preds.ndim != 2 or preds.shape[1] != len(names):
        raise ValueError(f"preds: expected shape (batch, {len(names)}), got {preds.shape}.")
    check_int("top", top)
    probabilities = [answers.to_probabilities(row, None) for row in preds]
    return [answers.best(row, names, top) for row in probabilities]


def read(config, weights):
    """Read weights by name or from a file, see `MoViNet`.

    Args:
        config: `MoViNetConfig` of the model to fill.
        weights: string or path.

    Returns:
        `pretrained.Source`.
    """

    def record(name):
        return weights_record(config.name, name, config.variant.causal)

    def check(named, path):
        return checkpoints.check_contents(named, config, path).classes

    def load(path):
        named, contents = checkpoints.load(path, config)
        return named, contents.classes

    names = {name for records in RECORDS.values() for name, _ in records}
    return pretrained.read_weights(weights, names, record, check, load)
