"""Compare what a LiteRT file and the Keras model compute.

This is not a part of `file.py`, which must not import Keras.
"""

from typing import NamedTuple

import numpy as np
from keras import ops

from keras_video.layers.backend import compile_step

FRAMES = 8  # frames of noise that a stream is compared on, if there are no clips


class Comparison(NamedTuple):
    """Result of a comparison.

    Args:
        difference: float, the largest difference divided by the largest prediction.
        agreement: float in [0, 1], share of the predictions that have the same best class.
        predictions: int, number of predictions.
    """

    difference: float
    agreement: float
    predictions: int

    def __str__(self):
        return (
            f"differs from Keras by at most {self.difference:.1e} of the largest prediction, "
            f"best class the same in {100 * self.agreement:.1f} % of {self.predictions}"
        )


def compare(model, lite, clips=None):
    """Run a model and its file on the same frames. Streams run step by step, with their states.

    Args:
        model: the Keras model that was exported.
        lite: `LiteRTModel` of its file.
        clips: array `(clips, frames, height, width, 3)`. Default: noise.

    Returns:
        `Comparison`.

    Raises:
        RuntimeError: if a prediction of the file is not finite.
    """
    streams = getattr(model, "streaming", False)
    if clips is None:
        clips = noise(lite, None if streams else model.inputs[0].shape[1])
    step = lite.input_shape[1]
    follow = keras_stream(model, step) if streams else None
    pairs = []
    for clip in clips:
        if lite.streaming:
            clip = clip[: len(clip) // step * step]
        if streams:
            expected = follow(clip)
            received = list(lite.stream(clip))
        else:
            expected = ops.convert_to_numpy(model(clip[None], training=False))
            received = lite.predict(clip[None])
        pairs.append((np.asarray(received, "float32"), np.asarray(expected, "float32")))
    received, expected = (
        np.concatenate([p[i].reshape(len(p[1]), -1) for p in pairs]) for i in (0, 1)
    )
    if not np.isfinite(received).all():
        raise RuntimeError("predictions: expected finite numbers of the file, got NaN or infinity.")
    largest = max(float(np.abs(expected).max()), 1e-30)
    same = received.argmax(-1) == expected.argmax(-1)
    return Comparison(
        float(np.abs(received - expected).max()) / largest, float(same.mean()), len(same)
    )


def keras_stream(model, step=1):
    """Return a function of a clip that gives the predictions of a streaming Keras model.

    Args:
        model: streaming `VideoClassifier`.
        step: int, frames of a step.

    Returns:
        A function of an array `(frames, height, width, 3)`. It starts a new stream and returns an
        array `(steps, classes)`, the predictions after every step.
    """
    compiled = None

    def follow(clip):
        nonlocal compiled
        state, answers = model.init_state(1, *clip.shape[1:3]), []
        for i in range(0, len(clip), step):
            frames = ops.convert_to_tensor(clip[None, i : i + step], "float32")
            compiled = compiled or compile_step(model, frames, state)
            answer, state = compiled(frames, state)
            answers.append(ops.convert_to_numpy(answer)[0])
        return np.stack(answers)

    return follow


def noise(lite, count=None):
    """Return a clip of `count` frames of different brightness for a file, `(1, frames, ...)`."""
    _, frames, *size = lite.input_shape
    if count is None:
        count = -(-FRAMES // frames) * frames if lite.streaming else frames
    random = np.random.default_rng(0)
    light = random.random((1, count, 1, 1, size[-1]))
    pixels = light * random.random((1, count, *size)) * lite.info["pixels"]
    return pixels.astype("float32")
