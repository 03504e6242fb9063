"""Fine-tuning in one call, and the loss and metrics for each kind of label."""

import os

import keras
import numpy as np

from keras_video.checks import check_int, check_labels, check_number
from keras_video.training.backup import resumable_fit


@keras.saving.register_keras_serializable("keras_video")
class SmoothedCrossentropy(keras.losses.Loss):
    """Cross entropy of int labels `(batch,)` and logits, with label smoothing.

    Args:
        label_smoothing: float in [0, 1), the part of the target that is spread over all classes.
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


def is_multi_label(labels):
    """Return whether labels `(batch, classes)` are multi-hot: some row does not sum to 1."""
    return labels.ndim == 2 and bool((abs(labels.sum(axis=1) - 1) > 1e-3).any())


def choose_loss(labels, label_smoothing=0.0):
    """Return the loss and the metrics for a kind of label, for models that output logits.

    Args:
        labels: array, ints `(batch,)` or floats `(batch, classes)`.
        label_smoothing: float in [0, 1).

    Returns:
        `(loss, metrics)`: a Keras loss and a list of Keras metrics. Multi-hot labels get binary
        cross entropy, all others cross entropy over the classes.
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
    """Train a model with pretrained weights on another data set.

    The optimizer is AdamW with a cosine schedule and a linear warm-up. Gradients are clipped to a
    global norm of 1. The first stages can be frozen. Afterwards the model knows the class names and
    the clips of a `keras_video.data.VideoDataset`, see `model.class_names` and
    `model.video_input`; they are saved with it.

    Args:
        model: `VideoClassifier` or `ClipRecurrent` that outputs logits.
        train: `keras.utils.PyDataset` of `(clips, labels)`, which does its own shuffling. Labels
            are ints `(batch,)`, or floats `(batch, classes)`: one-hot, mixed or multi-hot.
        validation: data of the same kind, or `None`.
        epochs: int, at least 1.
        learning_rate: float, the highest learning rate, reached after the warm-up.
        weight_decay: float, weight decay of AdamW.
        label_smoothing: float in [0, 1).
        freeze: `None`, or name of the first layer to train, such as `"block3"`. All layers before
            it are frozen, see `VideoClassifier.freeze`.
        warmup: float in [0, 1), the warm-up's share of all steps.
        backup: folder for backups, or `None`. After a crash the same call continues at the batch of
            the last backup, see `resumable_fit`.
        log_dir: folder for TensorBoard (requires the `tensorboard` package and TensorFlow), or
            `None`.
        callbacks: more Keras callbacks.
        compile: bool. `False` keeps the optimizer, loss and metrics of a compiled model; then
            `learning_rate`, `weight_decay`, `label_smoothing` and `warmup` are ignored.
        verbose: as in `fit`.

    Returns:
        `keras.callbacks.History`.

    Raises:
        ValueError: if an argument is out of its range, if labels and classes do not match, or if
            `compile=False` is given for a model that is not compiled.
    """
    check_int("epochs", epochs)
    check_number("learning_rate", learning_rate, above=0)
    for name, value in (("warmup", warmup), ("label_smoothing", label_smoothing)):
        if not 0 <= check_number(name, value) < 1:
            raise ValueError(f"{name}: expected a number in [0, 1), got {value!r}.")
    if not compile and not model.compiled:
        raise ValueError("compile=False requires a model that is already compiled.")
    labels = _first_labels(train)
    network = getattr(model, "network", model)
    outputs = network.output_shape[0] if network.streaming else network.output_shape
    _check_labels(labels, outputs[-1])
    _teach(network, train, labels, outputs[-1])
    if freeze is not None:
        network.find_layer("freeze", freeze)
        network.freeze(until=freeze)
    if compile:
        steps = epochs * len(train)
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
    # The data set shuffles by itself, and can repeat its order after a crash.
    return model.fit(train, epochs=epochs, shuffle=False, **options)


def _teach(network, train, labels, classes):
    """Let the network know the classes and the clips that it is trained on, as far as known."""
    info = getattr(network, "info", None)
    if info is None:
        return
    if classes > 1 and is_multi_label(labels):
        info["multi_label"] = True
    else:
        info.pop("multi_label", None)
    info.pop("measured", None)  # of the weights before training
    names = getattr(train, "class_names", None)
    if names is not None and len(names) == classes:
        network.class_names = names
    options, known = getattr(train, "clip_options", None), network.video_input
    if options is not None and known is not None:
        network.video_input = known.with_clip_options(options)


def _first_labels(train):
    if not isinstance(train, keras.utils.PyDataset):
        raise ValueError(
            "train: expected a keras.utils.PyDataset, such as that of "
            f"keras_video.data.video_dataset_from_directory, got {type(train).__name__}."
        )
    if len(train) == 0:
        raise ValueError("train: expected at least one batch, got an empty data set.")
    batch = train[0]
    if not isinstance(batch, tuple) or len(batch) < 2:
        raise ValueError("train: expected batches (clips, labels), got clips without labels.")
    return np.asarray(batch[1])


def _check_labels(labels, classes):
    """Check labels against the classes of a model; rows may also be soft, as after mixup."""
    if labels.ndim == 1:
        check_labels("labels", labels, classes)
    elif labels.ndim != 2 or labels.shape[1] != classes:
        raise ValueError(
            f"labels: expected class numbers (batch,), or rows (batch, {classes}) for the "
            f"{classes} classes of the model, got shape {labels.shape}."
        )
