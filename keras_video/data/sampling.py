"""Rules that choose the frames of a clip and the crops of a frame. They compute with numbers only.

Every rule takes the number of frames of the video (`frames`) and of the clip (`num_frames`). It
returns frame numbers, int64 in `[0, frames)`. Random rules take a `numpy.random.Generator`; with
`rng=None` they make the centred choice that evaluations use.

Windows (`dense_window`, `strided`, `multi_clip`) may be longer than a short video. Their argument
`short` says what happens then: `"repeat"` starts the video again from its first frame, as the
official evaluation of MoViNet does, `"pad"` repeats its last frame, `"error"` raises a
`ValueError`. The other rules work for any number of frames: they repeat frames of a short video,
in ascending order.
"""

import numpy as np

from keras_video.checks import check_choice, check_int, check_rate

SHORT = ("repeat", "pad", "error")


def uniform_segments(frames, num_frames, rng=None):
    """Choose one frame from each of `num_frames` equal segments of the video (TSN, section 3.1).

    Wang et al., "Temporal Segment Networks", ECCV 2016.

    Args:
        frames: int, frames of the video.
        num_frames: int, number of segments.
        rng: `numpy.random.Generator`, draws a random frame of each segment; `None` takes its
            centre.

    Returns:
        int64 array `(num_frames,)`, ascending.
    """
    frames, num_frames = check_int("frames", frames), check_int("num_frames", num_frames)
    segments = np.arange(num_frames)
    if rng is None:
        return (2 * segments + 1) * frames // (2 * num_frames)
    drawn = np.floor((segments + rng.random(num_frames)) * frames / num_frames)
    return np.minimum(drawn.astype("int64"), frames - 1)  # rounding may reach `frames`


def blvnet_tam_train(frames, num_frames, rng):
    """Choose frames as bLVNet-TAM is trained: equal steps, one random offset for all frames.

    Fan et al., "More Is Less", NeurIPS 2019. This is the rule of the official code; section 4 of
    the paper describes another one (a random frame per segment). Short videos: sorted draws with
    replacement.

    Args:
        frames: int, frames of the video.
        num_frames: int, `T = 2 f` frames; consecutive frames form the pairs of the two branches.
        rng: `numpy.random.Generator`.

    Returns:
        int64 array `(num_frames,)`, ascending.
    """
    frames, num_frames = check_int("frames", frames), check_int("num_frames", num_frames)
    step = frames // num_frames
    if not step:
        return np.sort(rng.integers(frames, size=num_frames))
    return np.arange(num_frames) * step + rng.integers(step)


def blvnet_tam_test(frames, num_frames, clips=1):
    """Choose frames as bLVNet-TAM is tested: segment centres, shifted for each further clip.

    Fan et al., "More Is Less", NeurIPS 2019, section 4 and the official code. Frame `k` of a clip
    is `int(tick / 2 + shift + tick * k)` with `tick = frames / num_frames` and shifts of
    `-clips // 2 + 1 .. clips // 2` frames, limited to the segment. Videos of at most `num_frames`
    frames: sorted draws with replacement, seeded with the number of the clip.

    Args:
        frames: int, frames of the video.
        num_frames: int, `T = 2 f` frames.
        clips: int, number of clips.

    Returns:
        int64 array `(clips, num_frames)`, each row ascending.
    """
    frames, num_frames = check_int("frames", frames), check_int("num_frames", num_frames)
    clips = check_int("clips", clips)
    if frames <= num_frames:
        draws = [np.random.default_rng(c).integers(frames, size=num_frames) for c in range(clips)]
        return np.sort(draws, axis=1)
    tick = frames / num_frames
    shifts = np.clip(np.arange(clips) + (-clips // 2 + 1), -tick / 2, tick / 2 - 1e-4)
    return (tick / 2 + shifts[:, None] + tick * np.arange(num_frames)).astype("int64")


def dense_window(frames, num_frames, step=1, rng=None, short="repeat"):
    """Choose `num_frames` frames that are `step` frames apart.

    The usual training clip of 3-D networks (Carreira and Zisserman, "Quo Vadis, Action
    Recognition?", CVPR 2017), and the single centred clip of the MoViNet evaluation.

    Args:
        frames: int, frames of the video.
        num_frames: int, frames of the clip.
        step: int, distance of two frames of the clip.
        rng: `numpy.random.Generator`, draws the start uniformly; `None` puts the clip in the
            middle.
        short: `"repeat"`, `"pad"` or `"error"`, see the module.

    Returns:
        int64 array `(num_frames,)`.
    """
    slack, offsets = _window(frames, num_frames, step)
    start = slack // 2 if rng is None else rng.integers(slack + 1)
    return _fold(start + offsets, frames, short)


def strided(frames, num_frames, stride, rng=None, short="repeat"):
    """Choose every `stride`-th frame from a random start on, as Tiny Video Networks are trained.

    Piergiovanni et al., "Tiny Video Networks", section 3.2; the search finds the stride together
    with the network. `stride` is `step` of `dense_window`, the other arguments are the same.
    """
    return dense_window(frames, num_frames, check_int("stride", stride), rng, short)


def strided_draw(frames, num_frames, stride, rng):
    """Keep every `stride`-th frame and draw `num_frames` of them at random, in ascending order.

    The evaluation of Tiny Video Networks (Piergiovanni et al., section 4.2). If fewer than
    `num_frames` frames are kept, they are repeated about equally often.

    Args:
        frames: int, frames of the video.
        num_frames: int, frames of the clip.
        stride: int, distance of the kept frames.
        rng: `numpy.random.Generator`.

    Returns:
        int64 array `(num_frames,)`, ascending.
    """
    frames, num_frames = check_int("frames", frames), check_int("num_frames", num_frames)
    kept = np.arange(0, frames, check_int("stride", stride))
    rounds, rest = divmod(num_frames, len(kept))
    return np.sort(np.concatenate([np.tile(kept, rounds), rng.permutation(kept)[:rest]]))


def whole_video(frames, num_frames=None):
    """Choose all frames, or `num_frames` evenly spaced ones from the first to the last.

    Args:
        frames: int, frames of the video.
        num_frames: int, or `None` for every frame.

    Returns:
        int64 array `(num_frames,)`, ascending and evenly spaced, rounded down.
    """
    frames = check_int("frames", frames)
    if num_frames is None:
        return np.arange(frames)
    steps = max(check_int("num_frames", num_frames) - 1, 1)
    return np.arange(num_frames) * (frames - 1) // steps


def multi_clip(frames, num_frames, step=1, clips=10, short="repeat"):
    """Choose several windows whose starts are evenly spaced from the first possible to the last.

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
    clips = check_int("clips", clips)
    starts = np.arange(clips) * slack // (clips - 1) if clips > 1 else np.array([slack // 2])
    return _fold(starts[:, None] + offsets, frames, short)


def time_indices(times, end, frame_rate, tolerance=0.0):
    """Choose the frames on the screen at the ticks of a frame rate, for a video of any timing.

    A video with more frames per second loses frames, one with fewer repeats them.

    Args:
        times: float array `(frames,)`, seconds at which the frames appear, ascending.
        end: float, second at which the last frame disappears.
        frame_rate: number, ticks per second; the first tick is `times[0]`.
        tolerance: float, seconds by which a frame may appear after a tick and still be chosen.

    Returns:
        int64 array, ascending: for each tick before `end` the number of the frame.
    """
    check_rate("frame_rate", frame_rate)
    times = np.asarray(times, "float64")
    ticks = max(1, int(np.ceil((end - tolerance - times[0]) * frame_rate)))
    ticks = times[0] + np.arange(ticks) / frame_rate
    return np.searchsorted(times, ticks + tolerance, side="right") - 1


def crop_boxes(height, width, size, crops=1):
    """Return the crops of a frame that an evaluation uses.

    Args:
        height, width: ints, size of the frame.
        size: `(height, width)` of the crops.
        crops: 1 for the centre, or 3 for both ends and the middle of the longer side, in the order
            and at the offsets of bLVNet-TAM: 0, 4 and 2 times `(side - crop) // 4`.

    Returns:
        A list of `crops` boxes `(top, left, height, width)`.

    Raises:
        ValueError: if the frame is smaller than `size`, or `crops` is neither 1 nor 3.
    """
    check_choice("crops", crops, (1, 3))
    spare_height, spare_width = height - size[0], width - size[1]
    if min(spare_height, spare_width) < 0:
        raise ValueError(
            f"size: expected one that fits into a frame of {(height, width)}, got {tuple(size)}."
        )
    middle = spare_height // 2, spare_width // 2
    if crops == 1:
        return [(*middle, *size)]
    if width >= height:
        return [(middle[0], k * (spare_width // 4), *size) for k in (0, 4, 2)]
    return [(k * (spare_height // 4), middle[1], *size) for k in (0, 4, 2)]


def _window(frames, num_frames, step):
    """Return how far a window can be moved inside the video, and its offsets from the start."""
    frames, num_frames = check_int("frames", frames), check_int("num_frames", num_frames)
    offsets = np.arange(num_frames) * check_int("step", step)
    return max(0, frames - 1 - int(offsets[-1])), offsets


def _fold(indices, frames, short):
    """Replace frame numbers beyond the end of the video, as `short` says."""
    check_choice("short", short, SHORT)
    if short == "error" and indices.max() >= frames:
        raise ValueError(
            f"frames: expected at least {np.ptp(indices) + 1}, the span of the clip, got {frames}."
        )
    return indices % frames if short == "repeat" else np.minimum(indices, frames - 1)
