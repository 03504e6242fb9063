"""How a convolution of a video is computed: one definition, the fast form per backend.

Every function takes a video `(batch, frames, height, width, channels)` whose frame axis already
holds the past it needs, and returns frames folded into the batch, `(batch * frames, ...)`, so that
normalisation and activation run on rank 4. `benchmarks/depthwise.py` measures the forms.
"""

from math import prod

import keras
from keras import ops

from keras_video.layers.frames import fold_frames, one_unknown, slice_frames, unfold_frames
from keras_video.specs import conv_output_size

IMPLEMENTATIONS = ("auto", "taps", "shifted", "grouped")


def convolve(x, kernel, bias, strides, groups, frames, implementation="auto", space="same"):
    """Convolves a video, `valid` over frames and padded with zeros over height and width.

    Args:
        x: video of `(frames - 1) * strides[0] + kernel_frames` frames.
        kernel: `(kernel_frames, kernel_height, kernel_width, channels / groups, filters)`.
        bias: `(filters,)` or `None`.
        strides: three ints; the first must be 1 for a depthwise convolution.
        groups: int; equal to the channels for a depthwise convolution.
        frames: number of output frames, int or scalar tensor.
        implementation: one of `IMPLEMENTATIONS`, for depthwise kernels.
        space: `"same"`, or `"symmetric"`: half the kernel on every side.

    Returns:
        A tensor `(batch * frames, new_height, new_width, filters)`.
    """
    if groups > 1 and groups == x.shape[-1] == kernel.shape[-1]:
        y, bias = depthwise(x, kernel, bias, strides[1:], frames, implementation, space)
    elif kernel.shape[:3] == strides == (1, 1, 1) and groups == 1:
        y, bias = pointwise(fold_frames(x), ops.reshape(kernel, kernel.shape[3:]), bias)
    elif kernel.shape[1:3] == strides[1:] == (1, 1) and groups == 1:
        y = over_frames(x, kernel, strides[0])
    else:
        padding = "symmetric"
        if space == "same" or keras.backend.backend() != "torch":
            x, padding = _padded(x, kernel.shape, strides[1:], space)
        y = sum_over_taps(
            x,
            kernel,
            frames,
            lambda piece, tap: _convolve_frames(piece, tap, strides[1:], padding),
            strides[0],
        )
    return y if bias is None else add_bias(y, bias)


def _convolve_frames(x, kernel, strides, padding):
    """A 2D convolution."""
    if padding == "symmetric":
        return _torch_symmetric(x, kernel, strides)
    skips = any(s > k for s, k in zip(strides, kernel.shape[:2], strict=True))
    if padding == "same" and skips and keras.backend.backend() == "torch":
        # Keras would cut pixels off.
        pads = same_pads(ops.shape(x)[1:3], kernel.shape[:2], strides)
        x = ops.pad(x, ((0, 0), *pads, (0, 0)))
        return ops.conv(x, kernel, strides, "valid", "channels_last")
    return ops.conv(x, kernel, strides, padding, "channels_last")


def _torch_symmetric(x, kernel, strides):
    """torch's own rule of padding, which needs no copy of the frames."""
    from torch.nn import functional

    pads = [size // 2 for size in kernel.shape[:2]]
    groups = x.shape[-1] // kernel.shape[2]
    y = functional.conv2d(
        x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), None, strides, pads, groups=groups
    )
    return y.permute(0, 2, 3, 1)


def over_frames(x, kernel, stride):
    """A dense kernel over frames alone: a 2D convolution of the frames with all their pixels."""
    batch, frames, height, width, channels = ops.shape(x)
    x = ops.reshape(x, (*one_unknown((batch, frames, height * width)), channels))
    kernel = ops.squeeze(kernel, 2)
    y = ops.conv(x, kernel, (stride, 1), "valid", "channels_last")
    return ops.reshape(y, (*one_unknown((-1, height, width)), kernel.shape[-1]))


def add_bias(x, bias):
    """Adds one number per channel."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.nn.bias_add(x, bias)  # the graph optimiser fuses this one into the convolution
    return x + bias


def pointwise(x, kernel, bias):
    """A 1x1x1 convolution as one matrix product; returns the bias that is still to be added."""
    if keras.backend.backend() == "torch":
        from torch.nn import functional

        return functional.linear(x, kernel.T, bias), None
    if bias is not None and _convolution_is_faster(x, kernel):
        return ops.conv(x, kernel[None, None], 1, "same", "channels_last"), bias
    extents = ops.shape(x)[:-1]
    y = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), kernel)
    return ops.reshape(y, (*one_unknown(extents), kernel.shape[-1])), bias


def depthwise(x, kernel, bias, strides, frames, implementation="auto", space="same"):
    """A depthwise 3D convolution; returns the bias that is still to be added."""
    if kernel.shape[1:3] == (1, 1) != strides:
        x, strides = _subsampled(x, strides), (1, 1)
    form = choose(implementation, kernel.shape)
    if form == "grouped":
        if keras.backend.backend() == "torch":
            return _torch_grouped(x, kernel, bias, strides, space), None
        x = pad_space(x, kernel.shape, strides, space)
        y = ops.conv(x, kernel, (1, *strides), "valid", "channels_last")
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

    return sum_over_taps(x, kernel, frames, convolve_tap), bias


def _subsampled(x, strides):
    """The pixels that a kernel of one pixel looks at."""
    if keras.backend.backend() != "tensorflow":
        return x[:, :, :: strides[0], :: strides[1]]
    # The gradient of TensorFlow's strided slice takes longer than the rest of a training step.
    pixels = ops.average_pool(fold_frames(x), 1, strides, "valid", "channels_last")
    return unfold_frames(pixels, x)


def choose(implementation, kernel_shape):
    """The form of a depthwise convolution that is fast where this is being compiled."""
    if implementation != "auto":
        return implementation
    backend = keras.backend.backend()
    if kernel_shape[1:3] == (1, 1):
        return "shifted"
    if backend == "torch":
        return "grouped"
    if backend == "jax":
        import jax

        return "shifted" if jax.default_backend() == "cpu" else "taps"
    return "shifted" if inside_xla() and not _tensorflow_has_gpu() else "taps"


def sum_over_taps(x, kernel, frames, convolve_tap, stride=1):
    """Sum over the kernel's frames of 2D convolutions on frames folded into the batch."""
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
                slice_frames(folded, i, frames, axis=0)
                if single
                else fold_frames(slice_frames(x, i, frames))
            )
        part = convolve_tap(piece, taps[i])
        y = part if y is None else y + part
    return y


def _temporal(x, kernel, frames):
    """A depthwise kernel over frames alone."""
    backend, one = keras.backend.backend(), isinstance(frames, int) and frames == 1
    if one and backend == "tensorflow":
        # One frame of a stream: a weighted sum over all remembered frames, two operations. XLA
        # makes slow loops of that sum on the CPU: five times the time of a whole step on JAX.
        return ops.sum(x * ops.reshape(kernel, (kernel.shape[0], 1, 1, -1)), axis=1)
    if (backend == "tensorflow" and not inside_xla()) or (backend == "torch" and not one):
        return _temporal_image(x, kernel)
    return sum_over_taps(x, kernel, frames, lambda piece, tap: piece * ops.reshape(tap, (-1,)))


def _temporal_image(x, kernel):
    """The same as a 2D convolution of frames by pixels: a third of the time."""
    batch, frames, height, width, channels = ops.shape(x)
    x = ops.reshape(x, (*one_unknown((batch, frames, height * width)), channels))
    if keras.backend.backend() == "torch":
        from torch.nn import functional

        # Not by Keras, which copies what is channels-last already.
        kernel = ops.reshape(kernel, (-1, 1, 1, channels)).permute(3, 2, 0, 1)
        y = functional.conv2d(x.permute(0, 3, 1, 2), kernel, groups=channels).permute(0, 2, 3, 1)
    else:
        kernel = ops.reshape(kernel, (-1, 1, channels, 1))
        y = ops.depthwise_conv(x, kernel, 1, "valid", "channels_last")
    return ops.reshape(y, (*one_unknown((-1, height, width)), channels))


def _shifted(x, kernel, strides, frames, space):
    """Sum of shifted multiply-adds: one fused loop under XLA."""
    kernel_frames, kernel_height, kernel_width = kernel.shape[:3]
    height, width = (
        conv_output_size(n, s) for n, s in zip(ops.shape(x)[2:4], strides, strict=True)
    )
    x = pad_space(x, kernel.shape, strides, space)

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

    return _computed_once(compute, x, kernel)


def _computed_once(compute, x, kernel):
    """`compute(x, kernel)`, on JAX kept apart from what uses it."""
    if keras.backend.backend() != "jax":
        return compute(x, kernel)
    import jax

    def nothing(x, kernel):
        shape = jax.eval_shape(compute, x, kernel)
        return jax.numpy.full(shape.shape, float("nan"), shape.dtype)

    @jax.custom_vjp
    def once(x, kernel):
        # XLA would fuse the whole sum into each of its three consumers (activation and squeeze) and
        # compute it three times; it ignores an optimization barrier here. A branch that it cannot
        # decide stops that. The one not taken gives what a kernel that is not finite gives anyway.
        finite = kernel[0, 0, 0, 0, 0] < float("inf")
        return jax.lax.cond(finite, compute, nothing, x, kernel)

    # The gradient is that of the sum itself, which is faster without the branch.
    once.defvjp(
        lambda x, kernel: (once(x, kernel), (x, kernel)),
        lambda inputs, gradient: jax.vjp(compute, *inputs)[1](gradient),
    )
    return once(x, kernel)


def _torch_grouped(x, kernel, bias, strides, space):
    """torch's own grouped convolution, fast where memory is channels-last."""
    from torch.nn import functional

    pads = space_pads(x.shape[2:4], kernel.shape[1:3], strides, space)
    symmetric = all(before == after for before, after in pads)
    if not symmetric:
        x = pad_space(x, kernel.shape, strides, space)
    y = functional.conv3d(
        x.permute(0, 4, 1, 2, 3),
        kernel.permute(4, 3, 0, 1, 2),
        bias,
        stride=(1, *strides),
        padding=(0, pads[0][0], pads[1][0]) if symmetric else 0,
        groups=x.shape[-1],
    )
    return fold_frames(y.permute(0, 2, 3, 4, 1))


def same_pads(extents, kernel, strides):
    """`(before, after)` per axis of TensorFlow's `same` rule."""
    totals = []
    for n, k, s in zip(extents, kernel, strides, strict=True):
        total = k - 1 if s == 1 else (conv_output_size(n, s) - 1) * s + k - n
        totals.append(max(total, 0) if isinstance(total, int) else ops.maximum(total, 0))
    return tuple((total // 2, total - total // 2) for total in totals)


def space_pads(extents, kernel, strides, space):
    """`(before, after)` per axis of either rule."""
    if space == "symmetric":
        return tuple((k // 2, k // 2) for k in kernel)
    return same_pads(extents, kernel, strides)


def _padded(x, kernel_shape, strides, space):
    """The video, and how the backend is to pad it: by `same`, or not at all any more."""
    if space == "same" or strides == (1, 1):  # with odd kernels the rules then agree
        return x, "same"
    extents, kernel = ops.shape(x)[2:4], kernel_shape[1:3]
    static = all(isinstance(n, int) for n in extents)
    if static and same_pads(extents, kernel, strides) == space_pads(
        extents, kernel, strides, space
    ):
        return x, "same"
    return pad_space(x, kernel_shape, strides, space), "valid"


def pad_space(x, kernel_shape, strides, space="same"):
    """Pads height and width with zeros."""
    pads = space_pads(ops.shape(x)[2:4], kernel_shape[1:3], strides, space)
    if pads == ((0, 0), (0, 0)):
        return x
    return ops.pad(x, ((0, 0), (0, 0), *pads, (0, 0)))


def inside_xla():
    """bool, whether TensorFlow is tracing a function with `jit_compile=True`."""
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    return bool(control_flow_util.GraphOrParentsInXlaContext(graph))


def _convolution_is_faster(x, kernel):
    """Whether to compute a product at inference as a convolution, on TensorFlow.

    Bias and activation are fused into a convolution, but not through the reshapes of a product.
    That counts where much is computed or more is written than read, and not on a few pixels.
    """
    if keras.backend.backend() != "tensorflow" or _tensorflow_has_gpu():
        return False
    few = None not in x.shape[:-1] and prod(x.shape[:-1]) < 1024
    inputs, filters = kernel.shape
    return not few and (inputs < filters or inputs * filters >= 2**14)


def _tensorflow_has_gpu():
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
