"""`Rounds`: the draws of a PARSEC search, and what each round of them does to the distribution."""

import math
import random
from typing import NamedTuple

import numpy as np

from keras_video.tuner.declared import fingerprint
from keras_video.tuner.policy import importance_weights

FEWEST = 2  # draws of a round whose size follows the entropy
UNKNOWN = (math.nan, math.inf)  # of a network that says nothing


class Round(NamedTuple):
    """What one update of the distribution was made from.

    Args:
        entropy: float, nats, of the distribution from which was drawn.
        draws: int, networks drawn, repeated ones and those over a limit included.
        scored: int, how many of them had a score.
        weight_entropy: float, nats, of their weights: 0 if one decided alone.
    """

    entropy: float
    draws: int
    scored: int
    weight_entropy: float


class Rounds:
    """Goes through rounds of draws as far as what is known of the networks leads.

    All follows from the seed and from what became of the networks. A search that is taken up again
    therefore goes the same way, at once, that it has gone step by step.

    Args:
        policy: `CategoricalPolicy`, which the rounds improve.
        seed: int.
        judge: function of values, which returns the cause why the network must not be tried, or
            `None`, and its excess over the limits, see `importance_weights`.
        outcome: function of a fingerprint, which returns `None` of a network that was never
            tried; `"running"`; or its score and its excess.
        samples, samples_per_nat, temperature, penalty, baseline, min_entropy: see `ParsecOracle`.
        most: int, draws in succession that lead to no trial, before the rounds end.

    Attributes:
        history: list of `Round`, one per update.
        passed: dict, draws since the last new trial that led to none, counted by cause.
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
        self._draws, self._place = [], 0  # pairs of draw and fingerprint; those gone through
        self._met = set()  # fingerprints of the draws that led to a trial
        self._excess = {}  # by fingerprint, of draws of this round that must not be tried

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
        """Goes on to the first draw that has to be tried.

        Returns:
            Dict of its values; `None` if the round waits for networks that run, or all has `ended`.
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
        """bool, whether the draw leads to no new trial, or its trial has begun."""
        if key in self._met:
            cause = "duplicate"
        elif self._outcome(key) is not None:
            self._met.add(key)
            self.passed = {}  # the trial's record has them
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
