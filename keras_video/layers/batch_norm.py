"""Batch norm in training, in the form that is fast on the backend."""

from keras import ops

from keras_video.layers import backend


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
    if not backend.HAS_BATCH_NORM:
        return norm(x, training=True)
    y, mean, variance = backend.with_batch_statistics(
        ops.cast(x, "float32"), norm.gamma, norm.beta, norm.epsilon
    )
    for moving, batch in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
        moving.assign(moving * norm.momentum + batch * (1.0 - norm.momentum))
    return ops.cast(y, x.dtype)
