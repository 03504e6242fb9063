"""Metrics of an evaluation, on NumPy arrays: ranks, confusion matrix, average precision."""

import numpy as np

from keras_video.checks import check_choice

# Rounding to float32 turns smaller probabilities into 0 and larger ones into 1.
SMALLEST, LARGEST = 2.0**-150, 1 - 2.0**-25


def to_logits(outputs, activation="linear"):
    """Invert the last activation of a classifier, so that several views can be averaged.

    For softmax the result is the logarithm of the probabilities. It differs from the logits by a
    constant for each clip. `softmax` and `argmax` of a mean over views therefore come out as with
    the logits themselves (bLVNet-TAM averages the logits of clips and crops, then applies softmax).

    Args:
        outputs: array `(..., classes)`.
        activation: `"linear"`, `"softmax"` or `"sigmoid"`, the last activation of the model.

    Returns:
        float64 array of the same shape. Probabilities that float32 rounded to 0 or 1 get the same
        finite value: their differences are lost. Models without a last activation lose nothing.

    Raises:
        ValueError: for another activation.
    """
    check_choice("activation", activation, ("linear", "softmax", "sigmoid"))
    outputs = np.asarray(outputs).astype("float64")
    if activation == "linear":
        return outputs
    if activation == "softmax":
        return np.log(np.maximum(outputs, SMALLEST))
    outputs = np.clip(outputs, SMALLEST, LARGEST)
    return np.log(outputs) - np.log1p(-outputs)


def ranks(logits, labels):
    """Count the classes that a model ranks above the right one; 0 where the model is right.

    Of equal outputs the lower class number ranks first, as in `np.argmax`. A model that gives all
    classes the same output is therefore right by chance only.

    Args:
        logits: array `(..., classes)`.
        labels: int array `(...)`.

    Returns:
        int64 array `(...)`. Top-k accuracy is the mean of `ranks < k`.
    """
    labels = np.asarray(labels)[..., None]
    own = np.take_along_axis(logits, labels, axis=-1)
    earlier = np.arange(logits.shape[-1]) < labels
    return np.sum((logits > own) | ((logits == own) & earlier), axis=-1)


def confusion_matrix(labels, predictions, num_classes):
    """Count videos by true class (row) and predicted class (column).

    Args:
        labels, predictions: int arrays `(videos,)` of values in `[0, num_classes)`.
        num_classes: int.

    Returns:
        int64 array `(num_classes, num_classes)`.
    """
    cells = np.asarray(labels) * num_classes + np.asarray(predictions)
    counts = np.bincount(cells, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes).astype("int64")


def average_precision(scores, positives):
    """Return the average precision of one class.

    The videos are sorted by score. The result is the mean of the precision at the position of each
    positive video, without interpolation. Videos with equal scores keep their order.

    Args:
        scores: array `(videos,)`.
        positives: bool array `(videos,)`.

    Returns:
        float in (0, 1], or NaN if there are no positives.
    """
    hits = np.asarray(positives, bool)[np.argsort(-np.asarray(scores), kind="stable")]
    if not hits.any():
        return float("nan")
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    return float(precision[hits].mean())


def mean_average_precision(scores, labels):
    """Return the mean average precision of videos with several labels, as Charades defines it.

    As in `Charades_v1_classify.m` (Sigurdsson et al. 2016, arXiv 1604.01753): the average precision
    of each class over all test videos, then the plain mean over classes. Videos without any label
    are ranked last there, so they have no effect. The average precision of a class without
    positive videos is undefined (0 / 0), and the class is left out of the mean. Charades has no
    such class.

    Args:
        scores: array `(videos, classes)`. Only the order of the videos within a class matters.
        labels: array `(videos, classes)` of 0 and 1.

    Returns:
        `(mean, average_precisions)`: float in [0, 1], and float array `(classes,)`, NaN for classes
        without positive videos. The mean is NaN if all classes are without.
    """
    labels = np.asarray(labels, bool)
    labelled = labels.any(axis=1)
    scores, labels = np.asarray(scores)[labelled], labels[labelled]
    each = [average_precision(s, p) for s, p in zip(scores.T, labels.T, strict=True)]
    each = np.array(each, "float64")
    known = each[~np.isnan(each)]
    return (float(known.mean()) if len(known) else float("nan")), each
