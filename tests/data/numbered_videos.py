"""Videos for the reader's tests, whose pixels tell the number of each frame."""

from fractions import Fraction

import numpy as np

MILLI = Fraction(1, 1000)
ONE = 1 << 16
FRAMES = 28  # two whole groups of 12 frames and a part
ODD = {"size": (47, 63), "pixels": "yuv444p"}
VARIABLE = [10 * k * k for k in range(FRAMES)]  # milliseconds
LATE = [2500 + 100 * k for k in range(FRAMES)]


def shade(number):
    """Return the brightness of a frame: steps of 6, more than a codec changes."""
    return 12 + 6 * (number % 36)


def numbers(frames):
    """Return the numbers of frames, read from their brightness."""
    return [round((float(np.mean(frame)) - 12) / 6) for frame in frames]


def write_video(path, frames=30, size=(48, 64), rate=10, times=None, codec="libx264", **options):
    """Write gray frames that show their numbers, or the given frames.

    Args:
        frames: int, or a list of arrays.
        times: list of ints, milliseconds at which the frames appear, or `None`.
        options: of the codec; `container`, `pixels` and `matrix` are taken out.
    """
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
    """Return frames of different colored blocks over a drifting ramp, which B-frames compress."""
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
    """Return frames that do not compress, so that cutting the file cuts frames."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, (64, 64, 3), dtype="uint8") for _ in range(frames)]


def cut(path, part=0.6):
    """Keep only the first part of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    return path


def plain(path, turns=0):
    """Return all frames as PyAV decodes them, after quarter turns anticlockwise."""
    import av

    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack([np.rot90(frame, turns) for frame in frames])


def turned(turns, size=(48, 64)):
    """Return the matrix of a video that needs so many quarter turns anticlockwise."""
    height, width = size
    return [
        None,
        [0, -ONE, 0, ONE, 0, 0, 0, width * ONE, 1 << 30],
        [-ONE, 0, 0, 0, -ONE, 0, width * ONE, height * ONE, 1 << 30],
        [0, ONE, 0, -ONE, 0, 0, height * ONE, 0, 1 << 30],
    ][turns]


# Options of `write_video` for all kinds of files.
MATRIX = {
    "h264.mp4": {"g": "12", "bf": "3"},
    "h264_one_gop.mp4": {"g": "999", "bf": "3", "sc_threshold": "0"},
    "h264_tiny_gops.mp4": {"g": "2", "bf": "1"},
    "h264_no_b.mp4": {"g": "12", "bf": "0"},
    "h264_open.mp4": {"x264-params": "open-gop=1:keyint=12:bframes=3:scenecut=0"},
    "h264_pyramid.mkv": {"x264-params": "open-gop=1:keyint=10:bframes=8:ref=8:scenecut=0"},
    "h264_interlaced.ts": {"x264-params": "interlaced=1:keyint=12:bframes=3"},
    "h264_refresh.mp4": {"x264-params": "intra-refresh=1:keyint=12"},
    "h264.mkv": {"g": "12", "bf": "3"},
    "h264.ts": {"g": "12", "bf": "3"},
    "h264.avi": {"g": "12", "bf": "0"},
    "h264_fragments.mp4": {"g": "12", "container": {"movflags": "frag_keyframe+empty_moov"}},
    "h264_10bit.mp4": {"g": "12", "pixels": "yuv420p10le"},
    "h264_odd.mp4": {"g": "12", **ODD},
    "h264_rgb.mp4": {"codec": "libx264rgb", "pixels": "rgb24", "g": "12"},
    "h264_variable.mp4": {"g": "12", "times": VARIABLE},
    "h264_variable.mkv": {"g": "12", "times": VARIABLE},
    "h264_late.mp4": {"g": "12", "times": LATE},
    "h264_late.mkv": {"g": "12", "times": LATE},
    "h264_late.ts": {"g": "12", "times": LATE},
    "h264_turned_1.mp4": {"g": "12", "matrix": turned(1)},
    "h264_turned_2.mp4": {"g": "12", "matrix": turned(2)},
    "h264_turned_3.mp4": {"g": "12", "matrix": turned(3)},
    "h264_one_frame.mp4": {"frames": 1},
    "h265.mp4": {"codec": "libx265", "x265-params": "keyint=12:min-keyint=12:log-level=none"},
    "h265_10bit.mkv": {
        "codec": "libx265",
        "pixels": "yuv420p10le",
        "x265-params": "keyint=12:min-keyint=12:log-level=none",
    },
    "vp8.webm": {"codec": "libvpx", "g": "12", "auto-alt-ref": "1", "lag-in-frames": "10"},
    "vp9.webm": {"codec": "libvpx-vp9", "g": "12", "auto-alt-ref": "1", "lag-in-frames": "10"},
    "vp9_odd.mp4": {"codec": "libvpx-vp9", "g": "12", "size": (47, 63)},
    "av1.mp4": {"codec": "libsvtav1", "g": "12", "preset": "12"},
    "mpeg4.mp4": {"codec": "mpeg4", "g": "12", "bf": "2", "qmax": "4"},
    "mpeg4.avi": {"codec": "mpeg4", "g": "12", "bf": "2", "qmax": "4"},
    "mpeg2.ts": {"codec": "mpeg2video", "g": "12", "bf": "2", "rate": 25},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p", "qmax": "4"},
    "a.gif": {"codec": "gif", "pixels": "rgb8"},
}
