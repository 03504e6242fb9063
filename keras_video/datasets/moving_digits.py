"""Moving digits: a small real task in which only the order of the frames tells the classes apart.

Real handwritten digits (the 1,797 of scikit-learn) move over textured backgrounds with noise,
changing light and distractors. The sixteen motions come in eight pairs, and the odd member of a
pair is the exact time reversal of the even one: digits, path, light, noise and distractors are
drawn once by the law of the even class and then played backwards. A frame without its place in
time, or a bag of frames, therefore says nothing about which member of the pair it is.

Clips are made on the fly, of any length and size, and depend only on
`(label, index, num_frames, size, split, seed)`. Do not augment them by flips or time reversal:
that changes the label.

`MovingDigits`: batches of moving digits for `model.fit` (needs Keras).

`write_folder`: moving digits as a folder of video files, to try out fine-tuning on.
"""

import operator
import os

import keras
import numpy as np

from keras_video.datasets.moving_digits_scene import Scene, draw_poses

CLASS_NAMES = (
    "move_left",
    "move_right",
    "move_up",
    "move_down",
    "move_up_left",
    "move_down_right",
    "zoom_in",
    "zoom_out",
    "rotate_clockwise",
    "rotate_anticlockwise",
    "orbit_clockwise",
    "orbit_anticlockwise",
    "approach",
    "separate",
    "fade_in",
    "fade_out",
)
SPLITS = ("train", "test")
GLIDE = 1 / 6  # part of a segment of `make_video` in which digits glide to their new path


def __getattr__(name):
    if name == "MovingDigits":  # imported on demand, since it needs Keras
        return MovingDigits
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def partner(label):
    """Returns the class that is the time reversal of `label`.

    Args:
        label: int in `[0, 16)`.

    Returns:
        int, `label ^ 1`.

    Raises:
        ValueError: if `label` is not an integer in `[0, 16)`.

    Example:
    >>> CLASS_NAMES[partner(CLASS_NAMES.index("zoom_in"))]
    'zoom_out'
    """
    return check_label(label) ^ 1


def make_clip(label, index=0, num_frames=16, size=(64, 64), split="train", seed=0):
    """Makes one clip.

    The two classes of a pair share their randomness: `make_clip(partner(label), ...)` is
    `make_clip(label, ...)[::-1]`. At one `index` and `split`, all classes show the same digits
    on the same background. From eight frames on, the motions are clear to the eye.

    Args:
        label: int in `[0, 16)`, see `CLASS_NAMES`.
        index: int, at least 0, which clip of the class.
        num_frames: int, at least 2.
        size: `(height, width)`, each at least 16.
        split: `"train"` or `"test"`; they share no digit image (scikit-learn digits 0 to 1436
            and 1437 to 1796).
        seed: int, at least 0.

    Returns:
        uint8 array `(num_frames, height, width, 3)`.

    Raises:
        ValueError: if an argument is out of its range.
        ImportError: if scikit-learn is missing.

    Example:
    >>> make_clip(CLASS_NAMES.index("orbit_clockwise"), num_frames=8, size=(48, 64)).shape
    (8, 48, 64, 3)
    """
    label = check_label(label)
    index, seed = check_integer("index", index, 0), check_integer("seed", seed, 0)
    num_frames = check_integer("num_frames", num_frames, 2)
    size, split = check_size(size), check_split(split)
    rng = np.random.default_rng(np.random.SeedSequence((seed, SPLITS.index(split), index)))
    scene = Scene(rng, size, split)
    clip = scene.render(draw_poses(label & ~1, rng, num_frames))
    return np.ascontiguousarray(clip[::-1]) if label % 2 else clip


def clip_at(position, **kwargs):
    """Makes the clip at one position of the balanced sequence that data sets are cut from.

    Labels run 0, 1, .. 15, 0, 1, .. and every clip is followed or preceded by its time reversal,
    since the two of a pair share one index.

    Args:
        position: int, at least 0.
        **kwargs: `num_frames`, `size`, `split` and `seed` of `make_clip`.

    Returns:
        The pair `(clip, label)`: uint8 array `(num_frames, height, width, 3)` and int.

    Raises:
        ValueError: if an argument is out of its range.

    Example:
    >>> clip, label = clip_at(17, num_frames=8)
    >>> CLASS_NAMES[label]
    'move_right'
    """
    position = check_integer("position", position, 0)
    label = position % len(CLASS_NAMES)
    return make_clip(label, index=position // 2, **kwargs), label


def load_data(num_train=640, num_test=160, num_frames=16, size=(64, 64), seed=0):
    """Makes arrays of clips in the manner of `keras.datasets`.

    Labels run 0, 1, .. 15, 0, 1, .. in both splits, so every stretch of 16 clips is balanced.
    For more clips than fit in memory, see `MovingDigits`, whose epoch 0 has the same clips.

    Args:
        num_train: int, at least 1.
        num_test: int, at least 1.
        num_frames: int, at least 2.
        size: `(height, width)`, each at least 16.
        seed: int, at least 0.

    Returns:
        `((x_train, y_train), (x_test, y_test))`: clips as uint8 arrays
        `(clips, num_frames, height, width, 3)`, labels as int32 arrays `(clips,)`.

    Raises:
        ValueError: if an argument is out of its range.
        ImportError: if scikit-learn is missing.

    Example:
    >>> (x_train, y_train), (x_test, y_test) = load_data(32, 16, num_frames=8)
    >>> x_train.shape, y_test.shape
    ((32, 8, 64, 64, 3), (16,))
    """
    counts = {
        "train": check_integer("num_train", num_train, 1),
        "test": check_integer("num_test", num_test, 1),
    }
    num_frames, size = check_integer("num_frames", num_frames, 2), check_size(size)
    data = []
    for split, count in counts.items():
        clips = np.empty((count, num_frames, *size, 3), "uint8")
        labels = np.empty(count, "int32")
        for i in range(count):
            clips[i], labels[i] = clip_at(
                i, num_frames=num_frames, size=size, split=split, seed=seed
            )
        data.append((clips, labels))
    return tuple(data)


def make_video(labels, frames_per_motion=24, size=(128, 128), split="test", seed=0):
    """Makes one video in which the same digits change their motion again and again.

    Background, light and distractors run on without a cut. At the start of a segment the digits
    glide from where they are to the new path, within a sixth of the segment. The second digit
    shows in `"approach"` and `"separate"` only.

    Args:
        labels: sequence of ints in `[0, 16)`, one per segment.
        frames_per_motion: int, at least 2, frames per segment.
        size: `(height, width)`, each at least 16.
        split: `"train"` or `"test"`, where the digits come from.
        seed: int, at least 0.

    Returns:
        uint8 array `(len(labels) * frames_per_motion, height, width, 3)`.

    Raises:
        ValueError: if an argument is out of its range, or `labels` is empty.
        ImportError: if scikit-learn is missing.

    Example:
    >>> make_video([0, 8, 1], frames_per_motion=12).shape
    (36, 128, 128, 3)
    """
    if np.ndim(labels) != 1 or len(labels) == 0:
        raise ValueError(
            f"`labels` must be a non-empty sequence of class labels. Received: labels={labels}"
        )
    labels = [check_label(label, "labels") for label in labels]
    count = check_integer("frames_per_motion", frames_per_motion, 2)
    size, split, seed = check_size(size), check_split(split), check_integer("seed", seed, 0)
    rng = np.random.default_rng(np.random.SeedSequence((seed, SPLITS.index(split), 0, 1)))
    scene = Scene(rng, size, split)
    rest = np.clip(1 - np.arange(count) / max(1, round(GLIDE * count)), 0, 1)[:, None]
    segments = []
    for label in labels:
        poses = draw_poses(label, rng, count)
        if segments:
            jump = segments[-1][:, -1:] - poses[:, :1]
            jump[..., 3] = (jump[..., 3] + 180) % 360 - 180
            poses = poses + jump * rest
        segments.append(poses)
    return scene.render(np.concatenate(segments, axis=1))


def write_video(path, frames, frame_rate=12):
    """Writes frames as an H.264 mp4 of high quality.

    The pixels are stored as yuv420p, which every player reads and which needs even sides: an odd
    height or width grows by one, repeating the last row or column. The file appears at `path`
    only once it is complete.

    Args:
        path: str or path, where to write; an existing file is replaced.
        frames: uint8 array `(frames, height, width, 3)`.
        frame_rate: int, frames per second, at least 1.

    Raises:
        ValueError: if `frames` is not such an array, or `frame_rate` is below 1.
        ImportError: if PyAV is missing.

    Example:
    >>> write_video("digits.mp4", make_video([0, 8, 1]))  # doctest: +SKIP
    """
    shape, dtype = getattr(frames, "shape", None), getattr(frames, "dtype", None)
    if dtype != np.uint8 or len(shape) != 4 or shape[-1] != 3 or 0 in shape:
        raise ValueError(
            "`frames` must be a non-empty uint8 array of shape (frames, height, width, 3). "
            f"Received: {type(frames).__name__} of shape {shape} and dtype {dtype}"
        )
    frame_rate = check_integer("frame_rate", frame_rate, 1)
    try:
        import av
    except ImportError as error:
        raise ImportError(
            "write_video encodes with PyAV, which is not installed. "
            "Install it with: pip install keras-video[video]"
        ) from error
    frames = np.pad(frames, ((0, 0), (0, shape[1] % 2), (0, shape[2] % 2), (0, 0)), mode="edge")
    temporary = f"{os.fspath(path)}.{os.getpid()}.tmp"
    try:
        with av.open(temporary, "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=frame_rate, options={"crf": "16"})
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        os.replace(temporary, path)
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)


def check_integer(name, value, low):
    """Returns `value` as an int of at least `low`, or raises a ValueError that names it."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < low:
        raise ValueError(f"`{name}` must be an integer of at least {low}. Received: {name}={value}")
    return number


def check_label(label, name="label"):
    """Returns `label` as an int in `[0, 16)`, or raises a ValueError."""
    try:
        return range(len(CLASS_NAMES))[check_integer(name, label, 0)]
    except (ValueError, IndexError):
        raise ValueError(
            f"`{name}` must be an integer from 0 to {len(CLASS_NAMES) - 1}. Received: {label!r}"
        ) from None


def check_size(size):
    """Returns `size` as a pair of ints of at least 16, or raises a ValueError."""
    try:
        height, width = (check_integer("size", length, 16) for length in size)
    except (TypeError, ValueError):
        raise ValueError(
            f"`size` must be two integers (height, width), each at least 16. Received: size={size}"
        ) from None
    return height, width


def check_split(split):
    """Returns `split` if it is `"train"` or `"test"`, or raises a ValueError."""
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {SPLITS}. Received: split={split!r}")
    return split


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


# What a digit does first, and then. None is one of the sixteen classes, and they come in pairs
# that consist of the same motions.
SEQUENCES = tuple(
    tuple(CLASS_NAMES.index(name) for name in names)
    for names in (
        ("move_left", "move_up"),
        ("move_up", "move_left"),
        ("move_right", "zoom_in"),
        ("zoom_in", "move_right"),
        ("rotate_clockwise", "move_down"),
        ("move_down", "rotate_clockwise"),
        ("zoom_out", "rotate_anticlockwise"),
        ("rotate_anticlockwise", "zoom_out"),
    )
)


def write_folder(
    folder,
    sequences=SEQUENCES,
    num_videos=480,
    frames_per_motion=8,
    size=(64, 64),
    frame_rate=12,
    split="test",
    seed=0,
):
    """Writes H.264 files into a folder per class, each video a sequence of motions.

    Files that are there already are left as they are, so that a second call costs nothing.

    Args:
        folder: path, created if it is missing.
        sequences: tuples of labels in `[0, 16)`, a class each; its name joins those of the motions,
            such as `"move_left_then_move_up"`.
        num_videos: int, at least one for each class; the classes get equally many or one less.
        frames_per_motion: int, at least 2.
        size: `(height, width)`, each at least 16.
        frame_rate: int, frames per second.
        split: `"train"` or `"test"`, where the digits come from.
        seed: int, at least 0.

    Returns:
        The class names, in the order of `sequences`.

    Raises:
        ValueError: if an argument is out of its range.
        ImportError: if PyAV or scikit-learn is missing.
    """
    sequences = [tuple(check_label(label, "sequences") for label in s) for s in sequences]
    if not sequences or len(set(sequences)) < len(sequences):
        raise ValueError(f"`sequences` must be different and not empty. Received: {sequences}")
    num_videos = check_integer("num_videos", num_videos, len(sequences))
    size, seed = check_size(size), check_integer("seed", seed, 0)
    names = ["_then_".join(CLASS_NAMES[label] for label in s) for s in sequences]
    for i in range(num_videos):
        which, number = i % len(sequences), i // len(sequences)
        path = os.path.join(os.fspath(folder), names[which], f"{number:04d}.mp4")
        if os.path.exists(path):
            continue
        os.makedirs(os.path.dirname(path), exist_ok=True)
        # Classes share nothing: every video has its own digits, background and noise.
        video = make_video(
            sequences[which], frames_per_motion, size, split, seed=1_000_000 * (seed + 1) + i
        )
        write_video(path, video, frame_rate)
    return names
