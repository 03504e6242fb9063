"""The data of a one-shot search, in batches that depend only on the seed and the step.

So a search that was killed continues with the same batches as without the interruption.
"""

import keras
import numpy as np

from keras_video.checks import check_int
from keras_video.tuner.spaces.base import adapt


class SearchData:
    """Training and validation data, checked and cut to the clips of the space.

    Args:
        x, y: arrays of clips (or a dict of such arrays) and labels; or only `x`, a
            `keras.utils.PyDataset` of such pairs.
        validation_data: pair of arrays, or a `PyDataset`. The policy learns from it; the shared
            weights do not.
        batch_size, validation_batch_size: ints, for arrays. A `PyDataset` has its own batch size.
        clip: `(frames, height, width, frame_stride)` to which clips are cut, or `None`.

    Attributes:
        train, validation: sources of batches.

    Raises:
        ValueError: naming the argument that is wrong.
    """

    def __init__(
        self, x=None, y=None, validation_data=None, batch_size=32, validation_batch_size=None,
        clip=None,
    ):  # fmt: skip
        for name, size in [
            ("batch_size", batch_size),
            ("validation_batch_size", validation_batch_size),
        ]:
            if size is not None:
                check_int(name, size)
        if validation_data is None:
            raise ValueError(
                "validation_data: expected a pair (clips, labels) or a PyDataset, from which the "
                "policy learns, got None."
            )
        self.train = _source("x", x, y, batch_size, clip)
        if isinstance(validation_data, (tuple, list)):
            if len(validation_data) != 2:
                raise ValueError(
                    "validation_data: expected a pair (clips, labels), "
                    f"got {len(validation_data)} items."
                )
            pair = tuple(validation_data)
        else:
            pair = (validation_data, None)
        size = validation_batch_size or batch_size
        self.validation = _source("validation_data", *pair, size, clip)
        shapes = [_shapes(source.batch(0, 0)) for source in (self.train, self.validation)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "validation_data: expected clips and labels of the shapes of the training data, "
                f"{shapes[0]}, got {shapes[1]}."
            )

    def fit(self, model, epochs, seed, verbose=0):
        """Train a single network; return the history as a dict of lists."""
        return model.fit(
            TrainingBatches(self.train, seed),
            validation_data=TrainingBatches(self.validation),
            epochs=epochs, shuffle=False, verbose=verbose,
        ).history  # fmt: skip

    @property
    def labels(self):
        """Labels of a training batch: array."""
        return np.asarray(self.train.batch(0, 0)[1])

    @property
    def clips(self):
        """Clips of a training batch."""
        return self.train.batch(0, 0)[0]


class SearchBatches(keras.utils.PyDataset):
    """A range of steps from the endless sequence of batches of a search.

    Args:
        data: `SearchData`.
        seed: int.
        start: int, first step.
        steps: int, number of steps.
    """

    def __init__(self, data, seed, start, steps):
        super().__init__()
        self._data, self._seed, self._start, self._steps = data, seed, start, steps

    def __len__(self):
        return self._steps

    def __getitem__(self, index):
        step = self._start + index
        clips, labels = self._data.train.shuffled(step, self._seed)
        validation_clips, validation_labels = self._data.validation.shuffled(step, self._seed)
        inputs = {
            "clips": clips,
            "validation_clips": validation_clips,
            "validation_labels": validation_labels,
        }
        return inputs, labels


class TrainingBatches(keras.utils.PyDataset):
    """Epochs of clips and labels for an ordinary model.

    Args:
        source: one of the sources of `SearchData`.
        seed: int, for shuffling; `None` keeps the order.
    """

    def __init__(self, source, seed=None):
        super().__init__()
        self._source, self._seed, self._epoch = source, seed, -1

    def __len__(self):
        return self._source.all_batches if self._seed is None else self._source.batches

    def __getitem__(self, index):
        if self._seed is None:
            return self._source.ordered(index)
        return self._source.shuffled(max(0, self._epoch) * len(self) + index, self._seed)

    def on_epoch_begin(self):
        self._epoch += 1


class EvaluationBatches(keras.utils.PyDataset):
    """All validation clips in order, in batches of one size, for `Searcher.evaluate`.

    For arrays, the last batch is filled up with clips of weight 0. For a `PyDataset`, a smaller
    last batch is left out.

    Args:
        source: `SearchData.validation`.
    """

    def __init__(self, source):
        super().__init__()
        self._source = source

    def __len__(self):
        return self._source.all_batches

    def __getitem__(self, index):
        clips, labels, weights = self._source.ordered(index)
        return {"clips": clips}, labels, weights


class _Arrays:
    """A source of batches from arrays."""

    def __init__(self, name, x, y, batch_size, clip):
        if clip is not None:
            x = adapt(x, *clip)
        self._x, self._y = keras.tree.map_structure(_array, x), np.asarray(y)
        counts = {len(a) for a in [*keras.tree.flatten(self._x), self._y]}
        if len(counts) > 1 or self._y.ndim not in (1, 2):
            raise ValueError(
                f"{name}: expected equally many clips and labels, got the shapes "
                f"{_shapes((self._x, self._y), 0)}."
            )
        self.count = len(self._y)
        if self.count < 1:
            raise ValueError(f"{name}: expected at least one clip, got none.")
        self.batch_size = min(batch_size, self.count)
        self.batches = self.count // self.batch_size
        self.all_batches = -(-self.count // self.batch_size)
        self._order = (None, None)

    def _take(self, places):
        return keras.tree.map_structure(lambda a: a[places], self._x), self._y[places]

    def batch(self, epoch, index):
        return self._take(np.arange(index * self.batch_size, (index + 1) * self.batch_size))

    def shuffled(self, step, seed):
        epoch, index = divmod(step, self.batches)
        if self._order[0] != (epoch, seed):
            order = np.random.default_rng([seed, epoch]).permutation(self.count)
            self._order = (epoch, seed), order
        start = index * self.batch_size
        return self._take(self._order[1][start : start + self.batch_size])

    def ordered(self, index):
        places = np.arange(index * self.batch_size, (index + 1) * self.batch_size)
        weights = (places < self.count).astype("float32")
        return (*self._take(places % self.count), weights)


class _Dataset:
    """A source of batches from a `PyDataset`, in an order that depends on the seed.

    A search is repeatable only if random numbers of the data set depend on its own seed and epoch,
    as in `keras_video.data`.
    """

    def __init__(self, name, dataset, clip):
        self._given = dataset
        self._dataset = dataset if clip is None else adapt(dataset, *clip)
        length = len(dataset)
        self._first_epoch = getattr(dataset, "epoch", 0)
        self._epoch = 0
        if length < 1:
            raise ValueError(f"{name}: expected at least one batch, got none.")
        self.batch_size = len(self.batch(0, 0)[1])
        smaller = length > 1 and len(self.batch(0, length - 1)[1]) != self.batch_size
        self.batches = self.all_batches = length - smaller
        self._order = (None, None)

    def batch(self, epoch, index):
        item = self._dataset[index]
        if not isinstance(item, (tuple, list)) or len(item) < 2:
            raise ValueError(
                f"x: expected a PyDataset of pairs (clips, labels), got {type(item).__name__}."
            )
        clips, labels = item[:2]
        return keras.tree.map_structure(_array, clips), np.asarray(labels)

    def shuffled(self, step, seed):
        epoch, index = divmod(step, self.batches)
        self._go_to(epoch)
        if self._order[0] != (epoch, seed):
            order = np.random.default_rng([seed, epoch]).permutation(self.batches)
            self._order = (epoch, seed), order
        return self.batch(epoch, int(self._order[1][index]))

    def _go_to(self, epoch):
        if epoch == self._epoch:
            return
        if hasattr(self._given, "epoch"):
            self._given.epoch = self._first_epoch + epoch
        else:
            for _ in range(epoch - self._epoch):
                self._given.on_epoch_end()
        self._epoch = epoch

    def ordered(self, index):
        clips, labels = self.batch(0, index)
        return clips, labels, np.ones(len(labels), "float32")


def _source(name, x, y, batch_size, clip):
    if isinstance(x, keras.utils.PyDataset):
        return _Dataset(name, x, clip)
    arrays = keras.tree.flatten(x) if isinstance(x, dict) else [x]
    if y is None or not all(hasattr(a, "shape") and hasattr(a, "__getitem__") for a in arrays):
        raise ValueError(
            f"{name}: expected arrays of clips and labels or a keras.utils.PyDataset, got "
            f"{type(x).__name__} and {type(y).__name__}."
        )
    return _Arrays(name, x, y, batch_size, clip)


def _array(a):
    return a if isinstance(a, np.ndarray) else np.asarray(a)


def _shapes(batch, skip=1):
    """Return the shapes of clips and labels, without the first `skip` axes."""
    clips, labels = batch
    return [tuple(a.shape)[skip:] for a in [*keras.tree.flatten(clips), labels]]
