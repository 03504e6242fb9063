"""Moving digits: a small real task in which only the order of the frames tells the classes apart.

Real handwritten digits (the 1,797 of scikit-learn) move over textured backgrounds with noise,
changing light and distractors. The sixteen motions come in eight pairs, and the odd member of a
pair is the exact time reversal of the even one: digits, path, light, noise and distractors are
drawn once by the law of the even class and then played backwards. A frame without its place in
time, or a bag of frames, therefore says nothing about which member of the pair it is.

Clips are made on the fly, of any length and size, and depend only on
`(label, index, num_frames, size, split, seed)`. Do not augment them by flips or time reversal:
that changes the label.
"""

import operator
import os

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
        from keras_video.datasets.moving_digits_dataset import MovingDigits

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
