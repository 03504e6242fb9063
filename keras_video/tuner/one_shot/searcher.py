"""`Searcher`: a model that trains a super-network and a policy over its networks with plain `fit`.

`Layout` arranges all choices of a space in one matrix. `Policy` is a distribution over this matrix,
from which networks are drawn.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_video.tuner.one_shot import algorithms


class Layout:
    """All choices of a space as a matrix `(choices, values)`.

    One matrix instead of hundreds of small vectors keeps the graph of a step small. The row of a
    choice with few values ends in masked entries.

    Args:
        choices: sequence of `Choice`, parents before children.

    Attributes:
        choices: tuple of `Choice`.
        shape: pair `(number of choices, largest number of values)`.
        mask: float32 array of that shape, 1 where there is a value.
        last: float32 array of that shape, 1 at the last value of each row.
        ops, filters: float32 arrays `(choices,)`, 1 for the choices with that tag.

    Raises:
        ValueError: if a name is repeated, or a condition refers to a choice that comes later.
    """

    def __init__(self, choices):
        self.choices = tuple(choices)
        lengths = [len(choice.values) for choice in self.choices]
        self.shape = (len(lengths), max(lengths, default=0))
        self.rows = {choice.name: row for row, choice in enumerate(self.choices)}
        if len(self.rows) < len(self.choices):
            raise ValueError(
                f"choices: expected different names, got {[c.name for c in self.choices]}."
            )
        self.mask = np.zeros(self.shape, "float32")
        self.last = np.zeros(self.shape, "float32")
        for row, length in enumerate(lengths):
            self.mask[row, :length] = 1
            self.last[row, length - 1] = 1
        self.ops = np.array([choice.tag == "op" for choice in self.choices], "float32")
        self.filters = 1 - self.ops
        self._conditions()

    def _conditions(self):
        """Collect for each choice its own conditions and those of its parents."""
        allowed = []
        for row, choice in enumerate(self.choices):
            found = {}
            for name, values in choice.when:
                parent = self.rows.get(name, row)
                if parent >= row:
                    raise ValueError(
                        f"when: expected choices that come before {choice.name!r}, got {name!r}."
                    )
                mask = np.array([v in values for v in self.choices[parent].values])
                for ancestor, more in [(parent, mask), *allowed[parent].items()]:
                    found[ancestor] = found.get(ancestor, True) & more
            allowed.append(found)
        pairs = [(row, *item) for row, found in enumerate(allowed) for item in found.items()]
        self.conditions = len(pairs)
        self.parents = np.array([parent for _, parent, _ in pairs], "int32")
        self.allowed = np.zeros((len(pairs), self.shape[1]), "float32")
        self.owners = np.zeros((self.shape[0], len(pairs)), "float32")
        for number, (row, _, mask) in enumerate(pairs):
            self.allowed[number, : len(mask)] = mask
            self.owners[row, number] = 1

    def met(self, matrices):
        """Return the weight of the values that meet each condition: tensor `(..., conditions)`.

        Args:
            matrices: tensor `(..., choices, values)`: selections or probabilities.
        """
        allowed = ops.convert_to_tensor(self.allowed)
        return ops.sum(ops.take(matrices, self.parents, axis=-2) * allowed, axis=-1)

    def active(self, selections):
        """Return which choices are active: float32 tensor `(..., choices)` of ones and zeros.

        If a warm-up mixes all values of a parent, all its children are active.

        Args:
            selections: float tensor `(..., choices, values)`.
        """
        if not self.conditions:
            return ops.ones_like(selections[..., 0])
        failed = ops.cast(self.met(selections) < 1e-6, "float32")
        failed = ops.matmul(failed, ops.convert_to_tensor(self.owners.T.copy()))
        return ops.cast(failed < 0.5, "float32")

    def chances(self, probabilities):
        """Return the probability that each choice is active, if all are drawn independently.

        Args:
            probabilities: float tensor `(choices, values)`.

        Returns:
            float32 tensor `(choices,)`.
        """
        if not self.conditions:
            return ops.ones_like(probabilities[..., 0])
        logs = ops.log(ops.maximum(self.met(probabilities), 1e-30))
        owners = ops.convert_to_tensor(self.owners)
        return ops.exp(ops.squeeze(ops.matmul(owners, logs[:, None]), -1))

    def entropy(self, probabilities):
        """Return the entropy of the drawn networks in nats: scalar.

        Each choice counts with the probability that it is active.

        Args:
            probabilities: float tensor `(choices, values)`, 0 in masked places.
        """
        logs = ops.log(ops.maximum(probabilities, 1e-30))
        rows = -ops.sum(probabilities * logs, axis=-1)
        return ops.sum(self.chances(probabilities) * rows)

    def matrix(self, values):
        """Return the selection of a network: float32 array of `shape`.

        Args:
            values: dict of plain values. Choices without a value get their first.
        """
        matrix = np.zeros(self.shape, "float32")
        for row, choice in enumerate(self.choices):
            matrix[row, choice.index(values[choice.name]) if choice.name in values else 0] = 1
        return matrix

    def selection(self, matrix):
        """Return a selection in the form for super-networks: `{name: tensor (values,)}`."""
        return {
            choice.name: matrix[row, : len(choice.values)]
            for row, choice in enumerate(self.choices)
        }


class Draws(NamedTuple):
    """Networks drawn from a policy.

    Args:
        selections: float32 tensor `(samples, choices, values)`. Rows are one-hot, or uniform if
            a warm-up mixes all values.
        slopes: float32 tensor of that shape, the gradient of each network's log-probability with
            respect to the logits.
        active: float32 tensor `(samples, choices)`, 1 for the searched choices that are active.
        log_probs: float32 tensor `(samples,)`, log-probability of the active choices with warm-ups.
    """

    selections: object
    slopes: object
    active: object
    log_probs: object


class Policy(keras.layers.Layer):
    """One categorical distribution per choice, with logits that start at zero.

    Its state is kept in non-trainable weights, like the statistics of batch norm. So it can
    be used and updated inside a compiled training step, on every backend.

    Args:
        choices: sequence of `Choice`.
        fixed: dict of values of the choices that are not searched.
        seed: int.

    Attributes:
        layout: `Layout` of the choices.
        logits: weight `(choices, values)`.
        shown: weight of that shape, the selection used in evaluation.
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
        """Return the log-probability of every value: `(choices, values)`, -1e9 if masked."""
        logits = ops.convert_to_tensor(self.logits)
        given = ops.convert_to_tensor(self.layout.mask > 0)
        return ops.log_softmax(ops.where(given, logits, -1e9), axis=-1)

    def probabilities(self):
        """Return the probability of every value: `(choices, values)`, 1 or 0 for fixed choices."""
        return self._hold(ops.exp(self.log_probabilities()))

    def _hold(self, matrices):
        """Replace the rows of fixed choices."""
        held = ops.convert_to_tensor((1 - self.free) * self._constant)
        return ops.convert_to_tensor(self.free) * matrices + held

    def entropy(self):
        """Return the entropy of the drawn networks in nats: scalar."""
        return self.layout.entropy(self.probabilities())

    def draw(self, samples, mixing=0.0, widening=0.0):
        """Draw networks.

        Args:
            samples: int, number of networks.
            mixing: float or scalar tensor, probability that a choice with the tag `"op"` mixes all
                its values uniformly.
            widening: float or scalar tensor, probability that a choice with the tag `"filters"`
                takes its last, largest value.

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

        # Probability of the result. A mixture contains no information on the logits, and a largest
        # width contains less than another width.
        chosen = ops.exp(ops.sum(selections * ops.maximum(logs, -1e8), axis=-1))
        largest = ops.sum(selections * last, axis=-1)
        plain = (1.0 - mixing) * is_op + (1.0 - widening) * is_filters
        probability = plain * chosen + widening * is_filters * largest
        share = plain * chosen / ops.maximum(probability, algorithms.TINY)
        probability = ops.where(mixed > 0, mixing, probability)
        log_probs = ops.sum(active * ops.log(ops.maximum(probability, algorithms.TINY)), axis=-1)
        weight = (active * share * (1.0 - mixed))[..., None]
        slopes = weight * (selections - ops.exp(logs)) * mask
        return Draws(selections, slopes, active, log_probs)

    @staticmethod
    def _replace(selections, chosen, by):
        chosen = chosen[..., None]
        return chosen * by + (1.0 - chosen) * selections

    def learn(self, gradient, rate, active, beta1, beta2):
        """Update the logits and moments of the active choices with one step of Adam.

        Args:
            gradient: float tensor `(choices, values)`.
            rate: float or scalar tensor. If it is 0, only the moments change.
            active: tensor `(choices,)` of ones and zeros. Inactive choices do not change.
            beta1, beta2: floats, arguments of Adam.
        """
        rows = active[:, None] * ops.convert_to_tensor(self.free)
        count = ops.convert_to_tensor(self.count) + rows
        weights = (self.logits, self.mean, self.square)
        before = [ops.convert_to_tensor(weight) for weight in weights]
        after = algorithms.adam(*before, ops.maximum(count, 1.0), gradient, rate, beta1, beta2)
        self.count.assign(count)
        for weight, old, new in zip(weights, before, after, strict=True):
            weight.assign(ops.where(rows > 0, new, old))

    def select(self, values):
        """Select the network that is used in evaluation.

        Args:
            values: dict of plain values.
        """
        self.shown.assign(self.layout.matrix({**values, **self.fixed}))


QUALITIES = {"accuracy": algorithms.accuracy, "log_likelihood": algorithms.log_likelihood}


class Searcher(keras.Model):
    """Trains the shared weights of a super-network and a policy over its networks together.

    Each training step draws some networks from the policy. Every network computes its loss on the
    training batch and its quality on the validation batch. Quality and cost give the reward from
    which the policy learns. All of this happens in `call`, so that `fit`, callbacks, mixed
    precision and all backends work as for any Keras model. The quality is measured with the weights
    before the update (TuNAS uses those after the update).

    An evaluation uses the single network that was last passed to `select`.

    Args:
        super_network: `SuperNetwork`.
        algorithm: `Algorithm`.
        cost: function of a selection that returns a scalar tensor, or `None`.
        target: float, target cost.
        total_steps: int, steps of the whole search, for schedules.
        quality: `"accuracy"`, `"log_likelihood"`, or a function of labels and logits that returns
            a float32 tensor `(batch,)`.
        fixed: dict of values that are not searched. `None` uses those of the super-network.
        seed: int, seed of the draws.

    Call arguments:
        inputs: dict with `"clips"`, and in training also `"validation_clips"` and
            `"validation_labels"`. All batches should have the same shape.
        training: bool.

    Returns:
        Dict of tensors. `"logits"` is a tensor in evaluation and a tuple with one tensor per drawn
        network in training; `"reward"`, `"quality"` and so on describe the training step.
    """

    def __init__(
        self,
        super_network,
        algorithm,
        cost=None,
        target=None,
        total_steps=1000,
        quality="accuracy",
        fixed=None,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.super_network = super_network
        self.algorithm = algorithm
        fixed = super_network.fixed if fixed is None else fixed
        self.policy = Policy(super_network.choices, fixed, seed, name="policy")
        self.cost, self.target = cost, target
        self.total_steps = total_steps
        self.quality = QUALITIES.get(quality, quality)
        self.steps_done = self._scalar("steps_done")
        self.scalars = {name: self._scalar(name) for name in algorithm.state}
        names = ("reward", "quality", "cost_ratio", "policy_entropy", "accuracy")
        self.means = {name: keras.metrics.Mean(name=name) for name in names}

    def _scalar(self, name):
        return self.add_weight(
            shape=(), initializer="zeros", trainable=False, autocast=False, dtype="float32",
            name=name,
        )  # fmt: skip

    def compile(self, optimizer="rmsprop", loss=None, **kwargs):
        """Set optimizer and loss, as `keras.Model.compile`.

        Args:
            optimizer: optimizer of the shared weights.
            loss: `keras.losses.Loss`, its name, or a function of labels and logits. `None` means
                cross entropy with integer labels.
            **kwargs: further arguments of `keras.Model.compile`, except metrics.
        """
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._loss_function = keras.losses.get(loss)
        super().compile(optimizer=optimizer, loss=None, **kwargs)

    def build_for(self, clips):
        """Create all weights, those of the optimizer included, without any computation.

        Args:
            clips: a batch of clips, or a dict of such.
        """
        spec = keras.tree.map_structure(
            lambda a: keras.KerasTensor(a.shape, _float_type(a.dtype)), clips
        )
        if not self.super_network.built:
            selection = self.policy.layout.selection(self.policy.layout.matrix(self.policy.fixed))
            selection = {n: keras.KerasTensor(a.shape, "float32") for n, a in selection.items()}
            self.super_network(spec, selection, training=False)
        self.built = True
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def select(self, values):
        """Select the network that is used in evaluation.

        Args:
            values: dict of plain values.
        """
        self.policy.select(values)

    def call(self, inputs, training=False):
        clips = _as_float(inputs["clips"])
        if not training:
            selection = self.policy.layout.selection(ops.convert_to_tensor(self.policy.shown))
            return {"logits": self.super_network(clips, selection, training=False)}
        step, algorithm = ops.convert_to_tensor(self.steps_done), self.algorithm
        draws = self.policy.draw(
            algorithm.samples,
            algorithms.warm_up(step, algorithm.op_warm_up * self.total_steps),
            algorithms.warm_up(step, algorithm.filter_warm_up * self.total_steps),
        )
        validation_clips = _as_float(inputs["validation_clips"])
        logits, qualities, ratios = [], [], []
        for sample in range(algorithm.samples):
            selection = self.policy.layout.selection(draws.selections[sample])
            logits.append(self.super_network(clips, selection, training=True))
            answers = self.super_network(validation_clips, selection, training=False)
            answers = ops.cast(ops.stop_gradient(answers), "float32")
            qualities.append(ops.mean(self.quality(inputs["validation_labels"], answers)))
            ratios.append(self._ratio(selection))
        quality = ops.stop_gradient(ops.stack(qualities))
        ratio = ops.stop_gradient(ops.stack(ratios))
        rewards = algorithm.reward(quality, ratio)
        entropy = self.policy.entropy()
        weights = algorithm.learn(self.policy, self.scalars, draws, rewards, step, self.total_steps)
        self.steps_done.assign(step + 1.0)
        return {
            "logits": tuple(logits),
            "weights": ops.stop_gradient(weights),
            "reward": rewards,
            "quality": quality,
            "cost_ratio": ratio,
            "policy_entropy": entropy,
        }

    def _ratio(self, selection):
        if self.cost is None:
            return ops.ones((), "float32")
        return ops.cast(self.cost(selection), "float32") / float(self.target)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        answers = y_pred["logits"]
        if isinstance(answers, (tuple, list)):
            weights = y_pred["weights"]
            loss = 0.0
            for sample, logits in enumerate(answers):
                each = self._loss_function(y, ops.cast(logits, "float32"), sample_weight)
                loss = loss + weights[sample] * each
        else:
            loss = self._loss_function(y, ops.cast(answers, "float32"), sample_weight)
        for penalty in self.losses:
            loss = loss + ops.cast(penalty, loss.dtype)
        return loss

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        if "reward" in y_pred:
            for name in ("reward", "quality", "cost_ratio", "policy_entropy"):
                self.means[name].update_state(y_pred[name])
        else:
            logits = ops.cast(y_pred["logits"], "float32")
            self.means["quality"].update_state(self.quality(y, logits), sample_weight)
            self.means["accuracy"].update_state(algorithms.accuracy(y, logits), sample_weight)
        return self.get_metrics_result()


def _float_type(dtype):
    dtype = keras.backend.standardize_dtype(dtype)
    return dtype if "float" in dtype else keras.backend.floatx()


def _as_float(clips):
    return keras.tree.map_structure(lambda a: ops.cast(a, _float_type(a.dtype)), clips)
