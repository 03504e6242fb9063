"""What a network with certain weights wants to see, how it is built, how its answers are called."""

import os
from typing import NamedTuple

from keras_video.applications.families import (
    all_configs,
    builder_name,
    family_of,
    full_name,
    title,
)
from keras_video.progress import load_keras, silence, working

WEIGHTS = ("kinetics600", "kinetics400", "moving_digits", "charades")


class Recipe(NamedTuple):
    """A network, its weights, and the clip that the weights were measured on.

    Args:
        name: string, for example `"movinet_a0"`.
        weights: name of a data set or path of a file.
        streaming: bool, whether the network takes frames with a state.
        frames, size, frame_rate, resize_side: the clip: number of frames, `(height, width)`, frames
            per second, smaller side before the centre crop (`None`: no further than needed).
        labels: list of class names.
        frame_stride: int, every how many frames of the video one is taken, for networks without a
            frame rate.
        sampling: string, `"blvnet_tam"` where the frames are spread over the whole video by that
            rule, else `None`.
    """

    name: str
    weights: str
    streaming: bool
    frames: int
    size: tuple
    frame_rate: float | None
    resize_side: int | None
    labels: list
    frame_stride: int | None = None
    sampling: str | None = None

    @property
    def title(self):
        """For people: `MoViNet-A0 (kinetics600)`."""
        weights = os.path.basename(self.weights.rstrip("/")) or self.weights
        return f"{title(self.name)} ({weights})"

    @property
    def pictures(self):
        """For people: `frames of 172 x 172 at 5 frames/s`, `1 of 4` or `spread over the video`."""
        height, width = self.size
        pace = f"1 of {self.frame_stride}" if self.frame_stride else "spread over the video"
        if self.frame_rate:
            pace = f"at {self.frame_rate:g} frames/s"
        return f"frames of {width} x {height} {pace}"

    def rate(self, video_rate):
        """Frames per second to take from a video of `video_rate` frames per second."""
        return self.frame_rate or video_rate / self.frame_stride

    def build(self):
        """The network, with its weights, and probabilities as outputs."""
        keras = load_keras()
        with working(f"building {self.title} on {keras.backend.backend()}"):
            from keras_video import applications

            builder = getattr(applications, builder_name(self.name))
            options = {"streaming": self.streaming} if family_of(self.name).streams else {}
            return builder(
                **options,
                weights=self.weights,
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
        model: `"A2"`, `"MoViNetA2"`, `"movinet_a2"`, `"TVN1"`, `"TinyVideoNetMobile1"`, ...
        weights: `"kinetics600"`, `"charades"`, ..., or a path.
        streaming: bool, whether frames will come with a state.
        labels: path of a file with one class name per line; needed for weights from a path.
        frames, size, frame_rate: another clip than the one that the weights were measured on.

    Returns:
        `Recipe`.

    Raises:
        ValueError: for an unknown model, unknown weights, missing labels.
    """
    configs = all_configs()
    name = full_name(model, configs)
    family, made_for, names = family_of(name), configs[name], None
    if streaming and not family.streams:
        raise ValueError(f"{title(name)} takes clips, it cannot follow a stream.")
    shape = made_for.clip
    is_path = os.sep in weights or os.path.exists(weights)
    if weights in WEIGHTS or not is_path:
        record = family.record(name, weights, streaming)
        shape = (record.frames, *record.size)
        names = list(family.package.labels(record)) if record.labels else None
        made_for = record if record.frame_rate or record.frame_stride else made_for
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
        frame_rate=frame_rate or getattr(made_for, "frame_rate", None),
        resize_side=None if size else getattr(made_for, "resize_side", None),
        labels=names,
        frame_stride=getattr(made_for, "frame_stride", None),
        sampling=getattr(made_for, "sampling", None),
    )


def find_records(name):
    """`{(weights, streaming): record}` of all weights there are for an architecture."""
    records = family_of(name).package.RECORDS.get(name, {})
    return {(weights, variant == "stream"): r for (weights, variant), r in records.items()}
