"""Weights of two-stream networks: none are published, own files can be read. No Keras here."""

from keras_video.applications import pretrained
from keras_video.checkpoints import weight_map

RECORDS = {}  # as in other families: model name to records


def weights_record(name, weights):
    """Raise a `ValueError`: no weights of two-stream networks are published.

    Args:
        name: string, for example `"auto_tsnet_s"`.
        weights: string.
    """
    return pretrained.find_record(RECORDS, name, weights)


def read(spec, weights):
    """Read weights from a file, see `AutoTSNet`.

    Args:
        spec: `TwoStreamSpec` of the model to fill.
        weights: path.

    Returns:
        `pretrained.Source`.
    """

    def record(name):
        return weights_record(spec.name, name)

    def check(named, path):
        return weight_map.check_network(named, spec, path)

    def load(path):
        raise ValueError(
            f"weights: expected a .weights.h5, .keras or .npz file of this library, got {path}."
        )

    return pretrained.read_weights(weights, (), record, check, load)
