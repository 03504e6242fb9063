"""Losses and metrics for the kinds of labels that videos have."""

import keras


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
