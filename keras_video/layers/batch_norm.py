"""Batch norm in training, in the form that is fast on the backend."""

import keras
from keras import ops


def normalize_batch(norm, x):
    """Normalises with the statistics of the batch and updates the moving ones.

    The numbers are those of `keras.layers.BatchNormalization` in training, biased variance
    included; Keras composes it of a dozen passes over the video, the backends have one operation.

    Args:
        norm: built `keras.layers.BatchNormalization` on the last axis.
        x: tensor `(batch, height, width, channels)`.

    Returns:
        A tensor of the same shape and dtype.
    """
    forms = {"tensorflow": _tensorflow, "torch": _torch}
    form = forms.get(keras.backend.backend())
    if form is None:
        return norm(x, training=True)
    y, mean, variance = form(ops.cast(x, "float32"), norm)
    for moving, batch in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        moving.assign(moving * norm.momentum + batch * (1.0 - norm.momentum))
    return ops.cast(y, x.dtype)


def _tensorflow(x, norm):
    import tensorflow as tf

    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x, norm.gamma, norm.beta, epsilon=norm.epsilon, is_training=True
    )
    # The operation returns the unbiased variance.
    count = tf.cast(tf.size(x) // tf.shape(x)[-1], variance.dtype)
    return y, tf.stop_gradient(mean), tf.stop_gradient(variance * (count - 1.0) / count)


def _torch(x, norm):
    import torch

    gamma, beta = ops.convert_to_tensor(norm.gamma), ops.convert_to_tensor(norm.beta)
    y, mean, inverse = torch.native_batch_norm(
        x.permute(0, 3, 1, 2), gamma, beta, None, None, True, 0.0, norm.epsilon
    )
    variance = inverse.detach() ** -2 - norm.epsilon
    return y.permute(0, 2, 3, 1), mean.detach(), variance
