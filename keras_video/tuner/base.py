"""`SearchTuner`: runs the trials of an oracle, alone or as one of several workers."""

import contextlib
import os
import time
import traceback

import keras
import keras_tuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.errors import FailedTrialError, FatalError

from keras_video.tuner import environment, fitness, records, reports, results
from keras_video.tuner.chief import Chief
from keras_video.tuner.client import OracleClient
from keras_video.tuner.files import project_lock
from keras_video.tuner.measuring import Measuring

LONGEST_PAUSE = 2.0  # seconds between two questions of a worker that has nothing to do


class SearchTuner(keras_tuner.Tuner):
    """A `keras_tuner.Tuner` for oracles with constraints, safe against kills.

    Args:
        oracle: `SearchOracle`.
        hypermodel: `keras_video.tuner.spaces.Space` or another `keras_tuner.HyperModel`.
        compile: function of a built model that compiles it, or `None`: `compile_classifier`.
        directory, project_name: strings, the folder of the search.
        overwrite: bool, removes an earlier search from the folder. A worker of several leaves that
            to its chief.
        keep_weights: int, of how many of the best trials the trained weights are kept, for
            `get_best_models`; workers count their own.
        patience: float, seconds that a worker waits for its chief.
        **kwargs: further arguments of `keras_tuner.Tuner`: `executions_per_trial`, ...

    Raises:
        ValueError: if the folder is that of another search.
    """

    def __init__(
        self,
        oracle,
        hypermodel=None,
        compile=None,
        directory=None,
        project_name=None,
        overwrite=False,
        keep_weights=10,
        patience=600.0,
        **kwargs,
    ):
        if "://" in str(directory or ""):
            raise ValueError(f"directory: expected a folder of this machine, got {directory!r}.")
        self._compile = compile
        self.keep_weights = keep_weights
        self._weights = []
        self._labels = None
        self._measuring = Measuring(oracle.screen.measured)
        overwrite = overwrite and not environment.is_worker()
        if overwrite:  # not under a running search
            with project_lock(os.path.join(directory or ".", project_name or "untitled_project")):
                pass
        super().__init__(
            oracle,
            hypermodel,
            directory=None if directory is None else os.fspath(directory),
            project_name=project_name,
            overwrite=overwrite,
            **kwargs,
        )
        if environment.is_worker():
            self.oracle = OracleClient(oracle, self.tuner_id, patience)

    def _populate_initial_space(self):
        """Declares the space and takes up an earlier search; called once by KerasTuner."""
        if hasattr(self.hypermodel, "declare"):
            self.oracle.declare(self.hypermodel)
        else:
            self.oracle.screen.space = self.hypermodel
            super()._populate_initial_space()
        if not environment.is_worker():
            self.oracle.open()

    def save(self):
        if not environment.is_worker():
            self.oracle.save()

    def reload(self):
        if not environment.is_worker():
            self.oracle.open()

    def _get_tuner_fname(self):
        # All that is to be kept is the oracle's; KerasTuner looks for this file to reload.
        return os.path.join(str(self.project_dir), "no-tuner.json")

    # The loop

    def search(self, *fit_args, **fit_kwargs):
        """Searches until the budget is spent.

        Args:
            *fit_args, **fit_kwargs: those of `model.fit`: data, `validation_data`, `epochs`,
                `callbacks`. With `verbose=0` the search is silent, too.

        Raises:
            ValueError: if no network was found that meets the constraints.
            RuntimeError: if too many trials in a row failed; the message has the last traceback.
            ConnectionError: in a worker whose chief is gone.
        """
        if environment.is_worker():
            stopped = self._run_trials(*fit_args, **fit_kwargs)
        else:
            if "verbose" in fit_kwargs:
                self.oracle.verbose = fit_kwargs["verbose"]
            with project_lock(self.project_dir):
                self.save()
                if environment.is_chief():
                    Chief(self.oracle).serve()
                    stopped = self.oracle.stopped
                else:
                    stopped = self._run_trials(*fit_args, **fit_kwargs)
        if stopped:
            self._end_early(stopped["tuner/stopped"], stopped["tuner/failed"])

    def _run_trials(self, *fit_args, **fit_kwargs):
        """Runs trials until there are no more; returns the oracle's `stopped`."""
        self.on_search_begin()
        pause = 0.05
        while True:
            self.pre_create_trial()
            trial = self.oracle.create_trial(self.tuner_id)
            if trial.status == TrialStatus.STOPPED:
                break
            if trial.status == TrialStatus.IDLE:
                time.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            pause = 0.05
            self.on_trial_begin(trial)
            with self.oracle.working() if environment.is_worker() else contextlib.nullcontext():
                self._try_run_and_update_trial(trial, *fit_args, **fit_kwargs)
            self.on_trial_end(trial)
        self.on_search_end()
        return trial.hyperparameters.values

    def _end_early(self, reason, failed):
        if failed:
            raise RuntimeError(reason)
        if not self.oracle.get_best_trials(1):
            raise ValueError(reason)
        print(f"The search ended before its budget was spent. {reason}", flush=True)

    def _try_run_and_update_trial(self, trial, *fit_args, **fit_kwargs):
        try:
            rejected = self._measuring.reject(trial, self.hypermodel)
            if rejected is not None:
                trial.hyperparameters.values.update(rejected)
                trial.status = TrialStatus.INVALID
                return
            self._run_and_update_trial(trial, *fit_args, **fit_kwargs)
            trial.status = TrialStatus.COMPLETED
        except FatalError:
            if environment.is_worker():
                self._tell_fatal(trial)
            raise
        except Exception as error:
            failed = isinstance(error, FailedTrialError)
            trial.status = TrialStatus.FAILED if failed else TrialStatus.INVALID
            trial.message = traceback.format_exc()
            traceback.print_exc()
        finally:
            self._measuring.forget()

    def _tell_fatal(self, trial):
        """Ends the search of all: what is fatal here would be fatal for each worker."""
        trial.status, trial.message = TrialStatus.INVALID, traceback.format_exc()
        trial.hyperparameters.values["tuner/fatal"] = True
        self.oracle.end_trial(trial)

    def _run_and_update_trial(self, trial, *fit_args, **fit_kwargs):
        found = self.run_trial(trial, *fit_args, **fit_kwargs)
        metrics, step = reports.to_metrics(found, self.oracle.objective)
        metrics.update(self._measuring.numbers)
        records.clear_metrics(trial)
        records.set_metrics(trial, metrics, self.oracle.objective, step)

    def on_trial_end(self, trial):
        """Reports the trial and keeps the disk from filling with weights."""
        self.oracle.end_trial(trial)
        self._drop_weights(trial)

    def _drop_weights(self, trial):
        path = self._get_checkpoint_fname(trial.trial_id)
        if not os.path.exists(path):
            return
        if trial.trial_id not in self._weights:
            self._weights.append(trial.trial_id)
        best = {t.trial_id for t in self.oracle.get_best_trials(self.keep_weights)}
        for trial_id in [t for t in self._weights if t not in best]:
            self._weights.remove(trial_id)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._get_checkpoint_fname(trial_id))

    def results_table(self):
        """What the search found: `ResultsTable`, see `keras_video.tuner.results_table`."""
        return results.results_table(self)

    # Training

    def _try_build(self, hp):
        model = self._measuring.take()
        if model is None:
            return super()._try_build(hp)
        self._compile_model(model)
        return model

    def _build_hypermodel(self, hp):
        model = self.hypermodel.build(hp)
        if isinstance(model, keras.Model):
            self._compile_model(model)
        return model

    def _compile_model(self, model):
        if self._compile is not None:
            self._compile(model)
        elif not model.compiled:
            fitness.compile_classifier(model, self._labels)
        self._override_compile_args(model)

    def _build_and_fit_model(self, trial, *args, **kwargs):
        if self._labels is None and self._compile is None:
            self._labels = fitness.some_labels(*args[:2], **kwargs)
        callbacks = [fitness.Fitness(), *kwargs.pop("callbacks", [])]
        with self._measuring.giving_way() as more:
            model = self._try_build(trial.hyperparameters)
            return self.hypermodel.fit(
                trial.hyperparameters, model, *args, callbacks=[*more, *callbacks], **kwargs
            )
