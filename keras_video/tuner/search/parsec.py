"""PARSEC as a search of whole trials, without a super-network (Casale et al. 2019).

`CategoricalPolicy` is the distribution over networks that is learned. `Rounds` draws networks and
updates the distribution after each round. `ParsecOracle` makes trials of the draws.
"""

import bisect
import math
import random
import traceback
from typing import NamedTuple

import numpy as np
from keras_tuner.engine.trial import TrialStatus

from keras_video.checks import check_int, check_number
from keras_video.tuner.search.oracle import SearchOracle
from keras_video.tuner.spaces.declared import fingerprint, network_values

FEWEST = 2  # smallest round if its size depends on the entropy
UNKNOWN = (math.nan, math.inf)  # score and excess of a network that failed


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


class Round(NamedTuple):
    """What one update of the distribution was based on.

    Args:
        entropy: float, entropy in nats of the distribution of the draws.
        draws: int, networks drawn, including repeated ones and those over a limit.
        scored: int, how many of them had a score.
        weight_entropy: float, entropy of their weights in nats: 0 if a single network decided.
    """

    entropy: float
    draws: int
    scored: int
    weight_entropy: float


class Rounds:
    """Run rounds of draws, as far as the outcomes of the networks are known.

    Everything depends only on the seed and the outcomes. A resumed search therefore repeats at once
    the rounds that were made step by step.

    Args:
        policy: `CategoricalPolicy`, which the rounds improve.
        seed: int.
        judge: function of values. It returns a pair: the reason why the network must not be tried,
            or `None`; and its excess over the limits, see `importance_weights`.
        outcome: function of a fingerprint. It returns `None` if the network was never tried,
            `"running"`, or a pair of score and excess.
        samples, samples_per_nat, temperature, penalty, baseline, min_entropy: see `ParsecOracle`.
        most: int. The rounds end after so many draws in succession that lead to no trial.

    Attributes:
        history: list of `Round`, one per update.
        passed: dict, draws without a trial since the last new trial, counted by cause.
    """

    def __init__(
        self, policy, seed, judge, outcome, samples, samples_per_nat, temperature, penalty,
        baseline, min_entropy, most,
    ):  # fmt: skip
        self.policy = policy
        self.history, self.passed = [], {}
        self._seed, self._judge, self._outcome = seed, judge, outcome
        self._samples, self._samples_per_nat = samples, samples_per_nat
        self._temperature, self._penalty, self._baseline = temperature, penalty, baseline
        self._min_entropy, self._most = min_entropy, most
        self._draws, self._place = [], 0  # pairs of draw and fingerprint; the next one's position
        self._met = set()  # fingerprints of the draws that led to a trial
        self._excess = {}  # by fingerprint, for draws of this round that must not be tried

    @property
    def converged(self):
        """bool, whether the entropy has fallen below `min_entropy`."""
        return self.policy.entropy < self._min_entropy

    @property
    def ended(self):
        """bool, whether there are no more rounds."""
        lost = sum(self.passed.values()) >= self._most
        return not self._draws and (lost or self.converged)

    def go_on(self):
        """Go on to the next draw that must be tried.

        Returns:
            Dict of its values; or `None` if the round waits for running trials, or the rounds have
            `ended`.
        """
        while not self.ended:
            if not self._draws:
                self._open()
            for draw, key in self._draws[self._place :]:
                if not self._pass(draw, key):
                    return draw.values
                self._place += 1
            if any(self._outcome(key) == "running" for _, key in self._draws):
                return None
            self._close()
        return None

    def _open(self):
        number, count = len(self.history), self._samples
        if self._samples_per_nat is not None:
            wanted = math.ceil(self._samples_per_nat * self.policy.entropy)
            count = min(max(FEWEST, wanted), self._samples)
        for k in range(count):
            draw = self.policy.draw(random.Random(f"{self._seed}/{number}/{k}"))
            self._draws.append((draw, fingerprint(draw.values)))

    def _pass(self, draw, key):
        """Return whether to pass over a draw: it needs no trial, or its trial has begun."""
        if key in self._met:
            cause = "duplicate"
        elif self._outcome(key) is not None:
            self._met.add(key)
            self.passed = {}  # they are in the trial's record
            return True
        else:
            cause, excess = self._judge(draw.values)
            if cause is None:
                return False
            self._excess[key] = excess
        self.passed[cause] = self.passed.get(cause, 0) + 1
        return True

    def _close(self):
        outcomes = [self._outcome(key) or (math.nan, self._excess[key]) for _, key in self._draws]
        scores, excess = zip(*outcomes, strict=True)
        weights = importance_weights(scores, excess, self._penalty, self._temperature)
        used = weights[weights > 0]
        self.history.append(
            Round(
                self.policy.entropy,
                len(weights),
                sum(map(math.isfinite, scores)),
                max(0.0, -float(np.sum(used * np.log(used)))),
            )
        )
        self.policy.update([draw for draw, _ in self._draws], weights, self._baseline)
        self._draws, self._place, self._excess = [], 0, {}


class ParsecOracle(SearchOracle):
    """Propose networks from a distribution that is learned (PARSEC, Casale et al. 2019).

    Every hyperparameter is a categorical variable with its own logits. A round draws some networks.
    When all of them have ended, each gets the weight
    `softmax((score - penalty * excess) / temperature)`, and Adam updates the logits once, towards
    the networks with the largest weights. Rounds that need no training follow at once.

    - A network that was drawn before is not trained again: its score is reused.
    - A network over a counted limit costs no trial and has the weight 0. Measured limits are always
      measured, never predicted; they cost no trial either. If no network of a round has a score,
      the excess of those over a limit decides, so that the search moves towards the limit.
    - A failed trial has the weight 0.
    - A worker waits if it could only begin the next round. The draws therefore depend on the seed
      and the scores, but not on the number and speed of the workers.

    A round that is cut short by the end of the budget makes no update.

    Args:
        objective: `keras_tuner.Objective`; default the metric `"fitness"`, to be maximised.
        max_trials: int, networks to be trained.
        samples: int, networks drawn in a round.
        samples_per_nat: float above 0, or `None`. If given, a round has so many draws per nat of
            the distribution's entropy, at least 2 and at most `samples` (FP-NAS, Yan et al. 2021).
        temperature: float above 0, in units of the objective. A low temperature learns fast, and
            also learns noise.
        penalty: float of at least 0, subtracted from the score of a network that is 100 % over a
            limit.
        slack: float of at least 0, how far counted costs may be over their limits, as a part of the
            limit, in networks that are still tried. Their penalty is subtracted from
            `trial.score`. With 0 the limits are hard. Measured limits are always hard.
        learning_rate: float above 0, learning rate of Adam.
        baseline: bool, subtracts the mean weight: the same update on average, with less variance.
        max_values: int of at least 2, largest number of values per numeric hyperparameter, see
            `CategoricalPolicy`.
        min_entropy: float of at least 0, in nats. The search ends when the entropy falls below it.
        try_best: bool, whether the last trial is the network of the most probable values, unless it
            was tried before or is over a limit.
        **kwargs: arguments of `SearchOracle`: `constraints`, `seed`, `max_retries_per_trial`, ...
            The search ends after `max_rejections` draws in succession that lead to no trial.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        objective=None,
        max_trials=400,
        samples=8,
        samples_per_nat=None,
        temperature=0.05,
        penalty=2.0,
        slack=0.0,
        learning_rate=0.025,
        baseline=False,
        max_values=16,
        min_entropy=0.0,
        try_best=False,
        **kwargs,
    ):
        samples = check_int("samples", samples)
        max_values = check_int("max_values", max_values, 2)
        check_number("temperature", temperature, above=0)
        check_number("learning_rate", learning_rate, above=0)
        check_number("samples_per_nat", samples_per_nat, above=0, none=True)
        check_number("penalty", penalty, 0)
        check_number("slack", slack, 0)
        check_number("min_entropy", min_entropy, 0)
        self._rounds_options = {
            "samples": samples,
            "samples_per_nat": samples_per_nat,
            "temperature": temperature,
            "penalty": penalty,
            "baseline": bool(baseline),
            "min_entropy": min_entropy,
        }
        self._policy_options = {"learning_rate": learning_rate, "max_values": max_values}
        self.penalty, self.slack = penalty, slack
        self.try_best = bool(try_best)
        super().__init__(objective=objective, max_trials=max_trials, **kwargs)

    def algorithm(self):
        own = {"slack": self.slack, "try_best": self.try_best}
        name = type(self).__name__
        return {"name": name, **self._rounds_options, **self._policy_options, **own}

    # What was learned

    @property
    def policy(self):
        """`CategoricalPolicy` after all complete rounds."""
        return self._advanced().policy

    @property
    def history(self):
        """List of `Round`, one per update."""
        return self._advanced().history

    @property
    def entropy(self):
        """float, entropy of the current distribution in nats."""
        return self.policy.entropy

    def best_architecture(self):
        """Return the most probable values. The network may be untried or over a limit."""
        return self.policy.best().values

    def probabilities(self):
        """Return the probability of every value, `{hyperparameter: {value: float}}`."""
        policy = self.policy
        return {
            variable.parameter.name: dict(zip(variable.values, p.tolist(), strict=True))
            for variable, p in zip(policy.variables, policy.probabilities, strict=True)
        }

    def _advanced(self):
        with self._lock:
            self._go_on()
            return self._rounds

    def _go_on(self):
        if self._rounds is None:
            self._rounds = Rounds(
                CategoricalPolicy(self.space, **self._policy_options),
                self.seed,
                self._judge,
                self._outcome,
                most=self.candidates.most,
                **self._rounds_options,
            )
        return self._rounds.go_on()

    def _forget(self):
        super()._forget()
        self._tried = {}  # by fingerprint, the trial of each network
        self._over = {}  # by fingerprint, the excess of each measured and rejected network
        self._parked = []  # trials whose network was rejected and that wait for another
        self._rounds = None

    def _set_space(self, hyperparameters):
        super()._set_space(hyperparameters)
        self._rounds = None

    # What becomes of networks

    def _judge(self, values):
        """Return why a network must not be tried, or `None`, and its excess over counted limits."""
        invalid = getattr(self.screen.space, "invalid", None)
        if invalid is not None and invalid(values) is not None:
            return "invalid", math.inf
        excess = {}
        for constraint in self.screen.constraints:
            if constraint.cheap:
                cost = constraint.cost(self.screen.space, values)
                self.screen.note(constraint.name, cost)
                excess[constraint.name] = _excess(cost, constraint.limit)
        total = sum(excess.values())
        return (max(excess, key=excess.get) if total > self.slack else None), total

    def _outcome(self, key):
        if key in self._over:
            return math.nan, self._over[key]
        trial = self._tried.get(key)
        if trial is None:
            return None
        if trial.status == TrialStatus.COMPLETED:
            return self._sign * trial.score, 0.0  # the score has the penalty subtracted
        return UNKNOWN if trial.status == TrialStatus.FAILED else "running"

    @property
    def _sign(self):
        return 1 if self.objective.direction == "max" else -1

    def score_trial(self, trial):
        super().score_trial(trial)
        if self.slack:
            _, excess = self._judge(network_values(trial.hyperparameters.values))
            trial.score -= self._sign * self.penalty * excess

    # Trials

    def _new_trial(self):
        trial = self._new_network() if self._parked else super()._new_trial()
        if trial is not None:
            self._tried[fingerprint(trial.hyperparameters.values)] = trial
        return trial

    def _new_network(self):
        """Return the first parked trial with a new network, or `None` if there is none yet."""
        trial = self._parked[0]
        values = self._draw(int(trial.trial_id), self.records[trial.trial_id])
        if values is None:
            return None
        trial.hyperparameters.values = values
        return self._parked.pop(0)

    def _draw(self, number, record):
        try:
            values = self._next_values()
        except Exception:
            self._stop(f"Drawing a network failed.\n{traceback.format_exc()}", True)
            raise
        if values is not None:
            record.draws += 1
            for cause, count in self._rounds.passed.items():
                record.rejected[cause] = record.rejected.get(cause, 0) + count
            self.candidates.count(self._rounds.passed)
            self._rounds.passed = {}
        return values

    def _next_values(self):
        """Return the values of the next network, or `None` if it must wait or there is none."""
        values = self._go_on()
        rounds, left = self._rounds, self.max_trials - len(self.trials) + len(self._parked)
        note = {"tuner/round": len(rounds.history)}
        if self.try_best and (rounds.ended or left == 1):
            if any(self._outcome(key) == "running" for key in self._tried):
                return None
            best = rounds.policy.best().values
            if self._outcome(fingerprint(best)) is None and self._judge(best)[0] is None:
                return {**best, **note, "tuner/best": True}
        if values is not None:
            return {**values, **note}
        if rounds.converged and rounds.ended:
            self._stop(
                f"The entropy of the distribution is {rounds.policy.entropy:.3g} nats, below "
                f"min_entropy={self._rounds_options['min_entropy']:g}.",
                failed=False,
            )
        elif rounds.ended:
            self._give_up(rounds.passed)
        return None

    @property
    def finished(self):
        with self._lock:
            return super().finished and not (self._parked and not self.stopped)

    # Networks that were measured and rejected

    def _reject(self, trial, record, name, number):
        self._note_rejected(trial.hyperparameters.values, name, number)
        super()._reject(trial, record, name, number)

    def _note_rejected(self, values, name, number):
        limits = {c.name: c.limit for c in self.screen.constraints}
        self._over[fingerprint(values)] = _excess(number, limits.get(name, 0.0))

    def _redraw(self, trial, record):
        trial.status = TrialStatus.RUNNING
        self._parked.append(trial)

    def _take_up(self, found):
        for trial, record in found:
            for item in record.measured:
                self._note_rejected(item["values"], item["name"], item["number"])
            self._tried[fingerprint(trial.hyperparameters.values)] = trial
        super()._take_up(found)

    def _take_back(self, trial, record):
        if fingerprint(trial.hyperparameters.values) in self._over:
            trial.status = TrialStatus.RUNNING
            self._parked.append(trial)
        else:
            super()._take_back(trial, record)


def _excess(cost, limit):
    """Return how far a cost is over a limit, as a part of the limit; infinite if unknown."""
    if not math.isfinite(cost) or limit <= 0:
        return math.inf
    return max(0.0, cost / limit - 1)
