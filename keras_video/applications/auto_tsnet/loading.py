"""From what a user passes as `weights` to a two-stream network's weights by our names."""

from keras_video.applications import loading
from keras_video.applications.auto_tsnet.weights import weights_record
from keras_video.converters import weight_map

fill = loading.fill


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

    return loading.read(weights, (), locate, check, load)
