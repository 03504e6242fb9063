"""The demo: a video of moving digits, classified clip by clip and as a stream.

The digits change their motion several times. All frames come from a real H.264 file. The base model
classifies a clip of each motion. The streaming model gets the video frame by frame and must notice
the changes by itself. Half of the motions are the other half in reverse, so that no single frame
tells them apart.
"""

import os
import time

import numpy as np

from keras_video.checks import check_extra
from keras_video.cli.recipe import find_recipe
from keras_video.progress import load_keras, progress, working

MOTIONS = ("move_left", "zoom_in", "rotate_clockwise", "move_right", "zoom_out",
           "rotate_anticlockwise")  # fmt: skip
FRAME_RATE = 12  # of the video; the models use fewer frames
SEED = 0
TITLE = "MoViNet-A0 streaming"


def run(output="keras_video_demo"):
    """Run the demo; write a video, its annotated copy and a plot to the folder `output`.

    Returns:
        0, or 1 if a prediction is wrong.
    """
    for extra in ("video", "datasets", "plot"):
        check_extra(extra, "The demo")
    began = time.perf_counter()
    load_keras()  # before moving_digits imports it, to hide what TensorFlow prints
    from keras_video.data import VideoReader
    from keras_video.datasets import moving_digits
    from keras_video.plotting.overlays import annotate_video, check_annotation
    from keras_video.plotting.stream import plot_stream

    path = os.path.join(output, "moving_digits.mp4")
    annotated = os.path.join(output, "annotated.mp4")
    check_annotation(annotated)  # fails now if a package is missing
    os.makedirs(output, exist_ok=True)
    names = list(moving_digits.CLASS_NAMES)
    truth = [names.index(motion) for motion in MOTIONS]
    recipe = find_recipe("A0", "moving_digits")
    with working("writing the video"):  # each motion lasts 1.5 clips
        frames = round(1.5 * recipe.frames / recipe.frame_rate * FRAME_RATE)
        pixels = moving_digits.make_video(truth, frames_per_motion=frames, split="test", seed=SEED)
        moving_digits.write_video(path, pixels, frame_rate=FRAME_RATE)
    video = VideoReader(path)
    height, width = video.size
    print(f"video: {len(video)} frames of {width} x {height}, {video.duration:.0f} s, H.264")

    clips = _probabilities_of_clips(video)
    stream, speed, sizes = _probabilities_of_stream(video)

    length = len(stream) // len(truth)
    ends = stream[length - 1 :: length]
    print(f"\n{'motion':24s}{'base model, a clip of it':34s}streaming model, at its end")
    for label, clip, end in zip(truth, clips, ends, strict=True):
        cells = [f"{_answer(names, p, label):34s}" for p in (clip, end)]
        print(f"{_plain(names[label]):24s}{''.join(cells).rstrip()}")
    right = [int(np.sum(np.argmax(p, axis=-1) == truth)) for p in (clips, ends)]
    print(f"\ncorrect: {right[0]} of {len(truth)} clips, {right[1]} of {len(truth)} in the stream")
    print(f"stream: {speed:.0f} frames/s, state {' to '.join(sizes)} MB on every frame")

    picture = os.path.join(output, "moving_digits.png")
    plot_stream(
        list(video.frames(FRAME_RATE / 4)), stream, names, picture,
        boundaries=range(length, len(stream), length), truth=truth,
        frame_rate=len(stream) / video.duration,
        title=f"{TITLE}, one frame at a time: motion of the digits",
    )  # fmt: skip
    with working("writing the annotated video"):
        annotate_video(video, annotated, _answers(names, stream, video), title=TITLE)
    for label, file in (("video", path), ("annotated", annotated), ("plot", picture)):
        print(f"{label + ':':11s}{os.path.abspath(file)}")
    print(f"done in {time.perf_counter() - began:.0f} s")
    return 0 if right == [len(truth)] * 2 else 1


def _probabilities_of_clips(video):
    """Classify a clip of each motion with the base model; return `(motions, classes)`."""
    recipe = find_recipe("A0", "moving_digits")
    model = recipe.build()
    from keras import ops

    frames = list(video.frames(recipe.frame_rate, recipe.size, True, recipe.resize_side))
    # The last frames of each motion: in the first ones the digits move to their start position.
    clips = [part[-recipe.frames :] for part in np.array_split(np.stack(frames), len(MOTIONS))]
    shown = progress(clips, len(clips), "classifying the motions")
    return np.stack([ops.convert_to_numpy(model(clip[None]))[0] for clip in shown])


def _probabilities_of_stream(video):
    """Stream the whole video; return `(frames, classes)`, frames/s, and state sizes in MB."""
    recipe = find_recipe("A0", "moving_digits", streaming=True)
    rolling = recipe.rolling_stream(window=recipe.frames + 2)
    frames = video.frames(recipe.frame_rate, recipe.size, True, recipe.resize_side)
    total = round(video.duration * recipe.frame_rate)
    answers, sizes, began = [], set(), time.perf_counter()
    for frame in progress(frames, total, "streaming"):
        answers.append(rolling.step(frame))
        sizes.add(f"{rolling.state_bytes / 1e6:.2f}")
    speed = len(answers) / (time.perf_counter() - began)
    return np.stack(answers), speed, sorted(sizes)


def _answer(names, probabilities, label):
    best = int(np.argmax(probabilities))
    verdict = "ok" if best == label else "WRONG"
    return f"{_plain(names[best]):21s}{100 * probabilities[best]:3.0f} % {verdict}"


def _answers(names, stream, video):
    """Return the best names over time, as `annotate_video` takes them."""
    best = [[(names[k], row[k]) for k in np.argsort(-row)[:3]] for row in stream]
    return [(k * video.duration / len(best), answer) for k, answer in enumerate(best)]


def _plain(name):
    return name.replace("_", " ")
