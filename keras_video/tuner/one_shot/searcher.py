"""`Searcher`: a super-network and a policy that learn together, in plain `fit`."""

import keras
from keras import ops

from keras_video.tuner.one_shot import formulas
from keras_video.tuner.one_shot.policy import Policy

QUALITIES = {"accuracy": formulas.accuracy, "log_likelihood": formulas.log_likelihood}


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
            formulas.warm_up(step, algorithm.op_warm_up * self.total_steps),
            formulas.warm_up(step, algorithm.filter_warm_up * self.total_steps),
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
            self.means["accuracy"].update_state(formulas.accuracy(y, logits), sample_weight)
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
