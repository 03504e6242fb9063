"""Datasets of clips from a folder of videos, or from a list of them.

Which videos there are and what they show: folders of classes, and lists in text files.
"""

import csv
import os
import re
import typing
import warnings

import numpy as np

from keras_video.data.dataset import VideoDataset, check_image_size, warn
from keras_video.data.decoding import VideoError

FORMATS = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv"),
    *(".flv", ".ogv", ".gif"),
)
KINETICS = {"youtube_id", "time_start", "time_end"}


class Listing(typing.NamedTuple):
    """Videos and their labels.

    Attributes:
        files: list of paths.
        labels: for each file a tuple of ints, its classes; `None` if there are no labels.
        class_names: list of str, or `None` if the classes are bare numbers.
        missing: dict of paths that a list names and that do not exist, with the reason.
    """

    files: list
    labels: list | None
    class_names: list | None
    missing: dict


def list_folder(directory, labels="inferred", class_names=None, follow_links=False):
    """Lists the videos of a folder.

    Args:
        directory: path. With inferred labels it holds a folder for each class, whose videos may lie
            in folders of their own; names that begin with a dot are left out.
        labels: `"inferred"`, `None`, or a list of ints in the order of the sorted paths.
        class_names: list of str, which folders to take as classes, in this order; `None` takes all
            in alphabetical order. With inferred labels only.
        follow_links: bool, also looks into folders that are links.

    Returns:
        A `Listing`, sorted by class and path.

    Raises:
        ValueError: if there is no such folder, no video, no class folder, or labels do not match.
    """
    directory = os.fspath(directory)
    if not os.path.isdir(directory):
        raise ValueError(f"`directory` must be a folder of videos. There is no {directory!r}")
    if isinstance(labels, str) and labels == "inferred":
        return _list_classes(directory, class_names, follow_links)
    if class_names is not None:
        raise ValueError("`class_names` goes with `labels='inferred'`.")
    files = list_videos(directory, follow_links)
    if not files:
        raise ValueError(_no_videos(directory))
    if labels is None:
        return Listing(files, None, None, {})
    if isinstance(labels, str) or len(labels) != len(files):
        found = repr(labels) if isinstance(labels, str) else f"{len(labels)} labels"
        raise ValueError(
            f"`labels` must be 'inferred', None or a list of one int for each of {len(files)} "
            f"videos in {directory!r}. Received: {found}"
        )
    if not all(_is_class(label) for label in labels):
        raise ValueError("`labels` must be ints of at least 0.")
    names = [str(label) for label in range(max(labels) + 1)]
    return Listing(files, [(int(label),) for label in labels], names, {})


def _list_classes(directory, class_names, follow_links):
    folders = sorted(
        entry.name
        for entry in os.scandir(directory)
        if entry.is_dir() and not entry.name.startswith(".")
    )
    if class_names is not None:
        unknown = [name for name in class_names if name not in folders]
        if unknown or len(set(class_names)) < len(class_names):
            raise ValueError(
                f"`class_names` must name folders of {directory!r}, each once: {folders}. "
                f"Received: {list(class_names)}"
            )
        folders = list(class_names)
    videos = [list_videos(os.path.join(directory, name), follow_links) for name in folders]
    if not any(videos):
        loose = len(list_videos(directory, follow_links))
        if loose:
            raise ValueError(
                f"`labels='inferred'` needs a folder of videos for each class in {directory!r}. "
                f"Found {loose} videos that lie in none; for these pass `labels=None` or a list."
            )
        raise ValueError(_no_videos(directory))
    if len(folders) == 1:
        raise ValueError(
            f"A classifier needs at least two classes. {directory!r} has the one folder "
            f"{folders[0]!r}; pass `label_mode=None` for videos without labels."
        )
    empty = [name for name, found in zip(folders, videos, strict=True) if not found]
    if empty:
        warnings.warn(f"Class folders without a video: {', '.join(empty)}", stacklevel=4)
    files = [path for found in videos for path in found]
    labels = [(index,) for index, found in enumerate(videos) for _ in found]
    return Listing(files, labels, folders, {})


def list_videos(directory, follow_links=False):
    """Paths of all videos under a folder, sorted; see `FORMATS` for what counts as one."""
    files = []
    for folder, folders, names in os.walk(directory, followlinks=follow_links):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += (
            os.path.join(folder, name)
            for name in names
            if name.lower().endswith(FORMATS) and not name.startswith(".")
        )
    return sorted(files)


def read_file_list(path, root=None, class_names=None, num_classes=None, several=False):
    """Reads a list of videos and their classes.

    Three forms are known:

    1. `path label` or `path label label ...`, separated by blanks; paths without blanks.
    2. `path,label` or `path,label;label;...`, as CSV (`"a, b.mp4",3`), if every line has a comma.
    3. The CSV of Kinetics, told by its first line: `label,youtube_id,time_start,time_end,split` in
       any order. The file is `{youtube_id}_{time_start:06d}_{time_end:06d}.mp4` or
       `{youtube_id}.mp4`, in `root` or a folder of it named as the split, the label, or both.

    Labels are ints from 0, or names: those of `class_names`, or else all in the list, sorted. Empty
    lines and lines that begin with `#` are left out. Lines without a label have none: where all are
    so, there are no labels; for multi-label classes it means that none of them applies.

    Args:
        path: path of the list, UTF-8.
        root: folder that relative paths begin at; `None` for that of the list.
        class_names: list of str, or `None`.
        num_classes: int, or `None` for as many as appear.
        several: bool, allows several labels in a line, or none.

    Returns:
        A `Listing`.

    Raises:
        ValueError: if the list is missing, empty or no text, or a line is not of its form, a class
            unknown or out of range: naming the line.
    """
    lines = _read_lines(path)
    root = os.path.dirname(os.path.abspath(path)) if root is None else os.fspath(root)
    if KINETICS <= set(lines[0][1].replace('"', "").split(",")):
        rows = _kinetics_rows(path, lines, root)
    else:
        rows = _plain_rows(path, lines, root)
    if not rows:
        raise ValueError(f"{path}: the list names no video.")
    labels, class_names = _resolve(path, rows, class_names, num_classes, several)
    files = [file for _, file, _ in rows]
    missing = {f: f"{f}: no such video file." for f in files if not os.path.isfile(f)}
    if len(missing) == len(set(files)):
        raise VideoError(f"{path}: none of the {len(files)} videos exists, not even {files[0]}.")
    return Listing(files, labels, class_names, missing)


def _read_lines(path):
    """Numbered lines with something in them."""
    if not os.path.isfile(path):
        raise ValueError(f"`path` must be a text file that lists videos. There is no {path!r}")
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [(number, line.strip()) for number, line in enumerate(file, 1)]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not a list of videos, but no text at all.") from error
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        raise ValueError(f"{path}: the list is empty.")
    return lines


def _plain_rows(path, lines, root):
    """Rows `(line number, file, list of label texts)`."""
    rows = []
    with_commas = all("," in line for _, line in lines)
    for number, line in lines:
        if with_commas:
            name, *fields = next(csv.reader([line], skipinitialspace=True))
            if len(fields) != 1:
                raise ValueError(
                    f"{path}, line {number}: expected `path,label` or `path,label;label`, "
                    f"found {len(fields) + 1} fields: {line!r}"
                )
            labels = [label.strip() for label in fields[0].split(";") if label.strip()]
        else:
            name, *labels = line.split()
        if not name:
            raise ValueError(f"{path}, line {number}: there is no path: {line!r}")
        rows.append((number, os.path.join(root, name), labels))
    if with_commas and len(rows) > 1 and lines[0][1].lower().startswith("path,"):
        return rows[1:]  # a line of headings
    return rows


def _kinetics_rows(path, lines, root):
    """Rows as `_plain_rows` has them."""
    rows, columns = [], next(csv.reader([lines[0][1]]))
    for number, line in lines[1:]:
        fields = next(csv.reader([line]))
        row = dict(zip(columns, fields, strict=False))
        try:
            start, end = int(row["time_start"]), int(row["time_end"])
            name = row["youtube_id"]
        except (KeyError, ValueError):
            name = None
        if len(fields) != len(columns) or not name:
            raise ValueError(
                f"{path}, line {number}: expected the columns {','.join(columns)}, found {line!r}"
            )
        label, split = row.get("label", ""), row.get("split", "")
        names = f"{name}_{start:06d}_{end:06d}.mp4", f"{name}.mp4"
        folders = "", split, label, os.path.join(split, label)
        places = [os.path.join(root, folder, name) for folder in folders for name in names]
        found = next(filter(os.path.isfile, places), places[0])
        rows.append((number, found, [label] if label else []))
    return rows


def _resolve(path, rows, class_names, num_classes, several):
    """Labels as tuples of ints, and the names of the classes."""
    texts = {text for _, _, labels in rows for text in labels}
    if not texts:
        return None, class_names
    by_name = class_names is None and not any(map(_is_number, texts))
    if by_name:
        class_names = sorted(texts)
    numbers = {name: k for k, name in enumerate(class_names or [])}
    limit = num_classes or len(numbers) or None
    resolved = []
    for line, _, labels in rows:
        if len(labels) != 1 and not several:
            found = f"{len(labels)} labels" if labels else "no label"
            raise ValueError(
                f"{path}, line {line}: {found}. Pass `label_mode='multi_label'` for videos of "
                "several classes."
            )
        for text in labels:
            number = numbers.get(text, int(text) if _is_number(text) else -1)
            if not 0 <= number < (limit or float("inf")):
                wanted = "an int from 0" + ("" if limit is None else f" to {limit - 1}")
                wanted += " or the name of a class" if class_names else ""
                raise ValueError(f"{path}, line {line}: the label must be {wanted}, not {text!r}.")
        resolved.append(tuple(numbers[text] if text in numbers else int(text) for text in labels))
    return resolved, class_names


def _is_number(text):
    return re.fullmatch(r"-?[0-9]+", text) is not None


def _is_class(label):
    return hasattr(label, "__index__") and not isinstance(label, bool) and label >= 0


def _no_videos(directory):
    return f"`directory` {directory!r} holds no video. Known endings: {' '.join(FORMATS)}"


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

    The forms of a list are those of `keras_video.data.folders.read_file_list`: `path label`,
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
