"""`open_batches`: one way to walk through every kind of data set.

Finds the classes of a data set among the outputs of a model, by name.
"""

import collections
import concurrent.futures
import difflib
import itertools

import keras
import numpy as np


class Batches:
    """Batches `(clips, labels)` of a data set, and what is known of them beforehand.

    Args:
        batches: function that begins a walk: returns an iterator over batches.
        count: int, number of batches, or `None` if it is not known.
        batch_size: int, videos of a full batch, or `None` if it is not known.
        dataset: where `class_names`, `labels`, `files` and `skipped` are looked up, if it has them.

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
        """list of `(path, reason)`, files that could not be read so far."""
        return list(getattr(self._dataset, "skipped", ()))

    def readable(self, videos):
        """Which of the videos that came were what they should be.

        In the place of a broken file a `VideoDataset` shows another one again, which must not
        count twice.

        Args:
            videos: int, how many came.

        Returns:
            bool array `(videos,)`.
        """
        files = getattr(self._dataset, "files", None)
        broken = {path for path, _ in self.skipped}
        if files is None or len(files) != videos:
            return np.ones(videos, bool)
        return np.array([path not in broken for path in files], bool)

    def __iter__(self):
        for batch in self._batches():
            if not isinstance(batch, (tuple, list)) or len(batch) != 2:
                received = f"{len(batch)} parts" if isinstance(batch, (tuple, list)) else "clips"
                raise ValueError(
                    "`dataset` must give batches (clips, labels), without sample weights. "
                    f"Received: a batch of {received}"
                )
            yield batch


def open_batches(dataset, protocol="single_clip", crops=1, clips=None, batch_size=8):
    """Prepares to walk once through a data set, as `evaluate` describes it.

    Args:
        dataset: `VideoDataset`, `keras.utils.PyDataset`, iterable of batches, or pair of arrays.
        protocol, crops, clips: which views of the videos, see `evaluate`.
        batch_size: int, for a pair of arrays.

    Returns:
        `Batches`.

    Raises:
        ValueError: if it is none of these, is empty or endless, or cannot give such views.
    """
    if hasattr(dataset, "replace") and isinstance(dataset, keras.utils.PyDataset):
        return _from_videos(dataset, crops, clips or 10 if protocol == "multi_clip" else 1)
    if protocol == "multi_clip" or crops != 1:
        raise ValueError(
            f"protocol={protocol!r} with crops={crops} reads other parts of the videos: `dataset` "
            "must be a keras_video.data.VideoDataset. Received: "
            f"{type(dataset).__name__}. A data set that holds several views of each video itself, "
            "(batch, views, frames, height, width, 3), is evaluated with protocol='single_clip'."
        )
    if isinstance(dataset, keras.utils.PyDataset):
        return _from_py_dataset(dataset)
    if isinstance(dataset, (tuple, list)) and len(dataset) == 2 and hasattr(dataset[0], "shape"):
        return _from_arrays(*dataset, batch_size)
    if isinstance(dataset, (str, bytes, dict)) or not hasattr(dataset, "__iter__"):
        raise ValueError(
            "`dataset` must be a VideoDataset, another keras.utils.PyDataset, an iterable of "
            f"batches (clips, labels), or a pair of arrays. Received: {type(dataset).__name__}"
        )
    if hasattr(dataset, "cardinality") and int(dataset.cardinality()) == -1:
        raise ValueError("`dataset` has no end: evaluate it without `repeat`, or `take` a part.")
    try:
        count = len(dataset)
    except TypeError:
        count = None
    return Batches(lambda: iter(dataset), count, dataset=dataset)


def _from_videos(dataset, crops, clips):
    """A whole `VideoDataset` in order, without augmentation, with the views that are asked for."""
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
        raise ValueError("`dataset` has no end: it must have a number of batches (`__len__`).")
    size = getattr(dataset, "batch_size", None)
    return Batches(lambda: _made_ahead(dataset, count), count, size, dataset)


def _made_ahead(dataset, count):
    """The batches in order, made by threads while the model works on others.

    An error in one of them is raised here, when its turn has come.
    """
    workers = max(1, dataset.workers)
    numbers = iter(range(count))
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        pending = collections.deque()

        def order(how_many):
            for number in itertools.islice(numbers, how_many):
                pending.append(pool.submit(dataset.__getitem__, number))

        order(workers + 1)
        try:
            while pending:
                batch = pending.popleft().result()
                order(1)
                yield batch
        finally:
            for task in pending:
                task.cancel()


def _from_arrays(clips, labels, batch_size):
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size < 1:
        raise ValueError(f"`batch_size` must be an int of at least 1. Received: {batch_size!r}")
    if len(clips) != len(labels):
        raise ValueError(
            f"`dataset` must be as many clips as labels. Received: {len(clips)} and {len(labels)}"
        )

    def batches():
        for start in range(0, len(clips), batch_size):
            yield clips[start : start + batch_size], labels[start : start + batch_size]

    count = -(-len(clips) // batch_size)
    known = collections.namedtuple("Arrays", "labels")(np.asarray(labels))
    return Batches(batches, count, min(batch_size, len(clips)), known)


def match_classes(model_names, data_names, classes):
    """Finds the classes of a data set among the outputs of a model.

    Args:
        model_names: list of names of the outputs, or `None` for those of the data set.
        data_names: list of the names of the data set's classes, or `None` if it has none.
        classes: int, number of outputs.

    Returns:
        The pair of the names of all outputs and an int array, the output of each class of the data.

    Raises:
        ValueError: if numbers of classes differ, or a class of the data is not among the outputs.
    """
    if model_names is not None and len(model_names) != classes:
        raise ValueError(
            f"`class_names` must name each of the {classes} outputs of the model. Received: "
            f"{len(model_names)} names"
        )
    if data_names is None or model_names is None:
        names = model_names or data_names or [str(k) for k in range(classes)]
        if len(names) != classes:
            raise ValueError(
                f"The data set has {len(names)} classes ({', '.join(map(str, names[:3]))}, ..) and "
                f"the model {classes} outputs. Give the names of the outputs as `class_names`, to "
                "find the classes of the data among them."
            )
        return [str(name) for name in names], np.arange(classes)
    places = {_key(name): place for place, name in enumerate(model_names)}
    for name in data_names:
        if _key(name) not in places:
            close = difflib.get_close_matches(_key(name), places, 1)
            hint = f" Did you mean {model_names[places[close[0]]]!r}?" if close else ""
            raise ValueError(
                f"The class {name!r} of the data set is not among the {classes} classes of the "
                f"model ({', '.join(model_names[:3])}, ..).{hint}"
            )
    return model_names, np.array([places[_key(name)] for name in data_names])


def _key(name):
    return str(name).casefold().replace("_", " ").replace("-", " ").strip()
