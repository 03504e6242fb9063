"""Streaming: layers that continue a video where the last call left it.

`StreamingLayer` is the contract. `with_past` is the rule of all layers whose state is the last
frames of their inputs, and `StreamBuffer` is that rule as a layer.
"""

import keras
from keras import ops, tree

from keras_video.checks import check_int
from keras_video.layers.frames import pad_frames


class StreamingLayer(keras.layers.Layer):
    """Base class of layers whose output depends on earlier frames.

    The state is a value, never a hidden variable: `layer(x)` starts from an empty past,
    `layer(x, state)` returns `(y, new_state)`, and feeding a video in chunks of any length gives
    the frames that one call on the whole video would give. The new state has the structure, shapes
    and dtypes of the old one. Entry `i` along the batch axis belongs to sample `i` alone, so a
    stream is reset by writing zeros there.

    Subclasses implement `state_spec(input_shape)`, `compute_output_shape(input_shape)` and
    `call(inputs, state=None)`. They compute in `compute_dtype` but keep float states in float32,
    which is why `autocast` is off.
    """

    def __init__(self, **kwargs):
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)

    def state_spec(self, input_shape):
        """Return shapes and dtypes of the state.

        Args:
            input_shape: `(batch, frames, height, width, channels)`, entries may be `None`.

        Returns:
            A `keras.KerasTensor`, a tuple of them, or `None` where the layer has no past.
        """
        raise NotImplementedError

    def init_state(self, input_shape):
        """Return the state before the first frame: zeros, or `None` for layers without a past."""
        spec = self.state_spec(input_shape)
        if spec is None:
            return None
        return tree.map_structure(lambda s: ops.zeros(s.shape, s.dtype), spec)

    def check_state(self, state, input_shape):
        """Raise `ValueError` if `state` has another batch size, frame size or structure."""
        spec = tree.flatten(self.state_spec(input_shape))
        parts = tree.flatten(state)
        expected, received = [tuple(s.shape) for s in spec], [tuple(s.shape) for s in parts]
        fits = len(spec) == len(parts) and all(
            len(a) == len(b)
            and all(m is None or n is None or m == n for m, n in zip(a, b, strict=True))
            for a, b in zip(expected, received, strict=True)
        )
        if not fits:
            raise ValueError(
                f"state: expected shapes {expected} in {self.name} for inputs of shape "
                f"{tuple(input_shape)}, got {received}. A state belongs to one batch size and one "
                "frame size; make a new one with init_state()."
            )

    def compute_output_spec(self, inputs, state=None, training=None):
        shape = self.compute_output_shape(inputs.shape)
        outputs = keras.KerasTensor(shape, self.compute_dtype)
        if state is None:
            return outputs
        self.check_state(state, inputs.shape)
        return outputs, tree.map_structure(
            lambda spec: keras.KerasTensor(spec.shape, spec.dtype), self.state_spec(inputs.shape)
        )


def past_spec(input_shape, frames):
    """Return the `KerasTensor` of a state that holds the last `frames` frames of the inputs."""
    return keras.KerasTensor((input_shape[0], frames, *input_shape[2:]), "float32")


def with_past(inputs, state, frames):
    """Put the past in front of a video: the remembered frames, or zeros without a state.

    Kondratyuk et al. 2021, section 3.2, equations 1 and 2.

    Args:
        inputs: tensor `(batch, new_frames, ...)`.
        state: `None`, or the tensor `(batch, frames, ...)` of `past_spec`.
        frames: int, length of the past.

    Returns:
        The tensor `(batch, frames + new_frames, ...)`, and the new state: its last `frames` frames
        in the dtype of the old state, or `None` without a state.
    """
    if state is None:
        return pad_frames(inputs, frames, 0), None
    video = ops.concatenate([ops.cast(state, inputs.dtype), inputs], axis=1)
    return video, ops.cast(video[:, ops.shape(inputs)[1] :], state.dtype)


@keras.saving.register_keras_serializable("keras_video")
class StreamBuffer(StreamingLayer):
    """Put the last frames of the past in front of a video.

    A temporal kernel of `k` frames without padding, applied to the output of `StreamBuffer(k - 1)`,
    is a causal convolution. The past of a clip is zeros, the past of a stream the remembered frames
    (Kondratyuk et al. 2021, section 3.2, equations 1 and 2).

    Args:
        buffer_size: int, number of frames to remember, at least 0.

    Call arguments:
        inputs: tensor `(batch, frames, ...)` of any rank from 2.
        state: `None`, or the tensor `(batch, buffer_size, ...)` returned by the last call.

    Returns:
        `outputs` of shape `(batch, buffer_size + frames, ...)`; with a state, the pair
        `(outputs, new_state)`.

    Example:
    >>> buffer = keras_video.layers.StreamBuffer(2)
    >>> buffer(keras.random.normal((1, 5, 8, 8, 3))).shape
    (1, 7, 8, 8, 3)
    """

    def __init__(self, buffer_size, **kwargs):
        super().__init__(**kwargs)
        self.buffer_size = check_int("buffer_size", buffer_size, 0)

    def state_spec(self, input_shape):
        return past_spec(input_shape, self.buffer_size)

    def compute_output_shape(self, input_shape):
        frames = input_shape[1]
        frames = None if frames is None else frames + self.buffer_size
        return (input_shape[0], frames, *input_shape[2:])

    def call(self, inputs, state=None):
        inputs = ops.cast(inputs, self.compute_dtype)
        if state is not None:
            self.check_state(state, inputs.shape)
        outputs, state = with_past(inputs, state, self.buffer_size)
        return outputs if state is None else (outputs, state)

    def get_config(self):
        return {**super().get_config(), "buffer_size": self.buffer_size}
