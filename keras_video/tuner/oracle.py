"""`SearchOracle`: hands out trials and takes in results, and loses nothing when killed."""

import time
import traceback

from keras_tuner.engine.trial import Trial, TrialStatus

from keras_video.specs import check_int
from keras_video.tuner import records
from keras_video.tuner.declared import SearchHyperParameters, network_values
from keras_video.tuner.stored_oracle import StoredOracle

RUNNING, COMPLETED = TrialStatus.RUNNING, TrialStatus.COMPLETED
INVALID, FAILED = TrialStatus.INVALID, TrialStatus.FAILED

# A network that takes its process down must not take all workers. People kill more often.
LOST_AT_MOST = {"worker": 3, "search": 20}


class SearchOracle(StoredOracle):
    """What all searches share: budget, constraints, retries, leases, files.

    A subclass overrides `propose`. Networks that a constraint rejects cost no trial. A trial is
    handed out again when its worker died or the search was killed; what a worker reports late or
    twice is ignored. Random numbers depend on the seed, the number of the trial and how often it
    was drawn, and on nothing else, so that an interrupted search draws the same.

    Args:
        objective: `keras_tuner.Objective`; default the metric `"fitness"`, to be maximised.
        max_trials: int, networks to be tried. A search may be continued with more.
        constraints: list of `MaxParams`, `MaxLatency` and so on.
        seed: int, 0 included, or `None` for a random one.
        hyperparameters: `keras_tuner.HyperParameters` that replace declared ones, or `None`.
        max_retries_per_trial: int, how often a trial that failed is run again.
        max_consecutive_failed_trials: int; so many failures in a row end the search.
        max_rejections: int, how many networks are drawn for one trial before the search gives up.
        max_measured_rejections: int, how many of them are built and measured at most.
        lease_seconds: float, how long a worker may be silent before its trial goes to another.
        **kwargs: further arguments of `keras_tuner.Oracle`.

    Raises:
        ValueError: naming the argument that is out of its range.
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
        counts = {
            "max_trials": max_trials,
            "max_consecutive_failed_trials": max_consecutive_failed_trials,
            "max_rejections": max_rejections,
            "max_measured_rejections": max_measured_rejections,
        }
        for name, value in counts.items():
            check_int(name, value, 1)
        check_int("max_retries_per_trial", max_retries_per_trial, 0)
        if seed is not None:
            check_int("seed", seed, 0)
        super().__init__(
            objective=objective,
            constraints=constraints,
            seed=seed,
            hyperparameters=hyperparameters,
            max_rejections=max_rejections,
            lease_seconds=lease_seconds,
            max_trials=max_trials,
            max_retries_per_trial=max_retries_per_trial,
            max_consecutive_failed_trials=max_consecutive_failed_trials,
            **kwargs,
        )
        self.max_measured_rejections = max_measured_rejections

    # Handing out

    def create_trial(self, tuner_id):
        """Hands out a trial: one that was lost or failed before, or a new one.

        Args:
            tuner_id: string; a tuner that holds a trial is given that one again.

        Returns:
            `keras_tuner.engine.trial.Trial` with the status `"RUNNING"`; or `"IDLE"`: all trials
            are handed out, but some may come back; or `"STOPPED"`. If there is a reason to stop
            other than the end of the budget, the values are those of `stopped`.
        """
        with self._lock:
            self.save()
            self.expire()
            if tuner_id in self.ongoing_trials:
                return self._copy(self.ongoing_trials[tuner_id])
            self.tuner_ids.add(tuner_id)
            trial = None
            if not self.stopped:
                trial = self._retry_queue.pop(0) if self._retry_queue else self._new_trial()
            if trial is None:
                return self._nothing(tuner_id)
            record = self.records[trial.trial_id]
            record.run += 1
            record.worker = tuner_id
            record.started = time.time()
            self.ongoing_trials[tuner_id] = trial
            self._project.save(trial, record)
            self._display.on_trial_begin(trial)
            return self._copy(trial)

    def _nothing(self, tuner_id):
        if self.ongoing_trials and not self.stopped:
            return Trial(self._blank({}), "", TrialStatus.IDLE)
        self.tuner_ids.discard(tuner_id)
        self.leases.forget(tuner_id)
        return Trial(self._blank(self.stopped), "", TrialStatus.STOPPED)

    def _stop(self, reason, failed):
        self.stopped = {"tuner/stopped": reason, "tuner/failed": failed}

    def _blank(self, values):
        return SearchHyperParameters.of(self.hyperparameters, values)

    def _new_trial(self):
        if len(self.trials) >= self.max_trials:
            return None
        number = len(self.trials)
        while _id(number) in self.trials:  # someone removed the folder of an earlier trial
            number -= 1
        record = records.Record()
        values = self._draw(number, record)
        if values is None:
            return None
        trial = Trial(self._blank(values), _id(number), RUNNING)
        self.trials[trial.trial_id], self.records[trial.trial_id] = trial, record
        self.start_order.append(trial.trial_id)
        return trial

    def _draw(self, number, record):
        """Values of a network that may be tried; None if there is none, and a reason to stop."""

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
        values = self._draw(int(trial_id), records.Record())
        status = TrialStatus.STOPPED if values is None else RUNNING
        return {"status": status, "values": values}

    def propose(self, number, rng, attempt):
        """Draws a network; it may break constraints or have been tried before.

        Args:
            number: int, number of the trial.
            rng: `random.Random`, the only source of randomness to be used.
            attempt: int, how many networks were rejected for this trial so far.

        Returns:
            Dict of whole values; keys that begin with `"tuner/"` may be added.
        """
        return self.space.complete({}, rng)

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
            self._check_objective_found(metrics)
            records.set_metrics(trial, metrics, self.objective, step)
            self._project.save(trial, self.records[trial_id])
            return self._copy(trial)

    def end_trial(self, trial):
        """Takes in what a worker reports; what comes late or twice is ignored.

        Args:
            trial: `Trial` from `create_trial`, with a new status, its metrics, or a message. A
                network that a constraint rejected when it was measured comes with the status
                `"INVALID"`, the constraint's name as the value `"tuner/rejected"` and the number as
                `"tuner/measured"`: the trial is handed out again with another network.
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
                self._queue(stored)  # for the time when the script is mended
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
            self._display.on_trial_end(stored)

    def _release(self, trial):
        """Takes the trial from whoever holds it."""
        for worker, held in list(self.ongoing_trials.items()):
            if held is trial:
                del self.ongoing_trials[worker]
        self._retry_queue = [queued for queued in self._retry_queue if queued is not trial]

    def _reject(self, trial, record, name, number):
        """A network that was measured and found wanting: the trial gets another."""
        values = network_values(trial.hyperparameters.values)
        item = {"order": self._tick(), "name": name, "number": number, "values": values}
        record.measured.append(item)
        record.run += 1  # a second report of this network comes too late
        self.candidates.count({name: 1})
        self.screen.learn(values, name, number)
        records.clear_metrics(trial)
        if len(record.measured) >= self.max_measured_rejections:
            self._give_up({name: len(record.measured)})
        else:
            self._redraw(trial, record)

    def _redraw(self, trial, record):
        """Gives a trial another network."""
        values = self._draw(int(trial.trial_id), record)
        if values is not None:
            trial.hyperparameters.values = values
            self._queue(trial)

    def _queue(self, trial):
        records.clear_metrics(trial)
        trial.status = RUNNING
        self._retry_queue.append(trial)

    def _conclude(self, trial, record):
        if trial.status == COMPLETED:
            problem = records.score_problem(trial, self.objective)
            if problem is None:
                self.score_trial(trial)
                trial.score = float(trial.score)
            else:
                trial.status, trial.message = INVALID, problem
        if trial.status == INVALID:
            record.failures += 1
            if record.failures <= self.max_retries_per_trial:
                self._queue(trial)
                return
            trial.status = FAILED
        self._close(trial, record)

    def _close(self, trial, record):
        """Files a trial that has come to its end."""
        record.order, record.ended = self._tick(), time.time()
        self.end_order.append(trial.trial_id)
        if trial.status == COMPLETED:
            self._failures_in_a_row = 0
            costs = self.screen.costs(trial.hyperparameters.values)
            missing = {n: c for n, c in costs.items() if not trial.metrics.exists(n)}
            records.set_metrics(trial, missing, self.objective, trial.best_step)
            self._take_in(trial)
            return
        self._failures_in_a_row += 1
        if self._failures_in_a_row >= self.max_consecutive_failed_trials:
            self._stop(
                f"{self._failures_in_a_row} trials in a row failed; the last, {trial.trial_id}:\n"
                f"{trial.message}",
                failed=True,
            )

    # Workers that die

    def heartbeat(self, tuner_id):
        """Notes that a worker lives."""
        self.leases.renew(tuner_id)

    def expire(self):
        """Takes the trials of workers that have been silent for too long."""
        with self._lock:
            for worker in self.leases.take_expired():
                self.tuner_ids.discard(worker)
                trial = self.ongoing_trials.pop(worker, None)
                self._display.on_worker_lost(worker, trial)
                if trial is not None:
                    self._lose(trial, self.records[trial.trial_id], "worker")

    def _lose(self, trial, record, what="search"):
        """A trial whose process died: it is handed out again, if it has not killed too many."""
        record.lost[what] = record.lost.get(what, 0) + 1
        if record.lost[what] < LOST_AT_MOST[what]:
            self._queue(trial)
            return
        trial.status = FAILED
        trial.message = f"The processes that ran it died, {record.lost[what]} of them."
        self._close(trial, record)
        self._project.save(trial, record)


def _id(number):
    return f"{number:05d}"
