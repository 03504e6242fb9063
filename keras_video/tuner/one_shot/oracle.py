"""`OneShotOracle`: the trials of a one-shot search, their progress lines and their history.

The trials are first chunks of training, then candidates. `search_history` and `stage_table` read
the files of the trials, so they work while a search runs, after it was killed, and on another
machine.
"""

import os

import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus

from keras_video.checks import check_int
from keras_video.files import read_json
from keras_video.plotting.search import plot_history
from keras_video.tuner.one_shot import plan as decisions
from keras_video.tuner.one_shot.plan import SearchPlan
from keras_video.tuner.search import trials
from keras_video.tuner.search.constraints import Constraint
from keras_video.tuner.search.oracle import LOST_AT_MOST, Candidates, SearchOracle
from keras_video.tuner.search.progress import Progress
from keras_video.tuner.spaces.declared import network_values

RUNNING, COMPLETED = TrialStatus.RUNNING, TrialStatus.COMPLETED
SOFTER = 1.01  # growth of the temperature of the policy with each network drawn again


class OneShotOracle(SearchOracle):
    """The oracle of one-shot searches: its trials are chunks of training, then candidates.

    A chunk trains the shared weights and the policy for some steps. Only one chunk runs at a time.
    Its values are those of the network that is most probable at its end. The last `num_candidates`
    trials evaluate networks of the final policy, the most probable one first; several workers can
    share them. Only candidates are ranked by `get_best_trials` and `get_best_hyperparameters`.

    Candidates meet the constraints and, with `never_above`, the target.

    Args:
        algorithm: `Reinforce`, `ImportanceSampling` or `Uniform`.
        stages: sequence of `Stage`.
        cost, target, margin, never_above: see `SearchPlan`.
        num_candidates: int, at least 1.
        objective: `keras_tuner.Objective`; default `Objective("reward", "max")`.
        **kwargs: further arguments of `SearchOracle`: `constraints`, `seed`, ...

    Attributes:
        plan: `SearchPlan`.

    Raises:
        ValueError: naming the argument that is wrong.
    """

    def __init__(
        self,
        algorithm,
        stages,
        cost="macs",
        target=None,
        margin=0.0,
        never_above=False,
        num_candidates=5,
        objective=None,
        constraints=(),
        **kwargs,
    ):
        self.plan = SearchPlan(algorithm, stages, cost, target, margin, never_above)
        check_int("num_candidates", num_candidates, 1)
        self.num_candidates = num_candidates
        if objective is None or isinstance(objective, str) and objective == "reward":
            objective = keras_tuner.Objective("reward", "max")
        constraints = tuple(constraints)
        limit = self.plan.limit(-1)
        if limit is not None:
            constraints += (WithinTarget(limit, self.plan),)
        super().__init__(
            objective=objective,
            max_trials=self.plan.chunks + num_candidates,
            constraints=constraints,
            **kwargs,
        )
        self.candidates = _OnlyCandidates(self.screen, self.candidates.most)
        self.progress = OneShotProgress(self)

    def declare(self, space):
        self.plan.bind(space)
        super().declare(space)

    def algorithm(self):
        return {"name": type(self).__name__, **self.plan.get_config()}

    # New trials

    def _new_trial(self):
        """Return the next chunk if the one before has ended, or the next candidate."""
        if any(t.status == RUNNING and is_chunk(t) for t in self.trials.values()):
            return None
        return super()._new_trial()

    def _draw(self, number, record):
        chunk = self.plan.chunk(number)
        if chunk is None:
            return super()._draw(number, record)
        record.draws += 1
        choices = self.plan.choices
        certain = self._certain(chunk)
        before = self._chunks()[-1].hyperparameters.values if chunk.place else {}
        picks = {c.name: certain.get(c.name, c.values[0]) for c in choices}
        picks |= {n: v for n, v in network_values(before).items() if n not in certain}
        return {
            **decisions.only_active(choices, picks),
            "tuner/kind": "chunk",
            "tuner/chunk": number,
            "tuner/stage": chunk.stage.name,
            "tuner/certain": certain,
            "tuner/seed": self.seed,
        }

    def propose(self, number, rng, attempt):
        """Return the most probable network for the first candidate, later drawn networks."""
        choices, last = self.plan.choices, self._chunks()[-1].hyperparameters.values
        logits, certain = _matrix(last["tuner/policy"]), last["tuner/certain"]
        first = number == self.plan.chunks and not attempt and self.plan.algorithm.learns
        if first:
            found = decisions.only_active(choices, last["tuner/decided"])
        else:
            # A policy with almost no entropy would draw the same network again and again.
            temperature = min(SOFTER**attempt, 1e9) if attempt < 2000 else 1e9
            found = decisions.draw(choices, logits, rng, certain, temperature)
        return {
            **found,
            "tuner/kind": "candidate",
            "tuner/origin": "most probable" if first else "drawn",
        }

    def _chunks(self):
        """Return the completed chunks, in order."""
        return [t for _, t in sorted(self.trials.items()) if is_chunk(t) and t.status == COMPLETED]

    def _certain(self, chunk):
        """Return the values of the choices that the chunk's stage does not search."""
        if chunk.place:
            return self._chunks()[-1].hyperparameters.values["tuner/certain"]
        decided = {}
        for trial in self._chunks():
            values = trial.hyperparameters.values
            ended = self.plan.chunk(values["tuner/chunk"])
            if ended.place == ended.stage.epochs - 1:
                found, certain = values["tuner/decided"], values["tuner/certain"]
                decided |= {n: v for n, v in found.items() if n not in certain}
        return chunk.stage.values(self.plan.choices, decided)

    # Results

    def end_trial(self, trial):
        """End a trial, as in `SearchOracle`. A chunk also has new values: its final network."""
        with self._lock:
            stored, record = self.trials.get(trial.trial_id), self.records.get(trial.trial_id)
            values = trial.hyperparameters.values
            if (
                stored is not None
                and is_chunk(stored)
                and stored.status == RUNNING
                and trial.status == COMPLETED
                and values.get("tuner/run", record.run) == record.run
            ):
                new = {n: v for n, v in values.items() if n != "tuner/run"}
                stored.hyperparameters.values = new
            super().end_trial(trial)

    def _conclude(self, trial, record):
        if is_chunk(trial):
            problem = None
            if trial.status == COMPLETED:
                problem = trials.score_problem(trial, self.objective)
            if trial.status != COMPLETED or problem:
                # All later trials depend on this chunk.
                message = problem or trial.message
                self._queue(trial)
                self._stop(f"Chunk {trial.trial_id} of the training failed:\n{message}", True)
                return
        super()._conclude(trial, record)

    def _lose(self, trial, record, what="search"):
        if not is_chunk(trial):
            super()._lose(trial, record, what)
            return
        record.lost[what] = record.lost.get(what, 0) + 1
        if what == "worker" and record.lost[what] >= LOST_AT_MOST[what]:
            self._stop(f"The workers that ran chunk {trial.trial_id} died.", True)
            record.lost.clear()
        self._queue(trial)

    def _take_in(self, trial):
        if not is_chunk(trial):
            super()._take_in(trial)

    def get_best_trials(self, num_trials=1):
        """Return the best candidates, best first; fewer if fewer are complete."""
        with self._lock:
            found = super().get_best_trials(len(self.trials))
            return [trial for trial in found if not is_chunk(trial)][:num_trials]


class WithinTarget(Constraint):
    """The constraint that the cost of a search is at most its target.

    Args:
        limit: float.
        plan: `SearchPlan`.
    """

    name = "target"

    def __init__(self, limit, plan):
        super().__init__(limit)
        self._plan = plan

    def cost(self, space, values):
        return self._plan.cost.of(values)


class _OnlyCandidates(Candidates):
    """Avoids duplicates only among candidates: they may equal the final network of a chunk."""

    def see(self, values):
        if values.get("tuner/kind") != "chunk":
            super().see(values)


def is_chunk(trial):
    """Return whether a trial is a chunk of training, and not a candidate."""
    return trial.hyperparameters.values.get("tuner/kind") == "chunk"


def _matrix(rows):
    """Return rows of logits as an array, padded with zeros."""
    matrix = np.zeros((len(rows), max(map(len, rows))))
    for row, given in zip(matrix, rows, strict=True):
        row[: len(given)] = given
    return matrix


# Progress


class OneShotProgress(Progress):
    """Prints a line per chunk, with quality, cost and entropy, then a line per candidate."""

    def origin(self, trial):
        values = trial.hyperparameters.values
        if values.get("tuner/kind") == "chunk":
            return self._place(values)
        return f"candidate, {values.get('tuner/origin')}"

    def on_trial_end(self, trial):
        values = trial.hyperparameters.values
        if trial.status != TrialStatus.COMPLETED or values.get("tuner/kind") != "chunk":
            super().on_trial_end(trial)
            return
        self._ended += 1
        metrics = {n: trial.metrics.get_best_value(n) for n in trial.metrics.metrics}
        parts = [self._place(values)]
        for name, text in [("reward", "reward"), ("val_accuracy", "accuracy")]:
            parts.append(f"{text} {metrics[name]:.4f}")
        if "cost_ratio" in metrics:
            parts.append(f"cost {metrics['cost_ratio']:.3f} of the target")
            parts.append(f"(drawn {metrics['mean_cost_ratio']:.3f})")
        parts.append(f"entropy {metrics['policy_entropy']:.2f} nats")
        parts.append(f"loss {metrics['loss']:.3f}")
        self._line("  ".join([*parts, self.summary()]))

    def _place(self, values):
        plan = self.oracle.plan
        chunk = plan.chunk(values["tuner/chunk"])
        stage = f"{chunk.stage.name} " if len(plan.stages) > 1 else ""
        return f"chunk {stage}{chunk.place + 1}/{chunk.stage.epochs}"


# History

NUMBERS = ("cost_ratio", "val_accuracy", "reward", "policy_entropy", "loss")


class StageTable(list):
    """A list of dicts, one for each stage that has started; `print(table)` shows it.

    A row has `"stage"`, `"chunks"`, `"searched"` (number of choices), `"target"`, `"cost"`,
    `"cost_ratio"`, `"val_accuracy"`, `"policy_entropy"` in nats, and `"values"`. Cost, accuracy and
    values are those of the most probable network.
    """

    def __str__(self):
        lines = [("stage", "chunks", "choices", "target", "cost", "ratio", "accuracy", "entropy")]
        for row in self:
            numbers = [
                ("target", ",.6g"), ("cost", ",.6g"), ("cost_ratio", ".3f"),
                ("val_accuracy", ".4f"), ("policy_entropy", ".2f"),
            ]  # fmt: skip
            cells = ["-" if row[n] is None else format(row[n], form) for n, form in numbers]
            lines.append((row["stage"], str(row["chunks"]), str(row["searched"]), *cells))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
            for line in lines
        )


def search_history(search):
    """Return the results of all chunks of training.

    Args:
        search: a tuner, or the folder of its project.

    Returns:
        List of dicts, in order, with `"chunk"`, `"stage"`, `"values"` of the most probable network,
        `"policy"` (the logits of all choices), and the metrics: `"reward"`, `"val_accuracy"` and
        `"cost_ratio"` of the most probable network, `"mean_reward"` and so on for the drawn
        networks, `"policy_entropy"` in nats, and `"loss"`.

    Raises:
        ValueError: if the folder holds no one-shot search, or a damaged one.
    """
    folder = _folder(search)
    rows = []
    for path in trials.trial_paths(folder).values():
        content = read_json(path)
        values = content["values"]
        if values.get("tuner/kind") != "chunk" or content["status"] != "COMPLETED":
            continue
        metrics = {
            name: metric["observations"][-1]["value"][-1]
            for name, metric in content["metrics"].items()
            if metric["observations"]
        }
        rows.append(
            {
                "chunk": values["tuner/chunk"],
                "stage": values["tuner/stage"],
                **metrics,
                "values": {n: v for n, v in values.items() if not n.startswith("tuner/")},
                "decided": values["tuner/decided"],
                "certain": values["tuner/certain"],
                "policy": values["tuner/policy"],
            }
        )
    return sorted(rows, key=lambda row: row["chunk"])


def stage_table(search):
    """Return the results of all stages of a progressive search, like table 5 of Auto-TSNet.

    Args:
        search: a tuner, or the folder of its project.

    Returns:
        `StageTable`.

    Raises:
        ValueError: as `search_history`.
    """
    history = search_history(search)
    plan = read_json(os.path.join(_folder(search), "oracle.json"))["algorithm"]
    table = StageTable()
    for stage, target in zip(plan["stages"], plan["targets"], strict=True):
        rows = [row for row in history if row["stage"] == stage["name"]]
        if not rows:
            continue
        last = rows[-1]
        free = [n for n in last["decided"] if n not in last["certain"]]
        table.append(
            {
                "stage": stage["name"],
                "chunks": len(rows),
                "searched": len(free),
                "target": target,
                "cost": last.get("cost"),
                **{name: last.get(name) for name in NUMBERS},
                "values": last["values"],
            }
        )
    return table


def plot_search(search, path, title=None):
    """Plot reward, cost and entropy of a search. Needs matplotlib (extra `plot`).

    Args:
        search: a tuner, or the folder of its project.
        path: path of the image, for example `"search.png"` (or `.svg`, `.pdf`).
        title: string, shown above the plot.

    Returns:
        The path.

    Raises:
        ValueError: as `search_history`, and if no chunk is complete yet.
    """
    return plot_history(search_history(search), path, title=title)


def _folder(search):
    folder = os.fspath(getattr(search, "project_dir", search))
    path = os.path.join(folder, "oracle.json")
    found = read_json(path) if os.path.exists(path) else {}
    if "stages" not in (found.get("algorithm") or {}):
        raise ValueError(f"search: expected a one-shot tuner or its folder, got {folder}.")
    return folder
