"""X3D weights: what is published, how they are read, and preprocessing.

The files are those of the pytorchvideo model zoo. Its accuracies are measured on 10 clips with 3
crops each, probabilities averaged; `keras_video.evaluate` averages logits. None of the files could
be downloaded when these records were written, so a file is accepted if its names and shapes fit.
That classes are in alphabetical order is known from other users of these files. No Keras here.
"""

import numpy as np

from keras_video.applications import pretrained
from keras_video.applications.pretrained import WeightsRecord
from keras_video.applications.x3d import checkpoints
from keras_video.applications.x3d.config import CONFIGS, DEVIATION, MEAN
from keras_video.checkpoints import weight_map

_URL = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/X3D_{}.pyth"
_SOURCE = "pytorchvideo model zoo (10 clips of 3 crops; not measured again)"

# (top-1, top-5) in percent. There is no file for XL.
PUBLISHED = {
    "x3d_xs": (69.12, 88.63),
    "x3d_s": (73.33, 91.27),
    "x3d_m": (75.94, 92.72),
    "x3d_l": (77.44, 93.31),
}


def _published(config):
    """Return the record of one architecture, with the clips of the published accuracy."""
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
    """Return the record of published weights.

    Args:
        name: string, for example `"x3d_s"`.
        weights: string, for example `"kinetics400"`.

    Returns:
        `WeightsRecord`.

    Raises:
        ValueError: if there are no such weights; lists those that exist.
    """
    return pretrained.find_record(RECORDS, name, weights)


def preprocess_input(x):
    """Normalise pixels in 0..255, for models built with `include_preprocessing=False`.

    By default models take pixels in 0..255, and only the size and frame stride must be right.

    Args:
        x: array `(..., height, width, 3)` of numbers in 0..255.

    Returns:
        A float32 array of the same shape.
    """
    return (np.asarray(x, dtype="float32") / 255.0 - MEAN) / DEVIATION


def read(config, weights):
    """Read weights by name or from a file, see `X3D`.

    Args:
        config: `X3DConfig` of the model to fill.
        weights: string or path.

    Returns:
        `pretrained.Source`.
    """

    def record(name):
        return weights_record(config.name, name)

    def check(named, path):
        return weight_map.check_network(named, config, path)

    def load(path):
        return checkpoints.load(path, config)

    names = {name for records in RECORDS.values() for name, _ in records}
    return pretrained.read_weights(weights, names, record, check, load)
