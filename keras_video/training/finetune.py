"""`finetune`: what fine-tuning a video network takes, in one call.

Losses and metrics for the kinds of labels that videos have.
"""

import os

import keras

from keras_video.specs import check_int
from keras_video.training.backup import resumable_fit


def choose_loss(labels, label_smoothing=0.0):
    """Loss and metrics that suit labels of a kind, for networks that end in logits.

    Args:
        labels: array, ints `(batch,)` or floats `(batch, classes)`.
        label_smoothing: float in [0, 1).

    Returns:
        The pair of a loss and a list of metrics.
    """
    smooth = {"from_logits": True, "label_smoothing": label_smoothing}
    if is_multi_label(labels):
        area = keras.metrics.AUC(multi_label=True, from_logits=True, curve="PR", name="pr_auc")
        return keras.losses.BinaryCrossentropy(**smooth), [area]
    if labels.ndim == 2:
        accuracy = keras.metrics.CategoricalAccuracy(name="accuracy")
        return keras.losses.CategoricalCrossentropy(**smooth), [accuracy]
    accuracy = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
    if label_smoothing:
        return SmoothedCrossentropy(label_smoothing), [accuracy]
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True), [accuracy]


def is_multi_label(labels):
    """bool, whether rows `(batch, classes)` are several 0/1 answers instead of one distribution."""
    return labels.ndim == 2 and bool((abs(labels.sum(axis=1) - 1) > 1e-3).any())


def check_labels(labels, output_shape):
    """Raises where labels and the classes of a network cannot belong together."""
    classes = output_shape[-1]
    if labels.ndim == 1 and (labels.min() < 0 or labels.max() >= classes):
        raise ValueError(
            f"labels: expected ints from 0 to {classes - 1} for a network of {classes} classes, "
            f"got {labels.min()} to {labels.max()}."
        )
    if labels.ndim == 2 and labels.shape[1] != classes:
        raise ValueError(
            f"labels: expected {classes} columns, one for each class of the network, "
            f"got {labels.shape[1]}."
        )
    if labels.ndim > 2:
        raise ValueError(f"labels: expected rank 1 or 2, got shape {labels.shape}.")


@keras.saving.register_keras_serializable("keras_video")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross entropy of int labels `(batch,)` and logits, with label smoothing.

    Args:
        label_smoothing: float in [0, 1): that much of the target is spread over all classes.
    """

    def __init__(self, label_smoothing=0.1, name="smoothed_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        labels = keras.ops.one_hot(
            keras.ops.cast(keras.ops.reshape(y_true, (-1,)), "int32"), y_pred.shape[-1]
        )
        return keras.losses.categorical_crossentropy(
            labels, y_pred, from_logits=True, label_smoothing=self.label_smoothing
        )

    def get_config(self):
        return {**super().get_config(), "label_smoothing": self.label_smoothing}


def finetune(
    model,
    train,
    validation=None,
    epochs=10,
    learning_rate=1e-3,
    weight_decay=1e-3,
    label_smoothing=0.0,
    freeze=None,
    warmup=0.1,
    backup=None,
    log_dir=None,
    callbacks=(),
    compile=True,
    verbose="auto",
):
    """Trains a network with pretrained weights on another data set.

    AdamW with a cosine schedule and linear warm-up, gradients clipped to a joint norm of 1; the
    early stages may be frozen.

    Args:
        model: `VideoClassifier` or `ClipRecurrent` with logits as outputs.
        train: `keras.utils.PyDataset` of `(clips, labels)`; it does its own shuffling. Int labels
            `(batch,)`, or floats `(batch, classes)` of one-hot or multi-hot kind.
        validation: data of the same kind, or `None`.
        epochs: int, at least 1.
        learning_rate: float, the highest rate, reached after the warm-up.
        weight_decay: float, that of AdamW.
        label_smoothing: float in [0, 1).
        freeze: `None`, or what `VideoClassifier.freeze` takes: the layer from which on the weights
            are trained, such as `"block3"`.
        warmup: float in [0, 1), part of all steps.
        backup: folder for exact backups, or `None`. After a crash the same call goes on at the
            batch where the last backup was made.
        log_dir: folder for TensorBoard (needs the `tensorboard` package and TensorFlow), or `None`.
        callbacks: more Keras callbacks.
        compile: bool. `False` keeps the optimizer, loss and metrics of a compiled model, and leaves
            `learning_rate`, `weight_decay`, `label_smoothing` and `warmup` without a meaning.
        verbose: as of `fit`.

    Returns:
        `keras.callbacks.History`.

    Raises:
        ValueError: if an argument is out of its range, or labels and classes do not match.
    """
    _check(epochs, learning_rate, warmup, label_smoothing)
    if not compile and not model.compiled:
        raise ValueError("compile: expected a compiled model beside compile=False.")
    labels = _first_labels(train)
    network = getattr(model, "network", model)
    check_labels(labels, network.output_shape[0] if network.streaming else network.output_shape)
    if freeze is not None:
        network.freeze(until=freeze)
    steps = epochs * len(train)
    if compile:
        rising = min(round(warmup * steps), steps - 1)
        schedule = keras.optimizers.schedules.CosineDecay(
            learning_rate / 10 if rising else learning_rate,
            steps - rising,
            warmup_target=learning_rate if rising else None,
            warmup_steps=rising,
        )
        optimizer = keras.optimizers.AdamW(schedule, weight_decay=weight_decay, global_clipnorm=1.0)
        loss, metrics = choose_loss(labels, label_smoothing)
        model.compile(optimizer, loss, metrics=metrics)
    callbacks = list(callbacks)
    if log_dir is not None:
        callbacks.append(keras.callbacks.TensorBoard(os.fspath(log_dir)))
    options = {"validation_data": validation, "callbacks": callbacks, "verbose": verbose}
    if backup is not None:
        every = max(1, min(100, len(train) // 4))
        return resumable_fit(model, train, epochs, backup, every, **options)
    # `train` shuffles by itself, and knows how to do it again.
    return model.fit(train, epochs=epochs, shuffle=False, **options)


def _first_labels(train):
    import numpy as np

    if not isinstance(train, keras.utils.PyDataset):
        raise ValueError(
            "train: expected a keras.utils.PyDataset, such as "
            f"keras_video.data.video_dataset_from_directory gives, got {type(train).__name__}."
        )
    if len(train) == 0:
        raise ValueError("train: expected at least one batch, got an empty data set.")
    batch = train[0]
    if not isinstance(batch, tuple) or len(batch) < 2:
        raise ValueError("train: expected batches (clips, labels), got clips without labels.")
    return np.asarray(batch[1])


def _check(epochs, learning_rate, warmup, label_smoothing):
    check_int("epochs", epochs)
    if not learning_rate > 0:
        raise ValueError(f"learning_rate: expected a positive number, got {learning_rate!r}.")
    for name, value in (("warmup", warmup), ("label_smoothing", label_smoothing)):
        if not 0 <= value < 1:
            raise ValueError(f"{name}: expected a number in [0, 1), got {value!r}.")
