"""Metrics compared with slow references that follow their definitions."""

import math

import numpy as np
import pytest

from keras_video.training import metrics

RNG = np.random.default_rng(7)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


# Average precision


def charades_map(scores, labels):
    """Compute average precisions as in the description of `Charades_v1_classify.m`.

    For each class the videos are sorted by score. Videos without labels get the score minus
    infinity. The list that is returned has NaN for 0 / 0.
    """
    scores = [list(row) if any(hot) else [-math.inf] * len(row)
              for row, hot in zip(scores, labels, strict=True)]  # fmt: skip
    results = []
    for c in range(len(scores[0])):
        queue = sorted(range(len(scores)), key=lambda v: -scores[v][c])  # stable, as in MATLAB
        found, total = 0, 0.0
        for place, video in enumerate(queue, 1):
            if labels[video][c]:
                found += 1
                total += found / place
        results.append(total / found if found else math.nan)
    return results


def test_average_precision_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.5])
    positives = np.array([1, 0, 1, 0, 1])
    assert metrics.average_precision(scores, positives) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert metrics.average_precision(-scores, positives) == pytest.approx((1 + 2 / 3 + 3 / 5) / 3)
    assert metrics.average_precision(scores, [0, 0, 0, 0, 1]) == pytest.approx(1 / 5)
    assert metrics.average_precision(scores, [1, 1, 1, 1, 1]) == 1
    assert math.isnan(metrics.average_precision(scores, [0, 0, 0, 0, 0]))


def test_equal_scores_keep_their_order():
    """Equal scores give the precision of the original order of the videos."""
    assert metrics.average_precision(np.zeros(4), [0, 0, 0, 1]) == pytest.approx(1 / 4)
    assert metrics.average_precision(np.zeros(4), [1, 0, 0, 0]) == 1


@pytest.mark.parametrize("seed", range(5))
def test_mean_average_precision_is_that_of_charades(seed):
    rng = np.random.default_rng(seed)
    labels = rng.random((40, 9)) < 0.2
    labels[3:8] = False  # videos without labels, which would spoil the precision if they counted
    labels[:, 4] = False  # a class without positives
    scores = np.round(rng.standard_normal((40, 9)), 1)  # with ties
    scores[3:8] += 5
    expected = charades_map(scores.tolist(), labels.tolist())
    mean, each = metrics.mean_average_precision(scores, labels)
    np.testing.assert_allclose(each, expected, rtol=1e-12)
    assert math.isnan(each[4])
    assert mean == pytest.approx(np.nanmean(expected), rel=1e-12)
    assert mean != pytest.approx(metrics.mean_average_precision(-scores, labels)[0], abs=1e-3)


def test_average_precision_is_that_of_sklearn_where_nothing_is_equal():
    reference = pytest.importorskip("sklearn.metrics").average_precision_score
    scores, positives = RNG.standard_normal(200), RNG.random(200) < 0.3
    ours = metrics.average_precision(scores, positives)
    assert ours == pytest.approx(reference(positives, scores), rel=1e-12)


def test_mean_average_precision_without_any_positives():
    mean, each = metrics.mean_average_precision(np.ones((3, 2)), np.zeros((3, 2)))
    assert math.isnan(mean) and np.isnan(each).all()


# Ranks and confusion


def test_ranks_against_sorting():
    logits = np.round(RNG.standard_normal((50, 7)), 0)  # with ties
    labels = RNG.integers(0, 7, 50)
    expected = [
        sorted(range(7), key=lambda c: (-row[c], c)).index(label)
        for row, label in zip(logits, labels, strict=True)
    ]
    ranks = metrics.ranks(logits, labels)
    np.testing.assert_array_equal(ranks, expected)
    np.testing.assert_array_equal(ranks == 0, logits.argmax(-1) == labels)


def test_ranks_after_every_step():
    logits = RNG.standard_normal((4, 3, 5))
    labels = RNG.integers(0, 5, 4)
    together = metrics.ranks(logits, np.repeat(labels[:, None], 3, axis=1))
    for step in range(3):
        np.testing.assert_array_equal(together[:, step], metrics.ranks(logits[:, step], labels))


def test_a_constant_answer_is_right_by_chance_only():
    ranks = metrics.ranks(np.zeros((10, 10)), np.arange(10))
    assert np.mean(ranks < 1) == 0.1 and np.mean(ranks < 5) == 0.5


def test_confusion_has_truth_in_rows():
    matrix = metrics.confusion_matrix([0, 0, 2, 2, 2], [1, 0, 0, 2, 0], 4)
    expected = [[1, 1, 0, 0], [0, 0, 0, 0], [2, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(matrix, expected)
    assert matrix.dtype == np.int64


# Averaging before softmax


def test_means_of_log_probabilities_are_those_of_logits():
    logits = 4 * RNG.standard_normal((3, 20, 6))  # views, videos, classes
    logits[0, :, 2] += 15  # large logits in one view would dominate a mean of probabilities
    probabilities = softmax(logits).astype("float32")
    from_logits = softmax(logits.mean(axis=0))
    from_softmax = softmax(metrics.to_logits(probabilities, "softmax").mean(axis=0))
    np.testing.assert_allclose(from_softmax, from_logits, atol=1e-5)
    assert np.abs(probabilities.mean(axis=0) - from_logits).max() > 0.2


def test_sigmoid_is_undone():
    logits = np.linspace(-30, 14, 45)
    outputs = (1 / (1 + np.exp(-logits))).astype("float32")
    np.testing.assert_allclose(metrics.to_logits(outputs, "sigmoid"), logits, atol=0.1)
    assert metrics.to_logits(logits) is not None
    np.testing.assert_array_equal(metrics.to_logits(logits), logits)


def test_saturated_outputs_stay_finite_and_in_order():
    outputs = np.array([0.0, 1e-40, 0.5, 1 - 2**-24, 1.0], "float32")
    for activation in ("softmax", "sigmoid"):
        logits = metrics.to_logits(outputs, activation)
        assert np.isfinite(logits).all() and (np.diff(logits) > 0).all()


def test_unknown_activation():
    with pytest.raises(ValueError, match="relu"):
        metrics.to_logits([1.0], "relu")
