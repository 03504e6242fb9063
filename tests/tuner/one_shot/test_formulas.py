"""Rewards, schedules and weights, compared with NumPy."""

import numpy as np
import pytest
from keras import ops

from keras_video.tuner.one_shot import algorithms
from keras_video.tuner.one_shot.algorithms import ImportanceSampling, Reinforce, Uniform
from tests.helpers import to_numpy


def number(x):
    return float(to_numpy(ops.convert_to_tensor(x)))


@pytest.mark.parametrize("ratio", [0.5, 1.0, 1.3])
def test_rewards(ratio):
    q = np.float32(0.7)
    expected = {
        "absolute": 0.7 - 0.2 * abs(ratio - 1),
        "soft": 0.7 * ratio**-0.2,
        "hard": 0.7 * min(1.0, ratio**-0.2),
    }
    for kind, reward in expected.items():
        found = Reinforce(kind, beta=-0.2).reward(q, np.float32(ratio))
        assert number(found) == pytest.approx(reward, rel=1e-6)
    found = ImportanceSampling(penalty=2.0).reward(q, np.float32(ratio))
    assert number(found) == pytest.approx(0.7 - 2 * max(0, ratio - 1), rel=1e-6)
    assert Uniform().reward(q, ratio) == q


def test_warm_up_falls_linearly():
    found = [number(algorithms.warm_up(np.float32(step), 8)) for step in (0, 2, 8, 100)]
    assert found == [1, 0.75, 0, 0]
    assert number(algorithms.warm_up(np.float32(0), 0)) == 0  # there is none


def test_the_policy_waits_and_then_learns_faster_and_faster():
    rates = [
        number(algorithms.policy_rate(np.float32(step), 100, 0.25, 0.01, 10.0))
        for step in (0, 24, 25, 62.5, 100)
    ]
    assert rates[:2] == [0, 0]
    assert rates[2:] == pytest.approx([0.01, 0.01 * 10**0.5, 0.1], rel=1e-5)
    whole = Reinforce()
    assert whole.first_rate(10**6) == 4.8e-3  # as published
    steps = np.arange(400, dtype="float32")
    rate = whole.first_rate(400)
    way = sum(number(algorithms.policy_rate(s, 400, 0.25, rate, 10.0)) for s in steps)
    assert way == pytest.approx(20, rel=0.02)  # as far as in a long search


def test_moving_average_is_not_biased_by_its_beginning():
    values = np.random.default_rng(0).normal(size=20).astype("float32")
    total = weight = 0.0
    for n, value in enumerate(values):
        total, weight, average = algorithms.moving_average(total, weight, value, 0.95)
        weights = 0.05 * 0.95 ** np.arange(n, -1, -1)
        assert number(average) == pytest.approx(
            np.average(values[: n + 1], weights=weights), rel=1e-4, abs=1e-5
        )


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_adam(beta1):
    rng = np.random.default_rng(1)
    value, mean, square = (np.zeros((2, 3), "float32") for _ in range(3))
    expected, m, v = value.astype("float64"), 0.0, 0.0
    for step in range(1, 6):
        gradient = rng.normal(size=(2, 3)).astype("float32")
        tensors = map(ops.convert_to_tensor, (value, mean, square, np.float32(step), gradient))
        value, mean, square = algorithms.adam(*tensors, 0.1, beta1, 0.999)
        m = beta1 * m + (1 - beta1) * gradient
        v = 0.999 * v + 0.001 * gradient.astype("float64") ** 2
        expected -= 0.1 * (m / (1 - beta1**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
        value, mean, square = map(to_numpy, (value, mean, square))
        np.testing.assert_allclose(value, expected, rtol=2e-4)


def test_importance_weights():
    rewards = np.array([0.31, 0.33, 0.36, -9.0], "float32")

    def weights(rewards, drawn=None):
        drawn = None if drawn is None else ops.convert_to_tensor(drawn, "float32")
        rewards = ops.convert_to_tensor(rewards, "float32")
        return to_numpy(algorithms.importance_weights(rewards, 0.05, drawn))

    found = weights(rewards)
    powers = np.exp(rewards.astype("float64") / 0.05)
    np.testing.assert_allclose(found, powers / powers.sum(), rtol=1e-4, atol=1e-9)
    assert found.sum() == pytest.approx(1, abs=1e-6)
    assert found[3] == 0  # far above the target
    shifted = weights(rewards + 5)
    np.testing.assert_allclose(shifted, found, atol=1e-4)
    even = weights(np.full(4, 0.3))
    np.testing.assert_allclose(even, 0.25)
    # If all exceed the target, the smallest excess wins.
    over = weights([-1e4, -1.2e4])
    np.testing.assert_allclose(over, [1, 0])
    some = weights(rewards, [1, 1, 0, 0])
    np.testing.assert_allclose(some[:2], powers[:2] / powers[:2].sum(), rtol=1e-4)
    assert not some[2:].any()
    assert weights([0.2]) == [1]


def test_number_of_samples_follows_the_entropy():
    found = [number(algorithms.number_of_samples(np.float32(h), 0.25, 8)) for h in (60, 17, 4.1, 0)]
    assert found == [8, 5, 2, 2]


def test_qualities():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]], "float32")
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    labels = np.array([0, 1, 1])
    for given in (labels, labels[:, None], np.eye(2, dtype="float32")[labels]):
        assert to_numpy(algorithms.accuracy(given, logits)).tolist() == [1, 1, 0]
        found = to_numpy(algorithms.log_likelihood(given, logits))
        np.testing.assert_allclose(found, logs[np.arange(3), labels], rtol=1e-5)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Reinforce("linear"), "reward: .*'linear'"),
        (lambda: Reinforce(beta=0.1), "beta: expected a finite number of at most 0, got 0.1"),
        (
            lambda: Reinforce(delay=0.2),
            "op_warm_up: expected a finite number from 0 to 0.2, got 0.25",
        ),
        (lambda: Reinforce(rate=-1.0), "policy_rate: .* or None, got -1.0"),
        (lambda: ImportanceSampling(samples=0), "samples: expected an int of at least 1, got 0"),
        (lambda: ImportanceSampling(temperature=0), "temperature: .*got 0"),
        (lambda: ImportanceSampling(penalty=True), "penalty: .*got True"),
        (lambda: Uniform(op_warm_up=2), "op_warm_up: .*got 2"),
    ],
)
def test_wrong_settings(make, message):
    with pytest.raises(ValueError, match=message):
        make()
