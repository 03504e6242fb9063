"""From what a user passes as `weights` to a Tiny Video Network's weights by our names."""

from keras_video.applications import loading
from keras_video.applications.pretrained import fetch, resolve_checkpoint
from keras_video.applications.tiny_video_net.weights import RECORDS, weights_record
from keras_video.converters import tiny_video_net

fill = loading.fill


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
        return loading.convert_once(record, lambda: load(resolve_checkpoint(fetch(record)))[0])

    def check(named, path):
        return tiny_video_net.check_contents(named, config, path, frames)

    def load(path):
        return tiny_video_net.load(path, config, frames)

    names = {name for records in RECORDS.values() for name, _ in records}
    return loading.read(weights, names, locate, check, load)
