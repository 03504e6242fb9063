"""The formulas of one-shot searches, for use inside a compiled step.

Sources: TuNAS, Bender et al. 2020 (arXiv 2008.06120); PARSEC, Casale et al. 2019 (arXiv
1902.05116), as in Auto-TSNet, Gong et al. 2021 (arXiv 2108.12957); FP-NAS, Yan et al. 2021 (arXiv
2011.10949), for the number of samples.
"""

from keras import ops

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
