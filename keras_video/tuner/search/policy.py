"""`CategoricalPolicy`: the distribution over the networks of a space that PARSEC learns."""

import bisect
import math
from typing import NamedTuple

import numpy as np


def importance_weights(scores, excess, penalty, temperature):
    """Return the importance weights of drawn networks (PARSEC, Casale et al. 2019).

    The weights are `softmax((score - penalty * excess) / temperature)` over the networks with a
    score. The networks are drawn from the distribution that is improved, so prior and proposal
    cancel. If no network has a score because all are over a limit, the excess alone decides.

    Args:
        scores: sequence of floats, larger is better; NaN for networks that failed or were not
            trained.
        excess: sequence of floats, how far each network is over the limits, as a part of the limit:
            0 within the limits, 1 for twice the limit, infinite if unknown.
        penalty: float, subtracted from the score for an excess of 1.
        temperature: float above 0, in units of the score.

    Returns:
        float64 array of weights of at least 0 that sum to 1; all zeros if nothing is known of any
        network.
    """
    scores, excess = np.asarray(scores, "float64"), np.asarray(excess, "float64")
    known = np.isfinite(scores) & np.isfinite(excess)
    if not known.any():
        scores, known = np.zeros_like(excess), np.isfinite(excess) & (excess > 0)
    if not known.any():
        return np.zeros_like(scores)
    rewards = (scores - penalty * np.where(known, excess, 0.0))[known] / temperature
    weights = np.zeros_like(scores)
    weights[known] = np.exp(rewards - rewards.max())
    return weights / weights.sum()


class Variable(NamedTuple):
    """A hyperparameter as a categorical variable.

    Args:
        parameter: `Parameter` of the declared space.
        values: tuple of its possible values.
        parents: tuple of pairs `(index, frozenset)`: a variable on which this one depends, and the
            positions of the values of that variable for which this one is active.
    """

    parameter: object
    values: tuple
    parents: tuple


class Draw(NamedTuple):
    """A network drawn from the distribution.

    Args:
        values: dict of the values of the active hyperparameters.
        picks: dict from the index of each active variable to the position of its value.
    """

    values: dict
    picks: dict


class CategoricalPolicy:
    """One categorical distribution per hyperparameter, with logits that Adam updates.

    A draw changes only the logits of the hyperparameters that are active in it.

    Args:
        space: `DeclaredSpace`.
        learning_rate: float, learning rate of Adam.
        max_values: int, largest number of values per numeric hyperparameter. If there are more, the
            policy uses values that are evenly spread from the first to the last. Without a step, it
            uses the middle of equally probable intervals.

    Attributes:
        variables: tuple of `Variable`, parents before children.
        logits: list of float64 arrays, one per variable. They start at zero: a uniform
            distribution.
    """

    def __init__(self, space, learning_rate=0.025, max_values=16):
        self.learning_rate = learning_rate
        self.variables = _variables(space, max_values)
        self.logits = [np.zeros(len(v.values)) for v in self.variables]
        self._moments = [(np.zeros_like(a), np.zeros_like(a)) for a in self.logits]
        self._steps = [0] * len(self.logits)
        self._refresh()

    def _refresh(self):
        self.probabilities = [softmax(logits) for logits in self.logits]
        self._cumulative = [np.cumsum(p).tolist() for p in self.probabilities]

    @property
    def entropy(self):
        """float, entropy of a drawn network in nats: the sum of the variables' entropies, each
        multiplied by the probability that the variable is active."""
        active, total = [], 0.0
        for variable, p in zip(self.variables, self.probabilities, strict=True):
            chance = 1.0
            for index, allowed in variable.parents:
                chance *= sum(self.probabilities[index][i] for i in allowed)
            active.append(chance)
            total -= chance * float(np.sum(p * np.log(np.maximum(p, 1e-300))))
        return float(max(0.0, total))

    def draw(self, rng):
        """Draw a network.

        Args:
            rng: `random.Random`.

        Returns:
            `Draw`.
        """

        def position(index):
            cumulative = self._cumulative[index]
            return min(bisect.bisect_right(cumulative, rng.random()), len(cumulative) - 1)

        return self._walk(position)

    def best(self):
        """Return the `Draw` of the most probable values; in case of ties, of the first."""
        return self._walk(lambda index: int(np.argmax(self.probabilities[index])))

    def _walk(self, position):
        values, picks = {}, {}
        for index, (parameter, options, _) in enumerate(self.variables):
            if parameter.name not in values and parameter.active(values):
                picks[index] = position(index)
                values[parameter.name] = options[picks[index]]
        return Draw(values, picks)

    def update(self, draws, weights, baseline=False):
        """Make one step of Adam towards the networks with the largest weights.

        The gradient of a variable is `-sum_k weight_k * (onehot_k - probabilities)` over the draws
        in which it is active. Variables with a single value keep their logits and moments, and so
        do variables that are active in no draw with a weight above 0.

        Args:
            draws: list of `Draw` of the current distribution.
            weights: array, one number per draw, from `importance_weights`.
            baseline: bool, subtracts `1 / K` from the weights of all `K` draws. This keeps the
                expected gradient and lowers its variance.
        """
        weights = np.asarray(weights, "float64")
        if not weights.any():
            return
        counted = weights - 1 / len(weights) if baseline else weights
        for index, p in enumerate(self.probabilities):
            active = [
                (draw.picks[index], float(weight), weighs)
                for draw, weight, weighs in zip(draws, counted, weights > 0, strict=True)
                if index in draw.picks
            ]
            if len(p) == 1 or not any(weighs for *_, weighs in active):
                continue
            gradient = p * sum(weight for _, weight, _ in active)
            for position, weight, _ in active:
                gradient[position] -= weight
            self._adam(index, gradient)
        self._refresh()

    def _adam(self, index, gradient, beta=0.9, gamma=0.999, epsilon=1e-8):
        self._steps[index] += 1
        first, second = self._moments[index]
        first += (1 - beta) * (gradient - first)
        second += (1 - gamma) * (gradient**2 - second)
        mean = first / (1 - beta ** self._steps[index])
        scale = np.sqrt(second / (1 - gamma ** self._steps[index]))
        self.logits[index] = self.logits[index] - self.learning_rate * mean / (scale + epsilon)


def softmax(logits):
    """Return the probabilities of a float64 array of logits."""
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()


def _variables(space, max_values):
    variables, positions = [], {}
    for parameter in space.parameters:
        pairs, parents = parameter.conditions.pairs, []
        for depth, (name, allowed) in enumerate(pairs):
            # The conditions of a parent are those declared before it.
            index = positions[name, pairs[:depth]]
            found = (i for i, value in enumerate(variables[index].values) if value in allowed)
            parents.append((index, frozenset(found)))
        positions[parameter.name, pairs] = len(variables)
        variables.append(Variable(parameter, _values(parameter, max_values), tuple(parents)))
    return tuple(variables)


def _values(parameter, most):
    if parameter.options is None:
        count = places = most
    else:
        count = len(parameter.options)
        places = min(count, most) if hasattr(parameter.hp, "step") else count
    step = (count - 1) / max(1, places - 1)
    numbers = (math.floor(i * step + 0.5) for i in range(places))
    # Each value stands for an interval of probability and is taken from its middle.
    return tuple(dict.fromkeys(parameter.hp.prob_to_value((n + 0.5) / count) for n in numbers))
