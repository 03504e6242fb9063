"""Draws, probabilities, gradients and updates of a policy, compared with NumPy."""

import random

import numpy as np
import pytest
from keras import ops

from keras_video.tuner import Choice
from keras_video.tuner.one_shot import plan
from keras_video.tuner.one_shot.algorithms import ImportanceSampling, Reinforce
from keras_video.tuner.one_shot.searcher import Layout, Policy
from tests.helpers import to_numpy

CHOICES = (
    Choice("layer", ("none", "conv", "pool")),
    Choice("kernel", (1, 3, 5), when=(("layer", ("conv",)),)),
    Choice("width", (8, 16), "filters", when=(("layer", ("conv", "pool")),)),
    Choice("gate", (False, True), when=(("kernel", (3, 5)),)),
    Choice("same", ("only",)),
)
LOGITS = np.array(
    [[0.1, 0.8, -0.3], [0.5, -0.2, 0.3], [-0.4, 0.4, 9.0], [0.7, 0.0, 9.0], [3.0, 9.0, 9.0]],
    "float32",
)  # entries beyond the values of a choice have no effect


def make_policy(seed=0, fixed=None, logits=LOGITS):
    policy = Policy(CHOICES, fixed, seed)
    policy.logits.assign(logits)
    return policy


def softmax(row):
    powers = np.exp(row - row.max())
    return powers / powers.sum()


ROWS = [softmax(LOGITS[i, : len(c.values)].astype("float64")) for i, c in enumerate(CHOICES)]


def networks():
    """Return all networks with their probabilities, products over the active choices."""
    found = {}
    for a in range(3):
        for b in range(3):
            for c in range(2):
                for d in range(2):
                    values = plan.active_values(CHOICES, (a, b, c, d, 0))
                    p = np.prod(
                        [
                            ROWS[i][index]
                            for i, index in enumerate((a, b, c, d, 0))
                            if CHOICES[i].name in values
                        ]
                    )
                    found[tuple(values.items())] = p
    return found


def drawn_values(selections):
    return [
        plan.active_values(CHOICES, [int(np.argmax(row)) for row in selection])
        for selection in selections
    ]


def test_draws_have_the_probabilities_of_the_policy():
    found = networks()
    assert sum(found.values()) == pytest.approx(1)
    draws = make_policy().draw(4000)
    selections = to_numpy(draws.selections)
    assert set(np.unique(selections)) == {0, 1} and np.all(selections.sum(axis=2) == 1)
    counts = {}
    for values, log_prob in zip(drawn_values(selections), to_numpy(draws.log_probs), strict=True):
        key = tuple(values.items())
        assert np.exp(log_prob) == pytest.approx(found[key], rel=1e-4)
        counts[key] = counts.get(key, 0) + 1
    for key, p in found.items():
        assert counts.get(key, 0) / 4000 == pytest.approx(p, abs=4 * np.sqrt(p / 4000) + 1e-3)
    again = to_numpy(make_policy().draw(4000).selections)
    np.testing.assert_array_equal(again, selections)
    assert np.any(to_numpy(make_policy(seed=1).draw(4000).selections) != selections)


def test_entropy_is_that_of_the_networks():
    chances = np.array(list(networks().values()))
    expected = -(chances * np.log(chances)).sum()
    assert float(to_numpy(make_policy().entropy())) == pytest.approx(expected, rel=1e-5)
    layout = Layout(CHOICES)
    matrix = to_numpy(make_policy().probabilities())
    conv, large = ROWS[0][1], ROWS[1][1:].sum()
    np.testing.assert_allclose(
        to_numpy(layout.chances(matrix)), [1, conv, 1 - ROWS[0][0], conv * large, 1], rtol=1e-5
    )


def test_slopes_are_gradients_of_the_log_probability():
    """Compare with finite differences, warm-ups included."""
    mixing, widening = 0.4, 0.3

    def log_probability(logits, selection, mixed):
        total = 0.0
        values = {}
        for i, choice in enumerate(CHOICES[:4]):
            n = len(choice.values)
            row = np.exp(logits[i, :n] - np.log(np.exp(logits[i, :n]).sum()))
            if all(values.get(name, 0) > 0 for name in [f"{p} {a}" for p, a in choice.when]):
                pick = int(np.argmax(selection[i]))
                if choice.tag == "filters":
                    total += np.log((1 - widening) * row[pick] + widening * (pick == n - 1))
                elif mixed[i]:
                    total += np.log(mixing)
                else:
                    total += np.log((1 - mixing) * row[pick])
            for other in CHOICES:
                for name, allowed in other.when:
                    if name == choice.name:
                        weight = sum(selection[i, choice.index(v)] for v in allowed)
                        met = weight * (values_active(values, choice) > 0)
                        values[f"{name} {allowed}"] = met
        return total

    def values_active(values, choice):
        return float(all(values.get(f"{p} {a}", 0) > 0 for p, a in choice.when))

    draws = make_policy().draw(60, mixing, widening)
    selections, slopes = to_numpy(draws.selections), to_numpy(draws.slopes)
    kinds = set()
    for k in range(60):
        selection = selections[k].astype("float64")
        mixed = (selection > 0).sum(axis=1) > 1
        kinds.add(tuple(mixed[:2]))
        base = log_probability(LOGITS.astype("float64"), selection, mixed)
        assert base == pytest.approx(float(to_numpy(draws.log_probs)[k]), rel=1e-4, abs=1e-5)
        for i, j in [(0, 0), (0, 1), (1, 2), (2, 0), (2, 1), (3, 1)]:
            logits = LOGITS.astype("float64")
            logits[i, j] += 1e-6
            slope = (log_probability(logits, selection, mixed) - base) / 1e-6
            assert slope == pytest.approx(float(slopes[k, i, j]), abs=2e-4)
    assert len(kinds) == 4
    assert not slopes[:, 2, 2].any() and not slopes[:, 4].any()  # masked, and without a choice


def test_warm_ups_mix_operations_and_widen():
    full = to_numpy(make_policy().draw(50, mixing=1.0, widening=1.0).selections)
    np.testing.assert_allclose(full[:, 0], 1 / 3, rtol=1e-6)
    np.testing.assert_array_equal(full[:, 2], np.tile([0, 1, 0], (50, 1)))
    draws = make_policy().draw(50, mixing=1.0, widening=1.0)
    # In a mixture all branches are active.
    np.testing.assert_array_equal(to_numpy(draws.active), np.tile([1, 1, 1, 1, 0], (50, 1)))
    assert not to_numpy(draws.slopes)[:, [0, 1, 3]].any()


def test_fixed_choices_take_their_value_and_learn_nothing():
    policy = make_policy(fixed={"layer": "conv", "width": 8})
    draws = policy.draw(30, mixing=0.5, widening=1.0)
    selections = to_numpy(draws.selections)
    np.testing.assert_array_equal(selections[:, 0], np.tile([0, 1, 0], (30, 1)))
    np.testing.assert_array_equal(selections[:, 2], np.tile([1, 0, 0], (30, 1)))
    assert not to_numpy(draws.active)[:, [0, 2, 4]].any()
    policy.learn(ops.ones((5, 3)), 0.1, ops.ones((5,)), 0.9, 0.999)
    after = to_numpy(policy.logits)
    np.testing.assert_array_equal(after[[0, 2, 4]], LOGITS[[0, 2, 4]])
    assert np.all(after[[1, 3]] < LOGITS[[1, 3]])
    gate = -(ROWS[3] * np.log(ROWS[3])).sum() * ROWS[1][1:].sum()
    kernel = -(ROWS[1] * np.log(ROWS[1])).sum()
    fresh = make_policy(fixed={"layer": "conv", "width": 8})
    assert float(to_numpy(fresh.entropy())) == pytest.approx(kernel + gate, rel=1e-5)


def test_reinforce_follows_the_closed_form():
    """Gradient -(R - b) (onehot - softmax), Adam without momentum, b including the present R."""
    policy = make_policy()
    algorithm = Reinforce(rate=0.05, growth=4.0, op_warm_up=0.0, filter_warm_up=0.0)
    state = {name: policy.add_weight(shape=(), initializer="zeros") for name in algorithm.state}
    logits, square = LOGITS.astype("float64"), 0.0
    rewards = [0.5, 0.7, 0.2, 0.9, 0.4, 0.8, 0.1, 0.6]
    for step, reward in enumerate(rewards):
        draws = policy.draw(1)
        weights = algorithm.learn(
            policy, state, draws, ops.convert_to_tensor([reward], "float32"), np.float32(step), 8
        )
        assert to_numpy(weights).tolist() == [1]
        selection = to_numpy(draws.selections)[0]
        active = plan.active_values(CHOICES, selection.argmax(axis=1))
        gradient = np.zeros_like(logits)
        powers = 0.95 ** np.arange(step, -1, -1)
        advantage = reward - np.average(rewards[: step + 1], weights=powers)
        for i, choice in enumerate(CHOICES[:4]):
            if choice.name in active:
                n = len(choice.values)
                gradient[i, :n] = -advantage * (selection[i, :n] - softmax(logits[i, :n]))
        square = 0.999 * square + 0.001 * gradient**2
        rate = 0.0 if step < 2 else 0.05 * 4.0 ** ((step - 2) / 6)
        logits -= rate * gradient / (np.sqrt(square / (1 - 0.999 ** (step + 1))) + 1e-8)
        np.testing.assert_allclose(to_numpy(policy.logits), logits, rtol=2e-3, atol=2e-3)
    assert np.abs(logits - LOGITS).max() > 0.1


@pytest.mark.parametrize("baseline", [False, True])
def test_parsec_follows_the_closed_form(baseline):
    """Gradient -sum_k weight_k (onehot_k - softmax), after the delay."""
    policy = make_policy()
    algorithm = ImportanceSampling(samples=4, temperature=0.1, rate=0.1, baseline=baseline)
    rewards = ops.convert_to_tensor([0.2, 0.5, 0.4, -3.0], "float32")
    draws = policy.draw(4)
    weights = algorithm.learn(policy, {}, draws, rewards, np.float32(0), 30)
    np.testing.assert_allclose(to_numpy(weights), 0.25)  # during the delay all weights are equal
    np.testing.assert_array_equal(to_numpy(policy.logits), LOGITS)
    weights = to_numpy(algorithm.learn(policy, {}, draws, rewards, np.float32(10), 30))
    powers = np.exp(np.array([0.2, 0.5, 0.4, -3.0]) / 0.1)
    np.testing.assert_allclose(weights, powers / powers.sum(), rtol=1e-4, atol=1e-7)
    shares = weights - 0.25 if baseline else weights
    gradient = np.zeros_like(LOGITS)
    selections = to_numpy(draws.selections)
    actives = drawn_values(selections)
    for i, choice in enumerate(CHOICES[:4]):
        for k in range(4):
            if choice.name in actives[k]:
                n = len(choice.values)
                gradient[i, :n] -= shares[k] * (selections[k, i, :n] - ROWS[i])
    # The first step of Adam has the same size in every direction.
    moved = to_numpy(policy.logits) - LOGITS
    clear = np.abs(gradient) > 1e-5
    np.testing.assert_allclose(moved[clear], -0.1 * np.sign(gradient[clear]), rtol=1e-2)
    assert clear.any() and not moved[4].any()


def test_parsec_leaves_alone_what_no_draw_activates():
    logits = LOGITS.copy()
    logits[0] = [50, 0, 0]  # always "none": no other choice has an effect
    policy = make_policy(logits=logits)
    algorithm = ImportanceSampling(samples=3)
    rewards = ops.convert_to_tensor([0.1, 0.9, 0.4], "float32")
    for step in range(3):
        algorithm.learn(policy, {}, policy.draw(3), rewards, np.float32(20 + step), 30)
    np.testing.assert_array_equal(to_numpy(policy.logits)[1:], logits[1:])
    assert not to_numpy(policy.count)[1:].any()


def test_parsec_with_one_sample_and_with_equal_ones():
    policy = make_policy()
    one = ImportanceSampling(samples=1)
    weights = one.learn(policy, {}, policy.draw(1), ops.ones((1,)), np.float32(20), 30)
    assert to_numpy(weights).tolist() == [1]
    assert np.any(to_numpy(policy.logits) != LOGITS)
    # With equal weights the expected gradient is zero.
    policy = make_policy()
    draws = policy.draw(2000)
    mean = to_numpy(draws.slopes).mean(axis=0)
    assert np.abs(mean).max() < 0.04


def test_a_sharp_policy_draws_fewer_samples():
    algorithm = ImportanceSampling(samples=6, samples_per_nat=1.0)
    policy = make_policy(logits=np.where(LOGITS > 5, LOGITS, 40 * LOGITS))
    weights = algorithm.learn(policy, {}, policy.draw(6), ops.ones((6,)), np.float32(0), 30)
    np.testing.assert_allclose(to_numpy(weights), [0.5, 0.5, 0, 0, 0, 0])
    policy = make_policy()
    entropy = float(to_numpy(policy.entropy()))
    expected = int(np.ceil(entropy))
    weights = algorithm.learn(policy, {}, policy.draw(6), ops.ones((6,)), np.float32(0), 30)
    assert np.count_nonzero(to_numpy(weights)) == expected == 3


def test_decisions():
    assert plan.most_probable(CHOICES, LOGITS) == {
        "layer": "conv", "kernel": 1, "width": 16, "gate": False, "same": "only",
    }  # fmt: skip
    assert plan.most_probable(CHOICES, LOGITS, {"layer": "pool"})["layer"] == "pool"

    def cost(values):
        return values.get("width", 0) * {"none": 0, "conv": 4, "pool": 1}[values["layer"]]

    # 64 is too expensive. No layer is more probable than a narrow one, but far below the limit.
    found = plan.most_probable(CHOICES, LOGITS, None, cost, 32)
    assert cost(found) <= 32 and found["width"] == 8 and found["layer"] == "conv"
    found = plan.most_probable(CHOICES, LOGITS, None, cost, 10)
    assert cost(plan.only_active(CHOICES, found)) <= 10
    rng = random.Random(0)
    found, chances = {}, networks()
    for _ in range(4000):
        key = tuple(plan.draw(CHOICES, LOGITS, rng).items())
        found[key] = found.get(key, 0) + 1
    for key, p in chances.items():
        assert found.get(key, 0) / 4000 == pytest.approx(p, abs=4 * np.sqrt(p / 4000) + 1e-3)


def test_layout_refuses_children_before_parents():
    with pytest.raises(ValueError, match="when: .*'kernel', got 'layer'"):
        Layout(CHOICES[1:])
    with pytest.raises(ValueError, match="different names"):
        Layout((CHOICES[0], CHOICES[0]))
