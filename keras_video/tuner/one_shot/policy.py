"""`Policy`: the distribution from which a one-shot search draws networks, as weights of a layer."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_video.tuner.one_shot import formulas
from keras_video.tuner.one_shot.layout import Layout


class Draws(NamedTuple):
    """Networks drawn from a policy.

    Args:
        selections: float32 tensor `(samples, choices, values)`; one-hot rows, or even ones where a
            warm-up mixes all values.
        slopes: float32 tensor of that shape, the gradient of each network's log-probability with
            respect to the logits.
        active: float32 tensor `(samples, choices)`, 1 for the searched choices with an effect.
        log_probs: float32 tensor `(samples,)`; of the active choices, warm-ups included.
    """

    selections: object
    slopes: object
    active: object
    log_probs: object


class Policy(keras.layers.Layer):
    """One categorical distribution per choice, with logits that are zero at first.

    All is kept in weights that gradients do not reach, as the statistics of batch norm are: so a
    policy is drawn from and learns inside a compiled training step, on every backend.

    Args:
        choices: sequence of `Choice`.
        fixed: dict of values of the choices that are not searched.
        seed: int.

    Attributes:
        layout: `Layout` of the choices.
        logits: weight `(choices, values)`.
        shown: weight of that shape, the selection that an evaluation uses.
    """

    def __init__(self, choices, fixed=None, seed=0, **kwargs):
        super().__init__(dtype="float32", trainable=False, **kwargs)
        self.layout = layout = Layout(choices)
        self.fixed = dict(fixed or {})
        self.seed_generator = keras.random.SeedGenerator(seed)
        held = [[c.name in self.fixed or len(c.values) == 1] for c in layout.choices]
        self.free = 1 - np.array(held, "float32")
        self._constant = layout.matrix(self.fixed)
        for name in ("logits", "mean", "square", "shown"):
            setattr(self, name, self._weight(name, layout.shape))
        self.count = self._weight("count", (layout.shape[0], 1))
        self.built = True

    def _weight(self, name, shape):
        return self.add_weight(
            shape=shape, initializer="zeros", trainable=False, autocast=False, name=name
        )

    def log_probabilities(self):
        """Log-probability of every value: tensor `(choices, values)`, -1e9 in masked places."""
        logits = ops.convert_to_tensor(self.logits)
        given = ops.convert_to_tensor(self.layout.mask > 0)
        return ops.log_softmax(ops.where(given, logits, -1e9), axis=-1)

    def probabilities(self):
        """Probability of every value; those of fixed choices are 1 and 0."""
        return self._hold(ops.exp(self.log_probabilities()))

    def _hold(self, matrices):
        """Puts the fixed values into their rows."""
        held = ops.convert_to_tensor((1 - self.free) * self._constant)
        return ops.convert_to_tensor(self.free) * matrices + held

    def entropy(self):
        """Entropy of the drawn networks in nats: scalar."""
        return self.layout.entropy(self.probabilities())

    def draw(self, samples, mixing=0.0, widening=0.0):
        """Draws networks.

        Args:
            samples: int.
            mixing: float or scalar tensor, probability that a choice of the tag `"op"` takes all
                its values at once, in even parts.
            widening: the same for `"filters"`: that a choice takes its last, the largest value.

        Returns:
            `Draws`.
        """
        layout, (rows, columns) = self.layout, self.layout.shape
        logs = self.log_probabilities()
        picks = keras.random.categorical(logs, samples, seed=self.seed_generator)
        picked = ops.one_hot(ops.cast(ops.transpose(picks), "int32"), columns, dtype="float32")
        chances = keras.random.uniform((samples, rows), seed=self.seed_generator)
        is_op, is_filters = map(ops.convert_to_tensor, (layout.ops, layout.filters))
        last, mask = map(ops.convert_to_tensor, (layout.last, layout.mask))
        mixed = ops.cast(chances < mixing, "float32") * is_op
        widened = ops.cast(chances < widening, "float32") * is_filters
        even = mask / ops.sum(mask, axis=1, keepdims=True)
        selections = self._replace(picked, mixed, even)
        selections = self._hold(self._replace(selections, widened, last))
        active = layout.active(selections) * ops.convert_to_tensor(self.free[:, 0])

        # How probable was what came of it? A mixture says nothing of the values, a largest width
        # little.
        chosen = ops.exp(ops.sum(selections * ops.maximum(logs, -1e8), axis=-1))
        largest = ops.sum(selections * last, axis=-1)
        plain = (1.0 - mixing) * is_op + (1.0 - widening) * is_filters
        probability = plain * chosen + widening * is_filters * largest
        share = plain * chosen / ops.maximum(probability, formulas.TINY)
        probability = ops.where(mixed > 0, mixing, probability)
        log_probs = ops.sum(active * ops.log(ops.maximum(probability, formulas.TINY)), axis=-1)
        weight = (active * share * (1.0 - mixed))[..., None]
        slopes = weight * (selections - ops.exp(logs)) * mask
        return Draws(selections, slopes, active, log_probs)

    @staticmethod
    def _replace(selections, chosen, by):
        chosen = chosen[..., None]
        return chosen * by + (1.0 - chosen) * selections

    def learn(self, gradient, rate, active, beta1, beta2):
        """One step of Adam on the logits of the choices that took part.

        Args:
            gradient: float tensor `(choices, values)`.
            rate: float or scalar tensor; with 0 only the moments change.
            active: tensor `(choices,)` of ones and zeros; all else stays as it is.
            beta1, beta2: floats, those of Adam.
        """
        rows = active[:, None] * ops.convert_to_tensor(self.free)
        count = ops.convert_to_tensor(self.count) + rows
        weights = (self.logits, self.mean, self.square)
        before = [ops.convert_to_tensor(weight) for weight in weights]
        after = formulas.adam(*before, ops.maximum(count, 1.0), gradient, rate, beta1, beta2)
        self.count.assign(count)
        for weight, old, new in zip(weights, before, after, strict=True):
            weight.assign(ops.where(rows > 0, new, old))

    def select(self, values):
        """Makes a network the one that evaluations look at.

        Args:
            values: dict of plain values.
        """
        self.shown.assign(self.layout.matrix({**values, **self.fixed}))
