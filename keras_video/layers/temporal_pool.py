"""`TemporalPool`: maximum or mean of neighbouring frames."""

from functools import reduce

import keras
from keras import ops

from keras_video.layers.convolution import same_pads
from keras_video.layers.frames import check_video
from keras_video.specs import conv_output_size

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
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{argument}: expected an int of at least 1, got {value!r}.")
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
        frames = ops.shape(inputs)[1]
        pads = same_pads((frames,), (self.pool_size,), (self.strides,))[0]
        last = (conv_output_size(frames, self.strides) - 1) * self.strides + 1
        taps = range(self.pool_size)
        if self.mode == "max":
            x = _pad(inputs, pads, float("-inf"))
            return reduce(ops.maximum, (x[:, i : i + last : self.strides] for i in taps))
        x = _pad(inputs, pads, 0.0)
        real = _pad(ops.ones_like(inputs[:1, :, :1, :1, :1]), pads, 0.0)
        total, count = (sum(a[:, i : i + last : self.strides] for i in taps) for a in (x, real))
        return total / count

    def get_config(self):
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "mode": self.mode,
        }


def _pad(x, pads, value):
    if all(isinstance(n, int) and n == 0 for n in pads):
        return x
    return ops.pad(x, ((0, 0), pads, (0, 0), (0, 0), (0, 0)), constant_values=value)
