"""`MovingDigits`: batches of moving digits for `model.fit` (needs Keras)."""

import keras
import numpy as np

from keras_video.datasets.moving_digits import (
    check_integer,
    check_size,
    check_split,
    clip_at,
)


class MovingDigits(keras.utils.PyDataset):
    """Batches of moving digits, made on the fly.

    A clip depends on its position in the data set, the seed and, in the train split, the epoch:
    never on the batch or the worker that makes it. The train split shows new clips in every
    epoch, the test split always the same ones. Labels are balanced, and with an even `num_clips`
    every clip has its time reversal, which bears the partner's label, in the same epoch.

    Args:
        split: `"train"` or `"test"`; they share no digit image.
        num_clips: int, at least 1, clips per epoch. A multiple of 16 holds all classes equally
            often.
        batch_size: int, at least 1. The last batch of an epoch may be smaller.
        num_frames: int, at least 2.
        size: `(height, width)`, each at least 16.
        seed: int, at least 0.
        shuffle: bool, draws a new order for each epoch. `None` shuffles the train split only;
            unshuffled labels run 0, 1, .. 15, 0, 1, ..
        dtype: `"float32"` or `"uint8"`, dtype of the clips. Their values lie in 0..255 in both.
        **kwargs: `workers`, `use_multiprocessing` and `max_queue_size` of
            `keras.utils.PyDataset`.

    Attributes:
        epoch: int, how often `on_epoch_end` was called. It may be set, to resume a training run.
            `fit` calls it once before it starts, on every backend: its n-th epoch, from 1, shows
            the clips of `epoch + n`.

    Returns:
        Indexed by a batch number, the pair `(clips, labels)`: array
        `(batch, num_frames, height, width, 3)` and int32 array `(batch,)`.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
    >>> train = MovingDigits("train", num_clips=1600, batch_size=16, num_frames=12)
    >>> clips, labels = train[0]
    >>> len(train), clips.shape, labels.shape
    (100, (16, 12, 64, 64, 3), (16,))
    """

    def __init__(
        self,
        split="train",
        num_clips=1600,
        batch_size=16,
        num_frames=16,
        size=(64, 64),
        seed=0,
        shuffle=None,
        dtype="float32",
        **kwargs,
    ):
        if dtype not in ("float32", "uint8"):
            raise ValueError(f"`dtype` must be 'float32' or 'uint8'. Received: dtype={dtype!r}")
        if shuffle not in (None, True, False):
            raise ValueError(f"`shuffle` must be a bool or None. Received: shuffle={shuffle!r}")
        self.split = check_split(split)
        self.num_clips = check_integer("num_clips", num_clips, 1)
        self.batch_size = check_integer("batch_size", batch_size, 1)
        self.num_frames = check_integer("num_frames", num_frames, 2)
        self.size = check_size(size)
        self.seed = check_integer("seed", seed, 0)
        self.shuffle = split == "train" if shuffle is None else bool(shuffle)
        self.dtype = dtype
        self.epoch = 0
        super().__init__(**kwargs)

    def __len__(self):
        return -(-self.num_clips // self.batch_size)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"batch {index} of {len(self)}")
        order = np.arange(self.num_clips)
        if self.shuffle:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        # Epochs of the train split follow each other in one endless sequence of clips.
        positions = order[index * self.batch_size : (index + 1) * self.batch_size]
        if self.split == "train":
            positions = positions + self.epoch * (self.num_clips + self.num_clips % 2)
        clips = np.empty((len(positions), self.num_frames, *self.size, 3), self.dtype)
        labels = np.empty(len(positions), "int32")
        for i, position in enumerate(positions):
            clips[i], labels[i] = clip_at(
                position,
                num_frames=self.num_frames,
                size=self.size,
                split=self.split,
                seed=self.seed,
            )
        return clips, labels

    def on_epoch_end(self):
        """Moves on to the next epoch; Keras calls it."""
        self.epoch += 1
