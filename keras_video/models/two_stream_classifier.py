"""`TwoStreamClassifier`: a Functional model of two clips of one video."""

import keras
import numpy as np

from keras_video.layers import backend
from keras_video.layers.two_streams import frames_spread
from keras_video.models.video_classifier import VideoClassifier

NAMES = ("sparse", "dense")


@keras.saving.register_keras_serializable("keras_video")
class TwoStreamClassifier(VideoClassifier):
    """A Functional model of a clip of few frames and a clip of many frames of the same video.

    Args:
        inputs: the pair `[sparse, dense]` of Keras tensors.
        outputs: the predictions.
        name: string.

    Call arguments:
        frames: the pair `(sparse, dense)` of tensors `(batch, frames, height, width, 3)`, or a dict
            with these names as keys. Both clips show the same time at different frame rates.
        training: bool.

    Returns:
        Predictions `(batch, classes)`.
    """

    def _unpack(self, frames, state):
        if isinstance(frames, dict) and set(frames) == set(NAMES):
            frames = [frames[name] for name in NAMES]
        return (list(frames) if isinstance(frames, tuple) else frames), state

    def check_frames(self, frames):
        """Raise `ValueError` if `frames` cannot be the two clips of this model."""
        frames, _ = self._unpack(frames, None)
        if not isinstance(frames, (list, dict)):
            if getattr(frames, "shape", None) is None:
                return  # a data set, which Keras checks
            raise ValueError(
                f"{self.name}: expected two clips (sparse, dense), got one of shape "
                f"{tuple(frames.shape)}. Build the model with two_inputs=False to take the sparse "
                "clip from the dense one."
            )
        clips = list(frames)
        if isinstance(frames, dict) or len(clips) != 2:
            got = sorted(frames) if isinstance(frames, dict) else f"{len(clips)} clips"
            raise ValueError(f"{self.name}: expected two clips (sparse, dense), got {got}.")
        shapes = [tuple(getattr(clip, "shape", ())) for clip in clips]
        if not all(shapes):
            return  # structures, which Keras checks
        made_for = (self.info.get("sparse_frames"), self.info.get("frames"))
        if all(len(shape) == 5 for shape in shapes):
            counts = tuple(shape[1] for shape in shapes)
            if None not in counts and counts != made_for and counts == made_for[::-1]:
                raise ValueError(
                    f"{self.name}: expected a sparse clip of {made_for[0]} frames and a dense one "
                    f"of {made_for[1]}, got {counts[0]} and {counts[1]}: they are swapped."
                )
        for name, clip, count in zip(NAMES, clips, made_for, strict=True):
            self._check_clip(clip, count, f"{name} frames")
        for axis, what in ((0, "as many clips"), (2, "the same height"), (3, "the same width")):
            if (
                None not in (shapes[0][axis], shapes[1][axis])
                and shapes[0][axis] != shapes[1][axis]
            ):
                raise ValueError(
                    f"{self.name}: expected {what} of the sparse and of the dense frames, got "
                    f"shapes {shapes[0]} and {shapes[1]}."
                )

    def _with_frames(self, frames):
        if not isinstance(frames, list):
            return frames
        counts = (self.info.get("sparse_frames"), self.info.get("frames"))
        return [backend.with_frames(clip, n) for clip, n in zip(frames, counts, strict=True)]

    def _inputs_of(self, clips):
        """Return the sparse and the dense clips; the sparse ones are taken from the dense ones."""
        count, stride = clips.shape[1], clips.shape[1] // self.info["sparse_frames"]
        numbers = list(range(0, count, stride))
        if self.info.get("sparse_positions") == "spread":
            numbers = frames_spread(count, stride)
        return [np.ascontiguousarray(clips[:, numbers]), clips]

    @property
    def _frames_input(self):
        return self.input[1]
