"""`write_folder`: moving digits as a folder of video files, to try out fine-tuning on."""

import os

from keras_video.datasets.moving_digits import (
    CLASS_NAMES,
    check_integer,
    check_label,
    check_size,
    make_video,
    write_video,
)

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
