"""`EpochDataset`: a `PyDataset` whose batches are a function of (epoch, batch number)."""

import keras

from keras_video.data.dataset_workers import Prefetcher


class EpochDataset(keras.utils.PyDataset):
    """Counts epochs and has workers read ahead while somebody iterates.

    `dataset[index]` is batch `index` of the current epoch, made on the spot. While Keras or
    `for batch in dataset` iterates, workers make the batches ahead of time, in order.

    Keras shuffles the batch numbers of every `PyDataset` with Python's global generator unless
    `fit(shuffle=False)` is called. That would undo reading ahead, and no run could be resumed. So
    while Keras itself iterates, the n-th number that it asks for stands for batch n.

    Args:
        source: has a method `batch(epoch, index)` and `num_batches`; picklable if
            `use_multiprocessing`.
        workers: int. `0` makes batches in the calling thread.
        use_multiprocessing: bool, processes instead of threads.
        max_queue_size: int, batches that may wait or be under way; `None`: twice `workers`.

    Attributes:
        epoch: int, how often `on_epoch_end` was called. It may be set, to resume a training run.
            `fit` calls it once before it starts, on every backend: its n-th epoch, from 1, shows
            the batches of `epoch + n`.
    """

    def __init__(self, source, workers=1, use_multiprocessing=False, max_queue_size=None):
        # Keras' own queue stays out of it, see `Prefetcher`.
        super().__init__(workers=0, use_multiprocessing=False)
        self.epoch = 0
        self._source = source
        self._in_epoch = False
        self._places = None  # while Keras iterates: its batch numbers and ours
        self._prefetcher = None
        if workers:
            self._prefetcher = Prefetcher(source, workers, use_multiprocessing, max_queue_size)

    def __len__(self):
        return self._source.num_batches

    @property
    def num_batches(self):
        """Number of batches of an epoch. Keras asks when it begins to iterate, and who wraps this
        dataset and knows which batches it wants does not."""
        if self._in_epoch and self._places is None:
            self._places = {}
        return len(self)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        if self._places is not None:
            index = self._places.setdefault(index, len(self._places))
        return self._get(self.epoch, index, ahead=self._in_epoch)

    def __iter__(self):
        """Iterates over the batches of the current epoch."""
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
        """What the source made, as Keras wants to see it."""
        return batch

    def on_epoch_begin(self):
        """Lets the workers read ahead; Keras calls it."""
        self._in_epoch, self._places = True, None

    def on_epoch_end(self):
        """Moves on to the next epoch; Keras calls it."""
        self._stop_reading(self.epoch)
        self._in_epoch, self._places = False, None
        self.epoch += 1

    def _stop_reading(self, epoch):
        if self._prefetcher is not None:
            self._prefetcher.pause()

    def as_tf_dataset(self):
        """The batches as a `tf.data.Dataset`, for `fit` on the TensorFlow backend and others.

        Each iteration is an epoch: the first is the current one, and each moves `epoch` on as it
        begins, so that `dataset.as_tf_dataset().repeat(3)` has three different epochs. (`fit` of a
        model that is not built begins an iteration more on JAX and torch.)

        Returns:
            A `tf.data.Dataset` of known length, its shapes static except for the batch.

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
