"""`Runner`: what a worker of a one-shot search does: chunks of training, then candidates.

Checkpoints of a `Searcher`: everything that its next step depends on.
"""

import gc
import json
import os
import re

import keras
import numpy as np
from keras import ops
from keras_tuner.errors import FatalRuntimeError, FatalValueError

from keras_video.tuner.one_shot import plan as decisions
from keras_video.tuner.one_shot.batches import EvaluationBatches, SearchBatches
from keras_video.tuner.one_shot.searcher import Searcher

FORMAT = "keras_video one-shot 1"
KEPT = 2  # the last chunk may have to be run again from the one before
NAME = re.compile(r"shared-(\d{5})\.npz")


def path_of(folder, position):
    """Path of the checkpoint after so many chunks."""
    return os.path.join(folder, f"shared-{position:05d}.npz")


def save(folder, position, searcher, about):
    """Writes a checkpoint under a temporary name and renames it; removes all but the last two.

    Keras' own files of weights have neither the optimizer's state nor that of random seeds.

    Args:
        folder: string.
        position: int, chunks done.
        searcher: `Searcher`.
        about: dict of plain values, kept with it.
    """
    parts = {"model": searcher.variables, "optimizer": searcher.optimizer.variables}
    arrays = {
        f"{part}/{number}": _to_array(variable)
        for part, variables in parts.items()
        for number, variable in enumerate(variables)
    }
    places = {id(v): number for number, v in enumerate(searcher.variables)}
    shared = [places[id(v)] for v in searcher.super_network.weights]
    about = {"format": FORMAT, "position": position, "shared": shared, **about}
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), "uint8")
    path = path_of(folder, position)
    with open(f"{path}.tmp", "wb") as file:
        np.savez(file, **arrays)
        file.flush()
        os.fsync(file.fileno())
    os.replace(f"{path}.tmp", path)
    for name in os.listdir(folder):
        found = NAME.fullmatch(name)
        if found and int(found[1]) <= position - KEPT:
            os.unlink(os.path.join(folder, name))


def restore(folder, position, searcher):
    """Puts a searcher into the state of a checkpoint.

    Returns:
        The dict `about` that was kept with it.

    Raises:
        ValueError: if there is no such checkpoint, or it is that of another searcher.
    """
    arrays, about = _read(folder, position)
    parts = {"model": searcher.variables, "optimizer": searcher.optimizer.variables}
    for part, variables in parts.items():
        _assign(path_of(folder, position), part, variables, arrays)
    return about


def inherit(folder, position, searcher):
    """Takes the shared weights alone from a checkpoint, that of an earlier stage.

    Returns and raises: as `restore`.
    """
    arrays, about = _read(folder, position)
    weights = searcher.super_network.weights
    found = [arrays[f"model/{place}"] for place in about["shared"]]
    if [a.shape for a in found] != [tuple(v.shape) for v in weights]:
        raise ValueError(
            "super_network: expected the same weights whatever is fixed, but those of "
            f"{path_of(folder, position)} are {len(found)}, and here are {len(weights)}, or they "
            "have other shapes."
        )
    for array, variable in zip(found, weights, strict=True):
        variable.assign(array)
    return about


def describe(folder, position):
    """The dict `about` that was kept with a checkpoint. Raises: as `restore`."""
    return _read(folder, position)[1]


def _read(folder, position):
    path = path_of(folder, position)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays.pop("about").tobytes().decode())
        if about.get("format") != FORMAT:
            raise ValueError("another format")
    except FileNotFoundError:
        raise ValueError(f"checkpoint: expected {path}, which is not there.") from None
    except Exception as error:
        raise ValueError(
            f"checkpoint: expected {path} to be one of a one-shot search, it is damaged ({error})."
        ) from error
    return arrays, about


def _assign(path, part, variables, arrays):
    names = [name for name in arrays if name.startswith(f"{part}/")]
    shapes = [tuple(arrays[f"{part}/{n}"].shape) for n in range(len(names))]
    if shapes != [tuple(v.shape) for v in variables]:
        raise ValueError(
            f"checkpoint: expected {path} to hold the {len(variables)} variables of the {part}, "
            f"got {len(shapes)} or others; was the space, the super-network or the optimizer "
            "changed?"
        )
    for number, variable in enumerate(variables):
        variable.assign(arrays[f"{part}/{number}"])


def _to_array(variable):
    import keras

    array = keras.ops.convert_to_numpy(
        keras.ops.cast(variable, "float32") if variable.dtype == "bfloat16" else variable
    )
    return np.asarray(array)


class Runner:
    """Trains the super-network of a search in chunks, and evaluates networks with its weights.

    Args:
        plan: `SearchPlan`, bound to its space.
        space: `ChoiceSpace`.
        folder: string, for checkpoints; all workers must see it.
        compile: function that compiles a `Searcher`, or `None`: `compile_searcher`.
        quality: see `Searcher`.
        steps_per_trial: int, steps of a chunk; `None`: one epoch of the training data.

    Attributes:
        searcher: the `Searcher` in memory, or `None`.
    """

    def __init__(self, plan, space, folder, compile=None, quality="accuracy", steps_per_trial=None):
        self.plan, self.space, self.folder = plan, space, folder
        self._compile, self._quality = compile, quality
        self._steps_per_trial = steps_per_trial
        self.searcher = None
        self._stage = self._position = None

    def chunk(self, number, certain, seed, data, callbacks=(), verbose=0):
        """Trains one chunk.

        Args:
            number: int, that of the chunk.
            certain: dict of values of the choices that are not searched.
            seed: int, that of the search.
            data: `SearchData`.
            callbacks, verbose: those of `fit`.

        Returns:
            Dict of metrics; dict of the values of all choices, the most probable ones; and the
            logits, a list of lists.

        Raises:
            FatalRuntimeError: if numbers are no longer finite. Nothing is written then.
        """
        chunk = self.plan.chunk(number)
        steps = self._steps_per_trial or data.train.batches
        self._go_to(number, chunk, certain, seed, data, steps)
        self._position = None  # until the chunk is over, what is in memory is no known state
        # Some draw from a backend's own generator: dropout of torch, augmentations.
        keras.utils.set_random_seed(_seed(seed, number))
        watch = _Watch(number)
        history = self.searcher.fit(
            SearchBatches(data, seed, number * steps, steps),
            shuffle=False, verbose=verbose, callbacks=[watch, *callbacks],
        ).history  # fmt: skip
        means = {name: float(history[name][-1]) for name in SAMPLED}
        logits = ops.convert_to_numpy(self.searcher.policy.logits)
        watch.check(means | {"logits": logits})
        values = decisions.most_probable(
            self.plan.choices, logits, certain,
            None if self.plan.cost is None else self.plan.cost.of,
            self.plan.limit(chunk.stage_number),
        )  # fmt: skip
        metrics = self.evaluate(values, data, chunk.stage_number)
        watch.check(metrics)
        metrics |= {f"mean_{n}": means[n] for n in ("reward", "quality", "cost_ratio")}
        entropy = float(ops.convert_to_numpy(self.searcher.policy.entropy()))
        metrics |= {"policy_entropy": entropy, "loss": means["loss"]}
        about = {"stage": chunk.stage.name, "steps": steps, "seed": seed, "certain": certain}
        save(self.folder, number + 1, self.searcher, about)
        self._position = number + 1
        rows = [
            [float(x) for x in row[: len(choice.values)]]
            for row, choice in zip(logits, self.plan.choices, strict=True)
        ]
        return metrics, values, rows

    def candidate(self, values, data):
        """Evaluates a network with the shared weights of the end: dict of metrics."""
        self.finish(data)
        return self.evaluate(values, data, len(self.plan.stages) - 1)

    def finish(self, data):
        """Takes up the state after the last chunk."""
        position = self.plan.chunks
        if self._position != position:
            about = describe(self.folder, position)
            steps = self._steps_per_trial or data.train.batches
            chunk = self.plan.chunk(position - 1)
            self._build(chunk, about["certain"], about["seed"], data, steps)
            self._restore(position, steps)

    def evaluate(self, values, data, stage_number):
        """Quality, cost and reward of one network with shared weights, on all validation clips."""
        self.searcher.select(values)
        found = self.searcher.evaluate(
            EvaluationBatches(data.validation), verbose=0, return_dict=True
        )
        return self.judge(found["quality"], values, stage_number, found["accuracy"])

    def judge(self, quality, values, stage_number, accuracy=None):
        """The metrics of a network of that quality, and of that accuracy if it is another."""
        plan, ratio = self.plan, 1.0
        if plan.cost is not None:
            cost = plan.cost.of(decisions.only_active(plan.choices, values))
            ratio = cost / plan.aim(stage_number)
        reward = plan.algorithm.reward(np.float32(quality), np.float32(ratio))
        metrics = {
            "reward": float(ops.convert_to_numpy(reward)),
            "val_accuracy": float(quality if accuracy is None else accuracy),
        }
        if plan.cost is not None:
            metrics |= {"cost_ratio": cost / plan.targets[stage_number], "cost": cost}
        return metrics

    def _go_to(self, number, chunk, certain, seed, data, steps):
        """Brings the searcher into the state after `number` chunks."""
        if self._position == number and self._stage == chunk.stage_number:
            return
        self._build(chunk, certain, seed, data, steps)
        if chunk.place:
            self._restore(number, steps)
        elif number:
            inherit(self.folder, number, self.searcher)

    def _restore(self, position, steps):
        about = restore(self.folder, position, self.searcher)
        if about["steps"] != steps:
            raise FatalValueError(
                f"batch_size: expected data with {about['steps']} steps in a chunk, as when the "
                f"search was begun, got {steps}."
            )
        self._position = position

    def _build(self, chunk, certain, seed, data, steps):
        self.searcher, self._position = None, None
        gc.collect()
        plan, number = self.plan, chunk.stage_number
        # Initial weights, dropout and draws follow from the seed and the stage.
        keras.utils.set_random_seed(_seed(seed, number))
        self.searcher = Searcher(
            self.space.super_network(fixed=certain),
            plan.algorithm,
            plan.cost,
            plan.aim(number),
            total_steps=chunk.stage.epochs * steps,
            quality=self._quality,
            fixed=certain,
            seed=_seed(seed, number),
        )
        if self._compile is not None:
            self._compile(self.searcher)
        else:
            compile_searcher(self.searcher, data.labels)
        self.searcher.build_for(data.clips)
        self._stage = number

    def network(self, values):
        """The child network, with its part of the shared weights."""
        return self.searcher.super_network.child(decisions.only_active(self.plan.choices, values))


def _seed(seed, number):
    return (seed + 7919 * number) % 2**31


SAMPLED = ("loss", "reward", "quality", "cost_ratio", "policy_entropy")


class _Watch(keras.callbacks.Callback):
    """Ends a training whose numbers are no longer finite."""

    EVERY = 20  # steps; looking at numbers more often would hold up an accelerator

    def __init__(self, number):
        super().__init__()
        self._number, self._seen = number, 0

    def on_train_batch_end(self, batch, logs=None):
        self._seen += 1
        if logs and self._seen % self.EVERY == 0:
            self.check({name: logs[name] for name in ("loss", "reward") if name in logs})

    def check(self, numbers):
        """Raises unless all numbers are finite."""
        bad = [n for n, v in numbers.items() if not np.all(np.isfinite(np.asarray(v, "float64")))]
        if bad:
            raise FatalRuntimeError(
                f"{bad[0]}: expected finite numbers, got {np.asarray(numbers[bad[0]])} in chunk "
                f"{self._number}. The checkpoint before this chunk is kept; a smaller learning "
                "rate of the shared weights, or clipping of gradients, may help."
            )


def compile_searcher(searcher, labels=None):
    """Compiles a searcher: AdamW with a warm-up and a cosine schedule, cross entropy.

    Args:
        searcher: `Searcher`.
        labels: array of some labels, ints `(batch,)` or one-hot `(batch, classes)`.
    """
    steps = searcher.total_steps
    warmup = max(1, steps // 40)
    schedule = keras.optimizers.schedules.CosineDecay(
        1e-4, max(1, steps - warmup), warmup_target=3e-3, warmup_steps=warmup
    )
    one_hot = labels is not None and labels.ndim == 2 and labels.shape[1] > 1
    kind = "CategoricalCrossentropy" if one_hot else "SparseCategoricalCrossentropy"
    searcher.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-4, global_clipnorm=1.0),
        getattr(keras.losses, kind)(from_logits=True),
    )
