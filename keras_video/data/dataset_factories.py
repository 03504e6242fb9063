"""Datasets of clips from a folder of videos, or from a list of them."""

import warnings

import numpy as np

from keras_video.data.dataset import VideoDataset, warn
from keras_video.data.dataset_options import check_image_size
from keras_video.data.listing import list_folder, read_file_list

LABEL_MODES = ("int", "categorical", "binary", "multi_label", None)


def video_dataset_from_directory(
    directory,
    labels="inferred",
    label_mode="int",
    class_names=None,
    batch_size=32,
    image_size=(172, 172),
    shuffle=True,
    seed=None,
    validation_split=None,
    subset=None,
    follow_links=False,
    verbose=True,
    num_frames=16,
    frame_rate=None,
    sampling="window",
    **options,
):
    """Makes a dataset of the videos in a folder, in the manner of `image_dataset_from_directory`.

    The folder holds a folder for each class:

        directory/
            running/  a.mp4  b.mp4
            jumping/  c.avi  more/d.mp4

    Args:
        directory: path of the folder.
        labels: `"inferred"` takes the folders as classes, `None` gives no labels, a list of ints
            labels the videos in the order of their sorted paths.
        label_mode: `"int"` for labels `(batch,)`, `"categorical"` for one-hot labels
            `(batch, classes)`, `"binary"` for 0 or 1 `(batch, 1)` of two classes, `None` for none.
        class_names: list of str, which folders to take, in this order; `None` takes all in
            alphabetical order.
        batch_size, image_size, num_frames, frame_rate, sampling: as in `VideoDataset`.
        shuffle: bool. `True` shuffles the videos before they are split, and the training videos
            anew in each epoch, and takes random clips of these. `False` keeps them sorted, which
            splits off the last classes, and takes clips as in evaluation.
        seed: int, of the split and all that is random.
        validation_split: float between 0 and 1, the part of the videos kept for validation.
        subset: `"training"`, `"validation"` or `"both"`, with `validation_split`. Validation videos
            are not shuffled nor augmented, and their clips are those of evaluation.
        follow_links: bool, also looks into folders that are links.
        verbose: bool, prints how many videos and classes there are.
        **options: other arguments of `VideoDataset`.

    Returns:
        A `VideoDataset`; for `subset="both"` the pair of training and validation.

    Raises:
        ValueError: if an argument is out of its range; there is no such folder, no video in it or,
            unless `label_mode=None`, only one class; labels or class names do not match what was
            found; a split leaves one side empty, or is shuffled without a seed.

    Example:
    >>> train, validation = keras_video.data.video_dataset_from_directory(
    ...     "videos", validation_split=0.2, subset="both", seed=1, num_frames=8)  # doctest: +SKIP
    Found 480 files belonging to 16 classes.
    """
    _check_label_mode(label_mode)
    _check_split(validation_split, subset, shuffle, seed)
    if label_mode is None:
        labels = None
    check_image_size(image_size)
    listing = list_folder(directory, labels, class_names, follow_links)
    targets, classes = _encode(listing.labels, label_mode, listing.class_names)
    if verbose:
        of = f" belonging to {classes} classes" if targets is not None else ""
        print(f"Found {len(listing.files)} files{of}.")
    options.update(
        class_names=listing.class_names if targets is not None else None,
        batch_size=batch_size,
        image_size=image_size,
        num_frames=num_frames,
        frame_rate=frame_rate,
        sampling=sampling,
        seed=seed,
    )

    def make(videos, **more):
        files = [listing.files[video] for video in videos]
        picked = None if targets is None else targets[videos]
        return VideoDataset(files, picked, **{**options, **more})

    if subset is None:
        return make(np.arange(len(listing.files)), shuffle=shuffle)
    training, validation = _split(len(listing.files), validation_split, shuffle and seed)
    if targets is not None:
        _warn_of_unseen(targets, training, listing.class_names)
    made = {}
    if subset != "validation":
        made["training"] = make(training, shuffle=shuffle)
    if subset != "training":
        centred = {"shuffle": False, "training": False, "augment": None}
        made["validation"] = make(validation, **centred)
    if verbose:
        for name, dataset in made.items():
            print(f"Using {len(dataset.files)} files for {name}.")
    return tuple(made.values()) if subset == "both" else made[subset]


def video_dataset_from_file_list(
    path,
    root=None,
    label_mode="int",
    class_names=None,
    num_classes=None,
    batch_size=32,
    shuffle=True,
    verbose=True,
    errors="raise",
    **options,
):
    """Makes a dataset of the videos that a text file lists.

    The forms of a list are those of `keras_video.data.listing.read_file_list`: `path label`,
    `path,label`, several labels as `path 3 17 42` or `path,3;17;42`, and the CSV of Kinetics.

    Args:
        path: path of the list.
        root: folder that relative paths begin at; `None` for that of the list.
        label_mode: `"int"`, `"categorical"` or `"binary"` as in `video_dataset_from_directory`;
            `"multi_label"` for any number of classes per video, as zeros and ones
            `(batch, classes)`; `None` for no labels.
        class_names: list of str; labels may be these names or their numbers.
        num_classes: int; `None` counts the names, or the classes that appear.
        batch_size, shuffle: as in `VideoDataset`.
        verbose: bool, prints how many videos and classes there are.
        errors: `"raise"` or `"skip"`. Videos that do not exist are an error, or left out with a
            warning and listed in `skipped` from the start.
        **options: other arguments of `VideoDataset`.

    Returns:
        A `VideoDataset`.

    Raises:
        ValueError: if an argument is out of its range, or the list is missing, empty or wrong:
            naming the line.
        VideoError: if a video does not exist and `errors="raise"`, or none does.
    """
    _check_label_mode(label_mode)
    several = label_mode in ("multi_label", None)
    listing = read_file_list(path, root, class_names, num_classes, several)
    if listing.missing and errors == "raise":
        reason = next(iter(listing.missing.values()))
        raise FileNotFoundError(
            f"{path}: {len(listing.missing)} of {len(listing.files)} videos do not exist. {reason} "
            "Pass `errors='skip'` to go on without them."
        )
    if listing.labels is None and label_mode is not None:
        raise ValueError(f"{path}: the list has no labels; pass `label_mode=None`.")
    labels = listing.labels if label_mode else None
    targets, classes = _encode(labels, label_mode, listing.class_names, num_classes)
    kept = [video for video, file in enumerate(listing.files) if file not in listing.missing]
    dataset = VideoDataset(
        [listing.files[video] for video in kept],
        None if targets is None else targets[kept],
        listing.class_names if targets is not None else None,
        num_classes=classes,
        batch_size=batch_size,
        shuffle=shuffle,
        errors=errors,
        **options,
    )
    if listing.missing:
        dataset._skipped.update(listing.missing)
        warn(f"{path}: {len(listing.missing)} videos are left out:", listing.missing)
    if verbose:
        of = f" belonging to {classes} classes" if targets is not None else ""
        print(f"Found {len(kept)} files{of}.")
    return dataset


def _encode(labels, label_mode, class_names, num_classes=None):
    """Labels as the array that a loss takes, and the number of classes."""
    if labels is None:
        return None, None
    highest = max(max(classes, default=-1) for classes in labels)
    classes = num_classes or len(class_names or ()) or highest + 1
    if label_mode == "int":
        return np.array([only for (only,) in labels], "int32"), classes
    if label_mode == "binary":
        if classes != 2:
            raise ValueError(f"`label_mode='binary'` needs exactly 2 classes. Found {classes}")
        return np.array(labels, "float32"), classes
    encoded = np.zeros((len(labels), classes), "float32")
    for row, shown in zip(encoded, labels, strict=True):
        row[list(shown)] = 1
    return encoded, classes


def _split(videos, validation_split, seed):
    """Indices for training and validation, each sorted; `seed=False` takes the last ones."""
    order = np.arange(videos)
    if seed is not False:
        np.random.default_rng(seed).shuffle(order)
    last = int(validation_split * videos)
    if not 0 < last < videos:
        raise ValueError(
            f"`validation_split={validation_split}` of {videos} videos leaves "
            f"{'none for validation' if not last else 'none for training'}."
        )
    return np.sort(order[:-last]), np.sort(order[-last:])


def _warn_of_unseen(targets, training, class_names):
    """A class that is in validation alone cannot be learned."""
    if targets.ndim == 2 and targets.shape[1] > 1:
        targets = targets.argmax(1)
    unseen = sorted(set(targets.ravel().astype(int)) - set(targets[training].ravel().astype(int)))
    if unseen:
        names = ", ".join(class_names[number] for number in unseen)
        warnings.warn(f"Classes without a video for training: {names}", stacklevel=3)


def _check_label_mode(label_mode):
    if label_mode not in LABEL_MODES:
        raise ValueError(f"`label_mode` must be one of {LABEL_MODES}. Received: {label_mode!r}")


def _check_split(validation_split, subset, shuffle, seed):
    if subset not in (None, "training", "validation", "both"):
        raise ValueError(
            "`subset` must be 'training', 'validation', 'both' or None. "
            f"Received: subset={subset!r}"
        )
    if (validation_split is None) != (subset is None):
        raise ValueError(
            "`validation_split` and `subset` go together. "
            f"Received: validation_split={validation_split}, subset={subset!r}"
        )
    if validation_split is not None and not 0 < validation_split < 1:
        raise ValueError(
            f"`validation_split` must lie between 0 and 1. Received: {validation_split}"
        )
    if validation_split is not None and shuffle and seed is None:
        raise ValueError(
            "`validation_split` of shuffled videos needs a `seed`, so that training and validation "
            "do not overlap. Received: seed=None"
        )
