"""`Searcher`: a super-network and a policy that learn together, in plain `fit`.

`Policy`: the distribution from which a one-shot search draws networks, as weights of a layer.

`Layout`: all choices of a space as one matrix, a row for each and a column for each value.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_video.tuner.one_shot import algorithms


class Layout:
    """Where each value of each choice sits in a matrix `(choices, values)`, and what depends on it.

    One matrix instead of hundreds of small vectors keeps the graph of a step small. Rows of
    choices with fewer values than the longest end in places that are masked.

    Args:
        choices: sequence of `Choice`, parents before children.

    Attributes:
        choices: tuple of `Choice`.
        shape: the pair of the numbers of choices and of columns.
        mask: float32 array of that shape, 1 where there is a value.
        last: float32 array of that shape, 1 at the last value of each row.
        ops, filters: float32 arrays `(choices,)`, 1 for the choices with that tag.

    Raises:
        ValueError: if names repeat, or a condition is about a choice that does not come before.
    """

    def __init__(self, choices):
        self.choices = tuple(choices)
        lengths = [len(choice.values) for choice in self.choices]
        self.shape = (len(lengths), max(lengths, default=0))
        self.rows = {choice.name: row for row, choice in enumerate(self.choices)}
        if len(self.rows) < len(self.choices):
            raise ValueError("choices: expected different names, got some twice.")
        self.mask = np.zeros(self.shape, "float32")
        self.last = np.zeros(self.shape, "float32")
        for row, length in enumerate(lengths):
            self.mask[row, :length] = 1
            self.last[row, length - 1] = 1
        self.ops = np.array([choice.tag == "op" for choice in self.choices], "float32")
        self.filters = 1 - self.ops
        self._conditions()

    def _conditions(self):
        """Rewrites the conditions so that each choice has all that its parents have, too."""
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
        """Weight of the values that meet each condition: tensor `(..., conditions)`.

        Args:
            matrices: tensor `(..., choices, values)`: selections or probabilities.
        """
        allowed = ops.convert_to_tensor(self.allowed)
        return ops.sum(ops.take(matrices, self.parents, axis=-2) * allowed, axis=-1)

    def active(self, selections):
        """Which choices have an effect: float32 tensor `(..., choices)` of ones and zeros.

        Where a warm-up mixes all values of a parent, all its children have an effect.

        Args:
            selections: float tensor `(..., choices, values)`.
        """
        if not self.conditions:
            return ops.ones_like(selections[..., 0])
        failed = ops.cast(self.met(selections) < 1e-6, "float32")
        failed = ops.matmul(failed, ops.convert_to_tensor(self.owners.T.copy()))
        return ops.cast(failed < 0.5, "float32")

    def chances(self, probabilities):
        """Probability that each choice is active, where all are drawn independently.

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
        """Entropy in nats of the networks that are drawn: scalar.

        Only choices that are active count, each as often as it is.

        Args:
            probabilities: float tensor `(choices, values)`, 0 in masked places.
        """
        logs = ops.log(ops.maximum(probabilities, 1e-30))
        rows = -ops.sum(probabilities * logs, axis=-1)
        return ops.sum(self.chances(probabilities) * rows)

    def matrix(self, values):
        """The selection of a network: float32 array of `shape`.

        Args:
            values: dict of plain values; choices without one take their first.
        """
        matrix = np.zeros(self.shape, "float32")
        for row, choice in enumerate(self.choices):
            matrix[row, choice.index(values[choice.name]) if choice.name in values else 0] = 1
        return matrix

    def selection(self, matrix):
        """A selection as super-networks take it: `{name: tensor (number of values,)}`."""
        return {
            choice.name: matrix[row, : len(choice.values)]
            for row, choice in enumerate(self.choices)
        }


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
        after = algorithms.adam(*before, ops.maximum(count, 1.0), gradient, rate, beta1, beta2)
        self.count.assign(count)
        for weight, old, new in zip(weights, before, after, strict=True):
            weight.assign(ops.where(rows > 0, new, old))

    def select(self, values):
        """Makes a network the one that evaluations look at.

        Args:
            values: dict of plain values.
        """
        self.shown.assign(self.layout.matrix({**values, **self.fixed}))


QUALITIES = {"accuracy": algorithms.accuracy, "log_likelihood": algorithms.log_likelihood}


class Searcher(keras.Model):
    """Trains the weights of all networks of a space and, in the same step, a policy over them.

    In a training step some networks are drawn from the policy. Each sees the training batch, for
    the loss, and then the validation batch, for its quality; quality and cost make the reward from
    which the policy learns. All of it happens in `call`, so that what Keras does for any model
    holds here: `fit`, callbacks, mixed precision, every backend. The quality is that of the weights
    before the step, where TuNAS takes those after it.

    An evaluation looks at the single network last given to `select`.

    Args:
        super_network: `SuperNetwork`.
        algorithm: `Algorithm`.
        cost: function of a selection that returns a scalar tensor, or `None`.
        target: float, the wanted cost.
        total_steps: int, steps of the whole search: schedules are laid over them.
        quality: `"accuracy"`, `"log_likelihood"`, or a function of labels and logits that returns
            a float32 tensor `(batch,)`.
        fixed: dict of values that are not searched; `None`: those of the super-network.
        seed: int, of the draws.

    Call arguments:
        inputs: dict of `"clips"`, and in training `"validation_clips"` and `"validation_labels"`.
            Batches should always have the same shape.
        training: bool.

    Returns:
        Dict of tensors: `"logits"`, in training a tuple with those of each drawn network, and the
        numbers of the step.
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
        """As `keras.Model.compile`; the loss is that of labels and logits.

        Args:
            optimizer: that of the shared weights.
            loss: `keras.losses.Loss`, its name, or a function of labels and logits; `None`: cross
                entropy of integer labels.
            **kwargs: further arguments of `keras.Model.compile`, except metrics.
        """
        if loss is None:
            loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self._loss_function = keras.losses.get(loss)
        super().compile(optimizer=optimizer, loss=None, **kwargs)

    def build_for(self, clips):
        """Makes all weights, those of the optimizer included, without computing anything.

        Args:
            clips: a batch of clips, or a dict of such.
        """
        spec = keras.tree.map_structure(
            lambda a: keras.KerasTensor(a.shape, _float_type(a.dtype)), clips
        )
        if not all(layer.built for layer in self.super_network._flatten_layers()):
            selection = self.policy.layout.selection(self.policy.layout.matrix(self.policy.fixed))
            selection = {n: keras.KerasTensor(a.shape, "float32") for n, a in selection.items()}
            self.super_network(spec, selection, training=False)
        self.built = True
        if self.optimizer is not None and not self.optimizer.built:
            self.optimizer.build(self.trainable_variables)

    def select(self, values):
        """Makes a network the one that evaluations look at.

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

    def get_metrics_result(self):
        names = ("reward", "quality", "cost_ratio", "policy_entropy")
        results = {"loss": self._loss_tracker.result()}
        results.update((name, self.means[name].result()) for name in names)
        results["accuracy"] = self.means["accuracy"].result()
        return results


def _float_type(dtype):
    dtype = keras.backend.standardize_dtype(dtype)
    return dtype if "float" in dtype else keras.backend.floatx()


def _as_float(clips):
    return keras.tree.map_structure(lambda a: ops.cast(a, _float_type(a.dtype)), clips)
