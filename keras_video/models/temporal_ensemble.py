"""Temporal ensembles: models that take turns on the frames of one video.

`TemporalEnsemble` is the model, `EnsembleStream` runs it on live video.
"""

from dataclasses import replace
from typing import NamedTuple

import keras
import numpy as np
from keras import ops, tree

from keras_video import answers
from keras_video.models.stream import Stream


class EnsembleState(NamedTuple):
    """The state of a streaming ensemble.

    Args:
        frames: int, frames seen so far, the same for all videos of a batch.
        states: tuple, the states of the members.
        logits: tuple, the last logits of each member, `None` before its first frame.
    """

    frames: int
    states: tuple
    logits: tuple


@keras.saving.register_keras_serializable("keras_video")
class TemporalEnsemble(keras.Model):
    """Average models that take turns on the frames of a video.

    Of `n` members, member `i` takes the frames `i, i + n, i + 2n, ...`. The outputs are the mean of
    the members' logits, before any softmax. Every frame goes through one member only, so the
    ensemble costs as much as one model at the full frame rate (Kondratyuk et al. 2021, section 3.3,
    with `n = 2`).

    Args:
        members: list of at least two `VideoClassifier` of the same classes, with logits as outputs,
            trained at `1 / n` of the frame rate. Either all are models of clips, or all are built
            with `streaming=True`.
        name: string.

    Call arguments:
        frames: tensor `(batch, frames, height, width, 3)` at the full frame rate. A clip needs at
            least `n` frames, a stream takes chunks of any number.
        state: for streaming members: the `EnsembleState` of `init_state` or of the last call.
        training: bool.

    Returns:
        Logits `(batch, classes)`; with streaming members the pair `(logits, new_state)`. Members
        that have not yet seen a frame do not count in the mean.

    Raises:
        ValueError: if there are fewer than two members, or if they differ in kind or classes.

    Example:
    >>> members = [keras_video.applications.MoViNetA0(classes=10) for _ in range(2)]
    >>> keras_video.models.TemporalEnsemble(members)(keras.ops.zeros((1, 8, 64, 64, 3))).shape
    (1, 10)
    """

    classify = answers.classify
    follow = answers.follow
    decode_predictions = answers.decode_predictions

    def __init__(self, members, name="temporal_ensemble", **kwargs):
        members = list(members)
        if len(members) < 2:
            raise ValueError(f"members: expected at least two models, got {len(members)}.")
        if len({id(member) for member in members}) < len(members):
            raise ValueError("members: expected different models, got the same one twice.")
        kinds = [bool(getattr(member, "streaming", False)) for member in members]
        if len(set(kinds)) > 1:
            raise ValueError(
                f"members: expected the same value of streaming in all models, got {kinds}."
            )
        classes = [_outputs(member).shape[-1] for member in members]
        if len(set(classes)) > 1:
            raise ValueError(f"members: expected the same number of classes, got {classes}.")
        super().__init__(name=name, **kwargs)
        self.members = members
        self.streaming = kinds[0]
        self.built = True

    @property
    def info(self):
        """dict, the `info` of the first member."""
        return self.members[0].info

    @property
    def video_input(self):
        """`VideoInput` of the members, with all their frames; `None` if it is not known."""
        known, count = self.members[0].video_input, len(self.members)
        if known is None or known.frames is None or not known.frame_rate:
            return None
        return replace(
            known, frames=count * known.frames, frame_rate=count * float(known.frame_rate)
        )

    @property
    def class_names(self):
        """List of strings, the names of the outputs, or `None`."""
        return self.members[0].class_names

    @property
    def num_classes(self):
        """int, number of outputs."""
        return self.members[0].num_classes

    @property
    def answer_activation(self):
        """What turns outputs into probabilities, see `VideoClassifier.answer_activation`."""
        return self.members[0].answer_activation

    def probabilities(self, clips):
        """Return the probabilities of the classes; see `VideoClassifier.probabilities`."""
        clips = answers.pixels_for(self.video_input, clips)
        outputs = [self(clip[None]) for clip in clips]
        outputs = [y[0] if self.streaming else y for y in outputs]
        outputs = np.concatenate([ops.convert_to_numpy(y) for y in outputs])
        return answers.average(outputs, self.answer_activation)

    def start_stream(self, window=0):
        """Return a function from a frame to probabilities; see `VideoClassifier.start_stream`.

        Args:
            window: must be 0, for ensembles remember all frames.
        """
        if window:
            raise ValueError(f"window: expected 0 for an ensemble, got {window!r}.")
        stream = EnsembleStream(self)
        known, activation = self.video_input, self.answer_activation

        def step(frame):
            outputs = stream.step(answers.pixels_for(known, frame)[None, None])
            return answers.to_probabilities(ops.convert_to_numpy(outputs), activation)[0]

        return step

    def call(self, frames, training=None):
        if self.streaming:
            return self.step(frames, self.init_state(frames.shape[0], *frames.shape[2:4]))
        count = len(self.members)
        if frames.shape[1] is not None and frames.shape[1] < count:
            raise ValueError(
                f"frames: expected at least {count} frames, one for each member, got "
                f"{frames.shape[1]}."
            )
        logits = [
            member(frames[:, i::count], training=training) for i, member in enumerate(self.members)
        ]
        return _mean(logits)

    def __call__(self, frames, state=None, *args, **kwargs):
        self.members[0].check_frames(frames)
        if state is None:
            return super().__call__(frames, *args, **kwargs)
        return self.step(frames, state)

    def compute_output_spec(self, frames, training=None):
        outputs = _outputs(self.members[0])
        return keras.KerasTensor((frames.shape[0], outputs.shape[-1]), outputs.dtype)

    def init_state(self, batch_size=1, height=None, width=None):
        """Return the state before the first frame; arguments as of `VideoClassifier.init_state`."""
        states = tuple(m.init_state(batch_size, height, width) for m in self.members)
        return EnsembleState(0, states, (None,) * len(self.members))

    def step(self, frames, state):
        """Continue a stream by a chunk of frames; return `(logits, new_state)`."""
        count = len(self.members)
        frames = ops.convert_to_tensor(frames)
        states, logits = list(state.states), list(state.logits)
        for i, member in enumerate(self.members):
            chunk = frames[:, (i - state.frames) % count :: count]
            if chunk.shape[1]:
                logits[i], states[i] = member(chunk, states[i])
        seen = EnsembleState(state.frames + frames.shape[1], tuple(states), tuple(logits))
        return _mean([values for values in logits if values is not None]), seen

    def get_config(self):
        members = [keras.saving.serialize_keras_object(member) for member in self.members]
        return {"members": members, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        members = [
            keras.saving.deserialize_keras_object(member, custom_objects)
            for member in config["members"]
        ]
        return cls(members, name=config["name"])


class EnsembleStream:
    """Run a streaming `TemporalEnsemble` on live video, with every member compiled as a `Stream`.

    Args:
        ensemble: `TemporalEnsemble` of streaming members.
        batch_size: int, number of videos that run at the same time.

    Attributes:
        frames_seen: int, frames of each video since construction or the last reset.
    """

    def __init__(self, ensemble, batch_size=1):
        if not getattr(ensemble, "streaming", False):
            raise ValueError(
                "ensemble: expected members built with streaming=True, got members for clips."
            )
        self.streams = [Stream(member, batch_size) for member in ensemble.members]
        self.reset()

    def __repr__(self):
        return f"EnsembleStream({', '.join(map(repr, self.streams))})"

    def step(self, frames):
        """Take the next chunk `(batch_size, frames, height, width, 3)`; return the logits."""
        count = len(self.streams)
        for i, stream in enumerate(self.streams):
            chunk = frames[:, (i - self.frames_seen) % count :: count]
            if chunk.shape[1]:
                self._logits[i] = stream.step(chunk)
        self.frames_seen += frames.shape[1]
        return _mean([values for values in self._logits if values is not None])

    def reset(self):
        """Forget the past of all videos. The first member takes the next frame."""
        for stream in self.streams:
            stream.reset()
        self._logits = [None] * len(self.streams)
        self.frames_seen = 0

    @property
    def state_bytes(self):
        """int, memory of the states of all members."""
        return sum(stream.state_bytes for stream in self.streams)


def _outputs(member):
    return tree.flatten(member.outputs)[0]


def _mean(logits):
    return sum(logits) / len(logits)
