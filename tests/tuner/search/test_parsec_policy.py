"""PARSEC's weights and logits, against their formulas and at their edges."""

import math
import random

import numpy as np
import pytest

from keras_video.tuner.search.parsec import CategoricalPolicy, importance_weights, softmax
from keras_video.tuner.spaces.declared import DeclaredSpace
from tests.tuner.toy import ToySpace, declared

NAN, INF = math.nan, math.inf


def policy_of(declare, **options):
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    declare(hp)
    return CategoricalPolicy(DeclaredSpace(hp), **options)


def two_choices(hp):
    hp.Choice("a", ["x", "y", "z"])
    hp.Boolean("b")


def conditional(hp):
    hp.Choice("kind", ["conv", "pool"])
    with hp.conditional_scope("kind", ["conv"]):
        hp.Choice("filters", [8, 16, 32])


def draws_of(policy, count, seed=0):
    rng = random.Random(seed)
    return [policy.draw(rng) for _ in range(count)]


# Weights


def test_weights_follow_the_formula():
    scores, excess = [0.5, 0.6, 0.7], [0.0, 0.0, 0.1]
    weights = importance_weights(scores, excess, penalty=2.0, temperature=0.05)
    powers = np.exp((np.array(scores) - 2.0 * np.array(excess)) / 0.05)
    np.testing.assert_allclose(weights, powers / powers.sum(), rtol=1e-12)
    assert weights.sum() == pytest.approx(1.0, abs=1e-12)


def test_a_single_network_weighs_all():
    assert importance_weights([0.3], [0.0], 2.0, 0.05).tolist() == [1.0]


def test_equal_scores_weigh_the_same():
    np.testing.assert_allclose(importance_weights([0.4] * 5, [0.0] * 5, 2.0, 0.05), 0.2)


def test_a_shift_of_all_scores_changes_nothing():
    scores = np.array([0.1, 0.5, 0.3])
    weights = importance_weights(scores, np.zeros(3), 2.0, 0.05)
    shifted = importance_weights(scores + 1e4, np.zeros(3), 2.0, 0.05)
    np.testing.assert_allclose(weights, shifted, rtol=1e-6)


def test_a_huge_penalty_leaves_those_within_the_limits():
    weights = importance_weights([0.1, 0.9, 0.1], [0.0, 0.3, 0.0], 1e6, 0.05)
    np.testing.assert_allclose(weights, [0.5, 0.0, 0.5])
    assert weights[1] == 0.0


@pytest.mark.parametrize("scores", [[0.9, 0.1], [NAN, NAN]])
def test_where_all_are_over_the_limits_the_excess_decides(scores):
    weights = importance_weights(scores, [0.5, 0.25], 1e6, 0.05)
    assert weights.tolist() == [0.0, 1.0]


def test_excess_weighs_by_the_formula_where_there_are_no_scores():
    weights = importance_weights([NAN] * 3, [0.1, 0.2, INF], 2.0, 0.5)
    powers = np.exp(-2.0 * np.array([0.1, 0.2]) / 0.5)
    np.testing.assert_allclose(weights, [*powers / powers.sum(), 0.0], rtol=1e-12)


def test_what_failed_or_was_not_tried_weighs_nothing():
    weights = importance_weights([NAN, 0.5, NAN, 0.5], [INF, 0.0, 0.2, 0.0], 2.0, 0.05)
    assert weights.tolist() == [0.0, 0.5, 0.0, 0.5]
    assert importance_weights([NAN, NAN], [INF, INF], 2.0, 0.05).tolist() == [0.0, 0.0]


# Logits


def gradient_by_hand(policy, draws, weights):
    """Of each variable; NumPy written out."""
    result = []
    for index, p in enumerate(policy.probabilities):
        total = np.zeros_like(p)
        for draw, weight in zip(draws, weights, strict=True):
            if index in draw.picks:
                total -= weight * (np.eye(len(p))[draw.picks[index]] - p)
        result.append(total)
    return result


@pytest.mark.parametrize("declare", [two_choices, conditional])
def test_steps_are_those_of_adam(declare):
    policy = policy_of(declare, learning_rate=0.1)
    logits = [a.copy() for a in policy.logits]
    moments = [[np.zeros_like(a), np.zeros_like(a), 0] for a in logits]
    rng = np.random.default_rng(0)
    for step in range(4):
        draws = draws_of(policy, 5, seed=step)
        weights = softmax(rng.normal(size=5))
        for index, gradient in enumerate(gradient_by_hand(policy, draws, weights)):
            if not any(index in draw.picks for draw in draws):
                continue
            m, v, t = moments[index]
            m, v, t = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2, t + 1
            moments[index] = [m, v, t]
            hat = np.sqrt(v / (1 - 0.999**t)) + 1e-8
            logits[index] = logits[index] - 0.1 * m / (1 - 0.9**t) / hat
        policy.update(draws, weights)
        for ours, theirs in zip(policy.logits, logits, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def test_a_single_draw_still_moves_the_logits():
    policy = policy_of(two_choices)
    (draw,) = draws_of(policy, 1)
    policy.update([draw], np.ones(1))
    for index, position in draw.picks.items():
        assert policy.probabilities[index].argmax() == position
        assert policy.logits[index][position] == pytest.approx(0.025, rel=1e-5)


def test_equal_weights_have_no_gradient_on_average():
    policy = policy_of(two_choices)
    policy.logits[0][:] = [0.5, -0.5, 0.0]
    policy._refresh()
    count = 5_000
    draws = draws_of(policy, count)
    for gradient in gradient_by_hand(policy, draws, np.full(count, 1 / count)):
        assert np.abs(gradient).max() < 4 * 0.5 / math.sqrt(count)  # four standard errors


def test_with_a_baseline_equal_weights_move_nothing():
    policy = policy_of(two_choices)
    policy.update(draws_of(policy, 4), np.full(4, 0.25), baseline=True)
    assert all((logits == 0).all() for logits in policy.logits)


def test_the_baseline_is_taken_from_all_draws():
    policy = policy_of(two_choices)
    draws, weights = draws_of(policy, 4), np.array([0.7, 0.3, 0.0, 0.0])
    expected = gradient_by_hand(policy, draws, weights - 0.25)
    policy.update(draws, weights, baseline=True)
    for (first, _), gradient in zip(policy._moments, expected, strict=True):
        np.testing.assert_allclose(first, 0.1 * gradient, atol=1e-15)


def test_a_single_value_is_left_alone():
    policy = policy_of(lambda hp: (hp.Fixed("size", 64), hp.Choice("one", ["x"]), two_choices(hp)))
    assert policy.entropy == pytest.approx(math.log(3) + math.log(2))
    for step in range(3):
        policy.update(draws_of(policy, 3, step), np.array([0.8, 0.2, 0.0]))
    assert policy.logits[0].tolist() == policy.logits[1].tolist() == [0.0]
    assert policy._steps == [0, 0, 3, 3]
    assert policy.best().values["size"] == 64


def test_conditional_variables_join_only_where_they_are_active():
    policy = policy_of(conditional)
    draws = draws_of(policy, 20)
    active = [d for d in draws if "filters" in d.values]
    assert {d.values["kind"] for d in active} == {"conv"}
    assert 0 < len(active) < 20
    pools = [d for d in draws if d.values["kind"] == "pool"]
    policy.update(active[:1], np.ones(1))
    before = policy.logits[1].copy()
    assert before.any()
    # Neither by a gradient nor by momentum, nor by draws that weigh nothing.
    policy.update(pools[:2], np.array([0.5, 0.5]))
    policy.update([pools[0], active[1]], np.array([1.0, 0.0]))
    assert policy.logits[1].tolist() == before.tolist()
    assert policy._steps == [3, 1]


def test_entropy_is_that_of_whole_networks():
    """Against all networks of a conditional space, counted out."""
    policy = policy_of(conditional)
    assert policy.entropy == pytest.approx(math.log(2) + 0.5 * math.log(3))
    policy.logits[0][:], policy.logits[1][:] = [1.0, -0.5], [0.3, 0.0, 2.0]
    policy._refresh()
    kind, filters = policy.probabilities
    networks = np.array([*(kind[0] * filters), kind[1]])
    assert policy.entropy == pytest.approx(-np.sum(networks * np.log(networks)))


def test_entropy_of_slots():
    """Conditions upon conditions: blocks, their kinds, what the kinds have."""
    policy = CategoricalPolicy(DeclaredSpace(declared(ToySpace(2))), max_values=4)
    block = math.log(2) + math.log(4) + math.log(2) + 0.5 * (math.log(4) + math.log(2))
    expected = math.log(4) * 2 + math.log(2) + 1.5 * block  # one block always, one of two times
    assert policy.entropy == pytest.approx(expected)
    rng = random.Random(0)
    for _ in range(50):
        assert DeclaredSpace(declared(ToySpace(2))).problem(policy.draw(rng).values) is None


def test_draws_follow_the_probabilities():
    policy = policy_of(two_choices)
    policy.logits[0][:] = np.log([0.7, 0.2, 0.1])
    policy._refresh()
    draws = draws_of(policy, 4000)
    shares = [sum(d.values["a"] == v for d in draws) / 4000 for v in "xyz"]
    np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.03)
    assert policy.best().values["a"] == "x"


def test_the_best_takes_active_values_only():
    policy = policy_of(conditional)
    policy.logits[0][1] = 1.0
    policy._refresh()
    assert policy.best().values == {"kind": "pool"}


def test_values_of_numeric_hyperparameters():
    def declare(hp):
        hp.Int("few", 1, 4)
        hp.Int("stepped", 32, 320, step=32)
        hp.Int("many", 1, 2001)
        hp.Int("powers", 2, 32, step=2, sampling="log")
        hp.Float("stepless", 0.0, 1.0)
        hp.Float("logarithmic", 1e-4, 1.0, sampling="log")
        hp.Choice("words", [f"w{i}" for i in range(30)])
        hp.Boolean("switch")

    policy = policy_of(declare, max_values=10)
    values = {v.parameter.name: v.values for v in policy.variables}
    assert values["few"] == (1, 2, 3, 4)
    assert values["stepped"] == tuple(range(32, 321, 32))
    assert values["many"][0] == 1 and values["many"][-1] == 2001 and len(values["many"]) == 10
    assert max(np.diff(values["many"])) - min(np.diff(values["many"])) <= 1
    assert values["powers"] == (2, 4, 8, 16, 32)
    assert all(type(value) is int for name in ("many", "powers") for value in values[name])
    np.testing.assert_allclose(values["stepless"], np.arange(0.05, 1, 0.1))
    np.testing.assert_allclose(values["logarithmic"], 10 ** np.arange(-3.8, 0, 0.4))
    assert len(values["words"]) == 30 and values["switch"] == (False, True)
    for variable in policy.variables:
        assert all(variable.parameter.legal(value) for value in variable.values)
