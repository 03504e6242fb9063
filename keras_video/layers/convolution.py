"""How a convolution of a video is computed: one definition, the fast form per backend.

Every function takes a video `(batch, frames, height, width, channels)` whose frame axis already
holds the past it needs, and returns frames folded into the batch, `(batch * frames, ...)`, so that
normalisation and activation run on rank 4. `benchmarks/depthwise.py` measures the forms.
"""

from keras import ops

from keras_video.layers import backend
from keras_video.layers.frames import (
    fold_frames,
    one_unknown,
    pad_space,
    same_pads,
    space_pads,
)
from keras_video.specs import conv_output_size

IMPLEMENTATIONS = ("auto", "taps", "shifted", "grouped")


def convolve(x, kernel, bias, strides, groups, frames, implementation="auto", space="same"):
    """Convolve a video, `valid` over frames and padded with zeros over height and width.

    Args:
        x: video of `(frames - 1) * strides[0] + kernel_frames` frames.
        kernel: `(kernel_frames, kernel_height, kernel_width, channels / groups, filters)`.
        bias: `(filters,)` or `None`.
        strides: three ints; the first must be 1 for a depthwise convolution.
        groups: int; equal to the channels for a depthwise convolution.
        frames: number of output frames, int or scalar tensor.
        implementation: one of `IMPLEMENTATIONS`, for depthwise kernels.
        space: padding over height and width, `"same"` or `"symmetric"` (half the kernel on every
            side).

    Returns:
        A tensor `(batch * frames, new_height, new_width, filters)`.
    """
    if groups > 1 and groups == x.shape[-1] == kernel.shape[-1]:
        y, bias = depthwise(x, kernel, bias, strides[1:], frames, implementation, space)
    elif kernel.shape[:3] == strides == (1, 1, 1) and groups == 1:
        kernel = ops.reshape(kernel, kernel.shape[3:])
        y, bias = backend.pointwise(fold_frames(x), kernel, bias)
    elif kernel.shape[1:3] == strides[1:] == (1, 1) and groups == 1:
        y = _over_frames(x, kernel, strides[0])
    else:
        padding = "symmetric"
        if space == "same" or not backend.HAS_SYMMETRIC_CONV:
            x, padding = _padded(x, kernel.shape, strides[1:], space)
        y = _sum_over_taps(
            x,
            kernel,
            frames,
            lambda piece, tap: backend.conv2d(piece, tap, strides[1:], padding),
            strides[0],
        )
    return y if bias is None else backend.add_bias(y, bias)


def _over_frames(x, kernel, stride):
    """Convolve over frames alone, as a 2D convolution of frames by pixels."""
    height, width = ops.shape(x)[2:4]
    kernel = ops.squeeze(kernel, 2)
    y = ops.conv(_as_image(x), kernel, (stride, 1), "valid", "channels_last")
    return ops.reshape(y, (*one_unknown((-1, height, width)), kernel.shape[-1]))


def depthwise(x, kernel, bias, strides, frames, implementation="auto", space="same"):
    """Convolve every channel with its own filter; return also the bias left to be added."""
    if kernel.shape[1:3] == (1, 1) != strides:
        x, strides = backend.subsample(x, strides), (1, 1)
    form = choose(implementation, kernel.shape)
    if form == "grouped":
        pads = space_pads(ops.shape(x)[2:4], kernel.shape[1:3], strides, space)
        y, bias = backend.grouped_conv3d(x, kernel, bias, strides, pads)
        return fold_frames(y), bias
    if form == "shifted" and kernel.shape[1:3] == strides == (1, 1):
        return _temporal(x, kernel, frames), bias
    if form == "shifted":
        return fold_frames(_shifted(x, kernel, strides, frames, space)), bias
    x, padding = _padded(x, kernel.shape, strides, space)

    def convolve_tap(piece, tap):
        height, width, one, channels = tap.shape
        tap = ops.reshape(tap, (height, width, channels, one))
        return ops.depthwise_conv(piece, tap, strides, padding, "channels_last")

    return _sum_over_taps(x, kernel, frames, convolve_tap), bias


def choose(implementation, kernel_shape):
    """Return the form of a depthwise convolution; `"auto"` is the one that is fast here."""
    return backend.depthwise_form(kernel_shape) if implementation == "auto" else implementation


def _sum_over_taps(x, kernel, frames, convolve_tap, stride=1):
    """Sum 2D convolutions, one for each frame of the kernel, on frames folded into the batch."""
    if kernel.shape[0] == 1:
        x = x if stride == 1 else x[:, ::stride]
        return convolve_tap(fold_frames(x), ops.reshape(kernel, kernel.shape[1:]))
    single = x.shape[0] == 1
    folded = fold_frames(x) if single else None
    taps = ops.unstack(kernel, axis=0)
    y = None
    for i in range(kernel.shape[0]):
        # With one video, frames are the leading axis, and TensorFlow slices that without a copy.
        if stride > 1:
            piece = fold_frames(x[:, i : i + (frames - 1) * stride + 1 : stride])
        else:
            piece = (
                backend.slice_frames(folded, i, frames, axis=0)
                if single
                else fold_frames(backend.slice_frames(x, i, frames))
            )
        part = convolve_tap(piece, taps[i])
        y = part if y is None else y + part
    return y


def _temporal(x, kernel, frames):
    """Convolve every channel over frames alone."""
    form = backend.temporal_form(frames)
    if form == "product":
        return ops.sum(x * ops.reshape(kernel, (kernel.shape[0], 1, 1, -1)), axis=1)
    if form == "taps":
        return _sum_over_taps(x, kernel, frames, lambda piece, tap: piece * ops.reshape(tap, (-1,)))
    # As one 2D convolution of frames by pixels: a third of the time.
    height, width, channels = ops.shape(x)[2:]
    y = backend.depthwise_image(_as_image(x), kernel)
    return ops.reshape(y, (*one_unknown((-1, height, width)), channels))


def _shifted(x, kernel, strides, frames, space):
    """Sum shifted multiply-adds: one fused loop under XLA."""
    kernel_frames, kernel_height, kernel_width = kernel.shape[:3]
    extents = ops.shape(x)[2:4]
    height, width = (conv_output_size(n, s) for n, s in zip(extents, strides, strict=True))
    x = pad_space(x, space_pads(extents, kernel.shape[1:3], strides, space))

    def compute(x, kernel):
        y = None
        for i in range(kernel_frames):
            for j in range(kernel_height):
                for k in range(kernel_width):
                    rows = slice(j, j + (height - 1) * strides[0] + 1, strides[0])
                    columns = slice(k, k + (width - 1) * strides[1] + 1, strides[1])
                    part = x[:, i : i + frames, rows, columns] * kernel[i, j, k, 0]
                    y = part if y is None else y + part
        return y

    return backend.computed_once(compute, x, kernel)


def _as_image(x):
    """Reshape a video to `(batch, frames, height * width, channels)`."""
    batch, frames, height, width, channels = ops.shape(x)
    return ops.reshape(x, (*one_unknown((batch, frames, height * width)), channels))


def _padded(x, kernel_shape, strides, space):
    """Return the video, padded if needed, and the padding left to the backend."""
    if space == "same" or strides == (1, 1):  # with odd kernels both rules agree
        return x, "same"
    extents, kernel = ops.shape(x)[2:4], kernel_shape[1:3]
    pads = space_pads(extents, kernel, strides, space)
    static = all(isinstance(n, int) for n in extents)
    if static and same_pads(extents, kernel, strides) == pads:
        return x, "same"
    return pad_space(x, pads), "valid"
