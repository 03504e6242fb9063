"""`OneShotOracle`: the trials of a one-shot search: chunks of training, then candidates.

What one sees of a one-shot search: a line per chunk, then one per candidate.

How a one-shot search went: one row per chunk, and one per stage.

Everything is read from the files of the trials, so that a search can be looked at while it runs,
after it was killed, and on another machine.
"""

import os

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_video.checks import check_int
from keras_video.files import read_json
from keras_video.tuner.one_shot import plan as decisions
from keras_video.tuner.one_shot.plan import SearchPlan
from keras_video.tuner.search import trials
from keras_video.tuner.search.constraints import Constraint
from keras_video.tuner.search.oracle import LOST_AT_MOST, Candidates, SearchOracle
from keras_video.tuner.search.progress import Progress
from keras_video.tuner.spaces.declared import network_values


class OneShotProgress(Progress):
    """Prints how quality, cost and entropy of a policy come along."""

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


RUNNING, COMPLETED = TrialStatus.RUNNING, TrialStatus.COMPLETED
SOFTER = 1.01  # by what the temperature of the policy grows with each draw in vain


class OneShotOracle(SearchOracle):
    """Hands out a super-network's training in chunks, one after the other, then candidates.

    A trial of the first kind trains the shared weights and the policy for a while; only one runs at
    a time, others wait. Its values are those of the network that is most probable at its end. The
    last `num_candidates` trials evaluate networks of the final policy, the most probable one first;
    workers may share them. Only candidates are ranked: `get_best_trials` and
    `get_best_hyperparameters` know no others.

    Constraints, and with `never_above` the target, hold for candidates.

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
        ValueError: naming the argument that is out of its range.
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

    # Handing out

    def _new_trial(self):
        """The next chunk, if the one before has ended; then candidates."""
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
        """The most probable network for the first candidate, other draws for the others."""
        choices, last = self.plan.choices, self._chunks()[-1].hyperparameters.values
        logits, certain = _matrix(last["tuner/policy"]), last["tuner/certain"]
        first = number == self.plan.chunks and not attempt and self.plan.algorithm.learns
        if first:
            found = decisions.only_active(choices, last["tuner/decided"])
        else:
            # A policy that is all but certain would draw the same networks for ever.
            temperature = min(SOFTER**attempt, 1e9) if attempt < 2000 else 1e9
            found = decisions.draw(choices, logits, rng, certain, temperature)
        return {
            **found,
            "tuner/kind": "candidate",
            "tuner/origin": "most probable" if first else "drawn",
        }

    def _chunks(self):
        """The chunks that have completed, in order."""
        return [t for _, t in sorted(self.trials.items()) if is_chunk(t) and t.status == COMPLETED]

    def _certain(self, chunk):
        """Values of the choices that the chunk's stage does not search."""
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

    # Taking in

    def end_trial(self, trial):
        """As in `SearchOracle`; a chunk comes with new values: the network that it ended at."""
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
                # What comes next depends on it.
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
        """The best candidates, best first; fewer if fewer have completed."""
        with self._lock:
            found = super().get_best_trials(len(self.trials))
            return [trial for trial in found if not is_chunk(trial)][:num_trials]


class WithinTarget(Constraint):
    """At most the target, of whatever the cost of a search is.

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
    """Candidates may be networks that a chunk has ended at."""

    def see(self, values):
        if values.get("tuner/kind") != "chunk":
            super().see(values)


def is_chunk(trial):
    """bool, whether a trial trains shared weights, and is not a network to be ranked."""
    return trial.hyperparameters.values.get("tuner/kind") == "chunk"


def _matrix(rows):
    """Logits as an array, filled up with zeros."""
    import numpy as np

    matrix = np.zeros((len(rows), max(map(len, rows))))
    for row, given in zip(matrix, rows, strict=True):
        row[: len(given)] = given
    return matrix


NUMBERS = ("cost_ratio", "val_accuracy", "reward", "policy_entropy", "loss")


class StageTable(list):
    """Rows of the stages that have ended or are under way, as dicts; `print(table)` shows them.

    A row has `"stage"`, `"chunks"`, `"searched"` (number of choices), `"target"`, `"cost"`,
    `"cost_ratio"`, `"val_accuracy"`, `"policy_entropy"` in nats, and `"values"`, all of them of the
    most probable network.
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
    """What each chunk of training came to.

    Args:
        search: a tuner, or the folder of its project.

    Returns:
        List of dicts, in order: `"chunk"`, `"stage"`, the metrics (`"reward"`, `"val_accuracy"`,
        `"cost_ratio"` of the most probable network, `"mean_reward"` and so on of the drawn ones,
        `"policy_entropy"` in nats, `"loss"`), `"values"` of the most probable network, and
        `"policy"`, the logits of all choices.

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
    """What each stage of a progressive search came to, as Auto-TSNet's table 5.

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
    """Draws how reward, cost and entropy went. Needs matplotlib (extra `plot`).

    Args:
        search: a tuner, or the folder of its project.
        path: where the picture goes, for example `"search.png"` (or `.svg`, `.pdf`).
        title: string above the picture.

    Returns:
        The path.

    Raises:
        ValueError: as `search_history`; or if no chunk has ended yet.
    """
    from keras_video.plotting.search import plot_history

    return plot_history(search_history(search), path, title=title)


def _folder(search):
    folder = os.fspath(getattr(search, "project_dir", search))
    path = os.path.join(folder, "oracle.json")
    found = read_json(path) if os.path.exists(path) else {}
    if "stages" not in (found.get("algorithm") or {}):
        raise ValueError(f"search: expected a one-shot tuner or its folder, got {folder}.")
    return folder
