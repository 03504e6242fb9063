"""Training of streaming models on long videos, subclip by subclip, in the memory of one subclip."""

import keras
from keras import ops, tree

from keras_video.checks import check_choice, check_int
from keras_video.models import VideoClassifier

REDUCTIONS = ("sum", "mean")


def over_subclips(frames, length, step, carry):
    """Apply `carry = step(subclip, carry)` to the subclips of a batch of videos, in order.

    On TensorFlow and JAX the step is traced only once, and the memory of a subclip is freed before
    the next one starts.

    Args:
        frames: tensor `(batch, frames, height, width, 3)`.
        length: int, number of frames of a subclip; the last one may be shorter.
        step: function of a subclip `(batch, length, height, width, 3)` and the carry.
        carry: structure of tensors. `step` must return the same structure, shapes and dtypes.

    Returns:
        The final carry.
    """
    total = frames.shape[1]
    backend = keras.backend.backend()
    if total is None:
        return _tensorflow_loop(frames, None, length, step, carry)
    whole = total // length
    if backend == "torch" or whole < 2:
        for i in range(whole):
            carry = step(frames[:, i * length : (i + 1) * length], carry)
    else:
        loop = _tensorflow_loop if backend == "tensorflow" else _jax_loop
        carry = loop(frames, whole, length, step, carry)
    return step(frames[:, whole * length :], carry) if total % length else carry


def count_subclips(frames, length):
    """Return the number of subclips: an int if the number of frames is known, else a tensor."""
    total = frames.shape[1]
    if total is not None:
        return -(-total // length)
    return -(-ops.shape(frames)[1] // length)


def _tensorflow_loop(frames, whole, length, step, carry):
    """Run `over_subclips` as a `while_loop`; `whole=None` if the number of frames is unknown."""
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


def _jax_loop(frames, whole, length, step, carry):
    import jax

    def body(i, carry):
        return step(jax.lax.dynamic_slice_in_dim(frames, i * length, length, axis=1), carry)

    return jax.lax.fori_loop(0, whole, body, carry)


@keras.saving.register_keras_serializable("keras_video")
class ClipRecurrent(keras.Model):
    """Train a streaming model clip by clip (Kondratyuk et al. 2021, section 3.2.2).

    A batch of videos is split into subclips. Each subclip has its own forward and backward pass,
    with the loss of the predictions after its last frame. The state passes to the next subclip,
    gradients do not pass back. The gradients of all subclips are added, and the optimizer makes one
    step per batch. So the memory depends on `clip_frames`, not on the length of the videos, and the
    model still learns to use frames of earlier subclips. With a single subclip this is ordinary
    training.

    The weights are those of `network`: save it, or copy its weights to a clip model with
    `keras_video.models.copy_weights`. `evaluate` and `predict` also run subclip by subclip.

    Args:
        network: `VideoClassifier` built with `streaming=True`.
        clip_frames: int, at least 1, number of frames of a subclip. The last one may be shorter.
            Batch norm computes its statistics from one subclip at a time.
        reduction: `"sum"` or `"mean"` of the losses of the subclips, and so of their gradients.
            Regularization losses count once per batch in both cases.
        name: string.

    Call arguments:
        frames: tensor `(batch, frames, height, width, 3)`. The number of frames may differ between
            batches (each new number is compiled), height and width may not.
        training: bool.

    Returns:
        Predictions `(batch, classes)` after the last frame.

    Raises:
        ValueError: if `network` does not stream, or an argument is out of its range.

    Example:
    >>> network = keras_video.applications.MoViNetA0(streaming=True, classes=10)
    >>> trainer = keras_video.training.ClipRecurrent(network, clip_frames=8)
    >>> trainer.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> trainer.fit(videos, labels)  # doctest: +SKIP
    """

    def __init__(self, network, clip_frames=8, reduction="sum", name=None, **kwargs):
        if not getattr(network, "streaming", False):
            raise ValueError(
                "network: expected a model built with streaming=True, "
                f"got {getattr(network, 'name', network)!r}."
            )
        check_int("clip_frames", clip_frames)
        check_choice("reduction", reduction, REDUCTIONS)
        super().__init__(name=name or f"{network.name}_trainer", **kwargs)
        self.network = network
        self.clip_frames = clip_frames
        self.reduction = reduction
        self.built = True

    def call(self, frames, training=None):
        if training:
            return self.network(frames, self._first_state(frames), training=True)[0]

        def step(subclip, carry):
            predictions, state = self.network(subclip, carry[0], training=False)
            return state, predictions

        carry = (self._first_state(frames), self._no_predictions(frames))
        return over_subclips(frames, self.clip_frames, step, carry)[1]

    def __call__(self, frames, *args, **kwargs):
        self.network.check_frames(frames)
        return super().__call__(frames, *args, **kwargs)

    def compute_output_spec(self, frames, training=None):
        outputs = self.network.outputs[0]
        return keras.KerasTensor((frames.shape[0], *outputs.shape[1:]), outputs.dtype)

    def train_step(self, *args):
        """Run one step of `fit`, with the arguments of the backend's Keras trainer."""
        steps = {"tensorflow": _tensorflow_step, "jax": _jax_step, "torch": _torch_step}
        return steps[keras.backend.backend()](self, *args)

    def subclip_loss(self, subclip, state, y, sample_weight, count):
        """Return the contribution of one subclip to the loss of a batch of `count` subclips.

        Returns:
            `(loss, predictions, new_state)`.
        """
        predictions, state = self.network(subclip, state, training=True)
        loss = self.compute_loss(subclip, y, predictions, sample_weight, training=True)
        count = ops.cast(count, loss.dtype)
        share = 1 if self.reduction == "sum" else 1 / count
        if self.losses:
            penalty = sum(ops.cast(extra, loss.dtype) for extra in self.losses)
            loss = (loss - penalty) * share + penalty / count
        else:
            loss = loss * share
        return loss, predictions, state

    def update_metrics(self, x, y, predictions, sample_weight, loss):
        """Update the metrics with the predictions after the last frame; return their values."""
        for metric in self.metrics:
            if metric.name == "loss":
                metric.update_state(loss, sample_weight=ops.shape(x)[0])
        return self.compute_metrics(x, y, predictions, sample_weight)

    def _first_state(self, frames):
        batch_size, _, height, width, _ = frames.shape
        spec = self.network.state_spec(batch_size, height, width)
        batch_size = ops.shape(frames)[0]
        return tree.map_structure(lambda s: ops.zeros((batch_size, *s.shape[1:]), s.dtype), spec)

    def _no_predictions(self, frames):
        outputs = self.network.outputs[0]
        return ops.zeros((ops.shape(frames)[0], *outputs.shape[1:]), outputs.dtype)

    def get_config(self):
        return {
            "network": keras.saving.serialize_keras_object(self.network),
            "clip_frames": self.clip_frames,
            "reduction": self.reduction,
            "name": self.name,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        network = keras.saving.deserialize_keras_object(
            config["network"], custom_objects={"VideoClassifier": VideoClassifier}
        )
        return cls(**{**config, "network": network})


def _tensorflow_step(trainer, data):
    import tensorflow as tf

    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    weights = trainer.trainable_weights
    count = count_subclips(x, trainer.clip_frames)

    def step(subclip, carry):
        state, gradients, total, _ = carry
        with tf.GradientTape() as tape:
            loss, predictions, state = trainer.subclip_loss(subclip, state, y, sample_weight, count)
            objective = trainer.optimizer.scale_loss(loss)
        new = tape.gradient(objective, weights, unconnected_gradients="zero")
        gradients = [a + b for a, b in zip(gradients, new, strict=True)]
        return state, gradients, total + tf.cast(loss, "float32"), predictions

    carry = (
        trainer._first_state(x),
        [tf.zeros_like(w.value) for w in weights],
        tf.constant(0.0),
        trainer._no_predictions(x),
    )
    _, gradients, loss, predictions = over_subclips(x, trainer.clip_frames, step, carry)
    trainer.optimizer.apply_gradients(zip(gradients, weights, strict=True))
    return trainer.update_metrics(x, y, predictions, sample_weight, loss)


def _torch_step(trainer, data):
    import torch

    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    count = count_subclips(x, trainer.clip_frames)
    trainer.zero_grad()

    def step(subclip, carry):
        state, total, _ = carry
        loss, predictions, state = trainer.subclip_loss(subclip, state, y, sample_weight, count)
        trainer.optimizer.scale_loss(loss).backward()  # adds to the gradients that are there
        state = tree.map_structure(lambda t: t.detach(), state)
        return state, total + float(loss), predictions.detach()

    carry = (trainer._first_state(x), 0.0, None)
    _, loss, predictions = over_subclips(x, trainer.clip_frames, step, carry)
    weights = trainer.trainable_weights
    with torch.no_grad():
        trainer.optimizer.apply([w.value.grad for w in weights], weights)
    return trainer.update_metrics(x, y, predictions, sample_weight, loss)


def _jax_step(trainer, variables, data):
    import jax
    from jax import numpy as jnp

    trainable, rest, optimizer_variables, metrics_variables = variables
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    count = count_subclips(x, trainer.clip_frames)
    optimizer = [*zip(trainer.optimizer.variables, optimizer_variables, strict=True)]

    def forward(trainable, rest, subclip, state):
        mapping = [
            *zip(trainer.trainable_variables, trainable, strict=True),
            *zip(trainer.non_trainable_variables, rest, strict=True),
            *optimizer,
        ]
        with keras.StatelessScope(state_mapping=mapping) as scope:
            loss, predictions, state = trainer.subclip_loss(subclip, state, y, sample_weight, count)
            objective = trainer.optimizer.scale_loss(loss)
        rest = [scope.get_current_value(v) for v in trainer.non_trainable_variables]
        return objective, (loss, predictions, state, rest)

    differentiate = jax.grad(forward, has_aux=True)

    def step(subclip, carry):
        state, gradients, total, _, rest = carry
        new, (loss, predictions, state, rest) = differentiate(trainable, rest, subclip, state)
        gradients = [a + b for a, b in zip(gradients, new, strict=True)]
        return state, gradients, total + loss.astype("float32"), predictions, rest

    carry = (
        trainer._first_state(x),
        [jnp.zeros_like(w) for w in trainable],
        jnp.zeros(()),
        trainer._no_predictions(x),
        rest,
    )
    _, gradients, loss, predictions, rest = over_subclips(x, trainer.clip_frames, step, carry)
    trainable, optimizer_variables = trainer.optimizer.stateless_apply(
        optimizer_variables, gradients, trainable
    )
    mapping = [*zip(trainer.metrics_variables, metrics_variables, strict=True)]
    with keras.StatelessScope(state_mapping=mapping) as scope:
        logs = trainer.update_metrics(x, y, predictions, sample_weight, loss)
    metrics_variables = [scope.get_current_value(v) for v in trainer.metrics_variables]
    return logs, (trainable, rest, optimizer_variables, metrics_variables)
