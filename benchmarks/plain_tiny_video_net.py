"""Tiny Video Networks in plain TensorFlow, as a frozen graph: the reference of `tiny_video_net.py`.

Like the published code, it computes layer by layer, with frames folded into the batch. Batch norm,
gates, residual and activation are separate steps, and weights are constants for the graph
optimizer. The published times were measured on another machine.
"""

import networks
import numpy as np


def run(model, batch, frames, size):
    """For the harness: the logits of a clip."""
    import tensorflow as tf
    from tensorflow.python.framework import convert_to_constants

    config = networks.config(model)
    network = PlainTinyVideoNet(config, networks.random_weights(config, networks.classes(model)))
    clip = tf.constant(networks.clip(batch, frames, size))
    graph = tf.function(network).get_concrete_function(tf.TensorSpec(clip.shape))
    frozen = convert_to_constants.convert_variables_to_constants_v2(graph)
    return lambda: frozen(clip)[0]


class PlainTinyVideoNet:
    """A function from clips to logits.

    Args:
        config: `TinyVideoNetConfig`.
        named: dict of our names to arrays.
    """

    def __init__(self, config, named):
        self.config, self.named = config, named

    def __call__(self, clips):
        import tensorflow as tf

        batch, frames, *rest = clips.shape
        x = tf.reshape(clips, (-1, *rest))
        for rows in self.config.plan(1, frames).applications:
            x = self.block(x, rows, batch)
        kernel, bias = (self.named[f"classifier/{w}"] for w in ("kernel", "bias"))
        return tf.reduce_mean(_unfold(x, batch), (1, 2, 3)) @ kernel + bias

    def block(self, x, rows, batch):
        inputs, block = x, rows.block
        if rows.widening:
            x = self.conv(x, rows.widening, "relu")
        if rows.pointwise:
            x = self.conv(x, rows.pointwise, block.spatial_activation)
        if rows.spatial:
            x = self.spatial(x, rows.spatial, block.spatial_activation)
        if rows.temporal:
            x = self.temporal(x, rows.temporal, block.temporal_activation, batch)
        if rows.expansion:
            x = self.conv(x, rows.expansion)
        if rows.squeeze_excite:
            x = self.gate(x, rows.squeeze_excite.name, ("reduce", "expand"), batch)
        if rows.context_gate:
            x = self.gate(x, rows.context_gate.name, ("gate",), batch)
        if rows.projection:
            x = self.conv(x, rows.projection)
        if rows.skip:
            x = x + self.conv(inputs, rows.skip)
        return _activate(x, block.activation)

    def spatial(self, x, row, activation):
        import tensorflow as tf

        size, stride = row.kernel[1], row.strides[1]
        if hasattr(row, "kind"):
            pool = tf.nn.max_pool2d if row.kind == "max" else tf.nn.avg_pool2d
            return pool(x, size, stride, "SAME")
        kernel = self.named[f"{row.name}/kernel"][0]
        if row.groups == 1:
            return self.conv(x, row, activation)
        kernel = np.swapaxes(kernel, 2, 3)
        y = tf.nn.depthwise_conv2d(x, kernel, (1, stride, stride, 1), "SAME")
        return _activate(self.norm(y, row), activation)

    def temporal(self, x, row, activation, batch):
        import tensorflow as tf

        size, stride = row.kernel[0], row.strides[0]
        height, width = x.shape[1:3]
        x = tf.reshape(x, (batch, -1, height * width, x.shape[-1]))
        if hasattr(row, "kind"):
            pool = tf.nn.max_pool2d if row.kind == "max" else tf.nn.avg_pool2d
            y = pool(x, (size, 1), (stride, 1), "SAME")
        else:
            kernel = self.named[f"{row.name}/kernel"][:, :, 0]
            y = _activate(self.norm(tf.nn.conv2d(x, kernel, (stride, 1), "SAME"), row), activation)
        return tf.reshape(y, (-1, height, width, y.shape[-1]))

    def conv(self, x, row, activation="linear"):
        import tensorflow as tf

        kernel = self.named[f"{row.name}/kernel"][0]
        return _activate(
            self.norm(tf.nn.conv2d(x, kernel, row.strides[1:], "SAME"), row), activation
        )

    def norm(self, x, row):
        import tensorflow as tf

        names = ("gamma", "beta", "moving_mean", "moving_variance")
        return tf.compat.v1.nn.fused_batch_norm(
            x, *(self.named[f"{row.name}/{w}"] for w in names), epsilon=1e-5, is_training=False
        )[0]

    def gate(self, x, name, parts, batch):
        import tensorflow as tf

        video = _unfold(x, batch)
        y = tf.reduce_mean(video, (1, 2, 3))
        for i, part in enumerate(parts):
            y = tf.nn.relu(y) if i else y
            y = y @ self.named[f"{name}/{part}_kernel"] + self.named[f"{name}/{part}_bias"]
        return tf.reshape(video * tf.sigmoid(y)[:, None, None, None], x.shape)


def _unfold(x, batch):
    import tensorflow as tf

    return tf.reshape(x, (batch, -1, *x.shape[1:]))


def _activate(x, name):
    import tensorflow as tf

    if name == "hard_swish":
        return x * tf.nn.relu6(x + 3.0) / 6.0
    return tf.nn.relu(x) if name == "relu" else x
