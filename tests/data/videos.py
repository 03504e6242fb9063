"""Small videos for the tests of data sets: brightness says which frame, the label which file."""

import numpy as np

from keras_video.datasets.moving_digits import write_video


def shade(number):
    """Brightness of frame `number`: steps of 6, more than a codec changes."""
    return 12 + 6 * number


def numbers(clip):
    """Reads the frame numbers back from `(frames, height, width, 3)`."""
    return [round((float(frame.mean()) - 12) / 6) for frame in clip]


def write_numbered(path, frames=20, size=(32, 48), frame_rate=10):
    """Writes a video of grey frames that carry their number."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pictures = [np.full((*size, 3), shade(k), "uint8") for k in range(frames)]
    write_video(path, np.stack(pictures), frame_rate)
    return str(path)


def write_folder(folder, lengths):
    """Writes one video for each length; returns their paths, in order."""
    return [write_numbered(folder / f"{k:02d}.mp4", n) for k, n in enumerate(lengths)]


def break_file(path):
    """Makes a video one that is no video at all."""
    with open(path, "w") as file:
        file.write("This was a video once.\n")
