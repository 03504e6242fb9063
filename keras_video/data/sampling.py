"""Which frames of a video make a clip, and which parts of a frame: NumPy on numbers alone.

Every function takes the number of frames there are (`frames`) and the number wanted (`num_frames`)
and returns frame numbers, int64 in `[0, frames)`. What is random takes a `numpy.random.Generator`;
`rng=None` stands for the centred choice of an evaluation.

Windows (`dense_window`, `strided`, `multi_clip`) may reach beyond the end of a short video. Their
argument `short` says what happens then: `"repeat"` plays the video again from its first frame, as
the official evaluation of MoViNet does, `"pad"` holds its last frame, `"error"` raises a
`ValueError`. The other rules are defined for any number of frames: they show a frame of a short
video several times, in order.
"""

import operator

import numpy as np

SHORT = ("repeat", "pad", "error")


def uniform_segments(frames, num_frames, rng=None):
    """One frame from each of `num_frames` equal segments of the video (TSN, section 3.1).

    Wang et al., "Temporal Segment Networks", ECCV 2016.

    Args:
        frames: int, frames of the video.
        num_frames: int, number of segments.
        rng: draws a random frame of each segment; `None` takes its centre.

    Returns:
        int64 array `(num_frames,)`, ascending.
    """
    frames, num_frames = check_integer("frames", frames), check_integer("num_frames", num_frames)
    segments = np.arange(num_frames)
    if rng is None:
        return (2 * segments + 1) * frames // (2 * num_frames)
    drawn = np.floor((segments + rng.random(num_frames)) * frames / num_frames)
    return np.minimum(drawn.astype("int64"), frames - 1)  # rounding may reach the very end


def blvnet_tam_train(frames, num_frames, rng):
    """The training rule of bLVNet-TAM: equal steps, one random offset for all frames.

    Fan et al., "More Is Less", NeurIPS 2019; the official code, which differs from section 4 of the
    paper (a random frame per segment). Short videos: sorted draws with replacement.

    Args:
        frames: int, frames of the video.
        num_frames: int, `T = 2 f` frames: consecutive ones form the pairs of the two branches.
        rng: `numpy.random.Generator`.

    Returns:
        int64 array `(num_frames,)`, ascending.
    """
    frames, num_frames = check_integer("frames", frames), check_integer("num_frames", num_frames)
    step = frames // num_frames
    if not step:
        return np.sort(rng.integers(frames, size=num_frames))
    return np.arange(num_frames) * step + rng.integers(step)


def blvnet_tam_test(frames, num_frames, clips=1):
    """The test rule of bLVNet-TAM: segment centres, shifted by whole frames for further clips.

    Fan et al., "More Is Less", NeurIPS 2019, section 4 and the official code. Frame `k` of a clip
    is `int(tick / 2 + shift + tick * k)` with `tick = frames / num_frames` and shifts of
    `-clips // 2 + 1 .. clips // 2` frames, kept within the segment. Videos of no more than
    `num_frames` frames: sorted draws with replacement, seeded with the number of the clip.

    Args:
        frames: int, frames of the video.
        num_frames: int, `T = 2 f` frames.
        clips: int, number of clips.

    Returns:
        int64 array `(clips, num_frames)`, each row ascending.
    """
    frames, num_frames = check_integer("frames", frames), check_integer("num_frames", num_frames)
    clips = check_integer("clips", clips)
    if frames <= num_frames:
        draws = [np.random.default_rng(c).integers(frames, size=num_frames) for c in range(clips)]
        return np.sort(draws, axis=1)
    tick = frames / num_frames
    shifts = np.clip(np.arange(clips) + (-clips // 2 + 1), -tick / 2, tick / 2 - 1e-4)
    return (tick / 2 + shifts[:, None] + tick * np.arange(num_frames)).astype("int64")


def dense_window(frames, num_frames, step=1, rng=None, short="repeat"):
    """`num_frames` frames that lie `step` frames apart.

    The usual training clip of 3-D networks (Carreira and Zisserman, "Quo Vadis, Action
    Recognition?", CVPR 2017), and the single centred clip of the MoViNet evaluation.

    Args:
        frames: int, frames of the video.
        num_frames: int, frames of the clip.
        step: int, distance of two frames of the clip.
        rng: draws the start, all possible ones alike; `None` puts the clip in the middle.
        short: `"repeat"`, `"pad"` or `"error"`, see the module.

    Returns:
        int64 array `(num_frames,)`.
    """
    slack, offsets = _window(frames, num_frames, step)
    start = slack // 2 if rng is None else rng.integers(slack + 1)
    return _fold(start + offsets, frames, short)


def strided(frames, num_frames, stride, rng=None, short="repeat"):
    """Every `stride`-th frame from a random start on, as Tiny Video Networks are trained.

    Piergiovanni et al., "Tiny Video Networks", section 3.2: the stride belongs to the network that
    the search found. The arguments are those of `dense_window`.
    """
    return dense_window(frames, num_frames, check_integer("stride", stride), rng, short)


def strided_draw(frames, num_frames, stride, rng):
    """Keeps every `stride`-th frame and draws `num_frames` of those at random, in order.

    The evaluation of Tiny Video Networks (Piergiovanni et al., section 4.2). Where too few frames
    are kept, all of them are shown, about equally often.

    Args:
        frames: int, frames of the video.
        num_frames: int, frames of the clip.
        stride: int, distance of the kept frames.
        rng: `numpy.random.Generator`.

    Returns:
        int64 array `(num_frames,)`, ascending.
    """
    frames, num_frames = check_integer("frames", frames), check_integer("num_frames", num_frames)
    kept = np.arange(0, frames, check_integer("stride", stride))
    rounds, rest = divmod(num_frames, len(kept))
    return np.sort(np.concatenate([np.tile(kept, rounds), rng.permutation(kept)[:rest]]))


def whole_video(frames, num_frames=None):
    """The whole video as one clip: all of its frames, or `num_frames` from the first to the last.

    Args:
        frames: int, frames of the video.
        num_frames: int, or `None` for every frame.

    Returns:
        int64 array `(num_frames,)`, ascending and evenly spaced, rounded down.
    """
    frames = check_integer("frames", frames)
    if num_frames is None:
        return np.arange(frames)
    steps = max(check_integer("num_frames", num_frames) - 1, 1)
    return np.arange(num_frames) * (frames - 1) // steps


def multi_clip(frames, num_frames, step=1, clips=10, short="repeat"):
    """Several windows, their starts evenly spaced from the first possible to the last.

    The usual evaluation of 3-D networks with ten clips (Wang et al., "Non-local Neural Networks",
    CVPR 2018, section 4.2). A single clip comes from the middle.

    Args:
        frames: int, frames of the video.
        num_frames: int, frames of a clip.
        step: int, distance of two frames of a clip.
        clips: int, number of clips.
        short: `"repeat"`, `"pad"` or `"error"`, see the module.

    Returns:
        int64 array `(clips, num_frames)`.
    """
    slack, offsets = _window(frames, num_frames, step)
    clips = check_integer("clips", clips)
    starts = np.arange(clips) * slack // (clips - 1) if clips > 1 else np.array([slack // 2])
    return _fold(starts[:, None] + offsets, frames, short)


def frame_rate_indices(frames, fps, frame_rate):
    """The frames on the screen at the ticks of another frame rate, for a steady video.

    Args:
        frames: int, frames of the video.
        fps: frames per second of the video.
        frame_rate: frames per second wanted. Frame `k` is the one on the screen `k / frame_rate`
            seconds after the start: a faster video loses frames, a slower one repeats them.

    Returns:
        int64 array, ascending, of `ceil(frames * frame_rate / fps)` numbers, give or take rounding.
    """
    frames = check_integer("frames", frames)
    check_rate("fps", fps)
    return time_indices(np.arange(frames) / fps, frames / fps, frame_rate, 0.01 / fps)


def time_indices(times, end, frame_rate, tolerance=0.0):
    """The frames on the screen at the ticks of a frame rate, for a video of any timing.

    Args:
        times: float array `(frames,)`, seconds at which the frames appear, ascending.
        end: second at which the last frame disappears.
        frame_rate: frames per second wanted; the first tick is `times[0]`.
        tolerance: seconds. A frame that appears no more than this after a tick counts as there.

    Returns:
        int64 array, ascending: for each tick before `end` the number of a frame.
    """
    check_rate("frame_rate", frame_rate)
    times = np.asarray(times, "float64")
    ticks = max(1, int(np.ceil((end - tolerance - times[0]) * frame_rate)))
    ticks = times[0] + np.arange(ticks) / frame_rate
    return np.searchsorted(times, ticks + tolerance, side="right") - 1


def crop_boxes(height, width, size, crops=1):
    """The parts of a picture that an evaluation looks at.

    Args:
        height, width: ints, size of the picture.
        size: `(height, width)` of the parts.
        crops: 1 for the centre, or 3 for both ends and the middle of the longer side, in the order
            and at the offsets of bLVNet-TAM: 0, 4 and 2 times `(side - crop) // 4`.

    Returns:
        A list of `crops` boxes `(top, left, height, width)`.

    Raises:
        ValueError: if the picture is smaller than `size`, or `crops` is neither 1 nor 3.
    """
    if crops not in (1, 3):
        raise ValueError(f"`crops` must be 1 or 3. Received: {crops}")
    spare_height, spare_width = height - size[0], width - size[1]
    if min(spare_height, spare_width) < 0:
        raise ValueError(f"`size` {tuple(size)} does not fit into a picture of {(height, width)}.")
    middle = spare_height // 2, spare_width // 2
    if crops == 1:
        return [(*middle, *size)]
    if width >= height:
        return [(middle[0], k * (spare_width // 4), *size) for k in (0, 4, 2)]
    return [(k * (spare_height // 4), middle[1], *size) for k in (0, 4, 2)]


def check_integer(name, value, low=1):
    """Returns `value` as an int of at least `low`, or raises a `ValueError` that names it."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < low:
        wanted = "a positive int" if low == 1 else f"an int of at least {low}"
        raise ValueError(f"`{name}` must be {wanted}. Received: {value}")
    return number


def check_rate(name, rate):
    """Raises unless a number per second is positive and finite."""
    if not 0 < rate < float("inf"):
        raise ValueError(f"`{name}` must be positive. Received: {rate}")


def _window(frames, num_frames, step):
    """How far a window can be moved inside the video, and its frames from its start on."""
    frames, num_frames = check_integer("frames", frames), check_integer("num_frames", num_frames)
    offsets = np.arange(num_frames) * check_integer("step", step)
    return max(0, frames - 1 - int(offsets[-1])), offsets


def _fold(indices, frames, short):
    """Brings what lies beyond the end of the video back into it."""
    if short not in SHORT:
        raise ValueError(f"`short` must be one of {SHORT}. Received: {short!r}")
    if short == "error" and indices.max() >= frames:
        raise ValueError(
            f"A clip that spans {np.ptp(indices) + 1} frames was asked for; the video has {frames}."
        )
    return indices % frames if short == "repeat" else np.minimum(indices, frames - 1)
