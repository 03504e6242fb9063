"""From what a user passes as `weights` to a bLVNet-TAM's weights by our names."""

from keras_video.applications import loading
from keras_video.applications.blvnet_tam.weights import RECORDS, weights_record
from keras_video.applications.pretrained import fetch
from keras_video.converters import blvnet_tam

fill = loading.fill


def read(config, weights):
    """Reads weights by name or from a file, as `BLVNetTAM50` describes them.

    Args:
        config: `BLVNetTAMConfig` of the network to fill.
        weights: string or path.

    Returns:
        `applications.loading.Source`.
    """

    def locate(name):
        record = weights_record(config.name, name)
        return loading.convert_once(record, lambda: load(fetch(record))[0])

    def check(named, path):
        return blvnet_tam.check_contents(named, config, path)

    def load(path):
        return blvnet_tam.load(path, config)

    names = {name for name, _ in RECORDS.get(config.name, ())}
    source = loading.read(weights, names, locate, check, load)
    if blvnet_tam.is_image_network(source.named, config):
        lacking = ((blvnet_tam.TEMPORAL, "temporal aggregation"),)
        source = source._replace(lacking=lacking)
    return source
