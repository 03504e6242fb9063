"""Tiny Video Network weights: where they are, and what they want to see.

The modules are those of TensorFlow Hub, trained on Charades. None could be downloaded when these
records were written: names, shapes and checksums of their variables decide whether they fit. The
weights for moving digits are our own, and shipped. This module needs no Keras.

From what a user passes as `weights` to a Tiny Video Network's weights by our names.
"""

from pathlib import Path

from keras_video.applications import building
from keras_video.applications.pretrained import WeightsRecord, fetch, resolve_checkpoint
from keras_video.applications.tiny_video_net import checkpoints
from keras_video.applications.tiny_video_net.config import CHARADES, CONFIGS, DIGITS

_URL = "https://tfhub.dev/google/tiny_video_net/{}/1?tf-hub-format=compressed"


def _charades(name):
    config = CONFIGS[name]
    module = name.removeprefix("tiny_video_net_")
    module = module if module.startswith("mobile") else f"tvn{module}"
    return WeightsRecord(
        name="charades",
        variant="base",
        url=_URL.format(module),
        cached_as=f"tiny_video_net_{module}_charades.tar.gz",
        classes=157,
        frames=config.frames,
        size=(config.size, config.size),
        source="TensorFlow Hub, google/tiny_video_net; its pages state no accuracy",
    )


def _moving_digits(config):
    """The record of the weights that ship with the library; their model card is beside them."""
    return WeightsRecord(
        name="moving_digits",
        variant="base",
        file=f"applications/tiny_video_net/files/{config.name}.npz",
        classes=16,
        labels="applications/movinet/files/moving_digits_labels.txt",
        frames=config.frames,
        size=(config.size, config.size),
        top1=96.5,
        source="examples/train_moving_digits.py, 1,600 test clips",
    )


RECORDS = {name: {} for name in CONFIGS}
RECORDS[DIGITS.name]["moving_digits", "base"] = _moving_digits(DIGITS)
for _name in CHARADES:
    RECORDS[_name]["charades", "base"] = _charades(_name)


def weights_record(name, weights):
    """What is known of a set of weights.

    Args:
        name: string, for example `"tiny_video_net_1"`.
        weights: string, for example `"charades"`.

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
    """Class names of a `WeightsRecord`, in the order of the outputs.

    Raises:
        ValueError: where none came with the weights, as for Charades.
    """
    if record.labels is None:
        raise ValueError(f"labels: expected weights with class names, got {record.name!r}.")
    return (Path(__file__).parents[2] / record.labels).read_text("utf-8").splitlines()


fill = building.fill


def read(config, weights, frames):
    """Reads weights by name or from a file, as `TinyVideoNet1` describes them.

    Args:
        config: `TinyVideoNetConfig` of the network to fill.
        weights: string or path.
        frames: int, frames that it is built for.

    Returns:
        `applications.loading.Source`.
    """

    def locate(name):
        record = weights_record(config.name, name)
        if record.file is not None:
            return fetch(record)
        return building.convert_once(record, lambda: load(resolve_checkpoint(fetch(record)))[0])

    def check(named, path):
        return checkpoints.check_contents(named, config, path, frames)

    def load(path):
        return checkpoints.load(path, config, frames)

    names = {name for records in RECORDS.values() for name, _ in records}
    return building.read(weights, names, locate, check, load)
