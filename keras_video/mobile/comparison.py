"""Whether a LiteRT file computes what the Keras model does."""

from typing import NamedTuple

import numpy as np
from keras import ops

FRAMES = 8  # of a stream that are compared where there are no clips to compare on


class Comparison(NamedTuple):
    """What the comparison found.

    Args:
        difference: float, the largest difference divided by the largest prediction.
        agreement: float in [0, 1], share of predictions with the same best class.
        predictions: int, how many were compared.
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
    """Runs both on the same frames; streams frame by frame, with their states.

    Args:
        model: the Keras model that was exported.
        lite: `LiteRTModel` of its file.
        clips: array `(clips, frames, height, width, 3)`; default noise.

    Returns:
        `Comparison`.

    Raises:
        RuntimeError: if predictions of the file are not finite.
    """
    streams = getattr(model, "streaming", False)
    if clips is None:
        clips = noise(lite, None if streams else model.inputs[0].shape[1])
    step = lite.input_shape[1]
    pairs = []
    for clip in clips:
        if lite.streaming:
            clip = clip[: len(clip) // step * step]
        if streams:
            expected = keras_stream(model, clip, step)
            received = list(lite.stream(clip))
        else:
            expected = ops.convert_to_numpy(model(clip[None], training=False))
            received = lite.predict(clip[None])
        pairs.append((np.asarray(received, "float32"), np.asarray(expected, "float32")))
    received, expected = (
        np.concatenate([p[i].reshape(len(p[1]), -1) for p in pairs]) for i in (0, 1)
    )
    if not np.isfinite(received).all():
        raise RuntimeError("the LiteRT file gives predictions that are not finite.")
    largest = max(float(np.abs(expected).max()), 1e-30)
    same = received.argmax(-1) == expected.argmax(-1)
    return Comparison(
        float(np.abs(received - expected).max()) / largest, float(same.mean()), len(same)
    )


def keras_stream(model, clip, step=1):
    """Predictions of a streaming Keras model after every `step` frames of a clip."""
    state, answers = model.init_state(1, *clip.shape[1:3]), []
    for i in range(0, len(clip), step):
        answer, state = model(clip[None, i : i + step], state)
        answers.append(ops.convert_to_numpy(answer)[0])
    return np.stack(answers)


def noise(lite, count=None):
    """A clip of `count` frames of different brightness for a file."""
    _, frames, *size = lite.input_shape
    if count is None:
        count = -(-FRAMES // frames) * frames if lite.streaming else frames
    random = np.random.default_rng(0)
    light = random.random((1, count, 1, 1, size[-1]))
    pixels = light * random.random((1, count, *size)) * lite.info["pixels"]
    return pixels.astype("float32")
