"""Small videos for the tests of data sets; the brightness tells the number of the frame."""

import numpy as np

from keras_video.datasets.moving_digits import write_video


def shade(number):
    """Return the brightness of a frame: steps of 6, more than a codec changes."""
    return 12 + 6 * number


def numbers(clip):
    """Read the frame numbers back from `(frames, height, width, 3)`."""
    return [round((float(frame.mean()) - 12) / 6) for frame in clip]


def write_numbered(path, frames=20, size=(32, 48), frame_rate=10):
    """Write a video of gray frames that show their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [np.full((*size, 3), shade(k), "uint8") for k in range(frames)]
    write_video(path, np.stack(pictures), frame_rate)
    return str(path)


def write_folder(folder, lengths):
    """Write one video for each length; return their paths, in order."""
    return [write_numbered(folder / f"{k:02d}.mp4", n) for k, n in enumerate(lengths)]


def break_file(path):
    """Overwrite a video with text."""
    with open(path, "w") as file:
        file.write("This was a video once.\n")
