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
    if keras.backend.backend() not in FORMS:
        return norm(x, training=True)
    y, mean, variance = with_batch_statistics(
        ops.cast(x, "float32"), norm.gamma, norm.beta, norm.epsilon
    )
    for moving, batch in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        moving.assign(moving * norm.momentum + batch * (1.0 - norm.momentum))
    return ops.cast(y, x.dtype)


def with_batch_statistics(x, gamma, beta, epsilon):
    """Normalises with the statistics of the batch.

    Args:
        x: float32 tensor `(batch, height, width, channels)`.
        gamma, beta: tensors or variables `(channels,)`.
        epsilon: float, added to the variance.

    Returns:
        The tensor of the same shape, the means and the biased variances, `(channels,)` each.
    """
    return FORMS.get(keras.backend.backend(), _composed)(x, gamma, beta, epsilon)


def _composed(x, gamma, beta, epsilon):
    mean, variance = ops.moments(x, (0, 1, 2))
    return ops.batch_normalization(x, mean, variance, -1, beta, gamma, epsilon), mean, variance


def _tensorflow(x, gamma, beta, epsilon):
    import tensorflow as tf

    y, mean, variance = tf.compat.v1.nn.fused_batch_norm(
        x, gamma, beta, epsilon=epsilon, is_training=True
    )
    # The operation returns the unbiased variance.
    count = tf.cast(tf.size(x) // tf.shape(x)[-1], variance.dtype)
    return y, tf.stop_gradient(mean), tf.stop_gradient(variance * (count - 1.0) / count)


def _torch(x, gamma, beta, epsilon):
    import torch

    gamma, beta = ops.convert_to_tensor(gamma), ops.convert_to_tensor(beta)
    y, mean, inverse = torch.native_batch_norm(
        x.permute(0, 3, 1, 2), gamma, beta, None, None, True, 0.0, epsilon
    )
    variance = inverse.detach() ** -2 - epsilon
    return y.permute(0, 2, 3, 1), mean.detach(), variance


FORMS = {"tensorflow": _tensorflow, "torch": _torch}
