"""Operations whose fast or correct form depends on the backend.

No other file of `layers`, `blocks` and `models` asks which backend runs. The functions give the
same numbers on every backend, within rounding; `benchmarks/depthwise.py` measures the forms.

"Image" below means a video seen as one 2D image per clip, frames by pixels:
`(batch, frames, height * width, channels)`.
"""

import contextlib
from functools import reduce
from math import prod

import keras
import numpy as np
from keras import ops, tree

from keras_video.layers.frames import (
    fold_frames,
    one_unknown,
    pad_space,
    same_pads,
    unfold_frames,
    window_shares,
)

_BACKEND = keras.backend.backend()
_TENSORFLOW, _JAX, _TORCH = (_BACKEND == name for name in ("tensorflow", "jax", "torch"))

# bool, whether operations run one by one and free their inputs, so that a graph should as well.
RUNS_EAGERLY = _TORCH
# bool, whether `conv2d` knows the padding "symmetric".
HAS_SYMMETRIC_CONV = _TORCH
# bool, whether `with_batch_statistics` is a single operation.
HAS_BATCH_NORM = _TENSORFLOW or _TORCH


# Which form is fast


def frames_as_image():
    """Return whether a kernel over frames is faster as a 2D operation on the image of a clip."""
    return _TENSORFLOW and not _inside_xla()


def depthwise_form(kernel_shape):
    """Choose the form of a depthwise convolution: `"taps"`, `"shifted"` or `"grouped"`.

    Args:
        kernel_shape: `(kernel_frames, kernel_height, kernel_width, 1, channels)`.
    """
    if kernel_shape[1:3] == (1, 1):
        return "shifted"
    if _TORCH:
        return "grouped"
    if _JAX:
        import jax

        return "shifted" if jax.default_backend() == "cpu" else "taps"
    return "shifted" if _inside_xla() and not _tensorflow_has_gpu() else "taps"


def temporal_form(frames):
    """Choose the form of a depthwise kernel over frames alone.

    Args:
        frames: number of output frames, int or scalar tensor.

    Returns:
        `"product"` (a weighted sum of all input frames), `"image"` or `"taps"`.
    """
    one = isinstance(frames, int) and frames == 1
    if one and _TENSORFLOW:
        # One frame of a stream: two operations. XLA makes slow loops of that sum on the CPU: five
        # times the time of a whole step on JAX.
        return "product"
    return "image" if frames_as_image() or (_TORCH and not one) else "taps"


def _inside_xla():
    """Return whether TensorFlow is tracing a function with `jit_compile=True`."""
    if not _TENSORFLOW:
        return False
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    return bool(control_flow_util.GraphOrParentsInXlaContext(graph))


def _tensorflow_has_gpu():
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))


# Elementwise operations and slices


def swish(x):
    """Compute `x * sigmoid(x)`."""
    # On TensorFlow `tf.nn.silu` keeps its own gradient function, which the graph optimiser cannot
    # fuse: spelled out it is a fifth faster on the CPU.
    return x * ops.sigmoid(x) if _TENSORFLOW else ops.silu(x)


def add_bias(x, bias):
    """Add one number per channel."""
    if _TENSORFLOW:
        import tensorflow as tf

        return tf.nn.bias_add(x, bias)  # the graph optimiser fuses it into the convolution
    return x + bias


def add_product(total, x, weight):
    """Compute `total + x * weight`; `total` must not be used afterwards."""
    if _TORCH:
        return total.addcmul_(x, weight)  # In-place is safe: no other references.
    return total + x * weight


def slice_frames(x, start, frames, axis=1):
    """Take `frames` frames from `start` on.

    Args:
        x: tensor.
        start: int.
        frames: int or scalar tensor.
        axis: 1 for `(batch, frames, ...)`, 0 for `(frames, ...)`.
    """
    if not _TENSORFLOW:
        return x[(slice(None),) * axis + (slice(start, start + frames),)]
    import tensorflow as tf

    # The gradient of TensorFlow's strided slice takes longer than the rest of a training step.
    before, rest = [0] * axis, len(x.shape) - 1 - axis
    sizes = tf.stack([-1] * axis + [frames] + [-1] * rest)
    return tf.slice(x, before + [start] + [0] * rest, sizes)


def subsample(x, strides):
    """Take every `strides[0]`-th row and every `strides[1]`-th column of a video."""
    if not _TENSORFLOW:
        return x[:, :, :: strides[0], :: strides[1]]
    # As in `slice_frames`: pooling has the faster gradient.
    pixels = ops.average_pool(fold_frames(x), 1, strides, "valid", "channels_last")
    return unfold_frames(pixels, x)


def double(x):
    """Repeat every row and every column of images `(batch, height, width, channels)`."""
    batch, height, width, channels = ops.shape(x)
    if _TENSORFLOW:
        # One operation. At twice the size all rules for the nearest pixel agree.
        return ops.image.resize(x, (2 * height, 2 * width), "nearest", data_format="channels_last")
    x = ops.broadcast_to(x[:, :, None, :, None], (batch, height, 2, width, 2, channels))
    return ops.reshape(x, (batch, 2 * height, 2 * width, channels))


def computed_once(compute, x, kernel):
    """Compute `compute(x, kernel)`; on JAX, keep it from being fused into its consumers."""
    if not _JAX:
        return compute(x, kernel)
    import jax

    def nothing(x, kernel):
        shape = jax.eval_shape(compute, x, kernel)
        return jax.numpy.full(shape.shape, float("nan"), shape.dtype)

    @jax.custom_vjp
    def once(x, kernel):
        # XLA would fuse the whole sum into each of its three consumers (activation and squeeze) and
        # compute it three times; it ignores an optimization barrier here. A branch that it cannot
        # decide stops that. The other branch gives what a kernel with NaN would give anyway.
        finite = kernel[0, 0, 0, 0, 0] < float("inf")
        return jax.lax.cond(finite, compute, nothing, x, kernel)

    # The gradient is that of the sum itself, which is faster without the branch.
    once.defvjp(
        lambda x, kernel: (once(x, kernel), (x, kernel)),
        lambda inputs, gradient: jax.vjp(compute, *inputs)[1](gradient),
    )
    return once(x, kernel)


# Convolutions


def pointwise(x, kernel, bias):
    """Convolve images with a 1x1 kernel, as one matrix product where that is fast.

    Args:
        x: tensor `(batch, height, width, channels)`.
        kernel: `(channels, filters)`.
        bias: `(filters,)` or `None`.

    Returns:
        The outputs, and the bias that the caller still has to add, or `None`.
    """
    if _TORCH:
        from torch.nn import functional

        return functional.linear(x, kernel.T, bias), None
    if bias is not None and _convolution_is_faster(x, kernel):
        return ops.conv(x, kernel[None, None], 1, "same", "channels_last"), bias
    extents = ops.shape(x)[:-1]
    y = ops.matmul(ops.reshape(x, (-1, x.shape[-1])), kernel)
    return ops.reshape(y, (*one_unknown(extents), kernel.shape[-1])), bias


def _convolution_is_faster(x, kernel):
    """Return whether to compute a product with a bias as a convolution, on TensorFlow.

    Bias and activation are fused into a convolution, but not through the reshapes of a product.
    That counts where much is computed or more is written than read, and not on a few pixels.
    """
    if not _TENSORFLOW or _tensorflow_has_gpu():
        return False
    few = None not in x.shape[:-1] and prod(x.shape[:-1]) < 1024
    inputs, filters = kernel.shape
    return not few and (inputs < filters or inputs * filters >= 2**14)


def conv2d(x, kernel, strides, padding):
    """Convolve images.

    Args:
        x: tensor `(batch, height, width, channels)`.
        kernel: `(kernel_height, kernel_width, channels / groups, filters)`.
        strides: two ints.
        padding: `"same"`, `"valid"`, or where `HAS_SYMMETRIC_CONV` also `"symmetric"`.
    """
    if padding == "symmetric":
        return _torch_symmetric_conv2d(x, kernel, strides)
    skips = any(s > k for s, k in zip(strides, kernel.shape[:2], strict=True))
    if padding == "same" and skips and _TORCH:
        # Keras would cut pixels off.
        x, padding = _same_padded(x, kernel.shape[:2], strides), "valid"
    return ops.conv(x, kernel, strides, padding, "channels_last")


def _torch_symmetric_conv2d(x, kernel, strides):
    """Convolve with the padding of torch, which needs no copy of the images."""
    from torch.nn import functional

    pads = [size // 2 for size in kernel.shape[:2]]
    groups = x.shape[-1] // kernel.shape[2]
    y = functional.conv2d(
        x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), None, strides, pads, groups=groups
    )
    return y.permute(0, 2, 3, 1)


def grouped_conv3d(x, kernel, bias, strides, pads):
    """Convolve every channel of a video by the grouped convolution of the backend.

    Args:
        x: tensor `(batch, frames, height, width, channels)`.
        kernel: `(kernel_frames, kernel_height, kernel_width, 1, channels)`.
        bias: `(channels,)` or `None`.
        strides: two ints, over height and width.
        pads: zeros `(before, after)` along height and along width.

    Returns:
        The outputs, and the bias that the caller still has to add, or `None`.
    """
    symmetric = _TORCH and all(before == after for before, after in pads)
    if not symmetric:
        x = pad_space(x, pads)
    if not _TORCH:
        return ops.conv(x, kernel, (1, *strides), "valid", "channels_last"), bias
    from torch.nn import functional

    # By torch itself, which is fast where memory is channels-last.
    y = functional.conv3d(
        x.permute(0, 4, 1, 2, 3),
        kernel.permute(4, 3, 0, 1, 2),
        bias,
        stride=(1, *strides),
        padding=(0, pads[0][0], pads[1][0]) if symmetric else 0,
        groups=x.shape[-1],
    )
    return y.permute(0, 2, 3, 4, 1), None


def depthwise_image(x, kernel, pads=(0, 0)):
    """Convolve every channel of images with a kernel over frames.

    Args:
        x: tensor `(batch, frames, pixels, channels)`.
        kernel: `(kernel_frames, channels)`.
        pads: two ints, frames of zeros in front and behind; on TensorFlow only.
    """
    channels = x.shape[-1]
    if _TORCH:
        from torch.nn import functional

        # Not by Keras, which copies what is channels-last already.
        kernel = ops.reshape(kernel, (-1, 1, 1, channels)).permute(3, 2, 0, 1)
        y = functional.conv2d(x.permute(0, 3, 1, 2), kernel, groups=channels)
        return y.permute(0, 2, 3, 1)
    kernel = ops.reshape(kernel, (-1, 1, channels, 1))
    if tuple(pads) == (0, 0):
        return ops.depthwise_conv(x, kernel, 1, "valid", "channels_last")
    import tensorflow as tf

    pads = [[0, 0], list(pads), [0, 0], [0, 0]]
    return tf.nn.depthwise_conv2d(x, kernel, strides=[1, 1, 1, 1], padding=pads)


def _same_padded(x, kernel, strides):
    """Pad images with zeros by the rule of `"same"`."""
    return ops.pad(x, ((0, 0), *same_pads(ops.shape(x)[1:3], kernel, strides), (0, 0)))


# Pooling, with the padding of "same", which counts neither in means nor in maxima


def average_pool(x, size, stride):
    """Average images over windows of `size` by `size` pixels."""
    if not _TORCH:
        return ops.average_pool(x, size, stride, "same", "channels_last")
    # Keras counts the padding on torch: pad with zeros, then divide by the share of real pixels.
    pads = same_pads(x.shape[1:3], (size,) * 2, (stride,) * 2)
    padded = ops.pad(x, ((0, 0), *pads, (0, 0)))
    sums = ops.average_pool(padded, size, stride, "valid", "channels_last")
    rows, columns = (
        window_shares(n, pad, size, stride) for n, pad in zip(x.shape[1:3], pads, strict=True)
    )
    return sums * ops.convert_to_tensor(1.0 / np.outer(rows, columns)[..., None], sums.dtype)


def max_pool(x, size, stride):
    """Take the maxima of images over windows of `size` by `size` pixels."""
    if not _TORCH:
        return ops.max_pool(x, size, stride, "same", "channels_last")
    # With strides wider than the window, Keras pads by another rule on torch.
    pads = same_pads(x.shape[1:3], (size,) * 2, (stride,) * 2)
    x = ops.pad(x, ((0, 0), *pads, (0, 0)), constant_values=float("-inf"))
    return ops.max_pool(x, size, stride, "valid", "channels_last")


def reduce_frames(x, mode):
    """Take the `"max"` or the `"avg"` of all frames of a video; the frame axis stays, with one."""
    if not _JAX:
        pool = ops.max if mode == "max" else ops.mean
        return pool(x, axis=1, keepdims=True)
    # XLA is slow at reducing few elements, and fast at the same written out.
    count = x.shape[1]
    join = ops.maximum if mode == "max" else ops.add
    total = reduce(join, (x[:, i : i + 1] for i in range(count)))
    return total if mode == "max" else total / count


# Batch norm in training


def with_batch_statistics(x, gamma, beta, epsilon):
    """Normalise with the statistics of the batch.

    Args:
        x: float32 tensor `(batch, height, width, channels)`.
        gamma, beta: tensors or variables `(channels,)`.
        epsilon: float, added to the variance.

    Returns:
        The tensor of the same shape, the means and the biased variances, `(channels,)` each.
    """
    if _TENSORFLOW:
        return _tensorflow_batch_norm(x, gamma, beta, epsilon)
    if _TORCH:
        return _torch_batch_norm(x, gamma, beta, epsilon)
    mean, variance = ops.moments(x, (0, 1, 2))
    return ops.batch_normalization(x, mean, variance, -1, beta, gamma, epsilon), mean, variance


def _tensorflow_batch_norm(x, gamma, beta, epsilon):
    import tensorflow as tf

    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x, gamma, beta, epsilon=epsilon, is_training=True
    )
    # The operation returns the unbiased variance.
    count = tf.cast(tf.size(x) // tf.shape(x)[-1], variance.dtype)
    return y, tf.stop_gradient(mean), tf.stop_gradient(variance * (count - 1.0) / count)


def _torch_batch_norm(x, gamma, beta, epsilon):
    import torch

    gamma, beta = ops.convert_to_tensor(gamma), ops.convert_to_tensor(beta)
    y, mean, inverse = torch.native_batch_norm(
        x.permute(0, 3, 1, 2), gamma, beta, None, None, True, 0.0, epsilon
    )
    variance = inverse.detach() ** -2 - epsilon
    return y.permute(0, 2, 3, 1), mean.detach(), variance


def normalize_batch(norm, x):
    """Normalise with the statistics of the batch and update the moving ones.

    The numbers are those of `keras.layers.BatchNormalization` in training, biased variance
    included. Keras composes it of a dozen passes over the video; TensorFlow and torch have one
    operation.

    Args:
        norm: built `keras.layers.BatchNormalization` on the last axis.
        x: tensor `(batch, height, width, channels)`.

    Returns:
        A tensor of the same shape and dtype.
    """
    if not HAS_BATCH_NORM:
        return norm(x, training=True)
    y, mean, variance = with_batch_statistics(
        ops.cast(x, "float32"), norm.gamma, norm.beta, norm.epsilon
    )
    for moving, batch in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        moving.assign(moving * norm.momentum + batch * (1.0 - norm.momentum))
    return ops.cast(y, x.dtype)


# Whole models


def with_frames(frames, count):
    """Return a batch of clips that must have `count` frames, which may be unknown until it comes.

    Only TensorFlow traces batches of unknown shape. There, a batch with another number of frames
    ends in an `InvalidArgumentError`.

    Args:
        frames: tensor `(batch, frames, height, width, channels)`.
        count: int, or `None` for any number.
    """
    if count is None or not _TENSORFLOW or getattr(frames, "shape", (0, 0))[1] is not None:
        return frames
    import tensorflow as tf

    if not tf.is_tensor(frames):
        return frames
    return tf.ensure_shape(frames, (None, count, *frames.shape[2:]))


@contextlib.contextmanager
def keeping_weights(model):
    """Give a model its weights back if `fit`, `evaluate` or `predict` ends in a `ValueError`.

    On JAX, Keras takes the weights out of a model before the first batch, and does not put them
    back after an error: the model would go on with new ones.
    """
    if not _JAX:
        yield
        return
    optimizer = getattr(model, "optimizer", None)
    variables = [*model.variables, *(optimizer.variables if optimizer else ())]
    kept = [(variable, variable.value) for variable in variables]
    try:
        yield
    except ValueError:
        model.jax_state_sync()  # those after the last batch; `kept` is deleted then
        for variable, value in kept:
            if not value.is_deleted():
                variable.assign(value)
        raise


def compile_step(model, frames, state):
    """Compile `(frames, state) -> (outputs, new_state)` of a streaming model for these shapes.

    The weights are those of the model now: later changes do not reach the compiled function.

    Args:
        model: streaming model.
        frames: tensor `(batch, frames, height, width, channels)`.
        state: structure of tensors.
    """
    if _TENSORFLOW:
        return _tensorflow_step(model, frames, state)
    if _JAX:
        return _jax_step(model)
    return _torch_step(model, frames, state)


def _tensorflow_step(model, frames, state):
    import tensorflow as tf

    signature = tree.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), (frames, state))
    trainable, rest = ([v.numpy() for v in group] for group in _variables(model))

    def step(frames, state):
        # As constants, the weights need no reading and are laid out for the kernels once.
        weights = ([tf.constant(v) for v in group] for group in (trainable, rest))
        return model.stateless_call(*weights, frames, state)[0]

    return tf.function(step, input_signature=signature)


def _jax_step(model):
    import jax

    trainable, rest = ([v.value for v in group] for group in _variables(model))
    step = jax.jit(lambda t, r, f, s: model.stateless_call(t, r, f, s)[0])
    return lambda frames, state: step(trainable, rest, frames, state)


def _torch_step(model, frames, state):
    """Record torch's operations once; replaying them skips the overhead of Keras per layer."""
    import torch

    class Step(torch.nn.Module):
        def forward(self, frames, *flat):
            outputs, new = model(frames, tree.pack_sequence_as(state, list(flat)))
            return outputs, *tree.flatten(new)

    with torch.no_grad():
        traced = torch.jit.trace(Step(), (frames, *tree.flatten(state)), check_trace=False)
        traced = torch.jit.freeze(traced.eval())

    def step(frames, state):
        with torch.inference_mode():
            outputs, *flat = traced(frames, *tree.flatten(state))
        return outputs, tree.pack_sequence_as(state, flat)

    return step


def _variables(model):
    return model.trainable_variables, model.non_trainable_variables


def features_and_gradients(model, score, inputs):
    """Compute inner features of a model, and the gradients of a score with respect to them.

    Args:
        model: model whose variables the score depends on.
        score: function `(inputs, keep)` that returns a scalar. It must call `keep(name, x)` with
            each feature `x` and continue with what this returns.
        inputs: list of tensors.

    Returns:
        The pair `(features, gradients)`, two dicts `{name: tensor}`.
    """
    if _JAX:
        return _jax_gradients(model, score, inputs)
    features = {}
    if _TENSORFLOW:
        import tensorflow as tf

        # Only what follows the features is recorded.
        with tf.GradientTape(watch_accessed_variables=False) as tape:

            def keep(name, x):
                tape.watch(x)
                features[name] = x
                return x

            value = score(inputs, keep)
        return features, tape.gradient(value, features, unconnected_gradients="zero")
    import torch

    def keep(name, x):
        features[name] = x if x.requires_grad else x.requires_grad_()
        return x

    with torch.enable_grad():
        value = score(inputs, keep)
    names = list(features)
    found = torch.autograd.grad(value, [features[n] for n in names], materialize_grads=True)
    return {n: x.detach() for n, x in features.items()}, dict(zip(names, found, strict=True))


def _jax_gradients(model, score, inputs):
    """Differentiate with respect to zeros that are added to the features."""
    import jax

    def run(changes, values, inputs):
        features = {}

        def keep(name, x):
            features[name] = x
            return x + changes[name].astype(x.dtype) if changes else x

        with keras.StatelessScope(state_mapping=[*zip(model.variables, values, strict=True)]):
            return score(inputs, keep), features

    values = [v.value for v in model.variables]
    _, shapes = jax.eval_shape(run, {}, values, inputs)
    changes = {name: jax.numpy.zeros(x.shape, "float32") for name, x in shapes.items()}
    gradients, features = jax.jit(jax.grad(run, has_aux=True))(changes, values, inputs)
    return features, gradients
