"""Small helpers on video tensors `(batch, frames, height, width, channels)`."""

import keras
from keras import ops

from keras_video.specs import conv_output_size


def fold_frames(x):
    """`(batch, frames, ...)` to `(batch * frames, ...)`: rank 4, where 2D kernels are fast."""
    return ops.reshape(x, (-1, *ops.shape(x)[2:]))


def unfold_frames(x, like, stride=1):
    """`(batch * frames, ...)` back to `(batch, frames, ...)`.

    Args:
        x: tensor whose frames are folded into the batch.
        like: video with the same batch.
        stride: int; `x` has one frame for so many of `like`, rounded up.
    """
    batch, frames = ops.shape(like)[:2]
    frames = conv_output_size(frames, stride)
    # A static number of frames leaves the batch to -1, so that no shape is computed at run time.
    leading = (-1, frames) if isinstance(frames, int) else (batch, -1)
    return ops.reshape(x, (*leading, *ops.shape(x)[1:]))


def slice_frames(x, start, frames, axis=1):
    """`x[:, start : start + frames]`; with `axis=0` the same of frames that lead."""
    if keras.backend.backend() != "tensorflow":
        return x[(slice(None),) * axis + (slice(start, start + frames),)]
    import tensorflow as tf

    # The gradient of TensorFlow's strided slice takes longer than the rest of a training step.
    before, rest = [0] * axis, len(x.shape) - 1 - axis
    sizes = tf.stack([-1] * axis + [frames] + [-1] * rest)
    return tf.slice(x, before + [start] + [0] * rest, sizes)


def one_unknown(extents):
    """Extents with the first axis as -1 where all others are static, which a reshape prefers."""
    static = all(isinstance(n, int) for n in extents[1:])
    return (-1, *extents[1:]) if static else extents


def pad_frames(x, before, after):
    """Adds frames of zeros in front and behind."""
    if all(isinstance(n, int) and n == 0 for n in (before, after)):
        return x
    return ops.pad(x, ((0, 0), (before, after)) + ((0, 0),) * (len(x.shape) - 2))


def triple(value, argument, smallest=1):
    """An int or 3 ints as a tuple of 3 ints, or one clear error that names the argument."""
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * 3
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in values)
    if len(values) != 3 or not whole or any(v < smallest for v in values):
        raise ValueError(
            f"{argument}: expected an int or 3 ints (frames, height, width), each at least "
            f"{smallest}, got {value!r}."
        )
    return values


def check_video(layer, shape):
    """Raises unless `shape` is that of a video with known channels."""
    if len(shape) != 5 or shape[-1] is None:
        raise ValueError(
            f"{layer.name}: expected inputs of shape (batch, frames, height, width, channels) "
            f"with known channels, got {tuple(shape)}."
        )


def check_frame_stride(layer, shape, stride):
    """Raises unless `shape` is that of a video of whole windows of `stride` frames."""
    check_video(layer, shape)
    if shape[1] is not None and (shape[1] == 0 or shape[1] % stride):
        raise ValueError(
            f"{layer.name}: expected inputs whose number of frames is a multiple of the stride, "
            f"{stride}, got {tuple(shape)}."
        )


def split_pairs(x):
    """The frames `2 i` and the frames `2 i + 1` of a video with an even number of frames."""
    batch, frames, *rest = ops.shape(x)
    leading = (-1, frames // 2) if isinstance(frames, int) else (batch, -1)
    # Unstacked and not sliced: the gradient of TensorFlow's strided slice is slow.
    return ops.unstack(ops.reshape(x, (*leading, 2, *rest)), 2, axis=2)


def join_pairs(first, second):
    """The video whose frames `2 i` and `2 i + 1` are the frames `i` of two videos."""
    batch, frames, *rest = ops.shape(first)
    leading = (-1, 2 * frames) if isinstance(frames, int) else (batch, -1)
    return ops.reshape(ops.stack([first, second], axis=2), (*leading, *rest))
