"""A small space of blocks whose fitness needs no model, to test searches."""

import math
import os
import time

import keras_tuner

from keras_video.tuner import Evolution, MaxParams, Slots, Space
from keras_video.tuner.search import workers

KINDS = ("conv", "pool")


class ToySpace(Space):
    """Blocks of two kinds; `slots`, conditions and costs like those of `TVNSpace`."""

    slots = (Slots("num_blocks", "block_"),)

    def __init__(self, blocks=4, name="toy"):
        super().__init__(name=name)
        self.blocks = blocks
        self.built = 0

    def declare(self, hp):
        hp.Int("size", 32, 256, step=32)
        hp.Float("rate", 0.1, 1.0)
        hp.Int("num_blocks", 1, self.blocks)
        for i in range(self.blocks):
            name = f"block_{i}"
            with hp.conditional_scope("num_blocks", list(range(i + 1, self.blocks + 1))):
                hp.Choice(f"{name}/kind", list(KINDS))
                hp.Int(f"{name}/repeats", 1, 4)
                hp.Boolean(f"{name}/skip")
                with hp.conditional_scope(f"{name}/kind", ["conv"]):
                    hp.Int(f"{name}/filters", 1, 64)
                with hp.conditional_scope(f"{name}/kind", ["pool"]):
                    hp.Choice(f"{name}/pool", ["max", "average"])

    def invalid(self, values):
        strides = sum(values[f"block_{i}/kind"] == "pool" for i in range(values["num_blocks"]))
        return "no pixel left" if values["size"] >> (2 * strides) < 1 else None

    def costs(self, values):
        filters = [v for k, v in values.items() if k.endswith("/filters")]
        params = 10 + sum(f * f for f in filters)
        return {"params": params, "macs": params * values["size"], "memory": 1000 * params}

    def features(self, values):
        costs = self.costs(values)
        return [costs["params"], costs["macs"]]

    def build(self, hp):
        self.built += 1
        return dict(hp.values)


def fitness(values):
    """Return a score between 0 and 2, which is best if the filters grow evenly."""
    score = math.exp(-abs(values["rate"] - 0.6))
    for i in range(values["num_blocks"]):
        wanted = 8 * (i + 1)
        filters = values.get(f"block_{i}/filters", 0)
        score += 0.2 * math.exp(-abs(filters - wanted) / 16) + 0.02 * values[f"block_{i}/skip"]
    return score


class ToyTuner(Evolution):
    """Evaluate `fitness` instead of training. Write to a journal which trial ran where."""

    def __init__(self, space=None, seconds=0.0, journal=None, answer=fitness, **kwargs):
        self.seconds, self.journal, self.answer = seconds, journal, answer
        kwargs = {"population_size": 10, "tournament_size": 4, **kwargs}
        super().__init__(ToySpace() if space is None else space, **kwargs)

    def run_trial(self, trial, *args, **kwargs):
        values = trial.hyperparameters.values
        self._note("begins", trial)
        time.sleep(self.seconds)
        self._note("ends", trial)
        result = self.answer(values)
        return result if isinstance(result, dict) else {"fitness": result}

    def _note(self, what, trial):
        if self.journal:
            with open(self.journal, "a") as file:
                os.write(file.fileno(), f"{what} {trial.trial_id} {self.tuner_id}\n".encode())


def values_of(hp):
    """Return values without the keys of the tuner."""
    return {k: v for k, v in hp.values.items() if not k.startswith("tuner/")}


def declared(space):
    """Declare the space on plain hyperparameters of KerasTuner."""
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    return hp


def told(oracle):
    """Return all results of a search that must not depend on crashes."""
    return [
        (t.trial_id, t.status, t.score, t.hyperparameters.values, oracle.records[i].rejected)
        for i, t in sorted(oracle.trials.items())
    ]


def fail(values):
    """Fail instead of returning a fitness."""
    raise ValueError("no such kernel")


def run(blocks=4, limits=None, lease=120.0, answer="fitness", **options):
    """Run a whole search in a process. The arguments can be sent as JSON."""
    # All processes are on this machine and start at once.
    workers.LATECOMERS = 0.6
    workers.CHANNEL = [(name, 100) for name, _ in workers.CHANNEL]
    answers = {"fitness": fitness, "raise": fail, "wrong": lambda values: {"accuracy": 1.0}}
    options["answer"] = answers[answer]
    constraints = [MaxParams(limits)] if limits else []
    tuner = ToyTuner(
        ToySpace(blocks),
        constraints=constraints,
        oracle_options={"lease_seconds": lease},
        **options,
    )
    tuner.search()
