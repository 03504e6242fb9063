"""A model with its weights, and the clips that these weights were made for."""

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
    """A model, its weights, and the clip that the weights were measured on.

    Args:
        name: string, for example `"movinet_a0"`.
        weights: name of a data set or path of a file.
        streaming: bool, whether the model takes frames with a state.
        frames, size, frame_rate, resize_side: the clip: number of frames, `(height, width)`, frames
            per second, and length of the shorter side before the centre crop (`None`: the crop is
            as large as possible).
        labels: list of class names.
        frame_stride: int, step between the frames taken from the video, for models without a frame
            rate.
        sampling: `"blvnet_tam"` for models whose frames are spread over the whole video by that
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
        """Name to print, such as `MoViNet-A0 (kinetics600)`."""
        weights = os.path.basename(self.weights.rstrip("/")) or self.weights
        return f"{title(self.name)} ({weights})"

    @property
    def pictures(self):
        """Frames to print, such as `frames of 172 x 172 at 5 frames/s`."""
        height, width = self.size
        pace = f", 1 of {self.frame_stride}" if self.frame_stride else ", spread over the video"
        if self.frame_rate:
            pace = f" at {self.frame_rate:g} frames/s"
        return f"frames of {width} x {height}{pace}"

    def rate(self, video_rate):
        """Return the frames per second to take from a video of `video_rate` frames per second."""
        return self.frame_rate or video_rate / self.frame_stride

    def build(self):
        """Build the model with its weights; it outputs probabilities."""
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
        """Build the model as a compiled `RollingStream`, in its initial state."""
        import numpy as np

        model = self.build()
        from keras_video.models import RollingStream, Stream

        with working("compiling"):
            with silence():  # to copy a model, Keras imports TensorFlow also on other backends
                stream = Stream(model, batch_size=2 if window else 1)
            rolling = RollingStream(stream, window)
            for _ in range(3):  # torch compiles again on its second call
                rolling.step(np.zeros((*self.size, 3), "uint8"))
            rolling.reset()
        return rolling

    def read_clip(self, video):
        """Read the clip of a `VideoReader` that the model expects.

        Returns:
            `(clip, seconds)`: uint8 array `(frames, height, width, 3)`, and the duration of the
            clip if it is longer than the video, which is repeated then, else `None`.
        """
        if self.sampling is None:
            rate = self.rate(video.fps)
            clip = video.clip(self.frames, rate, self.size, True, self.resize_side)
            repeated = video.duration * rate <= self.frames - 1
            return clip, self.frames / rate if repeated else None
        from keras_video.data import sampling

        (numbers,) = getattr(sampling, f"{self.sampling}_test")(len(video), self.frames)
        return video.get(numbers, self.size, True, self.resize_side), None


def find_recipe(model, weights, streaming=False, labels="", frames=0, size=0, frame_rate=0.0):
    """Find the recipe of a model by its short name.

    Args:
        model: `"A2"`, `"MoViNetA2"`, `"movinet_a2"`, `"TVN1"`, `"TinyVideoNetMobile1"`, ...
        weights: `"kinetics600"`, `"charades"`, ..., or a path; `""` for the first weights that are
            published for the model.
        streaming: bool, whether the model takes frames with a state.
        labels: path of a file with one class name per line; required for weights from a path.
        frames, size, frame_rate: clip to use; 0 for that of the weights.

    Returns:
        `Recipe`.

    Raises:
        ValueError: for an unknown model, unknown weights, missing labels.
    """
    configs = all_configs()
    name = full_name(model, configs)
    family, made_for, names = family_of(name), configs[name], None
    if streaming and not family.streams:
        raise ValueError(f"model: expected a model that can stream, got {title(name)}.")
    weights = weights or _published_weights(name, streaming)
    shape = made_for.clip
    is_path = os.sep in weights or os.path.exists(weights)
    if weights in WEIGHTS or not is_path:
        record = family.record(name, weights, streaming)
        shape = (record.frames, *record.size)
        names = list(family.package.labels(record)) if record.labels else None
        made_for = record if record.frame_rate or record.frame_stride else made_for
    names = read_labels(labels) if labels else names
    if not names:
        raise ValueError(
            f"--labels: expected a file with one class name per line, because {weights} has no "
            "class names, got none."
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


def _published_weights(name, streaming):
    """Return the name of the first weights of an architecture, such as `"kinetics600"`."""
    published = (weights for weights, stream in find_records(name) if stream == streaming)
    weights = next(published, None)
    if weights is None:
        raise ValueError(
            f"--weights: expected a path for {title(name)}, for which no weights are published, "
            "got none."
        )
    return weights


def find_training_recipe(model, weights, causal=False, frames=0, size=0, frame_rate=0.0):
    """Find the recipe of a MoViNet to train, which may start from no weights.

    Args:
        model: `"A2"`, `"MoViNetA2"`, ...
        weights: name of a data set, a path, or `"none"`.
        causal: bool, whether the weights are those of the streaming variant.
        frames, size, frame_rate: clip to use; 0 for that of the weights or the model.

    Returns:
        `Recipe`; without labels unless the weights have a name.

    Raises:
        ValueError: for an unknown model or unknown weights.
    """
    from keras_video.applications import movinet

    if weights in WEIGHTS:
        options = {"frames": frames, "size": size, "frame_rate": frame_rate}
        return find_recipe(model, weights, causal, **options)
    if weights != "none" and not (os.path.exists(weights) or os.path.exists(f"{weights}.index")):
        known = ", ".join(WEIGHTS)
        raise ValueError(f"--weights: expected {known}, none or a path, got {weights!r}.")
    name = full_name(model, movinet.CONFIGS)
    config = movinet.CONFIGS[name]
    return Recipe(
        name=name,
        weights=weights,
        streaming=causal,
        frames=frames or config.clip[0],
        size=(size, size) if size else tuple(config.clip[1:3]),
        frame_rate=frame_rate or config.frame_rate,
        resize_side=None if size else config.resize_side,
        labels=[],
    )


def load_model(model, weights, streaming=False, labels="", frames=0, size=0, frame_rate=0.0):
    """Load a model by its short name, or from a `.keras` file of this library.

    Args:
        weights: name of a data set, path of weights, or path of a `.keras` file, which holds the
            model as well; `model` is ignored then.
        model, streaming, labels, frames, size, frame_rate: as in `find_recipe`.

    Returns:
        `(model, recipe)`.

    Raises:
        ValueError: if there is no such model or file, or if the model cannot stream.
    """
    if not weights.endswith(".keras"):
        recipe = find_recipe(model, weights, streaming, labels, frames, size, frame_rate)
        return recipe.build(), recipe
    if not os.path.isfile(weights):
        raise ValueError(f"--weights: expected a .keras file, got {weights}: no such file.")
    keras = load_keras()
    with working(f"loading {weights}"):
        model = keras.models.load_model(weights)
    known = getattr(model, "video_input", None)
    if known is None:
        raise ValueError(f"--weights: expected a model of keras_video, got another in {weights}.")
    if streaming and not model.streaming:
        model = _streaming(model, weights)
    rate = frame_rate or (known.frame_rate and known.frame_rate / known.frame_stride)
    return model, Recipe(
        name=model.info.get("config", {}).get("name", model.name),
        weights=weights,
        streaming=streaming,
        frames=frames or known.frames,
        size=(size, size) if size else known.size,
        frame_rate=rate,
        resize_side=None if size else known.resize_side,
        labels=read_labels(labels) if labels else model.class_names,
        frame_stride=None if rate else known.frame_stride,
        sampling=known.sampling if known.spread else None,
    )


def _streaming(model, path):
    """Return the streaming model with the same weights."""
    from keras_video.applications.movinet import streaming_twin

    try:
        return streaming_twin(model)
    except ValueError as error:
        hint = " Train one with --causal." * (model.info.get("family") == "movinet")
        raise ValueError(
            f"--weights: expected a causal MoViNet, which can stream, got {model.name} in {path}, "
            f"which takes whole clips only.{hint}"
        ) from error


def read_labels(path):
    """Return the class names in a text file, one per line; empty lines are ignored."""
    with open(path, encoding="utf-8") as file:
        return [line.strip() for line in file if line.strip()]


def find_records(name):
    """Return `{(weights, streaming): record}` of all published weights of an architecture."""
    records = family_of(name).package.RECORDS.get(name, {})
    return {(weights, variant == "stream"): r for (weights, variant), r in records.items()}
