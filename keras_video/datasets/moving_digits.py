"""Moving digits: a small data set of real images in which only the order of frames tells classes.

Handwritten digits (the 1,797 of scikit-learn) move over textured backgrounds with noise, changing
light and distractors. The sixteen motions form eight pairs. The odd class of a pair is the exact
time reversal of the even one: digits, path, light, noise and distractors are drawn once for the
even class and then played backwards. A single frame, or frames in unknown order, therefore do not
tell the classes of a pair apart.

Clips are made on the fly, with any length and size, and depend only on
`(label, index, num_frames, size, split, seed)`. Do not augment them by flips or time reversal,
which would change the label.

`make_clip`, `load_data` and `MovingDigits` make clips for training, `make_video` makes videos with
several motions, and `write_video` and `write_folder` write video files.
"""

import os

import keras
import numpy as np

from keras_video.checks import check_choice, check_int, check_size, missing_extra
from keras_video.datasets.moving_digits_scene import Scene, draw_poses
from keras_video.files import replacing

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
LEAST_SIDE = 16  # pixels
GLIDE = 1 / 6  # part of a segment of `make_video` in which digits glide to their new path
# The classes of `write_folder`: what a digit does first, and then. Each pair of sequences consists
# of the same motions, and none is one of the sixteen classes above.
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


def partner(label):
    """Return the class that is the time reversal of `label`.

    Args:
        label: int in `[0, 16)`.

    Returns:
        int, `label ^ 1`.

    Raises:
        ValueError: if `label` is not an int in `[0, 16)`.

    Example:
    >>> CLASS_NAMES[partner(CLASS_NAMES.index("zoom_in"))]
    'zoom_out'
    """
    return _check_label(label) ^ 1


def make_clip(label, index=0, num_frames=16, size=(64, 64), split="train", seed=0):
    """Make one clip.

    The two classes of a pair share their randomness: `make_clip(partner(label), ...)` is
    `make_clip(label, ...)[::-1]`. For the same `index` and `split`, all classes show the same
    digits on the same background. With eight frames or more, people recognize the motions.

    Args:
        label: int in `[0, 16)`, see `CLASS_NAMES`.
        index: int, at least 0, number of the clip within the class.
        num_frames: int, at least 2.
        size: `(height, width)`, or an int for a square; each side is at least 16.
        split: `"train"` or `"test"`; they share no image of a digit (scikit-learn digits 0 to 1436
            and 1437 to 1796).
        seed: int, at least 0.

    Returns:
        uint8 array `(num_frames, height, width, 3)`.

    Raises:
        ValueError: if an argument is invalid.
        ImportError: if scikit-learn is missing.

    Example:
    >>> make_clip(CLASS_NAMES.index("orbit_clockwise"), num_frames=8, size=(48, 64)).shape
    (8, 48, 64, 3)
    """
    label, index, seed = _check_label(label), check_int("index", index, 0), _check_seed(seed)
    num_frames = check_int("num_frames", num_frames, 2)
    size, split = check_size("size", size, LEAST_SIDE), check_choice("split", split, SPLITS)
    rng = np.random.default_rng(np.random.SeedSequence((seed, SPLITS.index(split), index)))
    scene = Scene(rng, size, split)
    clip = scene.render(draw_poses(label & ~1, rng, num_frames))
    return np.ascontiguousarray(clip[::-1]) if label % 2 else clip


def clip_at(position, **kwargs):
    """Make the clip at one position of the balanced sequence of which data sets are parts.

    The labels are 0, 1, .. 15, 0, 1, .. and the two clips of a pair share one index, so that each
    clip is next to its time reversal.

    Args:
        position: int, at least 0.
        **kwargs: `num_frames`, `size`, `split` and `seed` of `make_clip`.

    Returns:
        The pair `(clip, label)`: uint8 array `(num_frames, height, width, 3)` and int.

    Raises:
        ValueError: if an argument is invalid.

    Example:
    >>> clip, label = clip_at(17, num_frames=8)
    >>> CLASS_NAMES[label]
    'move_right'
    """
    position = check_int("position", position, 0)
    label = position % len(CLASS_NAMES)
    return make_clip(label, index=position // 2, **kwargs), label


def load_data(num_train=640, num_test=160, num_frames=16, size=(64, 64), seed=0):
    """Make arrays of clips, as the functions of `keras.datasets` do.

    The labels are 0, 1, .. 15, 0, 1, .. in both splits, so that any 16 consecutive clips are
    balanced. For more clips than fit into memory, use `MovingDigits`; its epoch 0 has the same
    clips.

    Args:
        num_train: int, at least 1.
        num_test: int, at least 1.
        num_frames: int, at least 2.
        size: `(height, width)`, or an int for a square; each side is at least 16.
        seed: int, at least 0.

    Returns:
        `((x_train, y_train), (x_test, y_test))`: clips as uint8 arrays
        `(clips, num_frames, height, width, 3)`, labels as int32 arrays `(clips,)`.

    Raises:
        ValueError: if an argument is invalid.
        ImportError: if scikit-learn is missing.

    Example:
    >>> (x_train, y_train), (x_test, y_test) = load_data(32, 16, num_frames=8)
    >>> x_train.shape, y_test.shape
    ((32, 8, 64, 64, 3), (16,))
    """
    counts = {
        "train": check_int("num_train", num_train),
        "test": check_int("num_test", num_test),
    }
    num_frames, size = check_int("num_frames", num_frames, 2), check_size("size", size, LEAST_SIDE)
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


class MovingDigits(keras.utils.PyDataset):
    """Batches of moving digits for `model.fit`, made on the fly.

    A clip depends only on its position in the data set, the seed and, in the train split, the
    epoch, and not on the batch or the worker that makes it. The train split shows new clips in
    every epoch, the test split always the same ones. Labels are balanced. With an even `num_clips`,
    every epoch contains the time reversal of each clip, which has the label of the partner.

    Args:
        split: `"train"` or `"test"`; they share no digit image.
        num_clips: int, at least 1, clips per epoch. A multiple of 16 shows all classes equally
            often.
        batch_size: int, at least 1. The last batch of an epoch may be smaller.
        num_frames: int, at least 2.
        size: `(height, width)`, or an int for a square; each side is at least 16.
        seed: int, at least 0.
        shuffle: bool, draws a new order for each epoch. `None` shuffles the train split only. The
            labels of unshuffled clips are 0, 1, .. 15, 0, 1, ..
        dtype: `"float32"` or `"uint8"`, dtype of the clips. Values are in 0..255 for both.
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
        ValueError: if an argument is invalid.

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
        self.split = check_choice("split", split, SPLITS)
        self.num_clips = check_int("num_clips", num_clips)
        self.batch_size = check_int("batch_size", batch_size)
        self.num_frames = check_int("num_frames", num_frames, 2)
        self.size = check_size("size", size, LEAST_SIDE)
        self.seed = _check_seed(seed)
        check_choice("shuffle", shuffle, (True, False, None))
        self.shuffle = split == "train" if shuffle is None else shuffle
        self.dtype = check_choice("dtype", dtype, ("float32", "uint8"))
        self.epoch = 0
        super().__init__(**kwargs)

    def __len__(self):
        return -(-self.num_clips // self.batch_size)

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(f"index: expected an int from 0 to {len(self) - 1}, got {index}.")
        order = np.arange(self.num_clips)
        if self.shuffle:
            np.random.default_rng((self.seed, self.epoch)).shuffle(order)
        # The epochs of the train split are consecutive parts of one endless sequence of clips.
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
        """Move to the next epoch; called by Keras."""
        self.epoch += 1


def make_video(labels, frames_per_motion=24, size=(128, 128), split="test", seed=0):
    """Make one video in which the same digits move in several ways, one after the other.

    Background, light and distractors continue without a cut. In the first sixth of a segment the
    digits glide to the new path. The second digit is visible in `"approach"` and `"separate"` only.

    Args:
        labels: sequence of ints in `[0, 16)`, one per segment.
        frames_per_motion: int, at least 2, number of frames per segment.
        size: `(height, width)`, or an int for a square; each side is at least 16.
        split: `"train"` or `"test"`, the origin of the digits.
        seed: int, at least 0.

    Returns:
        uint8 array `(len(labels) * frames_per_motion, height, width, 3)`.

    Raises:
        ValueError: if an argument is invalid, or `labels` is empty.
        ImportError: if scikit-learn is missing.

    Example:
    >>> make_video([0, 8, 1], frames_per_motion=12).shape
    (36, 128, 128, 3)
    """
    if np.ndim(labels) != 1 or len(labels) == 0:
        raise ValueError(f"labels: expected a sequence of at least one label, got {labels!r}.")
    labels = [_check_label(label, "labels") for label in labels]
    count, seed = check_int("frames_per_motion", frames_per_motion, 2), _check_seed(seed)
    size, split = check_size("size", size, LEAST_SIDE), check_choice("split", split, SPLITS)
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
    """Write frames as an H.264 MP4 file of high quality.

    The pixels are stored as yuv420p, which every player supports. This format needs even sides: an
    odd height or width is extended by repeating the last row or column. The file appears at `path`
    only when it is complete.

    Args:
        path: string or path of the file; an existing file is replaced, missing folders are created.
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
            "frames: expected a uint8 array (frames, height, width, 3) that is not empty, got "
            f"{type(frames).__name__} of shape {shape} and dtype {dtype}."
        )
    frame_rate = check_int("frame_rate", frame_rate)
    try:
        import av
    except ImportError as error:
        what = "write_video encodes with PyAV, which is not installed."
        raise missing_extra(what, "video") from error
    frames = np.pad(frames, ((0, 0), (0, shape[1] % 2), (0, shape[2] % 2), (0, 0)), mode="edge")
    with replacing(path) as partial, av.open(partial, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=frame_rate, options={"crf": "16"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())


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
    """Write H.264 files into one folder per class; each video is a sequence of motions.

    Existing files are not written again, so that a second call takes no time.

    Args:
        folder: string or path; missing folders are created.
        sequences: list of tuples of labels in `[0, 16)`, one tuple per class. The name of a class
            joins the names of the motions, such as `"move_left_then_move_up"`.
        num_videos: int, at least the number of classes, of all videos. They are distributed evenly:
            some classes may have one less.
        frames_per_motion: int, at least 2.
        size: `(height, width)`, or an int for a square; each side is at least 16.
        frame_rate: int, frames per second.
        split: `"train"` or `"test"`, the origin of the digits.
        seed: int, at least 0.

    Returns:
        List of the class names, in the order of `sequences`.

    Raises:
        ValueError: if an argument is invalid.
        ImportError: if PyAV or scikit-learn is missing.
    """
    sequences = [tuple(_check_label(label, "sequences") for label in s) for s in sequences]
    if not sequences or len(set(sequences)) < len(sequences):
        raise ValueError(f"sequences: expected at least one, all different, got {sequences}.")
    num_videos = check_int("num_videos", num_videos, len(sequences))
    size, seed = check_size("size", size, LEAST_SIDE), _check_seed(seed)
    names = ["_then_".join(CLASS_NAMES[label] for label in s) for s in sequences]
    for i in range(num_videos):
        which, number = i % len(sequences), i // len(sequences)
        path = os.path.join(os.fspath(folder), names[which], f"{number:04d}.mp4")
        if os.path.exists(path):
            continue
        # Every video has its own digits, background and noise.
        video = make_video(
            sequences[which], frames_per_motion, size, split, seed=1_000_000 * (seed + 1) + i
        )
        write_video(path, video, frame_rate)
    return names


def _check_label(label, name="label"):
    return check_int(name, label, 0, len(CLASS_NAMES) - 1)


def _check_seed(seed):
    return check_int("seed", seed, 0)
