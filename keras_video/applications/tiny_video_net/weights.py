"""Tiny Video Network weights: what is published, and how they are read.

The modules are those of TensorFlow Hub, trained on Charades. None could be downloaded when these
records were written, so a module is accepted if the names, shapes and checksums of its variables
fit. The weights for moving digits were trained for this library and come with it. No Keras here.
"""

from keras_video.applications import pretrained
from keras_video.applications.pretrained import WeightsRecord
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
    """Return the record of weights that come with the library, with a model card."""
    return WeightsRecord(
        name="moving_digits",
        variant="base",
        file=f"applications/tiny_video_net/files/{config.name}.npz",
        classes=16,
        labels="applications/movinet/files/moving_digits_labels.txt",
        frames=config.frames,
        size=(config.size, config.size),
        frame_rate=1.6,  # one of five frames of clips of 16 frames in two seconds
        top1=96.5,
        source="examples/train_moving_digits.py, 1,600 test clips",
    )


RECORDS = {name: {} for name in CONFIGS}
RECORDS[DIGITS.name]["moving_digits", "base"] = _moving_digits(DIGITS)
for _name in CHARADES:
    RECORDS[_name]["charades", "base"] = _charades(_name)


def weights_record(name, weights):
    """Return the record of published weights.

    Args:
        name: string, for example `"tiny_video_net_1"`.
        weights: string, for example `"charades"`.

    Returns:
        `WeightsRecord`.

    Raises:
        ValueError: if there are no such weights; lists those that exist.
    """
    return pretrained.find_record(RECORDS, name, weights)


def read(config, weights, frames):
    """Read weights by name or from a file, see `TinyVideoNet`.

    Args:
        config: `TinyVideoNetConfig` of the model to fill.
        weights: string or path.
        frames: int, frames that the model is built for.

    Returns:
        `pretrained.Source`.
    """

    def record(name):
        return weights_record(config.name, name)

    def check(named, path):
        return checkpoints.check_contents(named, config, path, frames)

    def load(path):
        return checkpoints.load(path, config, frames)

    names = {name for records in RECORDS.values() for name, _ in records}
    return pretrained.read_weights(weights, names, record, check, load)
