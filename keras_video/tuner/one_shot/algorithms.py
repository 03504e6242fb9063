"""How a policy learns: `Reinforce` (TuNAS), `ImportanceSampling` (PARSEC), `Uniform` (not).

The formulas of one-shot searches, for use inside a compiled step.

Sources: TuNAS, Bender et al. 2020 (arXiv 2008.06120); PARSEC, Casale et al. 2019 (arXiv
1902.05116), as in Auto-TSNet, Gong et al. 2021 (arXiv 2108.12957); FP-NAS, Yan et al. 2021 (arXiv
2011.10949), for the number of samples.
"""

import dataclasses
import math
from dataclasses import dataclass

from keras import ops

from keras_video.checks import check_int, check_number

TINY = 1e-20


def warm_up(step, steps):
    """Probability of a warm-up, which falls linearly from 1 to 0 over the first `steps`."""
    return ops.clip(1.0 - step / float(steps), 0.0, 1.0) if steps else 0.0


def policy_rate(step, steps, delay, rate, growth):
    """Learning rate of a policy: 0 at first, then growing exponentially from `rate`.

    Args:
        step: float tensor, steps done.
        steps: int, steps of the whole search.
        delay: float from 0 to 1, part of the search before the policy learns.
        rate: float, the first rate above 0.
        growth: float, what the rate has grown by when the search ends.
    """
    begin = delay * steps
    progress = (step - begin) / max(steps - begin, 1.0)
    return ops.where(step < begin, 0.0, rate * ops.power(growth, ops.maximum(progress, 0.0)))


def absolute_reward(quality, ratio, beta):
    """`Q + beta * |T / T0 - 1|`, of TuNAS: pulls the cost onto its target from both sides."""
    return quality + beta * ops.abs(ratio - 1.0)


def soft_reward(quality, ratio, beta):
    """`Q * (T / T0) ** beta`, of MnasNet: trades quality for cost around the target."""
    return quality * ops.power(ratio, beta)


def hard_reward(quality, ratio, beta):
    """`Q * min(1, (T / T0) ** beta)`: below the target cost counts for nothing."""
    return quality * ops.minimum(1.0, ops.power(ratio, beta))


def hinge_reward(quality, ratio, penalty):
    """`Q - penalty * max(0, T / T0 - 1)`, of PARSEC under a limit."""
    return quality - penalty * ops.maximum(0.0, ratio - 1.0)


def moving_average(total, weight, value, momentum):
    """A zero-debiased moving average that includes the present value.

    Args:
        total, weight: scalars, both 0 at first: the biased average and how much it holds.
        value: scalar.
        momentum: float.

    Returns:
        The new total, the new weight, and the average, their quotient.
    """
    total = momentum * total + (1.0 - momentum) * value
    weight = momentum * weight + (1.0 - momentum)
    return total, weight, total / weight


def adam(value, mean, square, count, gradient, rate, beta1, beta2, epsilon=1e-8):
    """One step of Adam, element by element.

    Args:
        value, mean, square, gradient: tensors of one shape: what learns and its moments.
        count: tensor that fits their shape, steps done, this one included.
        rate: learning rate.
        beta1, beta2: floats, momenta of the moments; with `beta1=0` there is no momentum.

    Returns:
        New value, mean and square.
    """
    mean = beta1 * mean + (1.0 - beta1) * gradient
    square = beta2 * square + (1.0 - beta2) * ops.square(gradient)
    first = mean / (1.0 - ops.power(beta1, count)) if beta1 else mean
    second = square / (1.0 - ops.power(beta2, count))
    return value - rate * first / (ops.sqrt(second) + epsilon), mean, square


def importance_weights(rewards, temperature, drawn=None):
    """How much each of the drawn networks counts: `softmax(reward / temperature)`.

    Prior and proposal are the same distribution and cancel; what is left of PARSEC's weight is the
    likelihood, here a reward at a temperature.

    Args:
        rewards: float tensor `(samples,)`.
        temperature: float.
        drawn: tensor `(samples,)` of ones and zeros, or `None`: samples that do not count get 0.
    """
    scores = (rewards - ops.max(rewards)) / temperature
    if drawn is not None:
        scores = ops.where(drawn > 0, rewards, -1e30)
        scores = (scores - ops.max(scores)) / temperature
    powers = ops.exp(scores)
    if drawn is not None:
        powers = powers * drawn
    return powers / ops.sum(powers)


def number_of_samples(entropy, per_nat, most):
    """`ceil(per_nat * entropy)`, at least 2 and at most `most`: fewer as the policy sharpens."""
    return ops.clip(ops.ceil(per_nat * entropy), min(2.0, float(most)), float(most))


def accuracy(labels, logits):
    """Whether each clip is recognised: float32 tensor `(batch,)`.

    Args:
        labels: ints `(batch,)` or `(batch, 1)`, or one-hot `(batch, classes)`.
        logits: float tensor `(batch, classes)`.
    """
    if len(labels.shape) == 2 and labels.shape[1] > 1:
        labels = ops.argmax(labels, axis=-1)
    labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
    return ops.cast(ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), labels), "float32")


def log_likelihood(labels, logits):
    """Log-probability of each clip's class: float32 tensor `(batch,)`. See `accuracy`."""
    scores = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    if not (len(labels.shape) == 2 and labels.shape[1] > 1):
        labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
        labels = ops.one_hot(labels, logits.shape[-1])
    return ops.sum(ops.cast(labels, "float32") * scores, axis=-1)


REWARDS = {
    "absolute": absolute_reward,
    "soft": soft_reward,
    "hard": hard_reward,
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
        kind: `"absolute"`, `"soft"` or `"hard"`, see `keras_video.tuner.one_shot.algorithms`.
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
        total, weight, baseline = moving_average(*before, reward, self.momentum)
        state["baseline_total"].assign(total)
        state["baseline_weight"].assign(weight)
        gradient = -(reward - baseline) * draws.slopes[0]
        rate = policy_rate(step, steps, self.delay, self.first_rate(steps), self.growth)
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
        return hinge_reward(quality, ratio, self.penalty)

    def learn(self, policy, state, draws, rewards, step, steps):
        drawn = ops.ones_like(rewards)
        if self.samples_per_nat is not None:
            count = number_of_samples(policy.entropy(), self.samples_per_nat, self.samples)
            drawn = ops.cast(ops.arange(self.samples) < ops.cast(count, "int32"), "float32")
        even = drawn / ops.sum(drawn)
        weights = importance_weights(rewards, self.temperature, drawn)
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
