"""Data sets of clips from a folder of videos, or from a text file that lists videos.

The two functions at the top make a `VideoDataset`. They find the videos and their labels with
`list_folder` and `read_file_list`.
"""

import csv
import os
import re
import typing
import warnings

import numpy as np

from keras_video.checks import check_choice, check_labels, check_number, check_size
from keras_video.data.dataset import VideoDataset, warn
from keras_video.data.decoding import VideoError

FORMATS = (
    *(".mp4", ".m4v", ".mov", ".3gp", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".wmv"),
    *(".flv", ".ogv", ".gif"),
)
KINETICS = {"youtube_id", "time_start", "time_end"}
LABEL_MODES = ("int", "categorical", "binary", "multi_label", None)


def video_dataset_from_directory(
    directory,
    labels="inferred",
    label_mode="int",
    class_names=None,
    batch_size=32,
    image_size=None,
    shuffle=True,
    seed=None,
    validation_split=None,
    subset=None,
    follow_links=False,
    verbose=True,
    num_frames=None,
    frame_rate=None,
    sampling=None,
    model=None,
    **options,
):
    """Make a data set of the videos in a folder, as Keras' `image_dataset_from_directory` does.

    The folder contains a folder for each class:

        directory/
            running/  a.mp4  b.mp4
            jumping/  c.avi  more/d.mp4

    Args:
        directory: string or path of the folder.
        labels: `"inferred"` uses the folders as classes, `None` gives no labels, a list of ints
            labels the videos in the order of their sorted paths.
        label_mode: `"int"` for class numbers `(batch,)`, `"categorical"` for one-hot labels
            `(batch, classes)`, `"binary"` for 0 or 1 `(batch, 1)` of two classes, `None` for no
            labels.
        class_names: list of strings, the folders to use, in this order; `None` uses all in
            alphabetical order.
        batch_size, image_size, num_frames, frame_rate, sampling: as in `VideoDataset`. `None`: as
            `model` wants it, else the default there.
        shuffle: bool. `True` shuffles the videos before they are split, shuffles the training
            videos again in each epoch, and takes random clips of them. `False` keeps the videos
            sorted, so that the last classes become the validation part, and takes clips as in
            evaluation.
        seed: int, seed of the split and of everything random.
        validation_split: float between 0 and 1, the fraction of the videos used for validation.
        subset: `"training"`, `"validation"` or `"both"`, with `validation_split`. Validation videos
            are neither shuffled nor augmented, and their clips are those of an evaluation.
        follow_links: bool, whether to look into folders that are symbolic links.
        verbose: bool, whether to print the numbers of videos and classes.
        model: a model with a `video_input`, whose clips are made: their frames, size, frame rate,
            step and sampling rule. Arguments that are given win.
        **options: other arguments of `VideoDataset`.

    Returns:
        A `VideoDataset`; for `subset="both"` the pair `(training, validation)`.

    Raises:
        ValueError: if an argument is invalid; if there is no such folder, no video in it or, unless
            `label_mode=None`, only one class; if labels or class names do not match the folder; if
            a part of the split is empty, or the split is shuffled without a seed.

    Example:
    >>> train, validation = keras_video.data.video_dataset_from_directory(
    ...     "videos", validation_split=0.2, subset="both", seed=1, num_frames=8)  # doctest: +SKIP
    Found 480 files belonging to 16 classes.
    """
    check_choice("label_mode", label_mode, LABEL_MODES)
    _check_split(validation_split, subset, shuffle, seed)
    if label_mode is None:
        labels = None
    given = {
        "image_size": image_size,
        "num_frames": num_frames,
        "frame_rate": frame_rate,
        "sampling": sampling,
    }
    options = _with_model(model, {**options, **given})
    check_size("image_size", options["image_size"])
    listing = list_folder(directory, labels, class_names, follow_links)
    targets, classes = _encode(listing.labels, label_mode, listing.class_names)
    if verbose:
        of = f" belonging to {classes} classes" if targets is not None else ""
        print(f"Found {len(listing.files)} files{of}.")
    options.update(
        class_names=listing.class_names if targets is not None else None,
        batch_size=batch_size,
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
    model=None,
    **options,
):
    """Make a data set of the videos that a text file lists.

    The file has lines `path label` or `path,label`, with several labels `path 3 17 42` or
    `path,3;17;42`, or is a CSV file of Kinetics. `keras_video.data.folders.read_file_list`
    describes these formats.

    Args:
        path: string or path of the list.
        root: folder of the relative paths; `None` means the folder of the list.
        label_mode: `"int"`, `"categorical"` or `"binary"` as in `video_dataset_from_directory`;
            `"multi_label"` for any number of classes per video, as zeros and ones
            `(batch, classes)`; `None` for no labels.
        class_names: list of strings; labels may be these names or their numbers.
        num_classes: int; `None` counts the names, or the classes that appear.
        batch_size, shuffle: as in `VideoDataset`.
        verbose: bool, whether to print the numbers of videos and classes.
        errors: `"raise"` or `"skip"`. With `"skip"`, videos that do not exist are left out with a
            warning and listed in the attribute `skipped`.
        model: a model with a `video_input`, whose clips are made, as in
            `video_dataset_from_directory`.
        **options: other arguments of `VideoDataset`.

    Returns:
        A `VideoDataset`.

    Raises:
        ValueError: if an argument is invalid, or the list is missing, empty or has a wrong line,
            which is named.
        FileNotFoundError: if a video does not exist and `errors="raise"`.
        VideoError: if none of the videos exists.
    """
    check_choice("label_mode", label_mode, LABEL_MODES)
    options = _with_model(model, options)
    several = label_mode in ("multi_label", None)
    listing = read_file_list(path, root, class_names, num_classes, several)
    if listing.missing and errors == "raise":
        reason = next(iter(listing.missing.values()))
        raise FileNotFoundError(
            f"{path}: {len(listing.missing)} of {len(listing.files)} videos do not exist. {reason} "
            "Pass errors='skip' to continue without them."
        )
    if listing.labels is None and label_mode is not None:
        raise ValueError(f"{path}: expected a label in each line, got none. Pass label_mode=None.")
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
        warn(f"{path}: {len(listing.missing)} videos do not exist:", listing.missing)
    if verbose:
        of = f" belonging to {classes} classes" if targets is not None else ""
        print(f"Found {len(kept)} files{of}.")
    return dataset


DEFAULTS = {"image_size": (172, 172), "num_frames": 16, "sampling": "window"}


def _with_model(model, options):
    """Return the options of `VideoDataset`: those given, then those of the model, then defaults.

    Args:
        model: `None`, or any object with a `video_input`, see `keras_video.specs.VideoInput`.
        options: dict; `None` means not given.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if model is None:
        return {**DEFAULTS, **given}
    known = getattr(model, "video_input", None)
    if known is None:
        raise ValueError(
            f"model: expected one with a video_input, got {getattr(model, 'name', model)!r}."
        )
    wanted = known.clip_options()
    if "image_size" in given or "crop_to_aspect_ratio" in given:
        wanted.pop("resize_side")  # it belongs to the size
    if "frame_rate" in given:
        wanted.pop("step")  # it counts frames at the rate
    return {**DEFAULTS, **wanted, **given}


def _encode(labels, label_mode, class_names, num_classes=None):
    """Return the labels as an array for a loss, and the number of classes."""
    if labels is None:
        return None, None
    highest = max(max(classes, default=-1) for classes in labels)
    classes = num_classes or len(class_names or ()) or highest + 1
    if label_mode == "int":
        return np.array([only for (only,) in labels], "int32"), classes
    if label_mode == "binary":
        if classes != 2:
            raise ValueError(f"label_mode: expected 2 classes for 'binary', got {classes}.")
        return np.array(labels, "float32"), classes
    encoded = np.zeros((len(labels), classes), "float32")
    for row, shown in zip(encoded, labels, strict=True):
        row[list(shown)] = 1
    return encoded, classes


def _split(videos, validation_split, seed):
    """Return sorted indices for training and validation; `seed=False` splits off the last."""
    order = np.arange(videos)
    if seed is not False:
        np.random.default_rng(seed).shuffle(order)
    last = int(validation_split * videos)
    if not 0 < last < videos:
        raise ValueError(
            f"validation_split: expected at least one video of {videos} for "
            f"{'training' if last else 'validation'}, got none with {validation_split}."
        )
    return np.sort(order[:-last]), np.sort(order[-last:])


def _check_split(validation_split, subset, shuffle, seed):
    check_choice("subset", subset, ("training", "validation", "both", None))
    if (validation_split is None) != (subset is None):
        raise ValueError(
            "subset: expected both validation_split and subset, or neither, got "
            f"validation_split={validation_split} and subset={subset!r}."
        )
    if validation_split is None:
        return
    check_number("validation_split", validation_split, above=0, below=1)
    if shuffle and seed is None:
        raise ValueError(
            "seed: expected an int for the validation_split of shuffled videos, so that training "
            "and validation do not overlap, got None."
        )


def _warn_of_unseen(targets, training, class_names):
    """Warn of classes that have videos for validation only: they cannot be learned."""
    if targets.ndim == 2 and targets.shape[1] > 1:
        targets = targets.argmax(1)
    unseen = sorted(set(targets.ravel().astype(int)) - set(targets[training].ravel().astype(int)))
    if unseen:
        names = ", ".join(class_names[number] for number in unseen)
        warnings.warn(f"Classes without a video for training: {names}", stacklevel=3)


# Which videos there are, and their labels


class Listing(typing.NamedTuple):
    """Videos and their labels.

    Attributes:
        files: list of paths.
        labels: list with a tuple of ints for each file, its classes; `None` if there are no labels.
        class_names: list of strings, or `None` if the classes have no names.
        missing: dict of listed paths that do not exist, with the reason.
    """

    files: list
    labels: list | None
    class_names: list | None
    missing: dict


def list_folder(directory, labels="inferred", class_names=None, follow_links=False):
    """List the videos of a folder.

    Args:
        directory: string or path. With inferred labels it contains a folder for each class, whose
            videos may be in subfolders. Names that begin with a dot are ignored.
        labels: `"inferred"`, `None`, or a list of ints in the order of the sorted paths.
        class_names: list of strings, the folders to use as classes, in this order; `None` uses all
            in alphabetical order. With inferred labels only.
        follow_links: bool, whether to look into folders that are symbolic links.

    Returns:
        A `Listing`, sorted by class and path.

    Raises:
        ValueError: if there is no such folder, no video or no class folder, or if labels do not
            match the videos.
    """
    directory = os.fspath(directory)
    if not os.path.isdir(directory):
        raise ValueError(f"directory: expected a folder of videos, got {directory!r}.")
    if isinstance(labels, str) and labels == "inferred":
        return _list_classes(directory, class_names, follow_links)
    if class_names is not None:
        raise ValueError(
            f"class_names: expected None unless labels='inferred', got {list(class_names)}."
        )
    files = list_videos(directory, follow_links)
    if not files:
        raise ValueError(_no_videos(directory))
    if labels is None:
        return Listing(files, None, None, {})
    if isinstance(labels, str) or np.ndim(labels) != 1:
        raise ValueError(f"labels: expected 'inferred', None or a list of ints, got {labels!r}.")
    labels = check_labels("labels", labels, videos=len(files))
    names = [str(label) for label in range(labels.max() + 1)]
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
                f"class_names: expected different folders of {directory!r}, which has {folders}, "
                f"got {list(class_names)}."
            )
        folders = list(class_names)
    videos = [list_videos(os.path.join(directory, name), follow_links) for name in folders]
    if not any(videos):
        loose = len(list_videos(directory, follow_links))
        if loose:
            raise ValueError(
                f"directory: expected a folder of videos for each class in {directory!r}, got "
                f"{loose} videos outside of such folders. For these, pass labels=None or a list."
            )
        raise ValueError(_no_videos(directory))
    if len(folders) == 1:
        raise ValueError(
            f"directory: expected at least two classes in {directory!r}, got only "
            f"{folders[0]!r}. Pass label_mode=None for videos without labels."
        )
    empty = [name for name, found in zip(folders, videos, strict=True) if not found]
    if empty:
        warnings.warn(f"Class folders without a video: {', '.join(empty)}", stacklevel=4)
    files = [path for found in videos for path in found]
    labels = [(index,) for index, found in enumerate(videos) for _ in found]
    return Listing(files, labels, folders, {})


def list_videos(directory, follow_links=False):
    """Return the sorted paths of all videos below a folder; `FORMATS` lists their endings."""
    files = []
    for folder, folders, names in os.walk(directory, followlinks=follow_links):
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += (
            os.path.join(folder, name)
            for name in names
            if name.lower().endswith(FORMATS) and not name.startswith(".")
        )
    return sorted(files)


def _no_videos(directory):
    return f"directory: expected videos ({' '.join(FORMATS)}) in {directory!r}, got none."


def read_file_list(path, root=None, class_names=None, num_classes=None, several=False):
    """Read a list of videos and their classes.

    There are three formats:

    1. `path label` or `path label label ...`, separated by spaces; paths have no spaces.
    2. `path,label` or `path,label;label;...`, as CSV (`"a, b.mp4",3`), if every line has a comma.
    3. The CSV of Kinetics, recognized by its first line, the columns
       `label,youtube_id,time_start,time_end,split` in any order. The file is
       `{youtube_id}_{time_start:06d}_{time_end:06d}.mp4` or `{youtube_id}.mp4`, in `root` or in its
       subfolder for the split, the label, or both.

    Labels are ints from 0 or names. The names are those of `class_names`, or else all names of the
    list, sorted. Empty lines and lines that begin with `#` are ignored. If no line has a label,
    there are no labels. With `several`, a single line without a label means that no class applies.

    Args:
        path: string or path of the list, in UTF-8.
        root: folder of the relative paths; `None` means the folder of the list.
        class_names: list of strings, or `None`.
        num_classes: int, or `None` for the number of classes that appear.
        several: bool, whether a line may have several labels, or none.

    Returns:
        A `Listing`.

    Raises:
        ValueError: if the list is missing, empty or not text, or if a line has a wrong format or an
            unknown class, which names the line.
        VideoError: if none of the videos exists.
    """
    lines = _read_lines(path)
    root = os.path.dirname(os.path.abspath(path)) if root is None else os.fspath(root)
    if KINETICS <= set(lines[0][1].replace('"', "").split(",")):
        rows = _kinetics_rows(path, lines, root)
    else:
        rows = _plain_rows(path, lines, root)
    if not rows:
        raise ValueError(f"{path}: expected a list of videos, got no video.")
    labels, class_names = _resolve(path, rows, class_names, num_classes, several)
    files = [file for _, file, _ in rows]
    missing = {f: f"{f}: no such video file." for f in files if not os.path.isfile(f)}
    if len(missing) == len(set(files)):
        raise VideoError(
            f"{path}: none of its {len(files)} videos exists; the first is {files[0]}."
        )
    return Listing(files, labels, class_names, missing)


def _read_lines(path):
    """Return pairs `(line number, line)` of all lines that are neither empty nor comments."""
    if not os.path.isfile(path):
        raise ValueError(f"path: expected a text file that lists videos, got {os.fspath(path)!r}.")
    try:
        with open(path, encoding="utf-8-sig") as file:
            lines = [(number, line.strip()) for number, line in enumerate(file, 1)]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: expected a text file in UTF-8, got other data.") from error
    lines = [(number, line) for number, line in lines if line and not line.startswith("#")]
    if not lines:
        raise ValueError(f"{path}: expected a list of videos, got an empty file.")
    return lines


def _plain_rows(path, lines, root):
    """Return rows `(line number, file, list of label texts)`."""
    rows = []
    with_commas = all("," in line for _, line in lines)
    for number, line in lines:
        if with_commas:
            name, *fields = next(csv.reader([line], skipinitialspace=True))
            if len(fields) != 1:
                raise ValueError(
                    f"{path}, line {number}: expected `path,label` or `path,label;label`, "
                    f"got {len(fields) + 1} fields: {line!r}."
                )
            labels = [label.strip() for label in fields[0].split(";") if label.strip()]
        else:
            name, *labels = line.split()
        if not name:
            raise ValueError(f"{path}, line {number}: expected a path, got {line!r}.")
        rows.append((number, os.path.join(root, name), labels))
    if with_commas and len(rows) > 1 and lines[0][1].lower().startswith("path,"):
        return rows[1:]  # without the header
    return rows


def _kinetics_rows(path, lines, root):
    """Return rows as `_plain_rows` does."""
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
                f"{path}, line {number}: expected the columns {','.join(columns)}, got {line!r}."
            )
        label, split = row.get("label", ""), row.get("split", "")
        names = f"{name}_{start:06d}_{end:06d}.mp4", f"{name}.mp4"
        folders = "", split, label, os.path.join(split, label)
        places = [os.path.join(root, folder, name) for folder in folders for name in names]
        found = next(filter(os.path.isfile, places), places[0])
        rows.append((number, found, [label] if label else []))
    return rows


def _resolve(path, rows, class_names, num_classes, several):
    """Return the labels as tuples of ints, and the names of the classes."""
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
            raise ValueError(
                f"{path}, line {line}: expected one label, got {len(labels)}. Pass "
                "label_mode='multi_label' for videos of several classes."
            )
        for text in labels:
            number = numbers.get(text, int(text) if _is_number(text) else -1)
            if not 0 <= number < (limit or float("inf")):
                wanted = "an int from 0" + ("" if limit is None else f" to {limit - 1}")
                wanted += " or the name of a class" if class_names else ""
                raise ValueError(f"{path}, line {line}: expected {wanted}, got {text!r}.")
        resolved.append(tuple(numbers[text] if text in numbers else int(text) for text in labels))
    return resolved, class_names


def _is_number(text):
    return re.fullmatch(r"-?[0-9]+", text) is not None
