"""Data sets of clips for `model.fit` on every backend: batches that workers make ahead of time.

`VideoDataset` reads video files, `ShardDataset` TFRecord shards. `EpochDataset`, their base, counts
the epochs and keeps the batches in order. The batches are made in `clips` and `shards`, which need
no Keras, so that worker processes start quickly.
"""

import concurrent.futures
import glob
import os
import pickle
import re
import warnings

import keras
import numpy as np

from keras_video.checks import check_choice, check_int, check_labels, check_rate, check_size
from keras_video.data.clips import ONE_CLIP, SAMPLING, ClipSource
from keras_video.data.decoding import VideoError
from keras_video.data.prefetch import Prefetcher
from keras_video.data.sampling import SHORT
from keras_video.data.shards import ShardSource, find_records

CLIP_OPTIONS = (
    *("num_frames", "frame_rate", "sampling", "step"),
    *("image_size", "crop_to_aspect_ratio", "resize_side"),
)
LISTED = 20  # broken files that a warning names; `skipped` has them all


class EpochDataset(keras.utils.PyDataset):
    """Counts epochs and lets workers read ahead during iteration.

    `dataset[index]` makes batch `index` of the current epoch at once. While Keras or
    `for batch in dataset` iterates, workers make the batches ahead of time, in order.

    Keras shuffles the batch numbers of every `PyDataset` with Python's global generator unless
    `fit(shuffle=False)` is called. Batches could then not be read ahead, and a run could not be
    resumed. Therefore, while Keras iterates, the n-th number that it asks for means batch n.

    Args:
        source: object with a method `batch(epoch, index)` and an attribute `num_batches`. It must
            be picklable if `use_multiprocessing`.
        workers: int. `0` makes batches in the calling thread.
        use_multiprocessing: bool, uses processes instead of threads.
        max_queue_size: int, batches that may wait or be in progress; `None` means twice `workers`.

    Attributes:
        epoch: int, how often `on_epoch_end` was called. It may be set, to resume a training run.
            `fit` calls it once before it starts, on every backend: its n-th epoch, from 1, shows
            the batches of `epoch + n`.
    """

    def __init__(self, source, workers=1, use_multiprocessing=False, max_queue_size=None):
        # Keras' own workers are not used, see `Prefetcher`.
        super().__init__(workers=0, use_multiprocessing=False)
        self.epoch = 0
        self._source = source
        self._in_epoch = False
        self._places = None  # while Keras iterates: its batch numbers -> ours
        self._prefetcher = None
        if workers:
            self._prefetcher = Prefetcher(source, workers, use_multiprocessing, max_queue_size)

    def __len__(self):
        return self._source.num_batches

    @property
    def num_batches(self):
        """Number of batches per epoch.

        Keras reads this when it begins to iterate over the data set itself. A data set that wraps
        this one does not, so that its batch numbers are not changed.
        """
        if self._in_epoch and self._places is None:
            self._places = {}
        return len(self)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"index: expected an int from 0 to {len(self) - 1}, got {index}.")
        if self._places is not None:
            index = self._places.setdefault(index, len(self._places))
        return self._get(self.epoch, index, ahead=self._in_epoch)

    def __iter__(self):
        """Iterate over the batches of the current epoch."""
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
        """Convert a batch of the source to what Keras expects."""
        return batch

    def on_epoch_begin(self):
        """Let the workers read ahead; called by Keras."""
        self._in_epoch, self._places = True, None

    def on_epoch_end(self):
        """Move to the next epoch; called by Keras."""
        self._stop_reading(self.epoch)
        self._in_epoch, self._places = False, None
        self.epoch += 1

    def _stop_reading(self, epoch):
        if self._prefetcher is not None:
            self._prefetcher.pause()

    def as_tf_dataset(self):
        """Return the batches as a `tf.data.Dataset`, for `fit` on every backend.

        Each iteration is an epoch. The first is the current one, and each advances `epoch` when it
        begins, so that `dataset.as_tf_dataset().repeat(3)` has three different epochs. (`fit` of a
        model that is not built starts one more iteration on JAX and torch.)

        Returns:
            A `tf.data.Dataset` of known length. Its shapes are static except for the batch.

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


class VideoDataset(EpochDataset):
    """Batches of clips from video files.

    A clip depends only on `seed`, `epoch` and the number of its video; the order of the videos
    depends only on `seed` and `epoch`. Neither depends on the workers, which read ahead while Keras
    iterates, or on the argument `shuffle` of `fit`.

    Broken files: `errors="raise"` ends the run with an error that names the file. With
    `errors="skip"`, the next readable video in the order of the epoch replaces the broken one, so
    that batches keep their shape. A warning at the end of the epoch counts and lists the skipped
    files. `without_broken()` removes such files; use it for an evaluation that must count every
    video exactly once.

    Args:
        files: list of paths.
        labels: `None`, class numbers `(videos,)`, or an array of numbers `(videos, classes)` for
            one-hot and multi-label classes, `(videos, 1)` for binary classes.
        class_names: list of strings, or `None`.
        num_classes: int; `None` counts the names, or the classes that appear in the labels.
        batch_size: int. The last batch of an epoch may be smaller.
        num_frames: int, frames of a clip.
        frame_rate: number, frames per second at which the video is read, `None` for its own rate.
            All other arguments about frames refer to this rate.
        sampling: which frames make a clip, in training / in evaluation, see
            `keras_video.data.sampling`:
            `"window"`, `"strided"`: frames `step` apart, from a random start / in the middle;
            `"multi_clip"`: not possible / as `"window"`;
            `"segments"`: TSN's segments, a random frame of each / their centres;
            `"blvnet_tam"`: its training / its test rule;
            `"tvn"`: as `"strided"` / draws from every `step`-th frame;
            `"whole"`: evenly spaced from the first to the last frame.
        step: int, distance of two frames of a window.
        image_size: `(height, width)` of the clips, or an int for a square.
        crop_to_aspect_ratio: bool. `True` keeps the aspect ratio and cuts out the centre, `False`
            squeezes the frame.
        resize_side: int, length to which the smaller side is resized before `image_size` is cut
            out; `None` resizes no further than needed.
        shuffle: bool, draws a new order for each epoch.
        seed: int; `None` draws one, which the attribute `seed` tells.
        clips: int, clips per video, evenly spaced for windows. More than one is for evaluation.
        crops: 1 for the centre, 3 for both ends and the middle of the longer side. Three are for
            evaluation.
        short: what a window shows after the end of a short video: `"repeat"` starts again from
            the first frame, `"pad"` repeats the last one. `"error"` treats a video as broken if it
            has fewer frames than a clip spans, for every `sampling`.
        errors: `"raise"` or `"skip"`.
        augment: function `augment(clips, labels, rng) -> (clips, labels)` of a batch, with a
            `numpy.random.Generator` that depends only on `(seed, epoch, shard, batch)`. Used in
            training only.
        shard: `(index, count)`: this process gets every `count`-th video in the order of the epoch,
            from the `index`-th on. The shards are disjoint and complete: if the number of videos
            is not a multiple of `count`, the first shards have one more. Batch `b` of all shards
            together is batch `b` of one process with `count * batch_size`.
        drop_remainder: bool, drops videos at the end of an epoch that do not fill a batch in every
            shard, so that all processes take the same number of steps.
        training: bool, random clips (`True`) or centred ones (`False`). `None` means as `shuffle`.
        workers: int. `0` reads in the calling thread; otherwise, the number of threads or processes
            that read ahead. Threads are usually enough, since decoding releases Python's lock.
        use_multiprocessing: bool, uses processes instead of threads. The script then needs
            `if __name__ == "__main__":`, and `augment` must be picklable.
        max_queue_size: int, batches that may wait or be in progress; `None` means twice `workers`.

    Attributes:
        files: list of strings, the paths.
        labels: int32 array `(videos,)`, float32 array `(videos, classes)`, or `None`.
        class_names: list of strings, or `None`.
        num_classes: int, or `None` without labels.
        skipped: list of `(path, reason)` of all files that were broken so far.
        seed: int.
        epoch: int, how often `on_epoch_end` was called. It may be set, to resume a training run.
            `fit` calls it once before it starts, on every backend: its n-th epoch, from 1, shows
            the clips of `epoch + n`. (With `steps_per_epoch`, an epoch may end before all videos
            were shown; the next one starts with a new order.)
        num_views: int, `clips * crops`.
        clip_options: dict, the arguments that say how a clip is cut out of a video.

    Returns:
        Indexed by a batch number, the pair `(clips, labels)`, or `clips` if there are no labels.
        Clips are a uint8 array `(batch, num_frames, height, width, 3)` in 0..255, or
        `(batch, views, num_frames, height, width, 3)` for more than one view, all crops of the
        first clip first.

    Raises:
        ValueError: if an argument is invalid.
        VideoError: on reading, if a file is broken and `errors="raise"`, or if all are broken.
        RuntimeError: on reading, if a worker process dies or a batch takes more than ten minutes.
    """

    def __init__(
        self,
        files,
        labels=None,
        class_names=None,
        *,
        num_classes=None,
        batch_size=8,
        num_frames=16,
        frame_rate=None,
        sampling="window",
        step=1,
        image_size=(172, 172),
        crop_to_aspect_ratio=True,
        resize_side=None,
        shuffle=True,
        seed=None,
        clips=1,
        crops=1,
        short="repeat",
        errors="raise",
        augment=None,
        shard=(0, 1),
        drop_remainder=False,
        training=None,
        workers=1,
        use_multiprocessing=False,
        max_queue_size=None,
    ):
        options = {k: v for k, v in locals().items() if k not in ("self", "__class__")}
        source = ClipSource(**check_options(options))
        super().__init__(source, workers, use_multiprocessing, max_queue_size)
        self._options = options
        self.files, self.labels = source.files, source.labels
        self.class_names = None if class_names is None else list(class_names)
        self.num_classes = count_classes(self.labels, class_names, num_classes)
        self.batch_size, self.num_frames = source.batch_size, source.num_frames
        self.image_size, self.seed = source.image_size, source.seed
        self.num_views = source.clips * source.crops
        self._skipped, self._skipped_now = {}, {}

    def __repr__(self):
        height, width = self.image_size
        parts = [f"{len(self.files)} videos"]
        parts += [f"{self.num_classes} classes"] if self.num_classes else []
        rate, step = self._options["frame_rate"], self._options["step"]
        clips = f"clips of {self.num_frames} x {height} x {width}"
        clips += f" at {rate:g} frames/s" if rate else ""
        clips += f", one of {step} frames" if step != 1 else ""
        views = f" in {self.num_views} views" if self.num_views > 1 else ""
        parts += [clips + views, f"{len(self)} batches of {self.batch_size}"]
        parts += [f"{len(self._skipped)} broken"] if self._skipped else []
        return f"VideoDataset({', '.join(parts)})"

    @property
    def clip_options(self):
        """dict, the arguments that say how a clip is cut out of a video."""
        return {name: getattr(self._source, name) for name in CLIP_OPTIONS}

    @property
    def skipped(self):
        """List of `(path, reason)` of all files that were broken so far."""
        return list(self._skipped.items())

    def _unpack(self, batch):
        self._skipped_now.update(batch.broken)
        self._skipped.update(batch.broken)
        return batch.clips if batch.labels is None else (batch.clips, batch.labels)

    def _stop_reading(self, epoch):
        super()._stop_reading(epoch)
        skipped, self._skipped_now = self._skipped_now, {}
        if skipped:
            warn(
                f"Epoch {epoch}: {len(skipped)} of {len(self.files)} videos could not be read; "
                "other videos replaced them:",
                skipped,
            )

    def replace(self, **options):
        """Return the same data with other options.

        Args:
            **options: arguments of `VideoDataset`.

        Returns:
            A new `VideoDataset`, with the same seed unless `options` has another.

        Raises:
            TypeError: if an option is unknown.
        """
        unknown = sorted(options.keys() - self._options.keys())
        if unknown:
            raise TypeError(f"options: expected arguments of VideoDataset, got {unknown}.")
        other = type(self)(**{**self._options, "seed": self.seed, **options})
        other._skipped = dict(self._skipped)
        return other

    def without_broken(self):
        """Open every file once and remove those that cannot be read.

        Damage that shows only when a whole file is decoded is not found.

        Returns:
            A new `VideoDataset`. A warning and its attribute `skipped` list the removed files.

        Raises:
            VideoError: if no file can be read.
        """
        with concurrent.futures.ThreadPoolExecutor(self._options["workers"] or 1) as pool:
            reasons = list(pool.map(self._source.find_fault, range(len(self.files))))
        good = [video for video, reason in enumerate(reasons) if reason is None]
        broken = {path: why for path, why in zip(self.files, reasons, strict=True) if why}
        if not good:
            raise VideoError(f"None of {len(reasons)} videos can be read. {reasons[0]}")
        other = self.replace(
            files=[self.files[video] for video in good],
            labels=None if self.labels is None else self.labels[good],
            num_classes=self.num_classes,
        )
        other._skipped.update(broken)
        if broken:
            warn(f"{len(broken)} of {len(self.files)} videos cannot be read:", broken)
        return other


class ShardDataset(EpochDataset):
    """Batches of clips from TFRecord shards; `read_shards` makes it.

    Args:
        files: list of paths of TFRecord files, in the same order in every process.
        num_frames: int, frames of a clip.
        image_size: `(height, width)` of the clips, or an int for a square.
        batch_size: int. The last batch of an epoch may be smaller.
        step: int, distance of two frames of a clip.
        short: what a clip shows after the end of a short video: `"repeat"` starts again from the
            first frame, `"pad"` repeats the last one, `"error"` raises a `VideoError`.
        training: bool. `True`: a new order for each epoch, clips from random places, `augment`.
            `False`: the order of the files, clips from the middle.
        num_classes: int, makes labels an array `(batch, num_classes)` of zeros and ones. With
            `None`, labels are class numbers, and each video must have exactly one.
        augment: function `augment(clips, labels, rng) -> (clips, labels)` of a batch, with a
            `numpy.random.Generator` that depends only on `(seed, epoch, shard, batch)`.
        seed: int, the same in every process.
        shard: `(index, count)`: this process gets every `count`-th video in the order of the epoch,
            from the `index`-th on. The shards are disjoint and complete for any number of files.
            Batch `b` of all processes together is batch `b` of one process with
            `count * batch_size`.
        drop_remainder: bool, drops videos at the end of an epoch that do not fill a batch in every
            process, so that all processes take the same number of steps.
        workers: int. `0` reads in the calling thread; otherwise, the number of threads or processes
            that read ahead.
        use_multiprocessing: bool, uses processes instead of threads.
        max_queue_size: int, batches that may wait or be in progress; `None` means twice `workers`.

    Attributes:
        files: list of paths.
        num_videos: int, number of videos in all files.
        epoch: int, see `EpochDataset`.

    Returns:
        Indexed by a batch number, the pair `(clips, labels)`: uint8 array
        `(batch, num_frames, height, width, 3)` in 0..255; int32 array `(batch,)` or float32 array
        `(batch, num_classes)`.

    Raises:
        ValueError: if an argument is invalid.
        VideoError: if a file is cut short; on reading, if a record is damaged.
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
        _check_workers(workers, max_queue_size)
        _check_augment(augment, use_multiprocessing)
        self.files = list(files)
        records = [(path, at) for path in self.files for at in find_records(path)]
        source = ShardSource(
            records=records,
            num_frames=check_int("num_frames", num_frames),
            image_size=check_size("image_size", image_size),
            batch_size=check_int("batch_size", batch_size),
            step=check_int("step", step),
            short=check_choice("short", short, SHORT),
            training=bool(training),
            num_classes=None if num_classes is None else check_int("num_classes", num_classes),
            augment=augment,
            seed=check_int("seed", seed, 0),
            shard=_check_shard(shard, len(records), batch_size, drop_remainder),
            drop_remainder=bool(drop_remainder),
        )
        self.num_videos = len(records)
        super().__init__(source, workers, use_multiprocessing, max_queue_size)

    def __repr__(self):
        height, width = self._source.image_size
        return (
            f"ShardDataset({self.num_videos} videos in {len(self.files)} files, clips of "
            f"{self._source.num_frames} x {height} x {width}, {len(self)} batches of "
            f"{self._source.batch_size})"
        )


def read_shards(pattern, num_frames=16, image_size=(172, 172), **options):
    """Read TFRecord shards as a data set that `fit` accepts on every backend.

    Args:
        pattern: string with wildcards, such as `"data/train-*.tfrecord"`, or a list of paths. If
            the names end in `-00000-of-00008` and so on, all of them must be found.
        num_frames: int, frames of a clip.
        image_size: `(height, width)` of the clips, or an int for a square. Frames keep their
            aspect ratio; the centre is cut out.
        **options: the other arguments of `ShardDataset`, such as `batch_size`, `training`,
            `num_classes`, `augment`, `seed` and `shard=(index, count)`.

    Returns:
        A `ShardDataset`, which is a `keras.utils.PyDataset`.

    Raises:
        FileNotFoundError: if there are no such files, or some are missing.
        VideoError: if a file is cut short, or not a TFRecord file.
        ValueError: if an argument is invalid.

    Example:
    >>> train = read_shards("data/train-*.tfrecord", 50, shard=(process, processes), seed=1)
    >>> model.fit(train, epochs=10)  # doctest: +SKIP
    """
    return ShardDataset(find_files(pattern), num_frames, image_size, **options)


def find_files(pattern):
    """Return the files of a pattern, sorted, or of a list; raise an error if some are missing."""
    if not isinstance(pattern, (str, os.PathLike)):
        files = [os.fspath(path) for path in pattern]
        if not files:
            raise ValueError(f"pattern: expected at least one file, got {pattern!r}.")
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
    for (prefix, total), found in families.items():
        missing = sorted(set(range(total)) - found)
        if missing:
            raise FileNotFoundError(
                f"{prefix}-*-of-{total:05d}: {len(missing)} of {total} shards are missing, the "
                f"first is number {missing[0]:05d}."
            )
    return files


# Checks of the arguments, before anything is read


def check_options(options):
    """Convert the arguments of `VideoDataset` to those of `ClipSource`.

    Args:
        options: dict of all arguments.

    Returns:
        dict of the arguments of `ClipSource`: files as strings, labels as an array, sizes as
        pairs, `seed` and `training` decided.

    Raises:
        ValueError: if an argument is invalid.
    """
    o = dict(options)
    files = o["files"] = _check_files(o["files"])
    o["labels"] = _check_labels(o["labels"], len(files), o.pop("class_names"), o.pop("num_classes"))
    for name in ("batch_size", "num_frames", "step", "clips"):
        o[name] = check_int(name, o[name])
    check_rate("frame_rate", o["frame_rate"], none=True)
    check_choice("sampling", o["sampling"], SAMPLING)
    check_choice("short", o["short"], SHORT)
    check_choice("errors", o["errors"], ("raise", "skip"))
    check_choice("crops", o["crops"], (1, 3))
    check_choice("training", o["training"], (None, True, False))
    for name in ("shuffle", "drop_remainder", "use_multiprocessing", "crop_to_aspect_ratio"):
        check_choice(name, o[name], (True, False))
    o["image_size"] = check_size("image_size", o["image_size"])
    _check_geometry(o["image_size"], o["resize_side"], o["crop_to_aspect_ratio"], o["crops"])
    o["training"] = o["shuffle"] if o["training"] is None else o["training"]
    _check_views(o["sampling"], o["clips"], o["crops"], o["training"])
    o["shard"] = _check_shard(o["shard"], len(files), o["batch_size"], o["drop_remainder"])
    if o["seed"] is not None:
        o["seed"] = check_int("seed", o["seed"], 0)
    elif o["shard"][1] > 1 and (o["shuffle"] or o["training"]):
        raise ValueError("seed: expected an int, the same in every process of `shard`, got None.")
    else:
        o["seed"] = int(np.random.randint(2**31))  # follows keras.utils.set_random_seed
    _check_workers(o.pop("workers"), o.pop("max_queue_size"))
    _check_augment(o["augment"], o.pop("use_multiprocessing"))
    return o


def _check_files(files):
    """Return a non-empty list of paths as strings."""
    if isinstance(files, (str, bytes, os.PathLike)):
        raise ValueError(f"files: expected a list of paths, got {files!r}.")
    paths = [os.fspath(path) for path in files]
    if not paths:
        raise ValueError(f"files: expected at least one path, got {files!r}.")
    return paths


def _check_labels(labels, videos, class_names, num_classes):
    """Return the labels as an int32 array `(videos,)`, a float32 array of rows, or `None`.

    Rows may hold any numbers, such as smoothed labels; a single column is a binary label.
    """
    if num_classes is not None:
        check_int("num_classes", num_classes)
        if class_names is not None and len(class_names) != num_classes:
            raise ValueError(
                f"num_classes: expected {len(class_names)}, the number of class_names, got "
                f"{num_classes}."
            )
    if labels is None:
        return None
    classes = num_classes if class_names is None else len(class_names)
    labels = np.asarray(labels)
    if labels.ndim != 2:
        return check_labels("labels", labels, classes, videos).astype("int32")
    if labels.dtype.kind not in "iufb" or len(labels) != videos:
        raise ValueError(
            f"labels: expected numbers of shape ({videos}, classes), got {labels.dtype} of shape "
            f"{labels.shape}."
        )
    width = labels.shape[1]
    if classes is not None and width != classes and (width, classes) != (1, 2):
        raise ValueError(f"labels: expected {classes} columns, one for each class, got {width}.")
    return labels.astype("float32")


def count_classes(labels, class_names=None, num_classes=None):
    """Return the number of classes: named, given, or seen in the labels; `None` if unknown."""
    if class_names is not None:
        return len(class_names)
    if num_classes is not None or labels is None:
        return num_classes
    if labels.ndim == 1:
        return int(labels.max()) + 1
    return max(labels.shape[1], 2)  # a single column is binary


def _check_geometry(image_size, resize_side, crop_to_aspect_ratio, crops):
    """Raise an error unless crops of `image_size` can be cut out of the resized frame."""
    if not crop_to_aspect_ratio and (crops == 3 or resize_side is not None):
        raise ValueError(
            "crop_to_aspect_ratio: expected True with crops=3 or a resize_side, which keep the "
            f"aspect ratio, got False with crops={crops} and resize_side={resize_side}."
        )
    if resize_side is None:
        return
    check_int("resize_side", resize_side)
    least = max(image_size) if crops == 3 else min(image_size)
    if resize_side < least:
        raise ValueError(
            f"resize_side: expected an int of at least {least}, so that image_size={image_size} "
            f"fits into the frame, got {resize_side}."
        )


def _check_views(sampling, clips, crops, training):
    """Raise an error if several clips or crops are not possible."""
    if training and (clips > 1 or crops > 1 or sampling == "multi_clip"):
        raise ValueError(
            "training: expected False for several clips or crops of a video, got True with "
            f"sampling={sampling!r}, clips={clips}, crops={crops}. Pass training=False or "
            "shuffle=False."
        )
    if clips > 1 and sampling in ONE_CLIP:
        raise ValueError(f"clips: expected 1 for sampling={sampling!r}, got {clips}.")


def _check_shard(shard, videos, batch_size, drop_remainder):
    """Return `shard` as `(index, count)`; raise an error if a shard has too few videos."""
    try:
        index, count = (check_int("shard", number, 0) for number in shard)
    except (TypeError, ValueError):
        index, count = 0, 0
    if not index < count:
        raise ValueError(
            f"shard: expected two ints (index, count) with 0 <= index < count, got {shard!r}."
        )
    least = count * batch_size if drop_remainder else count
    if videos < least:
        full = f", for full batches of {batch_size} with drop_remainder=True" * drop_remainder
        raise ValueError(
            f"shard: expected at least {least} videos for {count} shards{full}, got {videos}."
        )
    return index, count


def _check_workers(workers, max_queue_size):
    check_int("workers", workers, 0)
    if max_queue_size is not None:
        check_int("max_queue_size", max_queue_size)


def _check_augment(augment, use_multiprocessing):
    """Raise an error unless `augment` is a function that the workers can call."""
    if augment is not None and not callable(augment):
        raise ValueError(f"augment: expected a function of (clips, labels, rng), got {augment!r}.")
    if use_multiprocessing:
        try:
            pickle.dumps(augment)
        except Exception as error:
            raise ValueError(
                "augment: expected a function or class of a module, not a lambda, since "
                f"use_multiprocessing=True pickles it, got {augment!r}."
            ) from error


def warn(message, broken):
    """Warn of broken files, given as a dict of paths and reasons, and list them."""
    lines = list(broken.values())
    if len(lines) > LISTED:
        lines[LISTED:] = [f"... and {len(lines) - LISTED} more, see `skipped`."]
    warnings.warn("\n  ".join([message, *lines]), stacklevel=4)
