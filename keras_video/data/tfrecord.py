"""TFRecord files of videos, in the format of the official MoViNet pipeline (TF Model Garden).

A file is a row of records: length (8 bytes), checksum of the length (4), data, checksum of the
data (4), all little-endian. The data of a video is a `tf.train.SequenceExample` with the context
`clip/label/index` (ints; one, or several where classes do not exclude each other), optionally the
context `clip/label/text`, and the feature list `image/encoded`: one JPEG file for each frame.
"""

import os
import struct
import typing

from keras_video.data.container import VideoError

FRAMES, LABELS, NAMES = "image/encoded", "clip/label/index", "clip/label/text"
JPEG = b"\xff\xd8"


class Example(typing.NamedTuple):
    """What a record holds.

    Attributes:
        frames: list of bytes, a JPEG file for each frame.
        labels: list of ints.
    """

    frames: list
    labels: list


def find_records(path):
    """The places of all records of a file, found without reading their data.

    Returns:
        list of ints, the byte at which each record begins.

    Raises:
        FileNotFoundError: if there is no such file.
        VideoError: if the file is cut off, or no TFRecord file.
    """
    places, place = [], 0
    with open(path, "rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while place < size:
            file.seek(place)
            head = file.read(12)
            length = struct.unpack("<Q", head[:8])[0] if len(head) == 12 else size
            if place + length + 16 > size:
                raise VideoError(
                    f"{path}: record {len(places)} reaches beyond the end of the file ({size} "
                    "bytes): it was cut short, or is no TFRecord file."
                )
            places.append(place)
            place += length + 16
    return places


def read_example(path, place):
    """Reads the record that begins at a byte of a file.

    Returns:
        An `Example` of at least one frame.

    Raises:
        VideoError: if the checksum is wrong, or the record is not a video in this format.
        ImportError: if TensorFlow is missing.
    """
    tf = import_tensorflow("Reading")
    from tensorflow.python.lib.io.tf_record import tf_record_random_reader

    where = f"{path}, record at byte {place}"
    try:
        data, _ = tf_record_random_reader(os.fspath(path)).read(place)
    except (tf.errors.OpError, IndexError) as error:
        raise VideoError(f"{where}: the record is damaged (wrong checksum).") from error
    try:
        example = tf.train.SequenceExample.FromString(data)
    except Exception as error:  # google.protobuf.message.DecodeError, which has no public path here
        raise VideoError(f"{where}: not a tf.train.SequenceExample.") from error
    frames = [
        feature.bytes_list.value for feature in example.feature_lists.feature_list[FRAMES].feature
    ]
    labels = list(example.context.feature[LABELS].int64_list.value)
    return check_example(where, frames, labels)


def check_example(where, frames, labels):
    """Returns an `Example` of what was found, or says what is missing.

    Args:
        where: str, place of the record, for the message.
        frames: list of lists of bytes, the values found for each frame.
        labels: list of ints, or `None` if there is no such key.
    """
    if not frames:
        raise VideoError(f"{where}: there are no frames under the key {FRAMES!r}.")
    if not labels:
        raise VideoError(f"{where}: there is no label (int) under the key {LABELS!r}.")
    for number, values in enumerate(frames):
        if len(values) != 1 or not values[0].startswith(JPEG):
            raise VideoError(f"{where}: frame {number} is not one JPEG file.")
    return Example([values[0] for values in frames], labels)


def encode_example(frames, labels, names=()):
    """The record of a video.

    Args:
        frames: list of bytes, a JPEG file for each frame.
        labels: list of ints.
        names: list of str, the names of the labels.

    Returns:
        bytes.
    """
    tf = import_tensorflow()
    example = tf.train.SequenceExample()
    example.context.feature[LABELS].int64_list.value.extend(labels)
    if names:
        example.context.feature[NAMES].bytes_list.value.extend(n.encode() for n in names)
    for frame in frames:
        example.feature_lists.feature_list[FRAMES].feature.add().bytes_list.value.append(frame)
    return example.SerializeToString()


def import_tensorflow(what="Writing"):
    """Imports TensorFlow, or says how to install it."""
    try:
        import tensorflow
    except ImportError as error:
        raise ImportError(
            f"{what} TFRecord shards needs TensorFlow: `pip install tensorflow-cpu` (or "
            "`keras-video[tensorflow-cpu]`). Any backend can train on them."
        ) from error
    return tensorflow
