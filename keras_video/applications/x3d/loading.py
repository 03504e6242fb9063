"""From what a user passes as `weights` to an X3D's weights by our names."""

from keras_video.applications import loading
from keras_video.applications.pretrained import fetch
from keras_video.applications.x3d.weights import RECORDS, weights_record
from keras_video.converters import weight_map, x3d

fill = loading.fill


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
        return loading.convert_once(record, lambda: load(fetch(record))[0])

    def check(named, path):
        return weight_map.check_network(named, config, path)

    def load(path):
        return x3d.load(path, config)

    names = {name for records in RECORDS.values() for name, _ in records}
    return loading.read(weights, names, locate, check, load)
