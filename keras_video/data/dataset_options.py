"""Checks of the arguments of `VideoDataset`, before anything is read."""

import os
import pickle

import numpy as np

from keras_video.data.dataset_clips import SAMPLING
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
