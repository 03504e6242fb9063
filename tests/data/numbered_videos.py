"""Videos for the reader's tests: they say in their pixels which frame they are."""

from fractions import Fraction

import numpy as np

MILLI = Fraction(1, 1000)


def shade(number):
    """Brightness of frame `number`: steps of 6, more than a codec changes."""
    return 12 + 6 * (number % 36)


def numbers(frames):
    """Reads the frame numbers back."""
    return [round((float(np.mean(frame)) - 12) / 6) for frame in frames]


def write_video(path, frames=30, size=(48, 64), rate=10, times=None, codec="libx264", **options):
    """Writes grey frames that carry their number, at the times (in milliseconds) if given."""
    import av

    pixels = options.pop("pixels", "yuv420p")
    matrix = options.pop("matrix", None)
    if not np.iterable(frames):
        frames = [np.full((*size, 3), shade(k), "uint8") for k in range(frames)]
    with av.open(str(path), "w", options=options.pop("container", {})) as container:
        stream = container.add_stream(codec, rate=rate, options=options)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pixels
        if times is not None:
            stream.codec_context.time_base = MILLI
        if matrix is not None:
            stream.set_display_matrix(matrix)
        for k, frame in enumerate(frames):
            picture = av.VideoFrame.from_ndarray(frame, "rgb24")
            if times is not None:
                picture.pts, picture.time_base = times[k], MILLI
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def scenes(frames, size=(48, 64)):
    """Coloured blocks, others in every frame, over a drifting ramp that pays for B-frames."""
    height, width = size
    ramp = np.add.outer(np.arange(height), np.arange(width))
    pictures = []
    for k in range(frames):
        picture = np.repeat((40 + (ramp + 2 * k) % 160)[..., None], 3, axis=-1)
        rng = np.random.default_rng(k)
        for _ in range(3):
            top, left = rng.integers(0, height - 12), rng.integers(0, width - 12)
            picture[top : top + 12, left : left + 12] = rng.integers(0, 255, 3)
        pictures.append(picture.astype("uint8"))
    return pictures


def noise(frames=60):
    """Frames that do not compress, so that cutting the file cuts frames."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (64, 64, 3), dtype="uint8") for _ in range(frames)]


def cut(path, part=0.6):
    """Leaves the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path
