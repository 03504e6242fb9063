"""bLVNet-TAM weights: what is published, how they are read, and preprocessing.

The official files are behind web pages of a file-sharing service and must be downloaded by hand.
None could be opened when these records were written, so a file is accepted if its names and shapes
fit. No Keras here.
"""

import numpy as np

from keras_video.applications import pretrained
from keras_video.applications.blvnet_tam import checkpoints
from keras_video.applications.blvnet_tam.config import CONFIGS
from keras_video.applications.pretrained import WeightsRecord

COLOURS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of pixels in [0, 1]
FLOW = (0.5, 0.226)

# Classes, frame size and views of a test: clips, crops.
DATA_SETS = {
    "something_something_v1": (174, 224, 1, 1),
    "something_something_v2": (174, 224, 1, 1),
    "kinetics400": (400, 256, 3, 3),
    "moments": (339, 224, 1, 1),
}

# Top-1 and top-5 in percent by data set, depth and pairs of frames.
PUBLISHED = {
    ("something_something_v1", 50): {8: (46.4, 76.6), 16: (48.4, 78.8)},
    ("something_something_v1", 101): {
        8: (47.8, 78.0), 16: (49.6, 79.8), 24: (52.2, 81.8), 32: (53.1, 82.9),
    },
    ("something_something_v2", 50): {8: (59.1, 86.0), 16: (61.7, 88.1)},
    ("something_something_v2", 101): {
        8: (60.2, 87.1), 16: (61.9, 88.4), 24: (64.0, 89.8), 32: (65.2, 90.3),
    },
}  # fmt: skip
IMAGENET = {50: 77.59, 101: 78.66}
_THEIRS = {"something_something_v1": "st2stv1", "something_something_v2": "st2stv2"}
_SOURCE = (
    "Fan et al. 2019, tables 1 and 2: one clip, smaller side 256, centre crop of 224 (the commands "
    "in the project's README resize it to 224)"
)


def _video_record(data_set, depth, pairs, accuracy):
    name = f"{_THEIRS[data_set]}-bLVNet-TAM-{depth}"
    classes, size, *_ = DATA_SETS[data_set]
    return WeightsRecord(
        name=f"{data_set}_{pairs}x2",
        variant="base",
        page=f"https://ibm.box.com/v/{name}-f{pairs}x2",
        cached_as=f"{name}-a2-b4-f{pairs}x2.pth.tar",
        classes=classes,
        frames=2 * pairs,
        size=(size, size),
        resize_side=256,
        sampling="blvnet_tam",
        mean=COLOURS[0],
        std=COLOURS[1],
        top1=accuracy[0],
        top5=accuracy[1],
        source=_SOURCE,
    )


def _imagenet_record(depth, top1):
    return WeightsRecord(
        name="imagenet",
        variant="base",
        page=f"https://ibm.box.com/v/blresnet-{depth}-a2-b4",
        cached_as=f"ImageNet-bLResNet-{depth}-a2-b4.pth.tar",
        classes=1000,
        frames=16,
        size=(224, 224),
        resize_side=256,
        sampling="blvnet_tam",
        mean=COLOURS[0],
        std=COLOURS[1],
        top1=top1,
        source="README of BigLittleNet: images, as a start for videos",
    )


RECORDS = {name: {} for name in CONFIGS}
for (_data_set, _depth), _rows in PUBLISHED.items():
    for _pairs, _accuracy in _rows.items():
        _record = _video_record(_data_set, _depth, _pairs, _accuracy)
        RECORDS[f"blvnet_tam_{_depth}"][_record.name, "base"] = _record
for _depth, _top1 in IMAGENET.items():
    RECORDS[f"blvnet_tam_{_depth}"]["imagenet", "base"] = _imagenet_record(_depth, _top1)


def weights_record(name, weights):
    """Return the record of published weights.

    Args:
        name: string, for example `"blvnet_tam_50"`.
        weights: string, for example `"something_something_v1_8x2"`.

    Returns:
        `WeightsRecord`.

    Raises:
        ValueError: if there are no such weights; lists those that exist.
    """
    return pretrained.find_record(RECORDS, name, weights)


def published_frames(name, weights):
    """Return the number of frames of published weights, `None` for a path or no weights."""
    record = RECORDS.get(name, {}).get((str(weights), "base"))
    return record.frames if record else None


def moments_of(channels):
    """Return mean and standard deviation of each channel in [0, 1]: colours, or optical flow."""
    if channels == 3:
        return COLOURS
    return tuple((value,) * channels for value in FLOW)


def preprocess_input(x):
    """Normalise pixels in 0..255, for models built with `include_preprocessing=False`.

    Args:
        x: array `(..., height, width, channels)` of numbers in 0..255: RGB if there are three
            channels, else optical flow, where 127.5 means no motion.

    Returns:
        A float32 array of the same shape.
    """
    x = np.asarray(x, dtype="float32")
    mean, std = (np.array(values, "float32") for values in moments_of(x.shape[-1]))
    return (x / 255.0 - mean) / std


def read(config, weights):
    """Read weights by name or from a file, see `BLVNetTAM`.

    Args:
        config: `BLVNetTAMConfig` of the model to fill.
        weights: string or path.

    Returns:
        `pretrained.Source`.
    """

    def record(name):
        return weights_record(config.name, name)

    def check(named, path):
        return checkpoints.check_contents(named, config, path)

    def load(path):
        return checkpoints.load(path, config)

    names = {name for name, _ in RECORDS.get(config.name, ())}
    source = pretrained.read_weights(weights, names, record, check, load)
    if checkpoints.is_image_network(source.named, config):
        source = source._replace(lacking=((checkpoints.TEMPORAL, "temporal aggregation"),))
    return source
