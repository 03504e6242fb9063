"""`TemporalPool`: maximum or mean of neighbouring frames."""

from functools import reduce

import keras
from keras import ops

from keras_video.layers.convolution import inside_xla, same_pads
from keras_video.layers.frames import check_video, one_unknown
from keras_video.specs import check_int, conv_output_size

MODES = ("max", "avg")


@keras.saving.register_keras_serializable("keras_video")
class TemporalPool(keras.layers.Layer):
    """Pools over frames alone, with `same` padding that counts neither in maxima nor in means.

    Args:
        pool_size: int, number of frames in a window.
        strides: int.
        mode: `"max"` or `"avg"`.

    Call arguments:
        inputs: tensor `(batch, frames, height, width, channels)`.

    Returns:
        A tensor `(batch, ceil(frames / strides), height, width, channels)`.

    Example:
    >>> pool = keras_video.layers.TemporalPool(2, strides=2)
    >>> pool(keras.random.normal((1, 5, 9, 8, 3))).shape
    (1, 3, 9, 8, 3)
    """

    def __init__(self, pool_size, strides=1, mode="max", **kwargs):
        super().__init__(**kwargs)
        for argument, value in (("pool_size", pool_size), ("strides", strides)):
            check_int(argument, value)
        if mode not in MODES:
            raise ValueError(f"mode: expected one of {MODES}, got {mode!r}.")
        self.pool_size = pool_size
        self.strides = strides
        self.mode = mode

    def build(self, input_shape):
        check_video(self, input_shape)

    def compute_output_shape(self, input_shape):
        frames = input_shape[1]
        frames = None if frames is None else conv_output_size(frames, self.strides)
        return (input_shape[0], frames, *input_shape[2:])

    def call(self, inputs):
        fast = keras.backend.backend() == "tensorflow" and not inside_xla()
        if fast or inputs.shape[1] is None:
            return self._pool_image(inputs)
        return self._pool_windows(inputs)

    def _pool_windows(self, inputs):
        """One window after the other."""
        outputs = [self._pool(inputs[:, a:b]) for a, b in self._windows(inputs.shape[1])]
        return outputs[0] if len(outputs) == 1 else ops.concatenate(outputs, axis=1)

    def _windows(self, frames):
        """First frame, and the one after the last, of every window."""
        ((before, _),) = same_pads((frames,), (self.pool_size,), (self.strides,))
        starts = [i * self.strides - before for i in range(conv_output_size(frames, self.strides))]
        return [(max(start, 0), min(start + self.pool_size, frames)) for start in starts]

    def _pool(self, frames):
        if frames.shape[1] == 1:
            return frames
        if keras.backend.backend() != "jax":
            pool = ops.max if self.mode == "max" else ops.mean
            return pool(frames, axis=1, keepdims=True)
        # XLA is slow at reducing few elements, and fast at the same written out.
        count = frames.shape[1]
        join = ops.maximum if self.mode == "max" else ops.add
        total = reduce(join, (frames[:, i : i + 1] for i in range(count)))
        return total if self.mode == "max" else total / count

    def _pool_image(self, x):
        """In TensorFlow 2D pooling of frames by pixels: its gradient takes a tenth of the time."""
        batch, frames, height, width, channels = ops.shape(x)
        y = ops.reshape(x, (*one_unknown((batch, frames, height * width)), channels))
        pool = ops.max_pool if self.mode == "max" else ops.average_pool
        y = pool(y, (self.pool_size, 1), (self.strides, 1), "same", "channels_last")
        frames = conv_output_size(frames, self.strides)
        return ops.reshape(y, (*one_unknown((batch, frames, height, width)), channels))

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "mode": self.mode,
        }
