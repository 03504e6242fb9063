"""What an evaluation counts, on NumPy arrays: ranks, confusion, average precision."""

import numpy as np

# Where probabilities in float32 are 0 or 1: closer to these than any other float32.
SMALLEST, LARGEST = 2.0**-150, 1 - 2.0**-25


def to_logits(outputs, activation="linear"):
    """Undoes the activation of a classifier, so that answers to several views may be averaged.

    For softmax these are the logarithms of the probabilities. They differ from the logits by a
    number that is the same for all classes of a clip, and so do their means: `softmax` and
    `argmax` of a mean over views come out as from the logits themselves (bLVNet-TAM: logits of
    clips and crops are averaged first, softmax afterwards).

    Args:
        outputs: array `(..., classes)`.
        activation: `"linear"`, `"softmax"` or `"sigmoid"`, what the outputs went through.

    Returns:
        float64 array of the same shape. What a softmax rounded to 0, or a sigmoid to 0 or 1, cannot
        be told apart any more; models without a last activation lose nothing.
    """
    outputs = np.asarray(outputs).astype("float64")
    if activation == "linear":
        return outputs
    if activation == "softmax":
        return np.log(np.maximum(outputs, SMALLEST))
    if activation == "sigmoid":
        outputs = np.clip(outputs, SMALLEST, LARGEST)
        return np.log(outputs) - np.log1p(-outputs)
    raise ValueError(
        f"`activation` must be 'linear', 'softmax' or 'sigmoid'. Received: {activation!r}"
    )


def check_labels(labels, num_classes):
    """Brings labels into one form.

    Args:
        labels: array: class numbers `(videos,)` or `(videos, 1)`, or 0 and 1 (one-hot or multi-hot)
            `(videos, num_classes)`.
        num_classes: int, outputs of the model.

    Returns:
        int64 array `(videos,)` or bool array `(videos, num_classes)`, by what came in.

    Raises:
        ValueError: for another shape, for class numbers outside of `[0, num_classes)`, for values
            other than 0 and 1 in the second form.
    """
    labels = np.asarray(labels)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim not in (1, 2) or labels.dtype.kind not in "biuf":
        raise ValueError(
            "Labels must be class numbers of shape (videos,) or zeros and ones of shape "
            f"(videos, classes). Received: shape {labels.shape} and dtype {labels.dtype}"
        )
    if labels.ndim == 2:
        if labels.shape[1] != num_classes:
            raise ValueError(
                f"Labels of shape (videos, classes) must have a column for each of the "
                f"{num_classes} outputs of the model. Received: shape {labels.shape}"
            )
        if not np.isin(labels, (0, 1)).all():
            raise ValueError("Labels of shape (videos, classes) must be 0 or 1, not in between.")
        return labels.astype(bool)
    wrong = (labels < 0) | (labels >= num_classes) | (labels != np.floor(labels))
    if wrong.any():
        first = int(np.argmax(wrong))
        raise ValueError(
            f"Labels must be whole numbers from 0 to {num_classes - 1}, one for each of the "
            f"{num_classes} outputs of the model. Received: {labels[first]} (number {first})"
        )
    return labels.astype("int64")


def ranks(logits, labels):
    """How many classes come before the right one; 0 where the model is right.

    Of equal outputs the one with the lower class number comes first, as for `np.argmax`: a model
    that always says the same does not pass as right.

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
    """Counts videos by true class (row) and predicted class (column).

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
    """Mean, over the positive videos, of the precision at their place in the list by score.

    No interpolation. Videos with equal scores stay in the order in which they came.

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
    """Mean average precision of videos that may show several classes, by the rule of Charades.

    As in `Charades_v1_classify.m` (Sigurdsson et al. 2016, arXiv 1604.01753): the average precision
    of each class over all test videos, then the plain mean over classes. Videos without any label
    come last in every list there, so that they count for nothing. A class without positives has no
    average precision (0 / 0; it does not occur in the Charades test set) and is left out here.

    Args:
        scores: array `(videos, classes)`; only their order within a class matters.
        labels: array `(videos, classes)` of 0 and 1.

    Returns:
        The pair of the mean, a float in [0, 1], and the float array `(classes,)` of average
        precisions, NaN where a class has no positives. The mean is NaN if no class has any.
    """
    labels = np.asarray(labels, bool)
    labelled = labels.any(axis=1)
    scores, labels = np.asarray(scores)[labelled], labels[labelled]
    each = [average_precision(s, p) for s, p in zip(scores.T, labels.T, strict=True)]
    each = np.array(each, "float64")
    known = each[~np.isnan(each)]
    return (float(known.mean()) if len(known) else float("nan")), each
