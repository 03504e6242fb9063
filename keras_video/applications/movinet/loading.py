"""From what a user passes as `weights` to a MoViNet's weights by our names."""

from keras_video.applications import loading
from keras_video.applications.movinet.weights import RECORDS, weights_record
from keras_video.applications.pretrained import fetch, resolve_checkpoint
from keras_video.converters import movinet

fill = loading.fill


def read(config, weights):
    """Reads weights by name or from a file, as `MoViNetA0` describes them.

    Args:
        config: `MoViNetConfig` of the network to fill.
        weights: string or path.

    Returns:
        `applications.loading.Source`.
    """

    def locate(name):
        record = weights_record(config.name, name, config.variant.causal)
        if record.file is not None:
            return fetch(record)
        return loading.convert_once(record, lambda: load(resolve_checkpoint(fetch(record)))[0])

    def check(named, path):
        return movinet.check_contents(named, config, path).classes

    def load(path):
        named, contents = movinet.load(path, config)
        return named, contents.classes

    names = {name for records in RECORDS.values() for name, _ in records}
    return loading.read(weights, names, locate, check, load)
