"""`OneShotOracle`: the trials of a one-shot search: chunks of training, then candidates."""

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_video.specs import check_int
from keras_video.tuner import records
from keras_video.tuner.candidates import Candidates
from keras_video.tuner.constraints import Constraint
from keras_video.tuner.declared import network_values
from keras_video.tuner.one_shot import decisions
from keras_video.tuner.one_shot.plan import SearchPlan
from keras_video.tuner.one_shot.progress import OneShotProgress
from keras_video.tuner.oracle import LOST_AT_MOST, SearchOracle

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
        self._display = OneShotProgress(self)

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
                problem = records.score_problem(trial, self.objective)
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
