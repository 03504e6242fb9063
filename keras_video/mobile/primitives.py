"""Layers of the mobile form that Keras does not have: reshapes of frames, hard swish, running mean.

They compute on tensors of rank 4 at most, with frames folded into the batch, on every backend.
"""

import math

import keras
from keras import ops

from keras_video.layers import SpatialAvgPool, SpatialMaxPool, TemporalPool
from keras_video.layers.big_little_merge import upsample_nearest
from keras_video.layers.non_local import attend
from keras_video.layers.squeeze_excite import encode
from keras_video.specs import conv_output_size

HARD_SWISH = ("fused", "divided", "folded")


@keras.saving.register_keras_serializable("keras_video")
class Refold(keras.layers.Layer):
    """Reshape to a target shape, to fold frames into the batch and back.

    The first axis takes what is left.

    Args:
        target_shape: tuple of ints, the shape without the first axis.

    Example:
    >>> Refold((6, 64, 8))(keras.ops.zeros((12, 8, 8, 8))).shape
    (2, 6, 64, 8)
    """

    def __init__(self, target_shape, **kwargs):
        super().__init__(**kwargs)
        self.target_shape = tuple(target_shape)

    def compute_output_shape(self, input_shape):
        first = None
        if None not in input_shape:
            first = math.prod(input_shape) // math.prod(self.target_shape)
        return (first, *self.target_shape)

    def call(self, inputs):
        return ops.reshape(inputs, (-1, *self.target_shape))

    def get_config(self):
        return {**super().get_config(), "target_shape": self.target_shape}


@keras.saving.register_keras_serializable("keras_video")
class FrameSlice(keras.layers.Layer):
    """Take every `step`-th frame from `start` to before `stop`.

    Args:
        start, stop, step: ints, as of a Python slice.

    Call arguments:
        inputs: tensor `(batch, frames, ...)`.
    """

    def __init__(self, start, stop, step=1, **kwargs):
        super().__init__(**kwargs)
        self.start, self.stop, self.step = start, stop, step

    def compute_output_shape(self, input_shape):
        frames = len(range(*slice(self.start, self.stop, self.step).indices(input_shape[1])))
        return (input_shape[0], frames, *input_shape[2:])

    def call(self, inputs):
        return inputs[:, self.start : self.stop : self.step]

    def get_config(self):
        slices = {"start": self.start, "stop": self.stop, "step": self.step}
        return {**super().get_config(), **slices}


@keras.saving.register_keras_serializable("keras_video")
class RepeatFrames(keras.layers.Layer):
    """Repeat the features of a clip, `(batch, 1, 1, channels)`, for each of its frames.

    Args:
        frames: int, frames of a clip.
    """

    def __init__(self, frames, **kwargs):
        super().__init__(**kwargs)
        self.frames = frames

    def compute_output_shape(self, input_shape):
        batch, *rest = input_shape
        return (None if batch is None else batch * self.frames, *rest)

    def call(self, inputs):
        channels = inputs.shape[-1]
        x = ops.reshape(inputs, (-1, 1, channels))
        # By adding zeros, because runtimes have no fast operation that repeats.
        x = x + ops.zeros((1, self.frames, 1), dtype=x.dtype)
        return ops.reshape(x, (-1, 1, 1, channels))

    def get_config(self):
        return {**super().get_config(), "frames": self.frames}


@keras.saving.register_keras_serializable("keras_video")
class ShiftedRelu6(keras.layers.Layer):
    """Compute `relu6(x + 3)`, six times the hard sigmoid."""

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        return ops.relu6(inputs + 3.0)


@keras.saving.register_keras_serializable("keras_video")
class HardSwish(keras.layers.Layer):
    """Compute `x * relu6(x + 3) / 6`, in the form that the converter turns into one operation."""

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        return inputs * (ops.relu6(inputs + 3.0) * (1.0 / 6.0))


@keras.saving.register_keras_serializable("keras_video")
class RunningMean(keras.layers.Layer):
    """Average the features of all frames so far.

    Args:
        frames: int, number of frames in the clip or in one step.
        keep_frames: bool, whether there is an output for each frame, or only for the last.

    Call arguments:
        inputs: features `(batch * frames, 1, 1, channels)` of clips. In a stream, the list of
            features `(frames, 1, 1, channels)`, the mean so far `(1, 1, 1, channels)`, and
            `(frames, 1, 1, 1)`: one divided by the number of each frame, counted from 1. The
            network does not count itself, so that nothing can overflow. With `frames=1`, features
            and mean may have a batch of streams.

    Returns:
        Means of the shape of the features; of one frame for `keep_frames=False`.
    """

    def __init__(self, frames, keep_frames=True, **kwargs):
        super().__init__(**kwargs)
        self.frames = frames
        self.keep_frames = bool(keep_frames)

    def compute_output_shape(self, input_shape):
        batch, *rest = input_shape[0] if isinstance(input_shape[0], (list, tuple)) else input_shape
        if not self.keep_frames:
            batch = None if batch is None else batch // self.frames
        return (batch, *rest)

    def call(self, inputs):
        if isinstance(inputs, (list, tuple)):
            return self._step(*inputs)
        channels = inputs.shape[-1]
        x = ops.reshape(inputs, (-1, self.frames, channels))
        if not self.keep_frames:
            return ops.reshape(ops.mean(x, axis=1), (-1, 1, 1, channels))
        counts = ops.reshape(ops.arange(1, self.frames + 1, dtype=x.dtype), (1, -1, 1))
        return ops.reshape(ops.cumsum(x, axis=1) / counts, (-1, 1, 1, channels))

    def _step(self, inputs, mean, inverse_count):
        means = []
        for t in range(self.frames):
            now = (inputs, inverse_count)
            if self.frames > 1:
                now = (tensor[t : t + 1] for tensor in now)
            x, share = now
            mean = mean + (x - mean) * share
            means.append(mean)
        if not self.keep_frames or self.frames == 1:
            return mean
        return ops.concatenate(means, axis=0)

    def get_config(self):
        return {**super().get_config(), "frames": self.frames, "keep_frames": self.keep_frames}


@keras.saving.register_keras_serializable("keras_video")
class AddPositions(keras.layers.Layer):
    """Add the encoding of `PositionalEncoding` to features of frames.

    Args:
        frames: int, number of frames in the clip or in one step.

    Call arguments:
        inputs: features `(batch * frames, 1, 1, channels)` of clips. In a stream, the list of the
            features and the numbers of the frames, `(frames, 1, 1, 1)`, counted from 0.
    """

    def __init__(self, frames, **kwargs):
        super().__init__(**kwargs)
        self.frames = frames

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(), initializer="zeros", name="scale")

    def compute_output_shape(self, input_shape):
        return input_shape[0] if isinstance(input_shape[0], (list, tuple)) else input_shape

    def call(self, inputs):
        stream = isinstance(inputs, (list, tuple))
        features = inputs[0] if stream else inputs
        channels = features.shape[-1]
        if stream:
            return features + self.scale * encode(inputs[1], channels)
        positions = ops.reshape(ops.arange(self.frames, dtype="float32"), (1, -1, 1))
        x = ops.reshape(features, (-1, self.frames, channels))
        x = x + self.scale * encode(positions, channels)
        return ops.reshape(x, (-1, 1, 1, channels))

    def get_config(self):
        return {**super().get_config(), "frames": self.frames}


@keras.saving.register_keras_serializable("keras_video")
class FrameAvgPool(SpatialAvgPool):
    """`SpatialAvgPool` for tensors `(batch * frames, height, width, channels)`."""

    def build(self, input_shape):
        pass

    def compute_output_shape(self, input_shape):
        batch, *extents, channels = input_shape
        return (batch, *(conv_output_size(n, self.strides) for n in extents), channels)

    def call(self, inputs):
        return self.pool(inputs)


@keras.saving.register_keras_serializable("keras_video")
class FrameMaxPool(SpatialMaxPool):
    """`SpatialMaxPool` for tensors `(batch * frames, height, width, channels)`."""

    build = FrameAvgPool.build
    compute_output_shape = FrameAvgPool.compute_output_shape
    call = FrameAvgPool.call


@keras.saving.register_keras_serializable("keras_video")
class Grow(keras.layers.Layer):
    """Enlarge frames `(batch * frames, height, width, channels)` by nearest pixels.

    Args:
        size: 2 ints, the new `(height, width)`.
    """

    def __init__(self, size, **kwargs):
        super().__init__(**kwargs)
        self.size = tuple(size)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.size, input_shape[-1])

    def call(self, inputs):
        return upsample_nearest(inputs, self.size)

    def get_config(self):
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("keras_video")
class FramesPool(TemporalPool):
    """`TemporalPool` for tensors `(batch, frames, height * width, channels)`."""

    def build(self, input_shape):
        pass

    def call(self, inputs):
        return self.pool_windows(inputs)


@keras.saving.register_keras_serializable("keras_video")
class Attention(keras.layers.Layer):
    """Compute `softmax(theta phi^T) g` over all positions, the inner part of `NonLocal`.

    Call arguments:
        inputs: list of `theta`, `phi` and `g`, each `(batch, frames, height * width, channels)`.
    """

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def call(self, inputs):
        _, frames, pixels, channels = inputs[0].shape
        theta, phi, g = (ops.reshape(x, (-1, frames * pixels, channels)) for x in inputs)
        y = attend(theta, phi, g)
        return ops.reshape(y, (-1, frames, pixels, channels))


@keras.saving.register_keras_serializable("keras_video")
class NodeGather(keras.layers.Layer):
    """Compute the states of the nodes of `GloRe`: weighted sums over all positions.

    Call arguments:
        inputs: list of the states `(batch, frames, pixels, states)` and the weights
            `(batch, frames, pixels, nodes)` of the positions.

    Returns:
        A tensor `(batch, 1, states, nodes)`.
    """

    def compute_output_shape(self, input_shape):
        states, weights = input_shape
        return (states[0], 1, states[-1], weights[-1])

    def call(self, inputs):
        states, weights = (
            ops.reshape(x, (-1, math.prod(x.shape[1:3]), x.shape[-1])) for x in inputs
        )
        y = ops.matmul(ops.transpose(states, (0, 2, 1)), weights)
        return ops.reshape(y, (-1, 1, states.shape[-1], weights.shape[-1]))


@keras.saving.register_keras_serializable("keras_video")
class NodeScatter(keras.layers.Layer):
    """Scatter the nodes of `GloRe`: every position gets a weighted sum of them, plus a bias.

    Call arguments:
        inputs: list of the weights `(batch, frames, pixels, nodes)` of the positions, and the
            values `(batch, 1, nodes, channels)` of the nodes.

    Returns:
        A tensor `(batch, frames, pixels, channels)`.
    """

    def build(self, input_shape):
        self.bias = self.add_weight((input_shape[1][-1],), "zeros", name="bias")

    def compute_output_shape(self, input_shape):
        weights, values = input_shape
        return (*weights[:-1], values[-1])

    def call(self, inputs):
        weights, values = inputs
        _, frames, pixels, nodes = weights.shape
        channels = values.shape[-1]
        x = ops.reshape(weights, (-1, frames * pixels, nodes))
        y = ops.matmul(x, ops.reshape(values, (-1, nodes, channels))) + self.bias
        return ops.reshape(y, (-1, frames, pixels, channels))
