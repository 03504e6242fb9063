"""Batches of clips as a function of (epoch, batch number): what the workers of a dataset run.

Nothing here needs Keras, so that a worker process starts in a moment. A clip depends on the seed,
the epoch and the number of its video alone, and the order of the videos on the seed and the epoch:
who makes a batch, and when, does not matter.

`EpochDataset`: a `PyDataset` whose batches are a function of (epoch, batch number).
"""

import dataclasses
import typing

import keras
import numpy as np

from keras_video.data import sampling
from keras_video.data.decoding import VideoError
from keras_video.data.prefetch import Prefetcher
from keras_video.data.reader import VideoReader

SAMPLING = ("window", "strided", "multi_clip", "segments", "blvnet_tam", "tvn", "whole")
UNREADABLE = VideoError, FileNotFoundError, PermissionError
READERS = 10_000  # files whose readers are kept over the epochs
# Streams of random numbers. The names come first: NumPy takes (1, 2) and (1, 2, 0) for the same.
ORDER, CLIP, AUGMENT = range(3)


class Batch(typing.NamedTuple):
    """What a worker sends home.

    Attributes:
        clips: uint8 array `(batch, [views,] frames, height, width, 3)`.
        labels: array `(batch, ...)`, or `None`.
        broken: list of `(path, reason)`: what was replaced by another video.
    """

    clips: np.ndarray
    labels: np.ndarray | None
    broken: list


@dataclasses.dataclass
class ClipSource:
    """Makes the batches of a `VideoDataset`, whose arguments these are."""

    files: list
    labels: np.ndarray | None
    batch_size: int
    num_frames: int
    frame_rate: float | None
    step: int
    sampling: str
    image_size: tuple
    crop_to_aspect_ratio: bool
    resize_side: int | None
    shuffle: bool
    training: bool
    seed: int
    clips: int
    crops: int
    short: str
    errors: str
    augment: object
    shard: tuple
    drop_remainder: bool

    def __post_init__(self):
        self._readers = {}
        self._broken = {}  # what is wrong with a video
        self._order = None, None

    def __getstate__(self):
        return {**self.__dict__, "_readers": {}, "_broken": {}, "_order": (None, None)}

    @property
    def num_batches(self):
        videos, batch = len(self.files), self.batch_size
        index, count = self.shard
        if self.drop_remainder:
            return videos // (batch * count)
        return -(-len(range(index, videos, count)) // batch)

    def order(self, epoch):
        """The videos of this shard, in the order of the epoch: int array of indices in `files`."""
        known, order = self._order  # one read: threads share this
        if known == epoch:
            return order
        order = np.arange(len(self.files))
        if self.shuffle:
            self._rng(ORDER, epoch).shuffle(order)
        order = order[self.shard[0] :: self.shard[1]]
        self._order = epoch, order
        return order

    def batch(self, epoch, index):
        """Makes one batch.

        Args:
            epoch: int.
            index: int in `[0, num_batches)`.

        Returns:
            A `Batch`.
        """
        order = self.order(epoch)
        first = index * self.batch_size
        shape = (self.num_frames, *self.image_size, 3)
        if self.clips * self.crops > 1:
            shape = (self.clips * self.crops, *shape)
        last = min(first + self.batch_size, len(order))
        clips, videos, broken = np.empty((last - first, *shape), "uint8"), [], {}
        for row, place in enumerate(range(first, last)):
            clip, video = self._readable(epoch, order, place, broken)
            clips[row] = clip.reshape(shape)
            videos.append(video)
        labels = None if self.labels is None else self.labels[videos]
        if self.augment is not None and self.training:
            rng = self._rng(AUGMENT, epoch, self.shard[0], index)
            clips, labels = self.augment(clips, labels, rng)
        return Batch(clips, labels, list(broken.items()))

    def _readable(self, epoch, order, place, broken):
        """The clip at a place of the order, or the one of the next video that can be read."""
        for step in range(len(order)):
            video = int(order[(place + step) % len(order)])
            try:
                return self.clip(epoch, video), video
            except UNREADABLE as error:
                if self.errors == "raise":
                    raise
                broken[self.files[video]] = str(error)
        reason = next(iter(broken.values()))
        raise VideoError(f"Not one of {len(order)} videos can be read. The first error: {reason}")

    def clip(self, epoch, video):
        """Reads the clips of a video: uint8 array `(views, frames, height, width, 3)`.

        Raises:
            VideoError: the file is broken, or too short for `short="error"`.
            FileNotFoundError, PermissionError: the file cannot be opened.
        """
        if video in self._broken:
            raise VideoError(self._broken[video])
        try:
            reader, promised = self._reader(video)
            try:
                return self._read(reader, self._choose(video, epoch, promised))
            except ValueError as error:
                if isinstance(error, VideoError):
                    raise
                # Packets may promise more frames than can be decoded. Now the reader knows.
                return self._read(reader, self._choose(video, epoch, self._timeline(reader)))
        except UNREADABLE as error:
            if self.errors == "skip":
                self._broken[video] = str(error)
            raise
        except Exception as error:
            error.add_note(f"While reading {self.files[video]}")
            raise

    def find_fault(self, video):
        """Opens a file; returns what is wrong with it, or `None`."""
        try:
            len(self._reader(video))
        except UNREADABLE as error:
            return str(error)

    @property
    def span(self):
        """How many frames a video must have to fill a clip without repeating any."""
        is_window = self.sampling in ("window", "strided", "multi_clip")
        return (self.num_frames - 1) * (self.step if is_window else 1) + 1

    def _reader(self, video):
        """A reader of a file and what it says at first about its frames, see `_timeline`.

        The first `READERS` are kept, since they remember what they learned from the packets.
        """
        known = self._readers.get(video)
        if known is None:
            reader = VideoReader(self.files[video])
            known = reader, self._timeline(reader)
            if len(self._readers) < READERS:
                self._readers[video] = known
        return known

    def _timeline(self, reader):
        """Numbers of the frames that can be chosen: all, or those there at each tick."""
        if self.frame_rate is None:
            return range(len(reader))
        moments, end = reader._moments
        return sampling.time_indices(moments, end, self.frame_rate, reader._tolerance)

    def _choose(self, video, epoch, timeline):
        """Frame numbers `(clips, num_frames)`."""
        frames, wanted, step, clips = len(timeline), self.num_frames, self.step, self.clips
        if self.short == "error" and frames < self.span:
            raise VideoError(
                f"{self.files[video]}: a clip spans {self.span} frames, the video has {frames} "
                "(short='error')."
            )
        rng = self._rng(CLIP, epoch, video)
        drawn = rng if self.training else None
        match self.sampling:
            case "segments":
                chosen = sampling.uniform_segments(frames, wanted, drawn)
            case "whole":
                chosen = sampling.whole_video(frames, wanted)
            case "blvnet_tam" if self.training:
                chosen = sampling.blvnet_tam_train(frames, wanted, rng)
            case "blvnet_tam":
                chosen = sampling.blvnet_tam_test(frames, wanted, clips)
            case "tvn" if not self.training:
                draws = [np.random.default_rng(c) for c in range(clips)]
                chosen = [sampling.strided_draw(frames, wanted, step, draw) for draw in draws]
            case "window" | "strided" | "tvn" if self.training:
                chosen = sampling.dense_window(frames, wanted, step, rng, self.short)
            case _:
                chosen = sampling.multi_clip(frames, wanted, step, clips, self.short)
        return np.asarray(timeline)[np.atleast_2d(chosen)]

    def _read(self, reader, indices):
        """Pictures `(views, frames, height, width, 3)`, all crops of the first clip first."""
        size, side = self.image_size, self.resize_side
        wanted, place = np.unique(indices, return_inverse=True)
        place = place.reshape(indices.shape)
        if self.crops == 1:
            return reader.get(wanted, size, self.crop_to_aspect_ratio, side)[place]
        pictures = reader.get(wanted, None, True, side or max(size))
        boxes = sampling.crop_boxes(*pictures.shape[1:3], size, self.crops)
        views = [pictures[:, top : top + h, left : left + w] for top, left, h, w in boxes]
        return np.stack([view[rows] for rows in place for view in views])

    def _rng(self, *key):
        return np.random.default_rng((key[0], self.seed, *key[1:]))


class EpochDataset(keras.utils.PyDataset):
    """Counts epochs and has workers read ahead while somebody iterates.

    `dataset[index]` is batch `index` of the current epoch, made on the spot. While Keras or
    `for batch in dataset` iterates, workers make the batches ahead of time, in order.

    Keras shuffles the batch numbers of every `PyDataset` with Python's global generator unless
    `fit(shuffle=False)` is called. That would undo reading ahead, and no run could be resumed. So
    while Keras itself iterates, the n-th number that it asks for stands for batch n.

    Args:
        source: has a method `batch(epoch, index)` and `num_batches`; picklable if
            `use_multiprocessing`.
        workers: int. `0` makes batches in the calling thread.
        use_multiprocessing: bool, processes instead of threads.
        max_queue_size: int, batches that may wait or be under way; `None`: twice `workers`.

    Attributes:
        epoch: int, how often `on_epoch_end` was called. It may be set, to resume a training run.
            `fit` calls it once before it starts, on every backend: its n-th epoch, from 1, shows
            the batches of `epoch + n`.
    """

    def __init__(self, source, workers=1, use_multiprocessing=False, max_queue_size=None):
        # Keras' own queue stays out of it, see `Prefetcher`.
        super().__init__(workers=0, use_multiprocessing=False)
        self.epoch = 0
        self._source = source
        self._in_epoch = False
        self._places = None  # while Keras iterates: its batch numbers and ours
        self._prefetcher = None
        if workers:
            self._prefetcher = Prefetcher(source, workers, use_multiprocessing, max_queue_size)

    def __len__(self):
        return self._source.num_batches

    @property
    def num_batches(self):
        """Number of batches of an epoch. Keras asks when it begins to iterate, and who wraps this
        dataset and knows which batches it wants does not."""
        if self._in_epoch and self._places is None:
            self._places = {}
        return len(self)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        if self._places is not None:
            index = self._places.setdefault(index, len(self._places))
        return self._get(self.epoch, index, ahead=self._in_epoch)

    def __iter__(self):
        """Iterates over the batches of the current epoch."""
        return self._iterate(self.epoch)

    def _iterate(self, epoch):
        try:
            for index in range(len(self)):
                yield self._get(epoch, index, ahead=True)
        finally:
            self._stop_reading(epoch)

    def _get(self, epoch, index, ahead):
        make = self._prefetcher.get if ahead and self._prefetcher else self._source.batch
        return self._unpack(make(epoch, index))

    def _unpack(self, batch):
        """What the source made, as Keras wants to see it."""
        return batch

    def on_epoch_begin(self):
        """Lets the workers read ahead; Keras calls it."""
        self._in_epoch, self._places = True, None

    def on_epoch_end(self):
        """Moves on to the next epoch; Keras calls it."""
        self._stop_reading(self.epoch)
        self._in_epoch, self._places = False, None
        self.epoch += 1

    def _stop_reading(self, epoch):
        if self._prefetcher is not None:
            self._prefetcher.pause()

    def as_tf_dataset(self):
        """The batches as a `tf.data.Dataset`, for `fit` on the TensorFlow backend and others.

        Each iteration is an epoch: the first is the current one, and each moves `epoch` on as it
        begins, so that `dataset.as_tf_dataset().repeat(3)` has three different epochs. (`fit` of a
        model that is not built begins an iteration more on JAX and torch.)

        Returns:
            A `tf.data.Dataset` of known length, its shapes static except for the batch.

        Raises:
            ImportError: if TensorFlow is missing.
        """
        import tensorflow as tf

        def epoch():
            self.epoch += 1
            yield from self._iterate(self.epoch - 1)

        def spec(array):
            return tf.TensorSpec((None, *array.shape[1:]), array.dtype)

        dataset = tf.data.Dataset.from_generator(
            epoch, output_signature=keras.tree.map_structure(spec, self[0])
        )
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(self)))
        return dataset.prefetch(tf.data.AUTOTUNE)
