"""Videos in TFRecord shards: for data that outgrows one machine, see `tfrecord` for the format.

`ShardDataset`: batches of clips from TFRecord shards, for `model.fit` on every backend.

TFRecord files of videos, in the format of the official MoViNet pipeline (TF Model Garden).

A file is a row of records: length (8 bytes), checksum of the length (4), data, checksum of the
data (4), all little-endian. The data of a video is a `tf.train.SequenceExample` with the context
`clip/label/index` (ints; one, or several where classes do not exclude each other), optionally the
context `clip/label/text`, and the feature list `image/encoded`: one JPEG file for each frame.
"""

import contextlib
import dataclasses
import glob
import numbers
import os
import re
import struct
import typing

import numpy as np

from keras_video.data import sampling
from keras_video.data.clips import EpochDataset
from keras_video.data.dataset import check_image_size, check_picklable, check_shard
from keras_video.data.decoding import VideoError, import_av
from keras_video.data.frames import FrameConverter, upright_size
from keras_video.data.sampling import SHORT, check_integer

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


# Streams of random numbers, as in `dataset_clips`.
ORDER, CLIP, AUGMENT = range(3)
JPEG_END = b"\xff\xd9"


def write_shards(folder, samples, num_shards=1, prefix="clips", quality=95, class_names=None):
    """Writes videos as `prefix-00000-of-00008.tfrecord` and so on, frame by frame as JPEG.

    Sample `k` goes into shard `k % num_shards`. The files appear once all of them are complete;
    until then, and after an error, there are none.

    Args:
        folder: path of a folder; it is made if it does not exist.
        samples: iterable of pairs `(frames, label)`: uint8 array `(frames, height, width, 3)`, and
            an int or, for classes that do not exclude each other, a list of ints. It is read once,
            one sample after the other.
        num_shards: int, number of files. Several times the number of processes that will read
            them spreads the load over disks.
        prefix: str, how the names begin.
        quality: int in 1..100, of the JPEG files.
        class_names: list of str, written beside the labels, or `None`.

    Returns:
        list of the paths written.

    Raises:
        ValueError: if an argument or a sample is something else, or there is no sample.
        ImportError: if TensorFlow is missing.
    """
    num_shards = check_integer("num_shards", num_shards)
    if not 1 <= check_integer("quality", quality) <= 100:
        raise ValueError(f"`quality` must be an int from 1 to 100. Received: {quality}")
    if os.path.basename(prefix) != prefix or not prefix:
        raise ValueError(f"`prefix` must be the beginning of a file name. Received: {prefix!r}")
    tf = import_tensorflow()
    os.makedirs(folder, exist_ok=True)
    names = [f"{prefix}-{k:05d}-of-{num_shards:05d}.tfrecord" for k in range(num_shards)]
    paths = [os.path.join(os.fspath(folder), name) for name in names]
    temporary = [f"{path}.{os.getpid()}.tmp" for path in paths]
    try:
        count = 0
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(tf.io.TFRecordWriter(path)) for path in temporary]
            for count, sample in enumerate(samples, 1):
                frames, labels = _check_sample(count - 1, sample, class_names)
                pictures = [tf.io.encode_jpeg(frame, quality=quality).numpy() for frame in frames]
                texts = [class_names[label] for label in labels] if class_names else ()
                record = encode_example(pictures, labels, texts)
                files[(count - 1) % num_shards].write(record)
        if not count:
            raise ValueError("`samples` must hold at least one sample. Received: none")
        for path, name in zip(temporary, paths, strict=True):
            os.replace(path, name)
    finally:
        for path in temporary:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    return paths


def read_shards(pattern, num_frames=16, image_size=(172, 172), **options):
    """Reads TFRecord shards as a data set that `fit` takes on every backend.

    Args:
        pattern: str with wildcards, as in `"data/train-*.tfrecord"`, or a list of paths. Of files
            named `-00000-of-00008` a pattern must find all.
        num_frames: int, frames of a clip.
        image_size: `(height, width)` of the clips, or an int for a square. Frames keep their
            aspect ratio, the centre is cut out.
        **options: the other arguments of `ShardDataset`, among them `batch_size`, `training`,
            `num_classes`, `augment`, `seed` and `shard=(index, count)`.

    Returns:
        A `ShardDataset`, a `keras.utils.PyDataset`.

    Raises:
        FileNotFoundError: if there are no such files, or some are missing.
        VideoError: if a file is cut off, or no TFRecord file.
        ValueError: if an argument is out of its range.

    Example:
    >>> train = read_shards("data/train-*.tfrecord", 50, shard=(process, processes), seed=1)
    >>> model.fit(train, epochs=10)  # doctest: +SKIP
    """

    return ShardDataset(find_files(pattern), num_frames, image_size, **options)


@dataclasses.dataclass
class ShardSource:
    """Makes the batches of a `ShardDataset`, whose arguments these are; needs no Keras.

    A clip depends on the seed, the epoch and the number of its record alone, the order of the
    records on the seed and the epoch. `records` is a list of `(path, byte)`.
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
    def num_batches(self):
        records, (index, count) = len(self.records), self.shard
        if self.drop_remainder:
            return records // (self.batch_size * count)
        return -(-len(range(index, records, count)) // self.batch_size)

    def order(self, epoch):
        """The records of this shard in the order of the epoch, an int array."""
        order = np.arange(len(self.records))
        if self.training:
            self._rng(ORDER, epoch).shuffle(order)
        return order[self.shard[0] :: self.shard[1]]

    def batch(self, epoch, index):
        """Makes the pair `(clips, labels)` of one batch."""
        records = self.order(epoch)[index * self.batch_size : (index + 1) * self.batch_size]
        clips = np.empty((len(records), self.num_frames, *self.image_size, 3), "uint8")
        labels = []
        for clip, record in zip(clips, records, strict=True):
            labels.append(self._read(int(record), epoch, clip))
        labels = np.array(labels, "int32" if self.num_classes is None else "float32")
        if self.augment is not None and self.training:
            rng = self._rng(AUGMENT, epoch, self.shard[0], index)
            clips, labels = self.augment(clips, labels, rng)
        return clips, labels

    def _read(self, record, epoch, out):
        """Reads the clip of a record into an array and returns its label."""
        path, place = self.records[record]
        example = read_example(path, place)
        where = f"{path}, record at byte {place}"
        label = self._label(where, example.labels)
        rng = self._rng(CLIP, epoch, record) if self.training else None
        found = len(example.frames)
        try:
            chosen = sampling.dense_window(found, self.num_frames, self.step, rng, self.short)
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
                    f"{where}: expected one label, found {labels}. For several, pass `num_classes`."
                )
            return labels[0]
        if min(labels) < 0 or max(labels) >= self.num_classes:
            raise VideoError(
                f"{where}: labels must be from 0 to {self.num_classes - 1}, found {labels}."
            )
        hot = np.zeros(self.num_classes, "float32")
        hot[labels] = 1
        return hot

    def _rng(self, *key):
        return np.random.default_rng((key[0], self.seed, *key[1:]))


def decode_frames(where, pictures, size):
    """Decodes JPEG files to `size`, keeping the aspect ratio and cutting out the centre.

    Args:
        where: str, for the message of an error.
        pictures: list of bytes.
        size: `(height, width)`.

    Returns:
        uint8 array `(frames, *size, 3)`.
    """
    av = import_av()
    codec = av.CodecContext.create("mjpeg", "r")
    codec.thread_count = 1
    out, convert = np.empty((len(pictures), *size, 3), "uint8"), None
    for picture, place in zip(pictures, out, strict=True):
        if JPEG_END not in picture[-64:]:  # FFmpeg would fill what is missing with grey
            raise VideoError(f"{where}: a frame is a JPEG file that was cut short.")
        try:
            (frame,) = codec.decode(av.Packet(picture))
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(f"{where}: a frame is not a readable JPEG file ({error}).") from error
        convert = convert or FrameConverter(upright_size(frame), size)
        place[...] = convert(frame)
    return out


def find_files(pattern):
    """The files that a pattern or a list names, sorted; raises if some are missing."""
    if not isinstance(pattern, (str, os.PathLike)):
        files = [os.fspath(path) for path in pattern]
        if not files:
            raise ValueError("`pattern` must name at least one file. Received: an empty list")
        return files
    files = sorted(glob.glob(os.fspath(pattern)))
    if not files:
        raise FileNotFoundError(f"No file matches {os.fspath(pattern)!r}.")
    families = {}
    for path in files:
        name = re.search(r"-(\d{5})-of-(\d{5})(?=\D*$)", path)
        if name:
            family = path[: name.start()], int(name[2])
            families.setdefault(family, set()).add(int(name[1]))
    for (prefix, total), numbers_found in families.items():
        missing = sorted(set(range(total)) - numbers_found)
        if missing:
            raise FileNotFoundError(
                f"{prefix}-*-of-{total:05d}: {len(missing)} of {total} shards are missing, the "
                f"first is number {missing[0]:05d}."
            )
    return files


def _check_sample(number, sample, class_names):
    try:
        frames, labels = sample
    except (TypeError, ValueError):
        raise ValueError(f"Sample {number} must be a pair (frames, label).") from None
    shape, dtype = getattr(frames, "shape", None), getattr(frames, "dtype", None)
    if dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3 or 0 in shape:
        raise ValueError(
            f"Sample {number}: frames must be a uint8 array (frames, height, width, 3). Received: "
            f"{type(frames).__name__} of shape {shape} and dtype {dtype}"
        )
    labels = [labels] if np.ndim(labels) == 0 else list(labels)
    high = len(class_names) if class_names else np.inf
    if not labels or not all(isinstance(n, numbers.Integral) and 0 <= n < high for n in labels):
        limit = f" below {high}, the number of `class_names`" if class_names else ""
        raise ValueError(
            f"Sample {number}: the label must be an int of at least 0{limit}, or a list of them. "
            f"Received: {labels}"
        )
    return frames, [int(label) for label in labels]


class ShardDataset(EpochDataset):
    """Batches of clips from TFRecord shards; made by `read_shards`.

    Args:
        files: list of paths of TFRecord files, in the same order in every process.
        num_frames: int, frames of a clip.
        image_size: `(height, width)` of the clips, or an int for a square.
        batch_size: int. The last batch of an epoch may be smaller.
        step: int, distance of two frames of a clip.
        short: what a clip shows after the end of a short video: `"repeat"` starts again from the
            first frame, `"pad"` holds the last, `"error"` raises a `VideoError`.
        training: bool. `True`: a new order for each epoch, clips from random places, `augment`.
            `False`: the order of the files, clips from the middle.
        num_classes: int, makes labels an array `(batch, num_classes)` of zeros and ones; `None`
            leaves them ints, of which each video must then have one.
        augment: function `augment(clips, labels, rng) -> (clips, labels)` of a batch, with a
            `numpy.random.Generator` that depends on `(seed, epoch, shard, batch)` alone.
        seed: int, the same in every process.
        shard: `(index, count)`: this process gets every `count`-th video of the epoch's order, from
            the `index`-th on. The shards are disjoint and complete, however many files there are.
            Batch `b` of all processes together is batch `b` of one process with
            `count * batch_size`.
        drop_remainder: bool, leaves the videos at the end of an epoch's order out that do not fill
            a batch in every process, so that all processes take the same number of steps.
        workers: int. `0` reads in the calling thread, otherwise so many threads or processes read
            ahead.
        use_multiprocessing: bool, processes instead of threads.
        max_queue_size: int, batches that may wait or be under way; `None`: twice `workers`.

    Attributes:
        files: list of paths.
        num_videos: int, videos of all shards together.
        epoch: int, see `EpochDataset`.

    Returns:
        Indexed by a batch number, the pair `(clips, labels)`: uint8 array
        `(batch, num_frames, height, width, 3)` in 0..255; int32 array `(batch,)` or float32 array
        `(batch, num_classes)`.

    Raises:
        ValueError: if an argument is out of its range.
        VideoError: if a file is damaged: when it is cut off, at once; else when the damaged record
            is read.
    """

    def __init__(
        self,
        files,
        num_frames=16,
        image_size=(172, 172),
        batch_size=8,
        step=1,
        short="repeat",
        training=True,
        num_classes=None,
        augment=None,
        seed=0,
        shard=(0, 1),
        drop_remainder=False,
        workers=1,
        use_multiprocessing=False,
        max_queue_size=None,
    ):
        if short not in SHORT:
            raise ValueError(f"`short` must be one of {SHORT}. Received: {short!r}")
        if augment is not None and not callable(augment):
            raise ValueError(f"`augment` must be a function. Received: {augment!r}")
        if use_multiprocessing:
            check_picklable(augment)
        check_integer("workers", workers, 0)
        self.files = list(files)
        records = [(path, at) for path in self.files for at in find_records(path)]
        source = ShardSource(
            records=records,
            num_frames=check_integer("num_frames", num_frames),
            image_size=check_image_size(image_size),
            batch_size=check_integer("batch_size", batch_size),
            step=check_integer("step", step),
            short=short,
            training=bool(training),
            num_classes=None if num_classes is None else check_integer("num_classes", num_classes),
            augment=augment,
            seed=check_integer("seed", seed, 0),
            shard=check_shard(shard, len(records), batch_size, drop_remainder),
            drop_remainder=bool(drop_remainder),
        )
        self.num_videos = len(records)
        super().__init__(source, workers, use_multiprocessing, max_queue_size)
