"""How a policy learns: `Reinforce` (TuNAS), `ImportanceSampling` (PARSEC) and `Uniform` (random).

The first part of this file has the formulas, for use in a compiled step; the second part has the
algorithms.

Sources: TuNAS, Bender et al. 2020 (arXiv 2008.06120); PARSEC, Casale et al. 2019 (arXiv
1902.05116), as in Auto-TSNet, Gong et al. 2021 (arXiv 2108.12957); FP-NAS, Yan et al. 2021 (arXiv
2011.10949), for the number of samples.
"""

import dataclasses
import math
from dataclasses import dataclass

from keras import ops

from keras_video.checks import check_choice, check_int, check_number

TINY = 1e-20

# Formulas


def warm_up(step, steps):
    """Return the probability of a warm-up: it falls linearly from 1 to 0 over `steps`."""
    return ops.clip(1.0 - step / float(steps), 0.0, 1.0) if steps else 0.0


def policy_rate(step, steps, delay, rate, growth):
    """Return the learning rate of a policy: first 0, then growing exponentially from `rate`.

    Args:
        step: float tensor, number of completed steps.
        steps: int, steps of the whole search.
        delay: float from 0 to 1, fraction of the search in which the rate is 0.
        rate: float, first rate after the delay.
        growth: float, factor by which the rate grows until the end of the search.
    """
    begin = delay * steps
    progress = (step - begin) / max(steps - begin, 1.0)
    return ops.where(step < begin, 0.0, rate * ops.power(growth, ops.maximum(progress, 0.0)))


def absolute_reward(quality, ratio, beta):
    """Return `Q + beta * |T / T0 - 1|` (TuNAS): pulls the cost to its target from both sides."""
    return quality + beta * ops.abs(ratio - 1.0)


def soft_reward(quality, ratio, beta):
    """Return `Q * (T / T0) ** beta` (MnasNet): trades quality against cost."""
    return quality * ops.power(ratio, beta)


def hard_reward(quality, ratio, beta):
    """Return `Q * min(1, (T / T0) ** beta)` (MnasNet): ignores the cost below the target."""
    return quality * ops.minimum(1.0, ops.power(ratio, beta))


def hinge_reward(quality, ratio, penalty):
    """Return `Q - penalty * max(0, T / T0 - 1)`: penalises a cost above the target."""
    return quality - penalty * ops.maximum(0.0, ratio - 1.0)


def moving_average(total, weight, value, momentum):
    """Update a moving average, corrected for its start at zero.

    Args:
        total, weight: scalars, the biased average and its weight. Both start at 0.
        value: scalar, new value.
        momentum: float.

    Returns:
        The new total, the new weight, and the average, which is total / weight.
    """
    total = momentum * total + (1.0 - momentum) * value
    weight = momentum * weight + (1.0 - momentum)
    return total, weight, total / weight


def adam(value, mean, square, count, gradient, rate, beta1, beta2, epsilon=1e-8):
    """Compute one step of Adam, element by element.

    Args:
        value, mean, square, gradient: tensors of one shape: the variable, its moments and its
            gradient.
        count: tensor that broadcasts to this shape, number of steps including this one.
        rate: learning rate.
        beta1, beta2: floats, decay of the moments. `beta1=0` means no momentum.

    Returns:
        New value, mean and square.
    """
    mean = beta1 * mean + (1.0 - beta1) * gradient
    square = beta2 * square + (1.0 - beta2) * ops.square(gradient)
    first = mean / (1.0 - ops.power(beta1, count)) if beta1 else mean
    second = square / (1.0 - ops.power(beta2, count))
    return value - rate * first / (ops.sqrt(second) + epsilon), mean, square


def importance_weights(rewards, temperature, drawn=None):
    """Return the weights of the drawn networks: `softmax(reward / temperature)`.

    In PARSEC's weight, prior and proposal are the same distribution and cancel. The likelihood that
    remains is computed from the reward and a temperature.

    Args:
        rewards: float tensor `(samples,)`.
        temperature: float.
        drawn: tensor `(samples,)`, 1 for the samples that count, 0 for the others; or `None`.
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
    """Return `ceil(per_nat * entropy)`, between 2 and `most`: fewer as the entropy falls."""
    return ops.clip(ops.ceil(per_nat * entropy), min(2.0, float(most)), float(most))


def accuracy(labels, logits):
    """Return 1 for each clip that is classified correctly, else 0: float32 tensor `(batch,)`.

    Args:
        labels: ints `(batch,)` or `(batch, 1)`, or one-hot `(batch, classes)`.
        logits: float tensor `(batch, classes)`.
    """
    if len(labels.shape) == 2 and labels.shape[1] > 1:
        labels = ops.argmax(labels, axis=-1)
    labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
    return ops.cast(ops.equal(ops.cast(ops.argmax(logits, axis=-1), "int32"), labels), "float32")


def log_likelihood(labels, logits):
    """Return the log-probability of each clip's class: float32 tensor. See `accuracy`."""
    scores = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
    if not (len(labels.shape) == 2 and labels.shape[1] > 1):
        labels = ops.cast(ops.reshape(labels, (-1,)), "int32")
        labels = ops.one_hot(labels, logits.shape[-1])
    return ops.sum(ops.cast(labels, "float32") * scores, axis=-1)


# Algorithms

REWARDS = {
    "absolute": absolute_reward,
    "soft": soft_reward,
    "hard": hard_reward,
}
# Sum of all learning rates in a short search. Logits then move about as far as in the published
# searches of some ten thousand steps.
TRAVEL = 20.0


class Algorithm:
    """The base class of algorithms, which rate drawn networks and update the policy.

    Attributes:
        samples: int, number of networks drawn in each step.
        state: tuple of names of scalars that are kept between steps. All start at 0.
        learns: bool, whether the policy changes.
        op_warm_up, filter_warm_up: floats, fractions of the search in which the probability of
            mixing all operations, and of using the largest widths, falls from 1 to 0.
    """

    samples = 1
    state = ()
    learns = True
    op_warm_up = filter_warm_up = 0.0

    def reward(self, quality, ratio):
        """Return the rewards of networks, a tensor like `quality`.

        Args:
            quality: float tensor, larger is better.
            ratio: float tensor, cost / target.
        """
        raise NotImplementedError

    def learn(self, policy, state, draws, rewards, step, steps):
        """Update the policy, in a compiled step.

        Args:
            policy: `Policy`.
            state: dict of the weights named in the attribute `state`.
            draws: `Draws`.
            rewards: float tensor `(samples,)`.
            step: float scalar tensor, number of completed steps.
            steps: int, steps of the whole search.

        Returns:
            The weights of the samples in the training loss, a tensor `(samples,)` with sum 1.
        """
        raise NotImplementedError

    def get_config(self):
        """Return the settings as a dict of plain values."""
        return {"name": type(self).__name__, **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Reinforce(Algorithm):
    """The policy gradient of TuNAS (Bender et al. 2020, arXiv 2008.06120).

    Args:
        kind: `"absolute"`, `"soft"` or `"hard"`, see `absolute_reward` and so on.
        beta: float, at most 0, weight or exponent of the cost.
        rate: float, first learning rate of the policy. `None` means 4.8e-3, as published for some
            ten thousand steps, or more for a shorter search, so that logits move as far.
        growth: float, factor by which the rate grows until the end.
        delay: float from 0 to 1, fraction of the search in which the policy does not learn.
        op_warm_up, filter_warm_up: floats from 0 to `delay`, see `Algorithm`.
        momentum: float, of the moving average of rewards that serves as the baseline.
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
        check_choice("reward", self.kind, REWARDS)
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
        """Return the first learning rate, a float."""
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
    """PARSEC (Casale et al. 2019, arXiv 1902.05116) with a cost limit, as used by Auto-TSNet.

    Each step draws some networks from the policy. Their weights are
    `softmax((quality - penalty * max(0, T / T0 - 1)) / temperature)`. They weigh the losses of the
    networks, and the update that moves the logits towards them. The papers do not give the number
    of samples, the penalty and the temperature; the defaults are our choice.

    Args:
        samples: int, number of networks in each step, or its upper limit.
        samples_per_nat: float; makes the number of networks proportional to the entropy of the
            policy, see `number_of_samples`. `None` keeps it constant. As the graph is static, all
            `samples` networks are computed, and surplus ones have the weight 0.
        temperature: float above 0, in units of the quality.
        penalty: float, reduction of the quality for a cost of twice the target.
        rate: float, learning rate of the logits (Adam).
        delay: float from 0 to 1, fraction of the search in which all networks have the same weight
            and the policy does not learn.
        baseline: bool, whether the mean weight is subtracted in the policy gradient. The expected
            gradient stays the same, with less variance.
        op_warm_up, filter_warm_up: see `Algorithm`. PARSEC itself has no warm-up.
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
    """Random search: all networks stay equally probable.

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
