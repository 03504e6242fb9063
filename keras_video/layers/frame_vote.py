"""`FrameVote`: the logits of a clip from the logits of its frames."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_video")
class FrameVote(keras.layers.Layer):
    """Sum the logits of all frames, weighted by their own softmax over time.

    Compute `sum_t(z_t * softmax_t(z_t / sqrt(frames)))` for every class separately. Frames with a
    high logit for a class get a high weight. The published code of Tiny Video Networks
    (Piergiovanni et al. 2019) has this head for long clips.

    Call arguments:
        inputs: logits `(batch, frames, classes)`.

    Returns:
        Logits `(batch, classes)`.

    Example:
    >>> keras_video.layers.FrameVote()(keras.random.normal((2, 8, 10))).shape
    (2, 10)
    """

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 3:
            raise ValueError(
                f"{self.name}: expected inputs of shape (batch, frames, classes), "
                f"got {tuple(input_shape)}."
            )
        return (input_shape[0], input_shape[2])

    def call(self, inputs):
        logits = ops.cast(inputs, "float32")
        frames = ops.cast(ops.shape(logits)[1], "float32")
        weights = ops.softmax(logits / ops.sqrt(frames), axis=1)
        return ops.cast(ops.sum(logits * weights, axis=1), self.compute_dtype)
