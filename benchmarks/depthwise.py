"""Depthwise 3D convolutions: every `implementation` of `DepthwiseConv3D` on every backend.

Measures the forward pass, and the forward pass with gradients of input and kernel. The choices of
`implementation="auto"` come from this table.

    python benchmarks/depthwise.py
    python benchmarks/depthwise.py --kernels=3x3x3 --strides=1
    python benchmarks/depthwise.py --kernels=5x1x1 --strides=1    # over frames only
"""

import harness
import numpy as np
from absl import app, flags
from harness import Contender

FLAGS = flags.FLAGS
flags.DEFINE_list("kernels", ["3x3x3", "5x3x3", "1x5x5"], "Kernels, frames x height x width.")
flags.DEFINE_list("strides", ["1", "2"], "Strides in space.")
flags.DEFINE_list("passes", ["forward", "backward"], "backward is forward and backward.")
flags.DEFINE_integer("channels", 40, "Channels of the video.")
IMPLEMENTATIONS = ("taps", "shifted", "grouped")
REFERENCE = "torch, nn.Conv3d, contiguous"


def arrays(batch, frames, size, channels, kernel, stride):
    """Video, kernel, and a weight for every output, which makes a scalar to differentiate."""
    random = np.random.default_rng(0)
    new_size = -(-size // stride)
    shapes = (
        (batch, frames, size, size, channels),
        (*kernel, 1, channels),
        (batch, frames, new_size, new_size, channels),
    )
    return [random.standard_normal(shape, dtype="float32") for shape in shapes]


def ours(batch, frames, size, channels, kernel, stride, backward, implementation, xla=False):
    """`DepthwiseConv3D`, compiled where the backend compiles."""
    import keras

    from keras_video.layers import DepthwiseConv3D

    values = arrays(batch, frames, size, channels, kernel, stride)
    layer = DepthwiseConv3D(
        kernel, (1, stride, stride), use_bias=False, implementation=implementation
    )
    layer.build(values[0].shape)
    layer.set_weights([values[1]])
    x, _, weight = map(keras.ops.convert_to_tensor, values)
    backend = keras.backend.backend()
    run = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[backend]
    return run(layer, x, weight, backward, *([xla] if backend == "tensorflow" else []))


def _tensorflow(layer, x, weight, backward, xla):
    import tensorflow as tf

    kernel = layer.trainable_variables[0].value

    @tf.function(jit_compile=xla)
    def forward(x):
        return layer(x)

    @tf.function(jit_compile=xla)
    def both(x, weight):
        with tf.GradientTape() as tape:
            tape.watch(x)
            total = tf.reduce_sum(layer(x) * weight)
        return tape.gradient(total, [x, kernel])

    return (lambda: both(x, weight)) if backward else (lambda: forward(x))


def _jax(layer, x, weight, backward):
    import jax

    kernel = layer.trainable_variables[0].value

    def forward(x, kernel):
        return layer.stateless_call([kernel], [], x)[0]

    def total(x, kernel, weight):
        return (forward(x, kernel) * weight).sum()

    if backward:
        gradients = jax.jit(jax.grad(total, argnums=(0, 1)))
        return lambda: gradients(x, kernel, weight)
    forward = jax.jit(forward)
    return lambda: forward(x, kernel)


def _torch(layer, x, weight, backward):
    import torch

    kernel = layer.trainable_variables[0].value
    x.requires_grad_(backward)
    return _torch_pass(lambda: layer(x), (x, kernel), weight, backward, torch)


def _torch_pass(forward, parameters, weight, backward, torch):
    def gradients():
        return torch.autograd.grad((forward() * weight).sum(), parameters)

    def outputs():
        with torch.inference_mode():
            return forward()

    return gradients if backward else outputs


def plain(batch, frames, size, channels, kernel, stride, backward):
    """`nn.Conv3d` with groups, on contiguous memory; results in our axes for the comparison."""
    import torch

    values = arrays(batch, frames, size, channels, kernel, stride)
    x, weight = (torch.from_numpy(v).permute(0, 4, 1, 2, 3).contiguous() for v in values[::2])
    pads = _same_pads(size, kernel, stride)
    conv = torch.nn.Conv3d(
        channels, channels, kernel, (1, stride, stride), groups=channels, bias=False
    )
    with torch.no_grad():
        conv.weight.copy_(torch.from_numpy(values[1]).permute(4, 3, 0, 1, 2))
    x.requires_grad_(backward)
    run = _torch_pass(
        lambda: conv(torch.nn.functional.pad(x, pads)), (x, conv.weight), weight, backward, torch
    )
    if backward:

        def in_our_axes():
            of_x, of_kernel = run()
            return of_x.permute(0, 2, 3, 4, 1), of_kernel.permute(2, 3, 4, 1, 0)

        return in_our_axes
    return lambda: run().permute(0, 2, 3, 4, 1)


def _same_pads(size, kernel, stride):
    """TensorFlow's `same` rule as `torch.nn.functional.pad` wants it, last axis first."""
    pads = []
    for n, k, s in zip((1, size, size), kernel, (1, stride, stride), strict=True):
        total = max((-(-n // s) - 1) * s + k - n, 0)
        pads = [total // 2, total - total // 2, *pads]
    return pads


def contenders():
    rows = []
    for form in IMPLEMENTATIONS:
        options = {"implementation": form}
        rows.append(Contender(f"tensorflow graph, {form}", "tensorflow", ours, options))
        rows.append(
            Contender(f"tensorflow XLA, {form}", "tensorflow", ours, options | {"xla": True})
        )
        rows.append(Contender(f"jax jit, {form}", "jax", ours, options))
        rows.append(Contender(f"torch, {form}", "torch", ours, options))
    rows.append(Contender(REFERENCE, "torch", plain))
    return sorted(rows, key=lambda c: ("tensorflow", "jax", "torch").index(c.backend))


def main(argv):
    del argv
    FLAGS.set_default("rounds", 5)
    FLAGS.set_default("turn_seconds", 1.0)
    size, frames = (16, 4) if FLAGS.quick else (56, 16)
    shape = {"batch": 1, "frames": frames, "size": size, "channels": FLAGS.channels}
    cases = {}
    for which in FLAGS.passes:
        for kernel in FLAGS.kernels:
            for stride in map(int, FLAGS.strides):
                title = f"{kernel}, stride {stride}, {which}: 1x{frames}x{size}x{size}x"
                cases[title + str(FLAGS.channels)] = {
                    **shape,
                    "kernel": tuple(map(int, kernel.split("x"))),
                    "stride": stride,
                    "backward": which == "backward",
                }
    harness.compare("depthwise", contenders(), cases, REFERENCE)


if __name__ == "__main__":
    app.run(main)
