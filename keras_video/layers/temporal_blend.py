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
    pads = [_pads(taps, place) if frames is None else (0, 0) for place in range(len(maps))]
    frames = ops.shape(maps[0])[1] if frames is None else frames
    if is_one_operation(mode):
        kernel = ops.stack([sum(taps[0, later]) for later in sorted(later for _, later in taps)])
        return _convolve(maps[0], kernel, pads[0], frames, activation)
    padded = [pad_frames(x, *pad) for x, pad in zip(maps, pads, strict=True)]
    y = None
    for (place, later), weights in taps.items():
        piece = slice_frames(padded[place], pads[place][0] + later, frames)
        # Weights of the same values are added up, unless the largest term counts.
        for weight in [sum(weights)] if mode == "sum" else weights:
            y = _add(y, piece, ops.cast(weight, piece.dtype), mode)
    return y if activation is None else activation(y)


def is_one_operation(mode):
    """Whether frames of one video are blended by a single operation, here and now."""
    return keras.backend.backend() == "tensorflow" and mode == "sum" and not inside_xla()


def _pads(taps, place):
    """How many frames of zeros are needed in front of and behind a video."""
    distances = [later for number, later in taps if number == place]
    return max(0, -min(distances, default=0)), max(0, max(distances, default=0))


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
        return y.addcmul_(piece, weight)  # in place: nobody else has seen this sum
    return y + piece * weight
