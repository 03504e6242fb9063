"""Shapes and padding of videos `(batch, frames, height, width, channels)`."""

import numpy as np
from keras import ops

from keras_video.specs import conv_output_size

# Reshapes. They leave at most one extent unknown, as -1, so that no shape is computed at run time.


def fold_frames(x):
    """Reshape `(batch, frames, ...)` to `(batch * frames, ...)`, the rank of fast 2D kernels."""
    return ops.reshape(x, (-1, *ops.shape(x)[2:]))


def unfold_frames(x, like, stride=1):
    """Reshape `(batch * frames, ...)` back to `(batch, frames, ...)`.

    Args:
        x: tensor whose frames are folded into the batch.
        like: video with the same batch.
        stride: int; `x` has one frame for so many of `like`, rounded up.
    """
    batch, frames = ops.shape(like)[:2]
    frames = conv_output_size(frames, stride)
    leading = (-1, frames) if isinstance(frames, int) else (batch, -1)
    return ops.reshape(x, (*leading, *ops.shape(x)[1:]))


def one_unknown(extents):
    """Return the extents, the first one as -1 if all others are static."""
    static = all(isinstance(n, int) for n in extents[1:])
    return (-1, *extents[1:]) if static else extents


def split_pairs(x):
    """Return the frames `2 i` and the frames `2 i + 1` of a video with an even number of frames."""
    batch, frames, *rest = ops.shape(x)
    leading = (-1, frames // 2) if isinstance(frames, int) else (batch, -1)
    # Unstacked and not sliced: the gradient of TensorFlow's strided slice is slow.
    return ops.unstack(ops.reshape(x, (*leading, 2, *rest)), 2, axis=2)


def join_pairs(first, second):
    """Return the video whose frames `2 i` and `2 i + 1` are the frames `i` of two videos."""
    batch, frames, *rest = ops.shape(first)
    leading = (-1, 2 * frames) if isinstance(frames, int) else (batch, -1)
    return ops.reshape(ops.stack([first, second], axis=2), (*leading, *rest))


# Padding


def pad_frames(x, before, after):
    """Add frames of zeros in front and behind."""
    if all(isinstance(n, int) and n == 0 for n in (before, after)):
        return x
    return ops.pad(x, ((0, 0), (before, after)) + ((0, 0),) * (len(x.shape) - 2))


def pad_space(x, pads):
    """Add zeros around every frame; `pads` are `(before, after)` along height and along width."""
    if pads == ((0, 0), (0, 0)):
        return x
    return ops.pad(x, ((0, 0), (0, 0), *pads, (0, 0)))


def same_pads(extents, kernel, strides):
    """Return `(before, after)` per axis by the rule of TensorFlow's `"same"`."""
    totals = []
    for n, k, s in zip(extents, kernel, strides, strict=True):
        total = k - 1 if s == 1 else (conv_output_size(n, s) - 1) * s + k - n
        totals.append(max(total, 0) if isinstance(total, int) else ops.maximum(total, 0))
    return tuple((total // 2, total - total // 2) for total in totals)


def space_pads(extents, kernel, strides, padding):
    """Return `(before, after)` per axis by the rule of `padding`, `"same"` or `"symmetric"`."""
    if padding == "symmetric":
        return tuple((k // 2, k // 2) for k in kernel)
    return same_pads(extents, kernel, strides)


def window_shares(size, pads, window, stride):
    """Return the share of real pixels in each pooling window along one padded axis."""
    real = np.pad(np.ones(size), pads)
    return np.array([real[i : i + window].mean() for i in range(0, len(real) - window + 1, stride)])


# Checks


def triple(value, argument, smallest=1):
    """Return an int or 3 ints as a tuple of 3 ints.

    Raises:
        ValueError: for anything else, and for ints below `smallest`.
    """
    values = tuple(value) if isinstance(value, (list, tuple)) else (value,) * 3
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in values)
    if len(values) != 3 or not whole or any(v < smallest for v in values):
        raise ValueError(
            f"{argument}: expected an int or 3 ints (frames, height, width), each at least "
            f"{smallest}, got {value!r}."
        )
    return values


def check_video(layer, shape):
    """Raise `ValueError` unless `shape` is that of a video with known channels."""
    if len(shape) != 5 or shape[-1] is None:
        raise ValueError(
            f"{layer.name}: expected inputs of shape (batch, frames, height, width, channels) "
            f"with known channels, got {tuple(shape)}."
        )


def check_frame_stride(layer, shape, stride):
    """Raise `ValueError` unless `shape` is that of a video of whole windows of `stride` frames."""
    check_video(layer, shape)
    if shape[1] is not None and (shape[1] == 0 or shape[1] % stride):
        raise ValueError(
            f"{layer.name}: expected inputs whose number of frames is a multiple of the stride, "
            f"{stride}, got {tuple(shape)}."
        )
