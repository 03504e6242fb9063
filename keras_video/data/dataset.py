"""`VideoDataset`: batches of clips from video files, for `model.fit` on every backend.

Checks of the arguments of `VideoDataset`, before anything is read.
"""

import concurrent.futures
import os
import pickle
import warnings

import numpy as np

from keras_video.data.clips import SAMPLING, ClipSource, EpochDataset
from keras_video.data.decoding import VideoError
from keras_video.data.sampling import SHORT, check_integer, check_rate

ONE_CLIP = ("segments", "whole")  # rules that make one clip of a video


def check(options):
    """The arguments of `VideoDataset` as those of `ClipSource`.

    Args:
        options: dict of all arguments.

    Returns:
        dict of the arguments of `ClipSource`: files as str, labels as an array, sizes as pairs,
        `seed` and `training` decided.

    Raises:
        ValueError: if an argument is out of its range, naming it.
    """
    o = dict(options)
    files = o["files"] = check_files(o["files"])
    labels = o["labels"] = check_labels(o["labels"], len(files))
    check_classes(labels, o.pop("class_names"), o.pop("num_classes"))
    for name in ("batch_size", "num_frames", "step", "clips"):
        o[name] = check_integer(name, o[name])
    if o["frame_rate"] is not None:
        check_rate("frame_rate", o["frame_rate"])
    for name, choices in (
        ("sampling", SAMPLING),
        ("short", SHORT),
        ("errors", ("raise", "skip")),
        ("crops", (1, 3)),
        ("training", (None, True, False)),
        *((name, (True, False)) for name in ("shuffle", "drop_remainder", "use_multiprocessing")),
        ("crop_to_aspect_ratio", (True, False)),
    ):
        if o[name] not in choices:
            raise ValueError(f"`{name}` must be one of {choices}. Received: {o[name]!r}")
    o["image_size"] = check_image_size(o["image_size"])
    check_geometry(o["image_size"], o["resize_side"], o["crop_to_aspect_ratio"], o["crops"])
    o["training"] = o["shuffle"] if o["training"] is None else o["training"]
    check_views(o["sampling"], o["clips"], o["crops"], o["training"])
    o["shard"] = check_shard(o["shard"], len(files), o["batch_size"], o["drop_remainder"])
    if o["seed"] is not None:
        o["seed"] = check_integer("seed", o["seed"], 0)
    elif o["shard"][1] > 1 and (o["shuffle"] or o["training"]):
        raise ValueError("`shard` needs a `seed`, the same in every process. Received: seed=None")
    else:
        o["seed"] = int(np.random.randint(2**31))  # follows keras.utils.set_random_seed
    if o["augment"] is not None and not callable(o["augment"]):
        raise ValueError(
            f"`augment` must be a function of (clips, labels, rng). Received: {o['augment']!r}"
        )
    workers, queue = o.pop("workers"), o.pop("max_queue_size")
    check_integer("workers", workers, 0)
    if queue is not None:
        check_integer("max_queue_size", queue)
    if o.pop("use_multiprocessing"):
        check_picklable(o["augment"])
    return o


def check_files(files):
    """A non-empty list of paths as a list of str."""
    if isinstance(files, (str, bytes, os.PathLike)):
        raise ValueError(f"`files` must be a list of paths. Received: {files!r}")
    files = [os.fspath(path) for path in files]
    if not files:
        raise ValueError("`files` must hold at least one path. Received: an empty list")
    return files


def check_labels(labels, videos):
    """`None`, an int32 array `(videos,)` or a float32 array `(videos, classes)`."""
    if labels is None:
        return None
    labels = np.asarray(labels)
    if labels.ndim == 1 and labels.dtype.kind in "iu":
        labels = labels.astype("int32")
        fits = labels.min(initial=0) >= 0
    else:
        fits = labels.ndim == 2 and labels.dtype.kind in "iufb"
    if not fits:
        raise ValueError(
            "`labels` must be ints of at least 0, one for each video, or an array of shape "
            f"(videos, classes). Received: {labels.dtype} of shape {labels.shape}"
        )
    if len(labels) != videos:
        raise ValueError(
            f"`labels` must have one label for each of {videos} files. Received: {len(labels)}"
        )
    return labels if labels.ndim == 1 else labels.astype("float32")


def check_classes(labels, class_names, num_classes):
    """Raises unless labels, names and number of classes agree."""
    if num_classes is not None:
        check_integer("num_classes", num_classes)
    named = None if class_names is None else len(class_names)
    if None not in (named, num_classes) and named != num_classes:
        raise ValueError(
            f"`num_classes` and `class_names` must agree. Received: num_classes={num_classes} "
            f"and {named} names"
        )
    wanted = named or num_classes
    if labels is None or wanted is None:
        return
    if labels.ndim == 1 and labels.max() >= wanted:
        raise ValueError(
            f"`labels` must be below the number of classes, {wanted}. Received: {labels.max()}"
        )
    width = labels.shape[-1]
    if labels.ndim == 2 and width != wanted and (width, wanted) != (1, 2):
        raise ValueError(
            f"`labels` must have a column for each of {wanted} classes. Received: {width} columns"
        )


def count_classes(labels, class_names=None, num_classes=None):
    """The number of classes: named, given, or seen in the labels; `None` if nothing tells."""
    if class_names is not None:
        return len(class_names)
    if num_classes is not None or labels is None:
        return num_classes
    if labels.ndim == 1:
        return int(labels.max()) + 1
    return max(labels.shape[1], 2)  # a single column is binary


def check_image_size(image_size):
    """`image_size` as a pair of positive ints."""
    try:
        pair = (image_size,) * 2 if np.isscalar(image_size) else tuple(image_size)
        height, width = (check_integer("image_size", side) for side in pair)
    except (TypeError, ValueError):
        raise ValueError(
            f"`image_size` must be two positive ints (height, width), or one. "
            f"Received: {image_size}"
        ) from None
    return height, width


def check_geometry(image_size, resize_side, crop_to_aspect_ratio, crops):
    """Raises unless crops of `image_size` can be cut out of the resized picture."""
    if not crop_to_aspect_ratio and (crops == 3 or resize_side is not None):
        raise ValueError(
            "`crop_to_aspect_ratio=False` rules out `crops=3` and `resize_side`, which keep the "
            f"aspect ratio. Received: crops={crops}, resize_side={resize_side}"
        )
    if resize_side is None:
        return
    check_integer("resize_side", resize_side)
    least = max(image_size) if crops == 3 else min(image_size)
    if resize_side < least:
        raise ValueError(
            f"`resize_side` must be at least {least}, so that `image_size` {image_size} fits into "
            f"the picture. Received: {resize_side}"
        )


def check_views(sampling, clips, crops, training):
    """Raises if several clips or crops make no sense."""
    if training and (clips > 1 or crops > 1 or sampling == "multi_clip"):
        raise ValueError(
            "Several clips or crops of a video are for evaluation: pass `training=False` or "
            f"`shuffle=False`. Received: sampling={sampling!r}, clips={clips}, crops={crops}"
        )
    if clips > 1 and sampling in ONE_CLIP:
        raise ValueError(f"`sampling={sampling!r}` makes one clip. Received: clips={clips}")


def check_shard(shard, videos, batch_size, drop_remainder):
    """`shard` as `(index, count)`, if there is something for each to do."""
    try:
        index, count = (check_integer("shard", number, 0) for number in shard)
    except (TypeError, ValueError):
        index, count = 0, 0
    if not index < count:
        raise ValueError(
            "`shard` must be two ints (index, count), index from 0 to count - 1. "
            f"Received: {shard!r}"
        )
    least = count * batch_size if drop_remainder else count
    if videos < least:
        raise ValueError(
            f"{videos} videos are too few for {count} shards"
            + (f" with full batches of {batch_size}." if drop_remainder else ".")
        )
    return index, count


def check_picklable(augment):
    """Raises unless `augment` can be sent to a worker process."""
    try:
        pickle.dumps(augment)
    except Exception as error:
        raise ValueError(
            "`use_multiprocessing=True` needs an `augment` that can be pickled: a function or "
            f"class of a module, no lambda. Received: {augment!r}"
        ) from error


LISTED = 20  # broken files that a warning names; `skipped` has them all


class VideoDataset(EpochDataset):
    """Batches of clips from video files.

    A clip depends on `seed`, `epoch` and the number of its video, the order of the videos on
    `seed` and `epoch`: never on the workers, which read ahead while Keras iterates, and not on
    the argument `shuffle` of `fit`.

    Broken files: `errors="raise"` ends the run with one error that names the file. With
    `errors="skip"` the next readable video of the epoch's order takes the place of the broken one,
    so that batches keep their shape, and a warning at the end of the epoch counts and lists what
    was skipped; `without_broken()` leaves such files out for good, which an evaluation needs that
    must count every video once.

    Args:
        files: list of paths.
        labels: `None`, an int array `(videos,)`, or a float array `(videos, classes)` for one-hot
            and multi-label classes, `(videos, 1)` for binary ones.
        class_names: list of str, or `None`.
        num_classes: int; `None` counts the names, or the classes that appear in the labels.
        batch_size: int. The last batch of an epoch may be smaller.
        num_frames: int, frames of a clip.
        frame_rate: frames per second at which the video is looked at, `None` for its own. All
            other arguments about frames count at this rate.
        sampling: which frames make a clip, in training / otherwise, see
            `keras_video.data.sampling`:
            `"window"`, `"strided"`: frames `step` apart, from a random start / in the middle;
            `"multi_clip"`: not in training / as `"window"`;
            `"segments"`: TSN's segments, a random frame of each / their centres;
            `"blvnet_tam"`: its training / its test rule;
            `"tvn"`: as `"strided"` / draws from every `step`-th frame;
            `"whole"`: evenly spaced from the first to the last frame.
        step: int, distance of two frames of a window.
        image_size: `(height, width)` of the clips, or an int for a square.
        crop_to_aspect_ratio: bool. `True` keeps the aspect ratio and cuts the centre out, `False`
            squeezes the picture.
        resize_side: int, length to which the smaller side is resized before `image_size` is cut
            out; `None` resizes no further than needed.
        shuffle: bool, draws a new order for each epoch.
        seed: int; `None` draws one, see the attribute.
        clips: int, clips per video, evenly spaced for windows. More than one is for evaluation.
        crops: 1 for the centre, 3 for both ends and the middle of the longer side. Three are for
            evaluation.
        short: what a window shows after the end of a short video: `"repeat"` starts again from
            the first frame, `"pad"` holds the last, `"error"` takes the video as broken, whatever
            the sampling, if it has fewer frames than a clip spans.
        errors: `"raise"` or `"skip"`.
        augment: function `augment(clips, labels, rng) -> (clips, labels)` of a batch, with a
            `numpy.random.Generator` that depends on `(seed, epoch, shard, batch)` alone. Used in
            training only.
        shard: `(index, count)`: this process gets every `count`-th video of the epoch's order,
            from the `index`-th on. The shards are disjoint and complete: if the number of videos
            is no multiple of `count`, the first shards have one more. Batch `b` of all shards
            together is batch `b` of one process with `count * batch_size`.
        drop_remainder: bool, leaves the videos at the end of an epoch's order out that do not fill
            a batch in every shard, so that all processes take the same number of steps.
        training: bool, random clips (`True`) or centred ones. `None`: as `shuffle`.
        workers: int. `0` reads in the calling thread, otherwise so many threads or processes read
            ahead. Decoding runs mostly outside of Python's lock, so that threads do.
        use_multiprocessing: bool, processes instead of threads. A script that does this needs
            `if __name__ == "__main__":`, and `augment` must be picklable.
        max_queue_size: int, batches that may wait or be under way; `None`: twice `workers`.

    Attributes:
        files, labels, class_names: what was given, `files` as a list of str.
        num_classes: int, or `None` without labels.
        skipped: list of `(path, reason)` of all files that were broken so far.
        seed: int.
        epoch: int, how often `on_epoch_end` was called. It may be set, to resume a training run.
            `fit` calls it once before it starts, on every backend: its n-th epoch, from 1, shows
            the clips of `epoch + n`. (With `steps_per_epoch` epochs end before all videos were
            seen, and the next one goes on with another order.)
        num_views: int, `clips * crops`.

    Returns:
        Indexed by a batch number, the pair `(clips, labels)`, without labels `clips` alone: uint8
        array `(batch, num_frames, height, width, 3)` in 0..255, or
        `(batch, views, num_frames, height, width, 3)` for more than one view, all crops of the
        first clip first.

    Raises:
        ValueError: if an argument is out of its range.
        VideoError: on reading, if a file is broken and `errors="raise"`, or all are.
        RuntimeError: if a worker process dies, or a batch takes more than ten minutes.
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
        source = ClipSource(**check(options))
        super().__init__(source, workers, use_multiprocessing, max_queue_size)
        self._options = options
        self.files, self.labels = source.files, source.labels
        self.class_names = None if class_names is None else list(class_names)
        self.num_classes = count_classes(self.labels, class_names, num_classes)
        self.batch_size, self.num_frames = source.batch_size, source.num_frames
        self.image_size, self.seed = source.image_size, source.seed
        self.num_views = source.clips * source.crops
        self._skipped, self._skipped_now = {}, {}

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
                "others took their places:",
                skipped,
            )

    def replace(self, **options):
        """The same data with other options.

        Args:
            **options: arguments of `VideoDataset`.

        Returns:
            A new `VideoDataset`. Without a new `seed` it keeps this one's.
        """
        unknown = sorted(options.keys() - self._options.keys())
        if unknown:
            raise TypeError(f"`replace` got unknown options {unknown} of a VideoDataset.")
        other = type(self)(**{**self._options, "seed": self.seed, **options})
        other._skipped = dict(self._skipped)
        return other

    def without_broken(self):
        """Opens every file once and leaves out those that cannot be read.

        Damage that only decoding a whole file would show is not found.

        Returns:
            A new `VideoDataset`. Its `skipped` lists what was left out, and so does a warning.
        """
        with concurrent.futures.ThreadPoolExecutor(self._options["workers"] or 1) as pool:
            reasons = list(pool.map(self._source.find_fault, range(len(self.files))))
        good = [video for video, reason in enumerate(reasons) if reason is None]
        broken = {path: why for path, why in zip(self.files, reasons, strict=True) if why}
        if not good:
            raise VideoError(f"Not one of {len(reasons)} videos can be read. {reasons[0]}")
        other = self.replace(
            files=[self.files[video] for video in good],
            labels=None if self.labels is None else self.labels[good],
            num_classes=self.num_classes,
        )
        other._skipped.update(broken)
        if broken:
            warn(f"{len(broken)} of {len(self.files)} videos cannot be read:", broken)
        return other


def warn(message, broken):
    """Warns of broken files, a dict of paths and reasons, and lists them."""
    lines = list(broken.values())
    if len(lines) > LISTED:
        lines[LISTED:] = [f"... and {len(lines) - LISTED} more, see `skipped`."]
    warnings.warn("\n  ".join([message, *lines]), stacklevel=4)
