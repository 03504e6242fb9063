"""X3D weights: where they are, and what they want to see. This module needs no Keras.

The files are those of the pytorchvideo model zoo. Its accuracies are those of 10 clips of 3 crops
each, probabilities averaged; `keras_video.evaluate` averages logits. None of the files could be
downloaded when these records were written: names and shapes decide whether a file fits, and that
classes are in alphabetical order is known from others who used such networks.

From what a user passes as `weights` to an X3D's weights by our names.
"""

from pathlib import Path

import numpy as np

from keras_video.applications import building
from keras_video.applications.pretrained import WeightsRecord, fetch
from keras_video.applications.x3d import checkpoints
from keras_video.applications.x3d.config import CONFIGS, DEVIATION, MEAN
from keras_video.checkpoints import weight_map

_URL = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/X3D_{}.pyth"
_SOURCE = "pytorchvideo model zoo (10 clips of 3 crops; not measured again)"

# network: (top-1, top-5) in percent; there is no file of XL
PUBLISHED = {
    "x3d_xs": (69.12, 88.63),
    "x3d_s": (73.33, 91.27),
    "x3d_m": (75.94, 92.72),
    "x3d_l": (77.44, 93.31),
}


def _published(config):
    """The record of one architecture: clips as for the published accuracy."""
    size = config.name.removeprefix("x3d_")
    top1, top5 = PUBLISHED[config.name]
    return WeightsRecord(
        name="kinetics400",
        variant="base",
        url=_URL.format(size.upper()),
        cached_as=f"x3d_{size}_kinetics400.pyth",
        classes=400,
        labels="applications/movinet/files/kinetics400_labels.txt",
        frames=config.frames,
        size=(config.resize_side, config.resize_side),
        frame_stride=config.frame_stride,
        resize_side=config.resize_side,
        mean=(MEAN,) * 3,
        std=(DEVIATION,) * 3,
        top1=top1,
        top5=top5,
        source=_SOURCE,
    )


RECORDS = {name: {} for name in CONFIGS}
for _name in PUBLISHED:
    RECORDS[_name]["kinetics400", "base"] = _published(CONFIGS[_name])


def weights_record(name, weights):
    """What is known of a set of weights.

    Args:
        name: string, for example `"x3d_s"`.
        weights: string, for example `"kinetics400"`.

    Returns:
        `WeightsRecord`.

    Raises:
        ValueError: if there are no such weights; lists those that there are.
    """
    records = RECORDS.get(name, {})
    if (weights, "base") not in records:
        known = ", ".join(repr(w) for w, _ in records) or "none"
        raise ValueError(
            f"weights: {name} has no {weights!r} weights, nor is that an existing path. "
            f"Known are: {known}."
        )
    return records[weights, "base"]


def labels(record):
    """Class names of a `WeightsRecord`, in the order of the outputs."""
    return (Path(__file__).parents[2] / record.labels).read_text("utf-8").splitlines()


def preprocess_input(x):
    """Pixels 0..255 to normalised ones, for models built with `include_preprocessing=False`.

    Models take 0..255 by default and need no preprocessing besides size and frame stride.

    Args:
        x: array `(..., height, width, 3)` of numbers in 0..255.

    Returns:
        A float32 array of the same shape.
    """
    return (np.asarray(x, dtype="float32") / 255.0 - MEAN) / DEVIATION


fill = building.fill


def read(config, weights):
    """Reads weights by name or from a file, as `X3DS` describes them.

    Args:
        config: `X3DConfig` of the network to fill.
        weights: string or path.

    Returns:
        `applications.loading.Source`.
    """

    def locate(name):
        record = weights_record(config.name, name)
        return building.convert_once(record, lambda: load(fetch(record))[0])

    def check(named, path):
        return weight_map.check_network(named, config, path)

    def load(path):
        return checkpoints.load(path, config)

    names = {name for records in RECORDS.values() for name, _ in records}
    return building.read(weights, names, locate, check, load)
