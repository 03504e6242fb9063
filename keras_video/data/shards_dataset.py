"""`ShardDataset`: batches of clips from TFRecord shards, for `model.fit` on every backend."""

from keras_video.data import tfrecord
from keras_video.data.dataset_epochs import EpochDataset
from keras_video.data.dataset_options import check_image_size, check_picklable, check_shard
from keras_video.data.sampling import SHORT, check_integer
from keras_video.data.shards import ShardSource


class ShardDataset(EpochDataset):
    """Batches of clips from TFRecord shards; made by `read_shards`.

    Args:
        files: list of paths of TFRecord files, in the same order in every process.
        num_frames: int, frames of a clip.
        image_size: `(height, width)` of the clips, or an int for a square.
        batch_size: int. The last batch of an epoch may be smaller.
        step: int, distance of two frames of a clip.
        short: what a clip shows after the end of a short video: `"repeat"` starts again from the
            first frame, `"pad"` holds the last, `"error"` raises a `VideoError`.
        training: bool. `True`: a new order for each epoch, clips from random places, `augment`.
            `False`: the order of the files, clips from the middle.
        num_classes: int, makes labels an array `(batch, num_classes)` of zeros and ones; `None`
            leaves them ints, of which each video must then have one.
        augment: function `augment(clips, labels, rng) -> (clips, labels)` of a batch, with a
            `numpy.random.Generator` that depends on `(seed, epoch, shard, batch)` alone.
        seed: int, the same in every process.
        shard: `(index, count)`: this process gets every `count`-th video of the epoch's order, from
            the `index`-th on. The shards are disjoint and complete, however many files there are.
            Batch `b` of all processes together is batch `b` of one process with
            `count * batch_size`.
        drop_remainder: bool, leaves the videos at the end of an epoch's order out that do not fill
            a batch in every process, so that all processes take the same number of steps.
        workers: int. `0` reads in the calling thread, otherwise so many threads or processes read
            ahead.
        use_multiprocessing: bool, processes instead of threads.
        max_queue_size: int, batches that may wait or be under way; `None`: twice `workers`.

    Attributes:
        files: list of paths.
        num_videos: int, videos of all shards together.
        epoch: int, see `EpochDataset`.

    Returns:
        Indexed by a batch number, the pair `(clips, labels)`: uint8 array
        `(batch, num_frames, height, width, 3)` in 0..255; int32 array `(batch,)` or float32 array
        `(batch, num_classes)`.

    Raises:
        ValueError: if an argument is out of its range.
        VideoError: if a file is damaged: when it is cut off, at once; else when the damaged record
            is read.
    """

    def __init__(
        self,
        files,
        num_frames=16,
        image_size=(172, 172),
        batch_size=8,
        step=1,
        short="repeat",
        training=True,
        num_classes=None,
        augment=None,
        seed=0,
        shard=(0, 1),
        drop_remainder=False,
        workers=1,
        use_multiprocessing=False,
        max_queue_size=None,
    ):
        if short not in SHORT:
            raise ValueError(f"`short` must be one of {SHORT}. Received: {short!r}")
        if augment is not None and not callable(augment):
            raise ValueError(f"`augment` must be a function. Received: {augment!r}")
        if use_multiprocessing:
            check_picklable(augment)
        check_integer("workers", workers, 0)
        self.files = list(files)
        records = [(path, at) for path in self.files for at in tfrecord.find_records(path)]
        source = ShardSource(
            records=records,
            num_frames=check_integer("num_frames", num_frames),
            image_size=check_image_size(image_size),
            batch_size=check_integer("batch_size", batch_size),
            step=check_integer("step", step),
            short=short,
            training=bool(training),
            num_classes=None if num_classes is None else check_integer("num_classes", num_classes),
            augment=augment,
            seed=check_integer("seed", seed, 0),
            shard=check_shard(shard, len(records), batch_size, drop_remainder),
            drop_remainder=bool(drop_remainder),
        )
        self.num_videos = len(records)
        super().__init__(source, workers, use_multiprocessing, max_queue_size)
