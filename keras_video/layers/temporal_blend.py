"""How weighted frames are blended: one definition, the fast form per backend."""

import keras
from keras import ops

from keras_video.layers.convolution import inside_xla
from keras_video.layers.frames import pad_frames, slice_frames

BLENDS = ("sum", "max")


def blend(maps, taps, mode, activation, frames=None):
    """Blends frames of videos, each weighted by channel; zeros lie around the videos.

    Args:
        maps: list of videos `(batch, frames, height, width, channels)`.
        taps: `{(number of a video, distance): list of weights (channels,)}`: output frame `t` is
            made from frame `t + distance` of it.
        mode: `"sum"`, or `"max"` for the largest of the weighted frames.
        activation: function, or `None`.
        frames: number of output frames, of a video that holds all that are needed: no zeros.
            Default: those of the videos.

    Returns:
        A tensor `(batch, frames, height, width, channels)`.
    """
    nearest, farthest = (pick(later for _, later in taps) for pick in (min, max))
    before, after = max(0, -nearest), max(0, farthest)
    if frames is None:
        frames = ops.shape(maps[0])[1]
    else:
        before = after = 0
    if is_one_operation(mode):
        rows = [sum(taps[0, later]) for later in range(nearest, farthest + 1)]
        return _convolve(maps[0], ops.stack(rows), (before, after), frames, activation)
    padded = [pad_frames(x, before, after) for x in maps]
    y = None
    for (place, later), weights in taps.items():
        piece = slice_frames(padded[place], before + later, frames)
        # Weights of the same values are added up, unless the largest term counts.
        for weight in [sum(weights)] if mode == "sum" else weights:
            y = _add(y, piece, ops.cast(weight, piece.dtype), mode)
    return y if activation is None else activation(y)


def is_one_operation(mode):
    """Whether frames of one video are blended by a single operation, here and now."""
    return keras.backend.backend() == "tensorflow" and mode == "sum" and not inside_xla()


def _convolve(x, kernel, pads, frames, activation):
    """A depthwise convolution of frames by pixels: on TensorFlow one pass instead of six."""
    import tensorflow as tf

    batch, there, height, width, channels = ops.shape(x)
    y = tf.nn.depthwise_conv2d(
        ops.reshape(x, (batch, there, height * width, channels)),
        ops.cast(kernel, x.dtype)[:, None, :, None],
        strides=[1, 1, 1, 1],
        padding=[[0, 0], pads, [0, 0], [0, 0]],
    )
    y = y if activation is None else activation(y)  # before the reshape: TensorFlow fuses it then
    leading = (-1, frames) if isinstance(frames, int) else (batch, -1)
    return ops.reshape(y, (*leading, height, width, channels))


def _add(y, piece, weight, mode):
    if y is None:
        return piece * weight
    if mode == "max":
        return ops.maximum(y, piece * weight)
    if keras.backend.backend() == "torch":
        return y.addcmul(piece, weight)  # one pass instead of two
    return y + piece * weight
