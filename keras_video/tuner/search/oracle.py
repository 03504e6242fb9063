"""`SearchOracle`: hands out trials and takes in their results. It loses nothing when it is killed.

`Screen` judges a network by its values, before anything is built. `Candidates` draws networks until
the screen accepts one. `SearchOracle` makes trials of them and keeps these in files.
"""

import math
import random
import threading
import time
import traceback
from typing import NamedTuple

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from keras_video.checks import check_int
from keras_video.tuner.search import trials, workers
from keras_video.tuner.search.constraints import Constraint
from keras_video.tuner.search.progress import Progress
from keras_video.tuner.search.trials import Project
from keras_video.tuner.search.workers import Leases
from keras_video.tuner.spaces.declared import (
    DeclaredSpace,
    SearchHyperParameters,
    fingerprint,
    network_values,
)

RUNNING, COMPLETED = TrialStatus.RUNNING, TrialStatus.COMPLETED
INVALID, FAILED = TrialStatus.INVALID, TrialStatus.FAILED

PREDICTED_AT_MOST = 500  # rejections by predictions alone, before one of them is measured
# A trial is given up after so many of its processes died. A network that crashes its process must
# not take down all workers; a search as a whole is more often killed by people.
LOST_AT_MOST = {"worker": 3, "search": 20}


class Verdict(NamedTuple):
    """What the screen says of a network.

    Args:
        cause: `None`, or the first reason against it: `"invalid"` or the name of a constraint.
        predicted: `None`, or if the network was rejected by a prediction alone the predicted number
            divided by the limit.
    """

    cause: str | None
    predicted: float | None = None


class Screen:
    """Judge networks by validity, cheap constraints, and predictions of the measured constraints.

    Args:
        constraints: list of constraints, see `keras_video.tuner.search.constraints`.
        space: the space, which knows invalid values and costs; may be set later.

    Attributes:
        closest: dict by constraint, the smallest number seen.

    Raises:
        ValueError: if an item is not a constraint, or two constraints have the same name.
    """

    def __init__(self, constraints=(), space=None):
        self.constraints = tuple(constraints)
        self.space = space
        self.closest = {}
        for constraint in self.constraints:
            if not isinstance(constraint, Constraint):
                raise ValueError(
                    "constraints: expected a list of constraints such as MaxParams(1e6), "
                    f"got {constraint!r} in it."
                )
        names = [constraint.name for constraint in self.constraints]
        if len(set(names)) < len(names):
            raise ValueError(f"constraints: expected one of each kind, got {names}.")

    @property
    def measured(self):
        """Tuple of the constraints that a worker has to measure."""
        return tuple(c for c in self.constraints if not c.cheap)

    def judge(self, values):
        """Judge a network.

        Args:
            values: dict of the values of all active hyperparameters.

        Returns:
            `Verdict`.
        """
        values = network_values(values)
        invalid = getattr(self.space, "invalid", None)
        if invalid is not None and invalid(values) is not None:
            return Verdict("invalid")
        for constraint in self.constraints:
            if constraint.cheap:
                cost = constraint.cost(self.space, values)
                self.note(constraint.name, cost)
                if not cost <= constraint.limit:
                    return Verdict(constraint.name)
        for constraint in self.measured:
            predicted = constraint.predict(self.space, values)
            if predicted is not None and predicted > constraint.margin * constraint.limit:
                return Verdict(constraint.name, predicted / constraint.limit)
        return Verdict(None)

    def costs(self, values):
        """Return the costs of a network: `{"macs": ..., "params": ..., "memory_mb": ...}`."""
        values = network_values(values)
        if not hasattr(self.space, "costs"):
            cheap = [c for c in self.constraints if c.cheap]
            return {c.name: float(c.cost(self.space, values)) for c in cheap}
        costs = dict(self.space.costs(values))
        if "memory" in costs:
            costs["memory_mb"] = costs.pop("memory") / 1e6
        return {name: float(cost) for name, cost in costs.items()}

    def learn(self, values, name, number):
        """Pass a measured number on to the predictor of its constraint.

        Args:
            values: dict of the values of all active hyperparameters.
            name: string, name of the constraint; unknown names are ignored.
            number: float. Infinity and NaN, of networks that cannot be measured, are ignored.
        """
        for constraint in self.measured:
            if constraint.name == name and math.isfinite(number):
                self.note(name, number)
                constraint.learn(self.space, network_values(values), number)

    def note(self, name, number):
        """Remember the smallest number of a constraint, for `explain`."""
        if number < self.closest.get(name, math.inf):
            self.closest[name] = number

    def explain(self, rejected):
        """Say which constraints reject all networks, and how closely.

        Args:
            rejected: dict of counts by cause.
        """
        parts = []
        for cause, count in sorted(rejected.items(), key=lambda item: -item[1]):
            limit = {c.name: c.limit for c in self.constraints}.get(cause)
            text = f"{cause} (rejected {count:,}"
            if limit is not None:
                closest = self.closest.get(cause)
                found = "nothing found" if closest is None else f"closest found {closest:,.6g}"
                text += f"; limit {limit:,.6g}, {found}"
            parts.append(text + ")")
        return ", ".join(parts)


class Candidates:
    """Draw networks until one passes the screen, and count the others.

    Args:
        screen: `Screen`.
        most: int, how many networks are drawn for one trial before giving up.

    Attributes:
        rejected: dict, number of rejected networks by cause: `"duplicate"`, `"invalid"` or the
            name of a constraint.
    """

    def __init__(self, screen, most):
        self.screen = screen
        self.most = most
        self.forget()

    def forget(self):
        """Forget all networks and counts."""
        self.rejected = {}
        self._seen = set()

    def see(self, values):
        """Remember a network, so that it is not drawn again."""
        self._seen.add(fingerprint(values))

    def count(self, causes):
        """Add rejections, a dict of numbers by cause."""
        for cause, number in causes.items():
            self.rejected[cause] = self.rejected.get(cause, 0) + number

    def draw(self, propose, key):
        """Draw a network that may be tried.

        Args:
            propose: function of a `random.Random` and the number of the attempt. It returns a dict
                of values for all active hyperparameters.
            key: string. The randomness depends only on it and on the number of the attempt.

        Returns:
            A pair: the values, or `None` if no network was found, and a dict of rejections by
            cause.
        """
        rejected, nearest = {}, (math.inf, None)
        for attempt in range(self.most):
            values = propose(random.Random(f"{key}/{attempt}"), attempt)
            cause, predicted = self._judge(values)
            if cause is None:
                break
            rejected[cause] = rejected.get(cause, 0) + 1
            if predicted is not None:
                nearest = min(nearest, (predicted, values), key=lambda pair: pair[0])
                if rejected[cause] >= PREDICTED_AT_MOST:
                    break
        if cause is not None:
            # The predictions may be wrong for all networks: have the best of them measured.
            values = nearest[1]
        self.count(rejected)
        if values is not None:
            self.see(values)
        return values, rejected

    def _judge(self, values):
        if fingerprint(values) in self._seen:
            return "duplicate", None
        return self.screen.judge(values)


class SearchOracle(keras_tuner.Oracle):
    """What all searches share: budget, constraints, retries, leases of workers, files.

    A subclass overrides `propose`. A network that a constraint rejects costs no trial. A trial is
    handed out again if its worker died or the search was killed; late and repeated reports are
    ignored. Random numbers depend only on the seed, the number of the trial and how often it was
    drawn, so that a resumed search draws the same networks. All state is rebuilt from the files of
    the trials.

    Args:
        objective: `keras_tuner.Objective`; default the metric `"fitness"`, to be maximised.
        max_trials: int, number of networks to try. A search may be continued with more.
        constraints: list of `MaxParams`, `MaxLatency` and so on.
        seed: int, 0 included, or `None` for a random one.
        hyperparameters: `keras_tuner.HyperParameters` that replace declared ones, or `None`.
        max_retries_per_trial: int, how often a failed trial is run again.
        max_consecutive_failed_trials: int; so many failures in a row end the search.
        max_rejections: int, how many networks are drawn for one trial before the search gives up.
        max_measured_rejections: int, how many of them are built and measured at most.
        lease_seconds: float, how long a worker may be silent before its trial goes to another.
        **kwargs: further arguments of `keras_tuner.Oracle`.

    Attributes:
        space: `DeclaredSpace`.
        screen: `Screen`, which holds the constraints.
        records: dict of `Record` by trial id.
        best: the best completed trial, or `None`.
        stopped: dict. Empty, unless the search ended before its budget was spent: then it holds the
            reason as `"tuner/stopped"`, and whether it is a failure as `"tuner/failed"`.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self,
        objective=None,
        max_trials=100,
        constraints=(),
        seed=None,
        hyperparameters=None,
        max_retries_per_trial=0,
        max_consecutive_failed_trials=3,
        max_rejections=10_000,
        max_measured_rejections=300,
        lease_seconds=120.0,
        **kwargs,
    ):
        check_int("max_trials", max_trials)
        check_int("max_consecutive_failed_trials", max_consecutive_failed_trials)
        check_int("max_rejections", max_rejections)
        check_int("max_measured_rejections", max_measured_rejections)
        check_int("max_retries_per_trial", max_retries_per_trial, 0)
        if seed is not None:
            seed = check_int("seed", seed, 0)
        if objective is None or isinstance(objective, str) and objective == "fitness":
            objective = keras_tuner.Objective("fitness", "max")
        super().__init__(
            objective=objective,
            max_trials=max_trials,
            hyperparameters=hyperparameters,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            **kwargs,
        )
        self.max_measured_rejections = max_measured_rejections
        self._set_space(self.hyperparameters)
        self.screen = Screen(constraints)
        self.candidates = Candidates(self.screen, max_rejections)
        self.leases = Leases(lease_seconds)
        # KerasTuner would replace a seed of 0 by a random one.
        self.seed = random.SystemRandom().randrange(2**31) if seed is None else seed
        self._seed_given = seed
        self.progress = Progress(self)
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
        self._waiting = []  # trials to be handed out again
        self._clock = 0
        self._failures_in_a_row = 0

    @property
    def verbose(self):
        """int, 0 prints nothing."""
        return self.progress.verbose

    @verbose.setter
    def verbose(self, value):
        self.progress.verbose = 1 if value == "auto" else value

    @property
    def rejected(self):
        """dict, number of rejected networks by cause."""
        return self.candidates.rejected

    # The space

    def declare(self, space):
        """Declare the hyperparameters of a space. No network is built.

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

    # Files

    def identity(self):
        """Return what tells this search from others, a dict of plain values."""
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
        """Return the settings of the algorithm, a dict of plain values."""
        return {"name": type(self).__name__}

    def open(self):
        """Resume the search in the project folder, if there is one.

        Raises:
            ValueError: if the folder holds another search, or damaged files.
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
        """Write what the search is, once. Trials are written whenever they change."""
        with self._lock:
            if self._project is None:
                self.open()
            if not self._project.exists:
                self._project.begin({**self.identity(), "seed": self.seed}, self.hyperparameters)

    def _take_up(self, found):
        """Rebuild the state from pairs of trials and records, sorted by id."""
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
                if trial.status == COMPLETED:
                    self._take_in(trial)
        for trial, record in found:
            if record.order is None:
                self._take_back(trial, record)

    def _take_back(self, trial, record):
        """Take back a trial that was running when the last process ended."""
        trial.status = RUNNING
        if workers.is_chief() and record.worker:
            # Workers outlive their chief. If this one did not, its lease will expire.
            self.ongoing_trials[record.worker] = trial
            self.tuner_ids.add(record.worker)
            self.leases.renew(record.worker)
        else:
            self._lose(trial, record)

    # Handing out

    def create_trial(self, tuner_id):
        """Hand out a trial: one that was lost or failed before, or a new one.

        Args:
            tuner_id: string. A tuner that holds a trial is given that one again.

        Returns:
            `keras_tuner.engine.trial.Trial` with one of these statuses: `"RUNNING"`; `"IDLE"` if
            all trials are handed out, but some may come back; `"STOPPED"`. If the search stopped
            before its budget was spent, the trial's values are those of `stopped`.
        """
        with self._lock:
            self.save()
            self.expire()
            if tuner_id in self.ongoing_trials:
                return self._copy(self.ongoing_trials[tuner_id])
            self.tuner_ids.add(tuner_id)
            trial = None
            if not self.stopped:
                trial = self._waiting.pop(0) if self._waiting else self._new_trial()
            if trial is None:
                return self._nothing(tuner_id)
            record = self.records[trial.trial_id]
            record.run += 1
            record.worker = tuner_id
            record.started = time.time()
            self.ongoing_trials[tuner_id] = trial
            self._project.save(trial, record)
            self.progress.on_trial_begin(trial)
            return self._copy(trial)

    def _nothing(self, tuner_id):
        if self.ongoing_trials and not self.stopped:
            return Trial(self._blank({}), "", TrialStatus.IDLE)
        self.tuner_ids.discard(tuner_id)
        self.leases.forget(tuner_id)
        return Trial(self._blank(self.stopped), "", TrialStatus.STOPPED)

    def _copy(self, trial):
        """Return the trial as a worker gets it, with the number of the run for its report."""
        copy = trials.from_dict(trials.to_dict(trial), self.hyperparameters.copy())
        copy.hyperparameters.values["tuner/run"] = self.records[trial.trial_id].run
        return copy

    def _blank(self, values):
        return SearchHyperParameters.of(self.hyperparameters, values)

    def _new_trial(self):
        if len(self.trials) >= self.max_trials:
            return None
        number = len(self.trials)
        while _id(number) in self.trials:  # someone removed the folder of an earlier trial
            number -= 1
        record = trials.Record()
        values = self._draw(number, record)
        if values is None:
            return None
        trial = Trial(self._blank(values), _id(number), RUNNING)
        self.trials[trial.trial_id], self.records[trial.trial_id] = trial, record
        self.start_order.append(trial.trial_id)
        return trial

    def _draw(self, number, record):
        """Return the values of a network to try. If there is none, stop and return `None`."""

        def propose(rng, attempt):
            return self.propose(number, rng, attempt)

        try:
            key = f"{self.seed}/{number}/{record.draws}"
            values, rejected = self.candidates.draw(propose, key)
        except Exception:
            self._stop(f"Drawing trial {_id(number)} failed.\n{traceback.format_exc()}", True)
            raise
        record.draws += 1
        for cause, count in rejected.items():
            record.rejected[cause] = record.rejected.get(cause, 0) + count
        if values is None:
            self._give_up(rejected)
        return values

    def populate_space(self, trial_id):
        values = self._draw(int(trial_id), trials.Record())
        status = TrialStatus.STOPPED if values is None else RUNNING
        return {"status": status, "values": values}

    def propose(self, number, rng, attempt):
        """Propose a network. It may break constraints or have been tried before.

        Args:
            number: int, number of the trial.
            rng: `random.Random`, the only source of randomness to be used.
            attempt: int, how many networks were rejected for this trial so far.

        Returns:
            Dict of the values of all active hyperparameters. Keys that begin with `"tuner/"` may be
            added.
        """
        return self.space.complete({}, rng)

    def _stop(self, reason, failed):
        self.stopped = {"tuner/stopped": reason, "tuner/failed": failed}

    def _give_up(self, rejected):
        self._stop(
            f"No network found that may be tried, {sum(rejected.values()):,} rejected: "
            f"{self.screen.explain(rejected)}.",
            failed=False,
        )

    # Taking in

    def update_trial(self, trial_id, metrics, step=0):
        with self._lock:
            trial = self.trials[trial_id]
            if self.objective.name not in metrics:
                raise ValueError(
                    f"metrics: expected {self.objective.name!r} among them, got {list(metrics)}."
                )
            trials.set_metrics(trial, metrics, self.objective, step)
            self._project.save(trial, self.records[trial_id])
            return self._copy(trial)

    def end_trial(self, trial):
        """Take in a worker's report. Late and repeated reports are ignored.

        Args:
            trial: `Trial` from `create_trial`, with a new status, its metrics, or a message. If a
                constraint rejected the network when it was measured, the status is `"INVALID"`, the
                value `"tuner/rejected"` is the constraint's name and `"tuner/measured"` the number:
                the trial is handed out again with another network.
        """
        with self._lock:
            stored, record = self.trials.get(trial.trial_id), self.records.get(trial.trial_id)
            values = trial.hyperparameters.values
            if stored is None or stored.status != RUNNING:
                return
            if values.get("tuner/run", record.run) != record.run:
                return
            self._release(stored)
            if values.get("tuner/fatal"):
                self._queue(stored)  # to be run after the script has been corrected
                self._stop(
                    f"Trial {trial.trial_id} ended the search:\n{trial.message}", failed=True
                )
                return
            if trial.metrics.metrics:
                stored.metrics = trial.metrics
            stored.status, stored.message = trial.status, trial.message
            if trial.status == INVALID and "tuner/rejected" in values:
                self._reject(stored, record, values["tuner/rejected"], values["tuner/measured"])
            else:
                self._conclude(stored, record)
            self._project.save(stored, record)
            self.progress.on_trial_end(stored)

    def _release(self, trial):
        """Take the trial from the worker that holds it, and from the queue."""
        for worker, held in list(self.ongoing_trials.items()):
            if held is trial:
                del self.ongoing_trials[worker]
        self._waiting = [queued for queued in self._waiting if queued is not trial]

    def _reject(self, trial, record, name, number):
        """Give a trial another network, because the measured one is over a limit."""
        values = network_values(trial.hyperparameters.values)
        item = {"order": self._tick(), "name": name, "number": number, "values": values}
        record.measured.append(item)
        record.run += 1  # so that a repeated report of this network is ignored
        self.candidates.count({name: 1})
        self.screen.learn(values, name, number)
        trials.clear_metrics(trial)
        if len(record.measured) >= self.max_measured_rejections:
            self._give_up({name: len(record.measured)})
        else:
            self._redraw(trial, record)

    def _redraw(self, trial, record):
        """Draw another network for a trial."""
        values = self._draw(int(trial.trial_id), record)
        if values is not None:
            trial.hyperparameters.values = values
            self._queue(trial)

    def _queue(self, trial):
        trials.clear_metrics(trial)
        trial.status = RUNNING
        self._waiting.append(trial)

    def _conclude(self, trial, record):
        if trial.status == COMPLETED:
            problem = trials.score_problem(trial, self.objective)
            if problem is None:
                self.score_trial(trial)
                trial.score = float(trial.score)
            else:
                trial.status, trial.message = INVALID, problem
        if trial.status == INVALID:
            record.failures += 1
            if record.failures <= self.max_retries_per_trial:
                record.run += 1  # so that a repeated report does not count as a second failure
                self._queue(trial)
                return
            trial.status = FAILED
        self._close(trial, record)

    def _close(self, trial, record):
        """Record a trial that has come to its end, and learn from it."""
        record.order, record.ended = self._tick(), time.time()
        self.end_order.append(trial.trial_id)
        if trial.status == COMPLETED:
            self._failures_in_a_row = 0
            costs = self.screen.costs(trial.hyperparameters.values)
            missing = {n: c for n, c in costs.items() if not trial.metrics.exists(n)}
            trials.set_metrics(trial, missing, self.objective, trial.best_step)
            self._take_in(trial)
            return
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= self.max_consecutive_failed_trials:
            self._stop(
                f"{self._failures_in_a_row} trials in a row failed; the last, {trial.trial_id}:\n"
                f"{trial.message}",
                failed=True,
            )

    def _tick(self):
        """Return the number of the next thing that is learned."""
        self._clock += 1
        return self._clock - 1

    def _take_in(self, trial):
        """Learn from a completed trial."""
        for constraint in self.screen.measured:
            if trial.metrics.exists(constraint.name):
                number = float(trial.metrics.get_best_value(constraint.name))
                self.screen.learn(trial.hyperparameters.values, constraint.name, number)
        if self.best is None or self.objective.better_than(trial.score, self.best.score):
            self.best = trial
        self.survive(trial)

    def survive(self, trial):
        """Take note of a completed trial. Called in the order of their ends, for subclasses."""

    # Workers that die

    def heartbeat(self, tuner_id):
        """Note that a worker is alive."""
        self.leases.renew(tuner_id)

    def expire(self):
        """Take the trials of workers that have been silent for too long."""
        with self._lock:
            for worker in self.leases.take_expired():
                self.tuner_ids.discard(worker)
                trial = self.ongoing_trials.pop(worker, None)
                self.progress.on_worker_lost(worker, trial)
                if trial is not None:
                    self._lose(trial, self.records[trial.trial_id], "worker")

    def _lose(self, trial, record, what="search"):
        """Hand out again a trial whose process died, unless too many have died with it."""
        record.lost[what] = record.lost.get(what, 0) + 1
        if record.lost[what] < LOST_AT_MOST[what]:
            self._queue(trial)
            return
        trial.status = FAILED
        trial.message = f"The processes that ran it died, {record.lost[what]} of them."
        self._close(trial, record)
        self._project.save(trial, record)

    # Looking at

    def get_trial(self, trial_id):
        with self._lock:
            return self._copy(self.trials[trial_id])

    def get_best_trials(self, num_trials=1):
        """Return the best completed trials, best first; fewer if fewer have completed."""
        with self._lock:
            completed = [t for t in self.trials.values() if t.status == COMPLETED]
            sign = -1 if self.objective.direction == "max" else 1
            completed.sort(key=lambda t: (sign * t.score, t.trial_id))
            return completed[:num_trials]

    @property
    def finished(self):
        """bool, whether no trial is running, and none is left to hand out."""
        with self._lock:
            if self.ongoing_trials:
                return False
            spent = len(self.trials) >= self.max_trials and not self._waiting
            return spent or bool(self.stopped)


def _id(number):
    return f"{number:05d}"
