"""`Runner`: the work of a one-shot search: chunks of training, candidates, and checkpoints."""

import gc
import json
import os
import re

import keras
import numpy as np
from keras import ops
from keras_tuner.errors import FatalRuntimeError, FatalValueError

from keras_video.files import replacing
from keras_video.tuner.one_shot import plan as decisions
from keras_video.tuner.one_shot.batches import EvaluationBatches, SearchBatches
from keras_video.tuner.one_shot.searcher import Searcher
from keras_video.tuner.one_shot.super_network import super_network

SAMPLED = ("loss", "reward", "quality", "cost_ratio", "policy_entropy")


class Runner:
    """Trains the super-network of a search in chunks, and evaluates networks with its weights.

    Args:
        plan: `SearchPlan`, bound to its space.
        space: `ChoiceSpace`.
        folder: string, folder of the checkpoints. All workers need access to it.
        compile: function that compiles a `Searcher`. `None` uses `compile_searcher`.
        quality: see `Searcher`.
        steps_per_trial: int, training steps of a chunk. `None` means one epoch of the data.

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
        """Train one chunk, and write a checkpoint.

        Args:
            number: int, number of the chunk.
            certain: dict of values of the choices that are not searched.
            seed: int, seed of the search.
            data: `SearchData`.
            callbacks, verbose: arguments of `fit`.

        Returns:
            Tuple of the dict of metrics, the dict of the most probable values of all choices, and
            the logits, a list of lists.

        Raises:
            FatalRuntimeError: if loss, reward, metrics or logits are not finite. No checkpoint is
                written in this case.
        """
        chunk = self.plan.chunk(number)
        steps = self._steps_per_trial or data.train.batches
        self._go_to(number, chunk, certain, seed, data, steps)
        self._position = None  # the state in memory is undefined until the chunk is complete
        # Some layers use the generator of the backend: dropout on torch, augmentations.
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
        """Evaluate a network with the final shared weights; return a dict of metrics."""
        self.finish(data)
        return self.evaluate(values, data, len(self.plan.stages) - 1)

    def finish(self, data):
        """Restore the state after the last chunk."""
        position = self.plan.chunks
        if self._position != position:
            about = describe(self.folder, position)
            steps = self._steps_per_trial or data.train.batches
            chunk = self.plan.chunk(position - 1)
            self._build(chunk, about["certain"], about["seed"], data, steps)
            self._restore(position, steps)

    def evaluate(self, values, data, stage_number):
        """Return the metrics of a network with shared weights, on all validation clips."""
        self.searcher.select(values)
        found = self.searcher.evaluate(
            EvaluationBatches(data.validation), verbose=0, return_dict=True
        )
        return self.judge(found["quality"], values, stage_number, found["accuracy"])

    def judge(self, quality, values, stage_number, accuracy=None):
        """Return the metrics of a network from its quality, and its accuracy if that differs."""
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
        """Bring the searcher into the state after `number` chunks."""
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
                f"search started, got {steps}."
            )
        self._position = position

    def _build(self, chunk, certain, seed, data, steps):
        self.searcher, self._position = None, None
        gc.collect()
        plan, number = self.plan, chunk.stage_number
        # Initial weights, dropout and draws depend only on the seed and the stage.
        keras.utils.set_random_seed(_seed(seed, number))
        self.searcher = Searcher(
            super_network(self.space, fixed=certain),
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
        """Return a network as a separate model, with its part of the shared weights."""
        return self.searcher.super_network.child(decisions.only_active(self.plan.choices, values))


def compile_searcher(searcher, labels=None):
    """Compile a searcher with cross entropy and AdamW, with a warm-up and a cosine schedule.

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


def _seed(seed, number):
    return (seed + 7919 * number) % 2**31


class _Watch(keras.callbacks.Callback):
    """Stops the training when its numbers are no longer finite."""

    EVERY = 20  # steps between two checks; each check waits for the accelerator

    def __init__(self, number):
        super().__init__()
        self._number, self._seen = number, 0

    def on_train_batch_end(self, batch, logs=None):
        self._seen += 1
        if logs and self._seen % self.EVERY == 0:
            self.check({name: logs[name] for name in ("loss", "reward") if name in logs})

    def check(self, numbers):
        """Raise `FatalRuntimeError` unless all numbers are finite."""
        bad = [n for n, v in numbers.items() if not np.all(np.isfinite(np.asarray(v, "float64")))]
        if bad:
            raise FatalRuntimeError(
                f"{bad[0]}: expected finite numbers, got {np.asarray(numbers[bad[0]])} in chunk "
                f"{self._number}. The checkpoint before this chunk is kept. A smaller learning "
                "rate of the shared weights or gradient clipping may help."
            )


# Checkpoints: everything that the next step of a `Searcher` depends on

FORMAT = "keras_video one-shot 1"
KEPT = 2  # checkpoints; the last chunk may have to be repeated from the one before
# Checkpoints, and partial files that a killed process left.
NAME = re.compile(r"\.?shared-(\d{5})\.(?:.+\.partial\.)?npz")


def path_of(folder, position):
    """Return the path of the checkpoint after `position` chunks."""
    return os.path.join(folder, f"shared-{position:05d}.npz")


def save(folder, position, searcher, about):
    """Write a checkpoint, and remove all but the last two.

    Weight files of Keras do not contain the state of the optimizer and of random seeds.

    Args:
        folder: string.
        position: int, number of completed chunks.
        searcher: `Searcher`.
        about: dict of plain values that is written into the checkpoint.
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
    with replacing(path_of(folder, position), sync=True) as partial:
        np.savez(partial, **arrays)
    for name in os.listdir(folder):
        found = NAME.fullmatch(name)
        if found and int(found[1]) <= position - KEPT:
            os.unlink(os.path.join(folder, name))


def restore(folder, position, searcher):
    """Set a searcher to the state of a checkpoint.

    Returns:
        The dict `about` of the checkpoint.

    Raises:
        ValueError: if the checkpoint is missing, damaged, or from a different searcher.
    """
    arrays, about = _read(folder, position)
    parts = {"model": searcher.variables, "optimizer": searcher.optimizer.variables}
    for part, variables in parts.items():
        _assign(path_of(folder, position), part, variables, arrays)
    return about


def inherit(folder, position, searcher):
    """Load only the shared weights of a checkpoint, from an earlier stage.

    Returns and raises: as `restore`.
    """
    arrays, about = _read(folder, position)
    weights = searcher.super_network.weights
    found = [arrays[f"model/{place}"] for place in about["shared"]]
    if [a.shape for a in found] != [tuple(v.shape) for v in weights]:
        raise ValueError(
            f"super_network: expected the {len(found)} weights of {path_of(folder, position)}, got "
            f"{len(weights)} weights, or other shapes. A super-network must have the same weights "
            "for all fixed values."
        )
    for array, variable in zip(found, weights, strict=True):
        variable.assign(array)
    return about


def describe(folder, position):
    """Return the dict `about` of a checkpoint. Raises: as `restore`."""
    return _read(folder, position)[1]


def _read(folder, position):
    path = path_of(folder, position)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        about = json.loads(arrays.pop("about").tobytes().decode())
        if about.get("format") != FORMAT:
            raise ValueError("unknown format")
    except FileNotFoundError:
        raise ValueError(f"checkpoint: expected {path}, got no such file.") from None
    except Exception as error:
        raise ValueError(
            f"checkpoint: expected {path} from a one-shot search, got a damaged file ({error})."
        ) from error
    return arrays, about


def _assign(path, part, variables, arrays):
    names = [name for name in arrays if name.startswith(f"{part}/")]
    shapes = [tuple(arrays[f"{part}/{n}"].shape) for n in range(len(names))]
    if shapes != [tuple(v.shape) for v in variables]:
        raise ValueError(
            f"checkpoint: expected {path} with the {len(variables)} variables of the {part}, got "
            f"{len(shapes)} variables or other shapes. Did the space, the super-network or the "
            "optimizer change?"
        )
    for number, variable in enumerate(variables):
        variable.assign(arrays[f"{part}/{number}"])


def _to_array(variable):
    # NumPy has no bfloat16.
    variable = ops.cast(variable, "float32") if variable.dtype == "bfloat16" else variable
    return np.asarray(ops.convert_to_numpy(variable))
