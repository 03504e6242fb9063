"""The batches of a data set of video files, as a function of the epoch and the batch number.

A clip depends only on the seed, the epoch and the number of its video; the order of the videos
depends only on the seed and the epoch. So it does not matter which worker makes a batch, and when.

Nothing here needs Keras: worker processes import this file and start quickly.
"""

import dataclasses
import typing

import numpy as np

from keras_video.data import sampling
from keras_video.data.decoding import VideoError
from keras_video.data.reader import VideoReader

SAMPLING = ("window", "strided", "multi_clip", "segments", "blvnet_tam", "tvn", "whole")
ONE_CLIP = ("segments", "whole")  # rules that make one clip of a video
UNREADABLE = VideoError, FileNotFoundError, PermissionError
READERS = 10_000  # readers that are kept for the next epochs
# Purposes of random numbers. They come first in the seed: NumPy treats (1, 2) and (1, 2, 0) alike.
ORDER, CLIP, AUGMENT = range(3)


class BatchSource:
    """Order of the videos in each epoch, and random numbers; the base of all sources of batches.

    Subclasses implement `num_videos`, `shuffled` and `batch(epoch, index)`. They have the
    attributes `batch_size`, `seed`, `shard` and `drop_remainder` of the data sets.
    """

    _order = None, None  # epoch and its order

    @property
    def num_batches(self):
        """Number of batches per epoch of this shard."""
        index, count = self.shard
        if self.drop_remainder:
            return self.num_videos // (self.batch_size * count)
        return -(-len(range(index, self.num_videos, count)) // self.batch_size)

    def order(self, epoch):
        """Return the numbers of the videos of this shard, in the order of the epoch."""
        known, order = self._order  # a single read, since threads share this
        if known == epoch:
            return order
        order = np.arange(self.num_videos)
        if self.shuffled:
            self.rng(ORDER, epoch).shuffle(order)
        order = order[self.shard[0] :: self.shard[1]]
        self._order = epoch, order
        return order

    def rng(self, purpose, *key):
        """Return the generator for a purpose: `ORDER`, `CLIP` or `AUGMENT`."""
        return np.random.default_rng((purpose, self.seed, *key))

    def __getstate__(self):
        return {k: v for k, v in vars(self).items() if k != "_order"}


class Batch(typing.NamedTuple):
    """A batch as a worker returns it.

    Attributes:
        clips: uint8 array `(batch, [views,] frames, height, width, 3)`.
        labels: array `(batch, ...)`, or `None`.
        broken: list of `(path, reason)` of the files that were replaced by another video.
    """

    clips: np.ndarray
    labels: np.ndarray | None
    broken: list


@dataclasses.dataclass
class ClipSource(BatchSource):
    """Make the batches of a `VideoDataset`. The arguments are those of `VideoDataset`."""

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
        self._broken = {}  # video -> what is wrong with it

    def __getstate__(self):
        return {**super().__getstate__(), "_readers": {}, "_broken": {}}

    @property
    def num_videos(self):
        return len(self.files)

    @property
    def shuffled(self):
        return self.shuffle

    def batch(self, epoch, index):
        """Make one batch.

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
            rng = self.rng(AUGMENT, epoch, self.shard[0], index)
            clips, labels = self.augment(clips, labels, rng)
        return Batch(clips, labels, list(broken.items()))

    def _readable(self, epoch, order, place, broken):
        """Return the clip at a place of the order, or that of the next readable video."""
        for step in range(len(order)):
            video = int(order[(place + step) % len(order)])
            try:
                return self.clip(epoch, video), video
            except UNREADABLE as error:
                if self.errors == "raise":
                    raise
                broken[self.files[video]] = str(error)
        reason = next(iter(broken.values()))
        raise VideoError(f"None of {len(order)} videos can be read. The first error: {reason}")

    def clip(self, epoch, video):
        """Read the clips of a video.

        Returns:
            uint8 array `(views, frames, height, width, 3)`.

        Raises:
            VideoError: if the file is broken, or too short for `short="error"`.
            FileNotFoundError, PermissionError: if the file cannot be opened.
        """
        if video in self._broken:
            raise VideoError(self._broken[video])
        try:
            reader, timeline = self._reader(video)
            try:
                return self._read(reader, self._choose(video, epoch, timeline))
            except ValueError as error:
                if isinstance(error, VideoError):
                    raise
                # There may be fewer frames than packets. Now the reader has counted them.
                return self._read(reader, self._choose(video, epoch, self._timeline(reader)))
        except UNREADABLE as error:
            if self.errors == "skip":
                self._broken[video] = str(error)
            raise
        except Exception as error:
            error.add_note(f"While reading {self.files[video]}")
            raise

    def find_fault(self, video):
        """Open a file; return what is wrong with it, or `None`."""
        try:
            len(self._reader(video))
        except UNREADABLE as error:
            return str(error)

    @property
    def span(self):
        """Number of frames that a video needs to fill a clip without repeating frames."""
        is_window = self.sampling in ("window", "strided", "multi_clip")
        return (self.num_frames - 1) * (self.step if is_window else 1) + 1

    def _reader(self, video):
        """Return a reader of a file and its first `_timeline`.

        The first `READERS` are kept, so that their files need not be scanned again.
        """
        known = self._readers.get(video)
        if known is None:
            reader = VideoReader(self.files[video])
            known = reader, self._timeline(reader)
            if len(self._readers) < READERS:
                self._readers[video] = known
        return known

    def _timeline(self, reader):
        """Return the numbers of all frames, or of those on the screen at the frame rate's ticks."""
        if self.frame_rate is None:
            return range(len(reader))
        moments, end = reader._moments
        return sampling.time_indices(moments, end, self.frame_rate, reader._tolerance)

    def _choose(self, video, epoch, timeline):
        """Choose the frames of the clips: int array `(clips, num_frames)`."""
        frames, wanted, step, clips = len(timeline), self.num_frames, self.step, self.clips
        if self.short == "error" and frames < self.span:
            raise VideoError(
                f"{self.files[video]}: expected at least {self.span} frames, the span of a clip, "
                f"got {frames} (short='error')."
            )
        rng = self.rng(CLIP, epoch, video)
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
        """Read views `(views, frames, height, width, 3)`, all crops of the first clip first."""
        size, side = self.image_size, self.resize_side
        wanted, place = np.unique(indices, return_inverse=True)
        place = place.reshape(indices.shape)
        if self.crops == 1:
            return reader.get(wanted, size, self.crop_to_aspect_ratio, side)[place]
        frames = reader.get(wanted, None, True, side or max(size))
        boxes = sampling.crop_boxes(*frames.shape[1:3], size, self.crops)
        views = [frames[:, top : top + h, left : left + w] for top, left, h, w in boxes]
        return np.stack([view[rows] for rows in place for view in views])


def read_clips(reader, clips=1, *, num_frames, image_size, **options):
    """Read the clips that an evaluation cuts out of one video.

    They are those of a `VideoDataset` with `training=False`.

    Args:
        reader: `VideoReader` or `FrameArray`.
        clips: int, number of clips.
        num_frames, image_size, **options: `frame_rate`, `step`, `sampling`, `resize_side`,
            `crop_to_aspect_ratio` and `crops`, as in `VideoDataset`.

    Returns:
        uint8 array `(views, num_frames, height, width, 3)`.
    """
    defaults = {
        "frame_rate": None,
        "step": 1,
        "sampling": "window",
        "crop_to_aspect_ratio": True,
        "resize_side": None,
        "crops": 1,
    }
    source = ClipSource(
        files=[reader.path],
        labels=None,
        batch_size=1,
        num_frames=num_frames,
        image_size=tuple(image_size),
        shuffle=False,
        training=False,
        seed=0,
        clips=clips,
        short="repeat",
        errors="raise",
        augment=None,
        shard=(0, 1),
        drop_remainder=False,
        **{**defaults, **options},
    )
    if clips > 1 and source.sampling in ONE_CLIP:
        raise ValueError(f"clips: expected 1 for sampling={source.sampling!r}, got {clips}.")
    source._readers[0] = reader, source._timeline(reader)
    return source.clip(0, 0)
