"""Weights of two-stream networks: none were published. This module needs no Keras.

From what a user passes as `weights` to a two-stream network's weights by our names.
"""

from keras_video.applications import building
from keras_video.checkpoints import weight_map

RECORDS = {}  # by network, for those who look weights up


def weights_record(name, weights):
    """What is known of a set of weights.

    Args:
        name: string, for example `"auto_tsnet_s"`.
        weights: string.

    Raises:
        ValueError: always; there are no published weights.
    """
    raise ValueError(
        f"weights: {name} has no {weights!r} weights, nor is that an existing path. None were "
        "published."
    )


def labels(record):
    """Class names of a `WeightsRecord`: there is none to have any."""
    raise ValueError(f"labels: expected weights with class names, got {record!r}.")


fill = building.fill


def read(spec, weights):
    """Reads weights from a file, as `AutoTSNetS` describes them.

    Args:
        spec: `TwoStreamSpec` of the network to fill.
        weights: path.

    Returns:
        `applications.loading.Source`.
    """

    def locate(name):
        weights_record(spec.name, name)

    def check(named, path):
        return weight_map.check_network(named, spec, path)

    def load(path):
        raise ValueError(
            f"weights: expected a .weights.h5, .keras or .npz file of this library, got {path}. "
            "There are no others for two-stream networks."
        )

    return building.read(weights, (), locate, check, load)
