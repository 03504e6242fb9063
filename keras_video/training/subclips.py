"""Walks through a video clip by clip, in the loop that each backend compiles once."""

import keras
from keras import tree


def over_subclips(frames, length, step, carry):
    """Applies `carry = step(subclip, carry)` to the subclips of a batch of videos, in order.

    On TensorFlow and JAX the step is traced once however many subclips there are, and the memory
    of one is free before the next begins.

    Args:
        frames: tensor `(batch, frames, height, width, 3)`.
        length: int, frames of a subclip; the last one holds what is left.
        step: function of a subclip `(batch, length, height, width, 3)` and the carry.
        carry: structure of tensors. `step` returns the same structure, shapes and dtypes.

    Returns:
        The last carry.
    """
    total = frames.shape[1]
    backend = keras.backend.backend()
    if total is None:
        return _tensorflow(frames, None, length, step, carry)
    whole = total // length
    if backend == "torch" or whole < 2:
        for i in range(whole):
            carry = step(frames[:, i * length : (i + 1) * length], carry)
    else:
        loop = _tensorflow if backend == "tensorflow" else _jax
        carry = loop(frames, whole, length, step, carry)
    return step(frames[:, whole * length :], carry) if total % length else carry


def count_subclips(frames, length):
    """Number of subclips, an int where the number of frames is known."""
    total = frames.shape[1]
    if total is not None:
        return -(-total // length)
    return -(-keras.ops.shape(frames)[1] // length)


def _tensorflow(frames, whole, length, step, carry):
    """A `while_loop`; with `whole=None` the number of frames is known only when it runs."""
    import tensorflow as tf

    count = count_subclips(frames, length) if whole is None else whole
    shapes = [value.shape for value in tree.flatten(carry)]

    def body(i, *flat):
        subclip = frames[:, i * length : (i + 1) * length]
        if whole is not None:
            subclip = tf.ensure_shape(subclip, (frames.shape[0], length, *frames.shape[2:]))
        new = tree.flatten(step(subclip, tree.pack_sequence_as(carry, list(flat))))
        return i + 1, *(tf.ensure_shape(n, s) for n, s in zip(new, shapes, strict=True))

    _, *flat = tf.while_loop(
        lambda i, *_: i < count,
        body,
        (tf.constant(0), *tree.flatten(carry)),
        parallel_iterations=1,
    )
    return tree.pack_sequence_as(carry, flat)


def _jax(frames, whole, length, step, carry):
    import jax

    def body(i, carry):
        return step(jax.lax.dynamic_slice_in_dim(frames, i * length, length, axis=1), carry)

    return jax.lax.fori_loop(0, whole, body, carry)
