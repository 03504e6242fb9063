"""What a network with certain weights wants to see, how it is built, how its answers are called."""

import os
from typing import NamedTuple

from keras_video.utils.command_line import load_keras, silence, working

WEIGHTS = ("kinetics600", "kinetics400", "moving_digits")


class Recipe(NamedTuple):
    """A network, its weights, and the clip that the weights were measured on.

    Args:
        name: string, for example `"movinet_a0"`.
        weights: name of a data set or path of a file.
        streaming: bool, whether the network takes frames with a state.
        frames, size, frame_rate, resize_side: the clip: number of frames, `(height, width)`, frames
            per second, smaller side before the centre crop (`None`: no further than needed).
        labels: list of class names.
    """

    name: str
    weights: str
    streaming: bool
    frames: int
    size: tuple
    frame_rate: float
    resize_side: int | None
    labels: list

    @property
    def title(self):
        """For people: `MoViNet-A0 (kinetics600)`."""
        weights = os.path.basename(self.weights.rstrip("/")) or self.weights
        return f"{title(self.name)} ({weights})"

    @property
    def pictures(self):
        """For people: `frames of 172 x 172 at 5 frames/s`."""
        height, width = self.size
        return f"frames of {width} x {height} at {self.frame_rate:g} frames/s"

    def build(self):
        """The network, with its weights, and probabilities as outputs."""
        keras = load_keras()
        with working(f"building {self.title} on {keras.backend.backend()}"):
            from keras_video import applications

            builder = getattr(applications, title(self.name).replace("-", ""))
            return builder(
                weights=self.weights,
                streaming=self.streaming,
                input_shape=(None if self.streaming else self.frames, *self.size, 3),
                classes=len(self.labels),
                classifier_activation="softmax",
            )

    def rolling_stream(self, window):
        """A compiled `RollingStream` of the network, at its start."""
        import numpy as np

        model = self.build()
        from keras_video.models import RollingStream, Stream

        with working("compiling"):
            with silence():  # on other backends Keras imports TensorFlow, if it can, to copy
                stream = Stream(model, batch_size=2 if window else 1)
            rolling = RollingStream(stream, window)
            for _ in range(3):  # torch compiles again on its second call
                rolling.step(np.zeros((*self.size, 3), "uint8"))
            rolling.reset()
        return rolling


def find_recipe(model, weights, streaming=False, labels="", frames=0, size=0, frame_rate=0.0):
    """The recipe of a model by its short name.

    Args:
        model: `"A2"`, `"MoViNetA2"` or `"movinet_a2"`.
        weights: `"kinetics600"`, `"kinetics400"`, `"moving_digits"`, or a path.
        streaming: bool, whether frames will come with a state.
        labels: path of a file with one class name per line; needed for weights from a path.
        frames, size, frame_rate: another clip than the one that the weights were measured on.

    Returns:
        `Recipe`.

    Raises:
        ValueError: for an unknown model, unknown weights, missing labels.
    """
    from keras_video.applications import movinet

    name = full_name(model, movinet.CONFIGS)
    made_for, names = movinet.CONFIGS[name], None
    shape = made_for.clip
    is_path = os.sep in weights or os.path.exists(weights)
    if weights in WEIGHTS or not is_path:
        made_for = movinet.weights_record(name, weights, streaming)
        shape = (made_for.frames, *made_for.size)
        names = list(movinet.labels(made_for))
    if labels:
        with open(labels, encoding="utf-8") as file:
            names = [line.strip() for line in file if line.strip()]
    if not names:
        raise ValueError(
            f"the classes of {weights} have no names: give a file with one name per line as "
            "labels (--labels=FILE)."
        )
    return Recipe(
        name=name,
        weights=weights,
        streaming=streaming,
        frames=frames or shape[0],
        size=(size, size) if size else tuple(shape[1:3]),
        frame_rate=frame_rate or made_for.frame_rate,
        resize_side=None if size else made_for.resize_side,
        labels=names,
    )


def find_records(name):
    """`{(weights, streaming): record}` of all weights there are for an architecture."""
    from keras_video.applications import movinet

    records = {}
    for weights in WEIGHTS:
        for streaming in (False, True):
            try:
                records[weights, streaming] = movinet.weights_record(name, weights, streaming)
            except ValueError:
                continue
    return records


def title(name):
    """`MoViNet-A2` for `movinet_a2`."""
    return "MoViNet-" + name.rpartition("_")[2].upper()


def full_name(model, configs):
    """The key of `configs` for `"A2"`, `"MoViNetA2"` or `"movinet_a2"`; raises a `ValueError`."""
    short = model.lower().removeprefix("movinet").strip("_-")
    if f"movinet_{short}" in configs:
        return f"movinet_{short}"
    known = ", ".join(name.rpartition("_")[2].upper() for name in configs)
    raise ValueError(f"there is no model {model!r}; expected one of {known}.")
