"""`StoredOracle`: an oracle that is what its project's files say, before and after a crash."""

import random
import threading

import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from keras_video.tuner import environment, records
from keras_video.tuner.candidates import Candidates
from keras_video.tuner.declared import DeclaredSpace, SearchHyperParameters
from keras_video.tuner.leases import Leases
from keras_video.tuner.progress import Progress
from keras_video.tuner.project import Project
from keras_video.tuner.screening import Screen


class StoredOracle(keras_tuner.Oracle):
    """The space, the constraints and the trials of a search, and how they are kept.

    The files of the trials are the truth; whatever else the oracle knows is made from them again
    when a search is continued.

    Args:
        objective: `keras_tuner.Objective`, or `None` for the metric `"fitness"`, maximised.
        constraints: list of constraints.
        seed: int, or `None` for a random one.
        hyperparameters: `keras_tuner.HyperParameters` that replace declared ones, or `None`.
        max_rejections: int, how many networks are drawn for one trial at most.
        lease_seconds: float, how long a worker may be silent.
        **kwargs: further arguments of `keras_tuner.Oracle`.

    Attributes:
        space: `DeclaredSpace`.
        screen: `Screen`, the constraints.
        records: dict of `Record` by trial id.
        best: the best completed trial, or `None`.
        stopped: dict, empty, or if the search ended before its budget was spent the reason as
            `"tuner/stopped"`, and as `"tuner/failed"` whether that was failure.
    """

    def __init__(
        self,
        objective=None,
        constraints=(),
        seed=None,
        hyperparameters=None,
        max_rejections=10_000,
        lease_seconds=120.0,
        **kwargs,
    ):
        if objective is None or isinstance(objective, str) and objective == "fitness":
            objective = keras_tuner.Objective("fitness", "max")
        super().__init__(objective=objective, hyperparameters=hyperparameters, **kwargs)
        self._set_space(self.hyperparameters)
        self.screen = Screen(constraints)
        self.candidates = Candidates(self.screen, max_rejections)
        self.leases = Leases(lease_seconds)
        # KerasTuner takes a seed of 0 for none.
        self.seed = random.SystemRandom().randrange(2**31) if seed is None else seed
        self._seed_given = seed
        self._display = Progress(self)
        # KerasTuner's own lock stays locked after an exception.
        self._lock = threading.RLock()
        self._project = None
        self._forget()

    def _forget(self):
        self.trials, self.records = {}, {}
        self.ongoing_trials = {}
        self.tuner_ids = set()
        self.start_order, self.end_order = [], []
        self.best = None
        self.stopped = {}
        self.candidates.forget()
        self._retry_queue = []
        self._clock = 0
        self._failures_in_a_row = 0

    @property
    def rejected(self):
        """dict, number of rejected networks by cause."""
        return self.candidates.rejected

    def declare(self, space):
        """Takes a space: its hyperparameters are declared once, no network is built.

        Args:
            space: `keras_video.tuner.spaces.Space`, or any object with `declare(hp)`.
        """
        with self._lock:
            hyperparameters = self.hyperparameters.copy()
            space.declare(hyperparameters)
            self.screen.space = space
            self._set_space(hyperparameters)

    def _set_space(self, hyperparameters):
        self.hyperparameters = SearchHyperParameters.of(hyperparameters)
        self.space = DeclaredSpace(self.hyperparameters)

    def get_space(self):
        with self._lock:
            return self.hyperparameters.copy()

    def update_space(self, hyperparameters):
        with self._lock:
            known = len(self.hyperparameters.space)
            super().update_space(hyperparameters)
            if len(self.hyperparameters.space) > known:
                self._set_space(self.hyperparameters)

    def identity(self):
        """What makes this search another than others: dict of plain values."""
        return {
            "objective": str(self.objective),
            "constraints": [
                {"class": type(c).__name__, "name": c.name, **c.get_config()}
                for c in self.screen.constraints
            ],
            "space": getattr(self.screen.space, "name", None),
            "algorithm": self.algorithm(),
            "seed": self._seed_given,
        }

    def algorithm(self):
        """The settings of the algorithm: dict of plain values."""
        return {"name": type(self).__name__}

    def open(self):
        """Takes up what an earlier process left in the project's folder.

        Raises:
            ValueError: if the folder is that of another search, or damaged.
        """
        with self._lock:
            project = Project(self._project_dir)
            content = project.check(self.identity(), self.space)
            self._forget()
            self._project = project
            if content is not None:
                self.seed = content["seed"]
                if not self.space.parameters:
                    self._set_space(content["hyperparameters"])
                self._take_up(project.load(self.hyperparameters))

    def reload(self):
        self.open()

    def save(self):
        """Writes what the search is, once; trials are written whenever they change."""
        with self._lock:
            if self._project is None:
                self.open()
            if not self._project.exists:
                self._project.begin({**self.identity(), "seed": self.seed}, self.hyperparameters)

    def _take_up(self, found):
        """Makes the state again from pairs of trials and records, by id."""
        learned = []
        for trial, record in found:
            self.trials[trial.trial_id], self.records[trial.trial_id] = trial, record
            self.start_order.append(trial.trial_id)
            self.candidates.see(trial.hyperparameters.values)
            self.candidates.count(record.rejected)
            for item in record.measured:
                self.candidates.see(item["values"])
                self.candidates.count({item["name"]: 1})
                learned.append((item["order"], item, None))
            if record.order is not None:
                learned.append((record.order, None, trial))
        # Predictors and populations depend on the order in which they learned.
        for order, item, trial in sorted(learned, key=lambda entry: entry[0]):
            self._clock = order + 1
            if item is not None:
                self.screen.learn(item["values"], item["name"], item["number"])
            else:
                self.end_order.append(trial.trial_id)
                if trial.status == TrialStatus.COMPLETED:
                    self._take_in(trial)
        for trial, record in found:
            if record.order is None:
                self._take_back(trial, record)

    def _take_back(self, trial, record):
        """A trial that had not ended when the last process did."""
        trial.status = TrialStatus.RUNNING
        if environment.is_chief() and record.worker:
            # Workers outlive their chief; those that did not are found out by their lease.
            self.ongoing_trials[record.worker] = trial
            self.tuner_ids.add(record.worker)
            self.leases.renew(record.worker)
        else:
            self._lose(trial, record)

    def _tick(self):
        """The number of the next thing learned."""
        self._clock += 1
        return self._clock - 1

    def _take_in(self, trial):
        """Learns from a completed trial."""
        for constraint in self.screen.measured:
            if trial.metrics.exists(constraint.name):
                number = float(trial.metrics.get_best_value(constraint.name))
                self.screen.learn(trial.hyperparameters.values, constraint.name, number)
        if self.best is None or self.objective.better_than(trial.score, self.best.score):
            self.best = trial
        self.survive(trial)

    def survive(self, trial):
        """Called with each completed trial, in the order of their ends; for subclasses."""

    def _lose(self, trial, record):
        raise NotImplementedError

    def _copy(self, trial):
        """The trial as a worker gets it; its report must carry the number of the run."""
        copy = records.from_dict(records.to_dict(trial), self.hyperparameters.copy())
        copy.hyperparameters.values["tuner/run"] = self.records[trial.trial_id].run
        return copy

    def get_trial(self, trial_id):
        with self._lock:
            return self._copy(self.trials[trial_id])

    def get_best_trials(self, num_trials=1):
        """The best completed trials, best first; fewer if fewer have completed."""
        with self._lock:
            completed = [t for t in self.trials.values() if t.status == TrialStatus.COMPLETED]
            sign = -1 if self.objective.direction == "max" else 1
            completed.sort(key=lambda t: (sign * t.score, t.trial_id))
            return completed[:num_trials]

    @property
    def finished(self):
        """bool, whether no trial is left to be handed out, and none is out."""
        with self._lock:
            if self.ongoing_trials:
                return False
            spent = len(self.trials) >= self.max_trials and not self._retry_queue
            return spent or bool(self.stopped)
