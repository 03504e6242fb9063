"""How a policy learns: `Reinforce` (TuNAS), `ImportanceSampling` (PARSEC), `Uniform` (not)."""

import dataclasses
import math
from dataclasses import dataclass

from keras import ops

from keras_video.specs import check_int, check_number
from keras_video.tuner.one_shot import formulas

REWARDS = {
    "absolute": formulas.absolute_reward,
    "soft": formulas.soft_reward,
    "hard": formulas.hard_reward,
}
# Logits move about as far in a short search as in the published ones of some thousand steps.
TRAVEL = 20.0


class Algorithm:
    """Judges the drawn networks and improves the policy they came from.

    Attributes:
        samples: int, networks drawn in each step.
        state: tuple of names of scalars that are kept from step to step, all 0 at first.
        learns: bool, whether the policy comes to prefer some networks.
        op_warm_up, filter_warm_up: floats, part of the search over which the probability of
            mixing all operations, and of taking the largest widths, falls from 1 to 0.
    """

    samples = 1
    state = ()
    learns = True
    op_warm_up = filter_warm_up = 0.0

    def reward(self, quality, ratio):
        """What networks are worth: tensor like `quality`.

        Args:
            quality: float tensor, larger is better.
            ratio: float tensor, cost through target.
        """
        raise NotImplementedError

    def learn(self, policy, state, draws, rewards, step, steps):
        """Improves the policy, inside a compiled step.

        Args:
            policy: `Policy`.
            state: dict of weights by name, those of `state`.
            draws: `Draws`.
            rewards: float tensor `(samples,)`.
            step: float scalar tensor, steps done.
            steps: int, steps of the whole search.

        Returns:
            The weights of the samples in the training loss, a tensor `(samples,)` that sums to 1.
        """
        raise NotImplementedError

    def get_config(self):
        """The settings: dict of plain values."""
        return {"name": type(self).__name__, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Reinforce(Algorithm):
    """The policy gradient of TuNAS (Bender et al. 2020, arXiv 2008.06120).

    Args:
        kind: `"absolute"`, `"soft"` or `"hard"`, see `keras_video.tuner.one_shot.formulas`.
        beta: float below 0, weight or exponent of the cost.
        rate: float, first learning rate of the policy; `None`: 4.8e-3, as published for some
            ten thousand steps, and more for a shorter search, so that logits go as far.
        growth: float, what the rate has grown by at the end.
        delay: float from 0 to 1, part of the search in which the policy does not learn.
        op_warm_up, filter_warm_up: floats from 0 to `delay`, see `Algorithm`.
        momentum: float, of the moving average that rewards are compared with.
    """

    kind: str = "absolute"
    beta: float = -0.10
    rate: float | None = None
    growth: float = 10.0
    delay: float = 0.25
    op_warm_up: float = 0.25
    filter_warm_up: float = 0.25
    momentum: float = 0.95

    state = ("baseline_total", "baseline_weight")

    def __post_init__(self):
        if self.kind not in REWARDS:
            raise ValueError(f"reward: expected one of {tuple(REWARDS)}, got {self.kind!r}.")
        check_number("beta", self.beta, most=0.0)
        check_number("policy_rate", self.rate, least=0.0, none=True)
        check_number("growth", self.growth, least=1.0)
        check_number("delay", self.delay, 0.0, 0.99)
        for name in ("op_warm_up", "filter_warm_up"):
            check_number(name, getattr(self, name), 0.0, self.delay)
        check_number("momentum", self.momentum, 0.0, 0.9999)

    def reward(self, quality, ratio):
        return REWARDS[self.kind](quality, ratio, self.beta)

    def first_rate(self, steps):
        """float, the learning rate where it begins."""
        if self.rate is not None:
            return self.rate
        mean = (self.growth - 1) / math.log(self.growth) if self.growth > 1 else 1.0
        return max(4.8e-3, TRAVEL / (mean * (1 - self.delay) * steps))

    def learn(self, policy, state, draws, rewards, step, steps):
        reward = rewards[0]
        before = [ops.convert_to_tensor(state[name]) for name in self.state]
        total, weight, baseline = formulas.moving_average(*before, reward, self.momentum)
        state["baseline_total"].assign(total)
        state["baseline_weight"].assign(weight)
        gradient = -(reward - baseline) * draws.slopes[0]
        rate = formulas.policy_rate(step, steps, self.delay, self.first_rate(steps), self.growth)
        policy.learn(gradient, rate, ops.ones_like(draws.active[0]), beta1=0.0, beta2=0.999)
        return ops.ones_like(rewards)


@dataclass(frozen=True)
class ImportanceSampling(Algorithm):
    """PARSEC (Casale et al. 2019, arXiv 1902.05116) as Auto-TSNet uses it, under a limit.

    Each step draws some networks from the policy. Their weights,
    `softmax((quality - penalty * max(0, T / T0 - 1)) / temperature)`, are both those of their
    losses and those with which the logits move towards them. The papers give neither the number
    of samples nor penalty and temperature; these are ours.

    Args:
        samples: int, networks in each step, or the most of them.
        samples_per_nat: float, or `None`: ties their number to the entropy of the policy, see
            `formulas.number_of_samples`. All are computed, as the graph is one; what is too many
            counts for nothing.
        temperature: float above 0, in units of the quality.
        penalty: float, what an excess of 100 % over the target takes from the quality.
        rate: float, learning rate of the logits (Adam).
        delay: float from 0 to 1, part of the search in which all networks weigh the same and the
            policy does not learn.
        baseline: bool, takes the mean weight from the weights in the policy's gradient: the same
            on average, with less variance.
        op_warm_up, filter_warm_up: see `Algorithm`; PARSEC has none.
    """

    samples: int = 8
    samples_per_nat: float | None = None
    temperature: float = 0.05
    penalty: float = 2.0
    rate: float = 0.025
    delay: float = 1 / 3
    baseline: bool = False
    op_warm_up: float = 0.0
    filter_warm_up: float = 0.0

    def __post_init__(self):
        check_int("samples", self.samples)
        check_number("samples_per_nat", self.samples_per_nat, 1e-6, none=True)
        check_number("temperature", self.temperature, 1e-9)
        check_number("penalty", self.penalty, 0.0)
        check_number("learning_rate", self.rate, 0.0)
        check_number("delay", self.delay, 0.0, 0.99)
        for name in ("op_warm_up", "filter_warm_up"):
            check_number(name, getattr(self, name), 0.0, self.delay)

    def reward(self, quality, ratio):
        return formulas.hinge_reward(quality, ratio, self.penalty)

    def learn(self, policy, state, draws, rewards, step, steps):
        drawn = ops.ones_like(rewards)
        if self.samples_per_nat is not None:
            count = formulas.number_of_samples(policy.entropy(), self.samples_per_nat, self.samples)
            drawn = ops.cast(ops.arange(self.samples) < ops.cast(count, "int32"), "float32")
        even = drawn / ops.sum(drawn)
        weights = formulas.importance_weights(rewards, self.temperature, drawn)
        begun = ops.cast(step >= self.delay * steps, "float32")
        shares = weights - even if self.baseline else weights
        gradient = -ops.sum(shares[:, None, None] * draws.slopes, axis=0)
        taking_part = ops.max(draws.active * drawn[:, None], axis=0)
        policy.learn(gradient, self.rate, begun * taking_part, beta1=0.9, beta2=0.999)
        return begun * weights + (1 - begun) * even


@dataclass(frozen=True)
class Uniform(Algorithm):
    """Random search: all networks are equally probable, from the first step to the last.

    Args:
        op_warm_up, filter_warm_up: see `Algorithm`.
    """

    op_warm_up: float = 0.25
    filter_warm_up: float = 0.25

    learns = False

    def __post_init__(self):
        for name in ("op_warm_up", "filter_warm_up"):
            check_number(name, getattr(self, name), 0.0, 0.99)

    def reward(self, quality, ratio):
        return quality

    def learn(self, policy, state, draws, rewards, step, steps):
        return ops.ones_like(rewards)
