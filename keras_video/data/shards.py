"""Videos in TFRecord shards, for data sets that are too large for one machine.

The format is that of the official MoViNet pipeline (TF Model Garden). A TFRecord file is a sequence
of records: length (8 bytes), checksum of the length (4), data, checksum of the data (4), all
little-endian. The data of a video is a `tf.train.SequenceExample` with the context
`clip/label/index` (one int, or several if classes do not exclude each other), optionally the
context `clip/label/text`, and the feature list `image/encoded` with one JPEG file per frame.

`write_shards` writes such files; `ShardSource` makes the batches of a `ShardDataset` from them. As
in `clips`, nothing here needs Keras, so that worker processes start quickly.
"""

import contextlib
import dataclasses
import os
import struct
import typing

import numpy as np

from keras_video.checks import check_int, check_labels, missing_extra
from keras_video.data import sampling
from keras_video.data.clips import AUGMENT, CLIP, BatchSource
from keras_video.data.decoding import VideoError, import_av
from keras_video.data.frames import FrameConverter, upright_size
from keras_video.files import replacing

FRAMES, LABELS, NAMES = "image/encoded", "clip/label/index", "clip/label/text"
JPEG, JPEG_END = b"\xff\xd8", b"\xff\xd9"


def write_shards(folder, samples, num_shards=1, prefix="clips", quality=95, class_names=None):
    """Write videos as `prefix-00000-of-00008.tfrecord` and so on, each frame as a JPEG file.

    Sample `k` goes into shard `k % num_shards`. The files appear under their names only when all of
    them are complete; after an error, none appears.

    Args:
        folder: string or path of a folder; it is created if it does not exist.
        samples: iterable of pairs `(frames, label)`: uint8 array `(frames, height, width, 3)`, and
            an int or, if classes do not exclude each other, a list of ints. It is iterated once.
        num_shards: int, number of files. Several times the number of processes that will read
            them spreads the load over disks.
        prefix: string, start of the file names.
        quality: int in 1..100, of the JPEG files.
        class_names: list of strings, stored in addition to the labels, or `None`.

    Returns:
        List of the paths of the files.

    Raises:
        ValueError: if an argument or a sample is invalid, or there is no sample.
        ImportError: if TensorFlow is missing.
    """
    check_int("num_shards", num_shards)
    check_int("quality", quality, 1, 100)
    if os.path.basename(prefix) != prefix or not prefix:
        raise ValueError(f"prefix: expected the start of a file name, got {prefix!r}.")
    tf = import_tensorflow()
    names = [f"{prefix}-{k:05d}-of-{num_shards:05d}.tfrecord" for k in range(num_shards)]
    paths = [os.path.join(os.fspath(folder), name) for name in names]
    count = 0
    with contextlib.ExitStack() as stack:
        partial = [stack.enter_context(replacing(path)) for path in paths]
        with contextlib.ExitStack() as writing:  # closes all files before the first is renamed
            files = [writing.enter_context(tf.io.TFRecordWriter(path)) for path in partial]
            for count, sample in enumerate(samples, 1):
                frames, labels = _check_sample(count - 1, sample, class_names)
                encoded = [tf.io.encode_jpeg(frame, quality=quality).numpy() for frame in frames]
                texts = [class_names[label] for label in labels] if class_names else ()
                record = encode_example(encoded, labels, texts)
                files[(count - 1) % num_shards].write(record)
        if not count:
            raise ValueError("samples: expected at least one pair (frames, label), got none.")
    return paths


def _check_sample(number, sample, class_names):
    """Return the frames of a sample and its labels as a list of ints."""
    name = f"samples[{number}]"
    try:
        frames, labels = sample
    except (TypeError, ValueError):
        raise ValueError(
            f"{name}: expected a pair (frames, label), got {type(sample).__name__}."
        ) from None
    shape, dtype = getattr(frames, "shape", None), getattr(frames, "dtype", None)
    if dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3 or 0 in shape:
        raise ValueError(
            f"{name}: expected frames as a uint8 array (frames, height, width, 3), got "
            f"{type(frames).__name__} of shape {shape} and dtype {dtype}."
        )
    labels = [labels] if np.ndim(labels) == 0 else list(labels)
    if not labels:
        raise ValueError(f"{name}: expected at least one label, got {labels}.")
    most = len(class_names) - 1 if class_names else None
    return frames, [check_int(f"{name}, label", label, 0, most) for label in labels]


def encode_example(frames, labels, names=()):
    """Return the data of a record as bytes.

    Args:
        frames: list of bytes, a JPEG file for each frame.
        labels: list of ints.
        names: list of strings, the names of the labels.
    """
    tf = import_tensorflow()
    example = tf.train.SequenceExample()
    example.context.feature[LABELS].int64_list.value.extend(labels)
    if names:
        example.context.feature[NAMES].bytes_list.value.extend(n.encode() for n in names)
    for frame in frames:
        example.feature_lists.feature_list[FRAMES].feature.add().bytes_list.value.append(frame)
    return example.SerializeToString()


class Example(typing.NamedTuple):
    """Content of a record.

    Attributes:
        frames: list of bytes, a JPEG file for each frame.
        labels: list of ints.
    """

    frames: list
    labels: list


def find_records(path):
    """Find all records of a file without reading their data.

    Returns:
        List of ints, the byte at which each record begins.

    Raises:
        FileNotFoundError: if there is no such file.
        VideoError: if the file is cut short, or not a TFRecord file.
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
                    "bytes): the file was cut short, or is not a TFRecord file."
                )
            places.append(place)
            place += length + 16
    return places


def read_example(path, place):
    """Read the record that begins at a byte of a file.

    Returns:
        An `Example` of at least one frame.

    Raises:
        VideoError: if the checksum is wrong, or the record is not a video in this format.
        ImportError: if TensorFlow is missing.
    """
    tf = import_tensorflow("Reading")
    # Private: TensorFlow has no public way to read and check a single record of a file.
    from tensorflow.python.lib.io.tf_record import tf_record_random_reader

    where = f"{path}, record at byte {place}"
    try:
        data, _ = tf_record_random_reader(os.fspath(path)).read(place)
    except (tf.errors.OpError, IndexError) as error:
        raise VideoError(f"{where}: the record is damaged (wrong checksum).") from error
    try:
        example = tf.train.SequenceExample.FromString(data)
    except Exception as error:  # google.protobuf.message.DecodeError, which TensorFlow hides
        raise VideoError(f"{where}: not a tf.train.SequenceExample.") from error
    frames = [
        feature.bytes_list.value for feature in example.feature_lists.feature_list[FRAMES].feature
    ]
    labels = list(example.context.feature[LABELS].int64_list.value)
    if not frames:
        raise VideoError(f"{where}: there are no frames under the key {FRAMES!r}.")
    if not labels:
        raise VideoError(f"{where}: there is no label (int) under the key {LABELS!r}.")
    for number, values in enumerate(frames):
        if len(values) != 1 or not values[0].startswith(JPEG):
            raise VideoError(f"{where}: frame {number} is not a single JPEG file.")
    return Example([values[0] for values in frames], labels)


def decode_frames(where, files, size):
    """Decode JPEG files to `size`, keeping the aspect ratio and cutting out the centre.

    Args:
        where: string, place of the record, for error messages.
        files: list of bytes.
        size: `(height, width)`.

    Returns:
        uint8 array `(frames, *size, 3)`.

    Raises:
        VideoError: if a file cannot be decoded.
    """
    av = import_av()
    codec = av.CodecContext.create("mjpeg", "r")
    codec.thread_count = 1
    out, convert = np.empty((len(files), *size, 3), "uint8"), None
    for file, place in zip(files, out, strict=True):
        if JPEG_END not in file[-64:]:  # FFmpeg would fill the missing part with gray
            raise VideoError(f"{where}: a frame is a JPEG file that was cut short.")
        try:
            (frame,) = codec.decode(av.Packet(file))
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"{where}: a frame is not a readable JPEG file ({error}).") from error
        convert = convert or FrameConverter(upright_size(frame), size)
        place[...] = convert(frame)
    return out


@dataclasses.dataclass
class ShardSource(BatchSource):
    """Make the batches of a `ShardDataset`.

    `records` is a list of `(path, byte)`; the other arguments are those of `ShardDataset`.
    """

    records: list
    num_frames: int
    image_size: tuple
    batch_size: int
    step: int
    short: str
    training: bool
    num_classes: int | None
    augment: object
    seed: int
    shard: tuple
    drop_remainder: bool

    @property
    def num_videos(self):
        return len(self.records)

    @property
    def shuffled(self):
        return self.training

    def batch(self, epoch, index):
        """Make the pair `(clips, labels)` of one batch."""
        records = self.order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        clips = np.empty((len(records), self.num_frames, *self.image_size, 3), "uint8")
        labels = []
        for clip, record in zip(clips, records, strict=True):
            labels.append(self._read(int(record), epoch, clip))
        labels = np.array(labels, "int32" if self.num_classes is None else "float32")
        if self.augment is not None and self.training:
            rng = self.rng(AUGMENT, epoch, self.shard[0], index)
            clips, labels = self.augment(clips, labels, rng)
        return clips, labels

    def _read(self, record, epoch, out):
        """Read the clip of a record into the array `out` and return its label."""
        path, place = self.records[record]
        example = read_example(path, place)
        where = f"{path}, record at byte {place}"
        label = self._label(where, example.labels)
        rng = self.rng(CLIP, epoch, record) if self.training else None
        total = len(example.frames)
        try:
            chosen = sampling.dense_window(total, self.num_frames, self.step, rng, self.short)
        except ValueError as error:
            raise VideoError(f"{where}: {error}") from error
        wanted, places = np.unique(chosen, return_inverse=True)
        frames = decode_frames(where, [example.frames[n] for n in wanted], self.image_size)
        out[...] = frames[places]
        return label

    def _label(self, where, labels):
        if self.num_classes is None:
            if len(labels) != 1:
                raise VideoError(
                    f"{where}: expected one label, got {labels}. Pass num_classes to allow several."
                )
            return labels[0]
        try:
            labels = check_labels("labels", labels, self.num_classes)
        except ValueError as error:
            raise VideoError(f"{where}: {error}") from error
        row = np.zeros(self.num_classes, "float32")
        row[labels] = 1
        return row


def import_tensorflow(what="Writing"):
    """Return the module `tensorflow`; raise an `ImportError` that says how to install it."""
    try:
        import tensorflow
    except ImportError as error:
        what = f"{what} TFRecord shards needs TensorFlow; any backend can train on them."
        raise missing_extra(what, "tensorflow-cpu") from error
    return tensorflow
