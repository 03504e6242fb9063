"""One pass through any kind of data set, and its classes matched with the outputs of a model."""

import collections
import concurrent.futures
import difflib
import itertools

import keras
import numpy as np

from keras_video.checks import check_int


class Batches:
    """Batches `(clips, labels)` of a data set, and what is known before they are read.

    Args:
        batches: function that returns a new iterator over the batches.
        count: int, number of batches, or `None` if unknown.
        batch_size: int, number of videos in a full batch, or `None` if unknown.
        dataset: object whose attributes `class_names`, `labels`, `files` and `skipped` are used, as
            far as it has them.

    Attributes:
        class_names, labels: those of the data set, or `None`.
    """

    def __init__(self, batches, count=None, batch_size=None, dataset=None):
        self._batches, self._dataset = batches, dataset
        self.count, self.batch_size = count, batch_size
        self.class_names = getattr(dataset, "class_names", None)
        self.labels = getattr(dataset, "labels", None)

    @property
    def skipped(self):
        """List of `(path, reason)`, the files that could not be read so far."""
        return list(getattr(self._dataset, "skipped", ()))

    def readable(self, videos):
        """Return which of the videos that were read count.

        A `VideoDataset` replaces a broken file by another video, which must not count twice.

        Args:
            videos: int, number of videos that were read.

        Returns:
            bool array `(videos,)`, `False` for the replacements of broken files.
        """
        files = getattr(self._dataset, "files", None)
        broken = {path for path, _ in self.skipped}
        if files is None or len(files) != videos:
            return np.ones(videos, bool)
        return np.array([path not in broken for path in files], bool)

    def __iter__(self):
        for batch in self._batches():
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                got = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else "clips"
                raise ValueError(
                    "dataset: expected batches (clips, labels), without sample weights, got a "
                    f"batch of {got}."
                )
            yield batch


def open_batches(dataset, protocol="single_clip", crops=1, clips=None, batch_size=8):
    """Prepare one pass through a data set.

    Args:
        dataset: `VideoDataset`, `keras.utils.PyDataset`, iterable of batches, or pair of arrays.
        protocol, crops, clips: the views of each video, see `evaluate`.
        batch_size: int, batch size for a pair of arrays.

    Returns:
        `Batches`.

    Raises:
        ValueError: for another kind of data set, for one that is infinite, and for one that
            cannot give these views.
    """
    if hasattr(dataset, "replace") and isinstance(dataset, keras.utils.PyDataset):
        return _from_videos(dataset, crops, clips or 10 if protocol == "multi_clip" else 1)
    if protocol == "multi_clip" or crops != 1:
        raise ValueError(
            f"dataset: expected a keras_video.data.VideoDataset for protocol={protocol!r} with "
            f"crops={crops}, which read other parts of the videos, got {type(dataset).__name__}. "
            "Use protocol='single_clip' for a data set that already holds several views of each "
            "video, (batch, views, frames, height, width, 3)."
        )
    if isinstance(dataset, keras.utils.PyDataset):
        return _from_py_dataset(dataset)
    if isinstance(dataset, (tuple, list)) and len(dataset) == 2 and hasattr(dataset[0], "shape"):
        return _from_arrays(*dataset, batch_size)
    if isinstance(dataset, (str, bytes, dict)) or not hasattr(dataset, "__iter__"):
        raise ValueError(
            "dataset: expected a VideoDataset, another keras.utils.PyDataset, an iterable of "
            f"batches (clips, labels) or a pair of arrays, got {type(dataset).__name__}."
        )
    if hasattr(dataset, "cardinality") and int(dataset.cardinality()) == -1:
        raise ValueError(
            "dataset: expected a finite data set, got an infinite one. Remove `repeat`, or use "
            "`take`."
        )
    try:
        count = len(dataset)
    except TypeError:
        count = None
    return Batches(lambda: iter(dataset), count, dataset=dataset)


def _from_videos(dataset, crops, clips):
    """Read a whole `VideoDataset` in order, without augmentation, with these views."""
    dataset = dataset.replace(
        clips=clips,
        crops=crops,
        shuffle=False,
        training=False,
        augment=None,
        shard=(0, 1),
        drop_remainder=False,
    )
    return Batches(lambda: iter(dataset), len(dataset), dataset.batch_size, dataset)


def _from_py_dataset(dataset):
    count = dataset.num_batches
    if count is None:
        raise ValueError(
            "dataset: expected a PyDataset with a number of batches (`__len__`), got none."
        )
    size = getattr(dataset, "batch_size", None)
    return Batches(lambda: _prefetch(dataset, count), count, size, dataset)


def _prefetch(dataset, count):
    """Yield the batches in order, while threads already load the next ones.

    An error in a batch is raised when that batch is due.
    """
    workers = max(1, dataset.workers)
    numbers = iter(range(count))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        pending = collections.deque()

        def submit(count):
            for number in itertools.islice(numbers, count):
                pending.append(pool.submit(dataset.__getitem__, number))

        submit(workers + 1)
        try:
            while pending:
                batch = pending.popleft().result()
                submit(1)
                yield batch
        finally:
            for task in pending:
                task.cancel()


def _from_arrays(clips, labels, batch_size):
    check_int("batch_size", batch_size)
    if len(clips) != len(labels):
        raise ValueError(
            f"dataset: expected one label for each of {len(clips)} clips, got {len(labels)} labels."
        )

    def batches():
        for start in range(0, len(clips), batch_size):
            yield clips[start : start + batch_size], labels[start : start + batch_size]

    count = -(-len(clips) // batch_size)
    known = collections.namedtuple("Arrays", "labels")(np.asarray(labels))
    return Batches(batches, count, min(batch_size, len(clips)), known)


def has_classes(model_names, data_names):
    """Return whether the names of a model are known and contain those of a data set, if any."""
    if not model_names:
        return False
    return set(map(_key, data_names or ())) <= set(map(_key, model_names))


def match_classes(model_names, data_names, classes):
    """Find the classes of a data set among the outputs of a model, by name.

    Case, `_`, `-` and spaces are ignored.

    Args:
        model_names: list of names of the outputs, or `None` to use those of the data set.
        data_names: list of names of the data set's classes, or `None` if it has none.
        classes: int, number of outputs.

    Returns:
        `(names, outputs)`: list of the names of all outputs, and int array, the number of the
        output for each class of the data set.

    Raises:
        ValueError: if the numbers of classes differ, or a class of the data set is not among the
            outputs.
    """
    if model_names is not None and len(model_names) != classes:
        raise ValueError(
            f"class_names: expected a name for each of the {classes} outputs of the model, got "
            f"{len(model_names)} names."
        )
    if data_names is None or model_names is None:
        names = model_names or data_names or [str(k) for k in range(classes)]
        if len(names) != classes:
            raise ValueError(
                f"dataset: expected {classes} classes, as the model has outputs, got {len(names)} "
                f"classes ({', '.join(map(str, names[:3]))}, ...). If the data set has only some "
                "of the model's classes, pass the names of all outputs as `class_names`."
            )
        return [str(name) for name in names], np.arange(classes)
    places = {_key(name): place for place, name in enumerate(model_names)}
    for name in data_names:
        if _key(name) not in places:
            close = difflib.get_close_matches(_key(name), places, 1)
            hint = f" Did you mean {model_names[places[close[0]]]!r}?" if close else ""
            raise ValueError(
                f"dataset: expected classes among the {classes} of the model "
                f"({', '.join(model_names[:3])}, ...), got {name!r}.{hint}"
            )
    return model_names, np.array([places[_key(name)] for name in data_names])


def _key(name):
    return str(name).casefold().replace("_", " ").replace("-", " ").strip()
