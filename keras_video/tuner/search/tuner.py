"""`SearchTuner`: runs the trials of an oracle, in a single process or as one of several workers.

A trial builds a model, measures it, compiles it, trains it and reports the best epoch. The parts of
this file stand in that order; the tuner that calls them comes last.
"""

import contextlib
import math
import os
import time
import traceback

import keras
import keras_tuner
import numpy as np
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.errors import FailedTrialError, FatalError, FatalTypeError, FatalValueError

from keras_video.checks import check_int, check_number
from keras_video.training.finetune import is_multi_label
from keras_video.tuner.latency.lock import GiveWay
from keras_video.tuner.search import results, trials, workers
from keras_video.tuner.search.constraints import MeasurementError
from keras_video.tuner.search.trials import project_lock
from keras_video.tuner.search.workers import Chief, OracleClient

PAUSES = (5.0, 15.0, 45.0)  # seconds to wait for a machine that is too busy to measure on


class Measuring:
    """Build and measure the model of a trial, and keep it for the training.

    Args:
        constraints: tuple of measured constraints.

    Attributes:
        numbers: dict of the measured numbers, by name of the constraint.
    """

    def __init__(self, constraints):
        self.constraints = constraints
        self.forget()

    def forget(self):
        """Release the model."""
        self.numbers, self._model = {}, None

    def reject(self, trial, hypermodel):
        """Measure the model of a trial.

        Args:
            trial: `Trial`.
            hypermodel: `Space` or `HyperModel` that builds the model.

        Returns:
            `None`; or, if a limit is exceeded, a dict of `"tuner/rejected"`, the constraint's name,
            and `"tuner/measured"`, the number. It is infinite if the model cannot be measured.

        Raises:
            MeasurementError: if the machine is too busy to measure on.
        """
        self.forget()
        if not self.constraints:
            return None
        keras.backend.clear_session()
        self._model = hypermodel.build(trial.hyperparameters)
        for constraint in self.constraints:
            number = self._measure(constraint)
            if not number <= constraint.limit:
                self.forget()
                return {"tuner/rejected": constraint.name, "tuner/measured": number}
            self.numbers[constraint.name] = number
        return None

    def _measure(self, constraint):
        for pause in (*PAUSES, None):
            try:
                return float(constraint.measure(self._model))
            except MeasurementError as error:
                if not error.transient:
                    return math.inf
                if pause is None:
                    raise
                time.sleep(pause)

    def take(self):
        """Return the measured model and release it, or return `None`."""
        model, self._model = self._model, None
        return model

    @contextlib.contextmanager
    def giving_way(self):
        """Give callbacks that pause a training while another process of this machine measures."""
        if not self.constraints:
            yield []
            return
        give_way = GiveWay()
        try:
            yield [give_way]
        finally:
            give_way.release()


def compile_classifier(model, labels=None):
    """Compile a classifier with AdamW, cross entropy, and top-1 and top-5 accuracy.

    Args:
        model: `keras.Model` whose outputs are logits `(batch, classes)`.
        labels: array of some labels, ints `(batch,)` or one-hot floats `(batch, classes)`. `None`
            means ints.

    Raises:
        ValueError: if a video has several classes.
    """
    top = min(5, model.output_shape[-1])
    if labels is not None and labels.ndim == 2 and labels.shape[1] > 1:
        if is_multi_label(labels):
            raise ValueError(
                "compile: expected a function that compiles for videos of several classes each, "
                "got None. It should set metrics named top1 and top5, unless the search has "
                "another objective."
            )
        loss = keras.losses.CategoricalCrossentropy(from_logits=True)
        first = keras.metrics.CategoricalAccuracy(name="top1")
        more = keras.metrics.TopKCategoricalAccuracy(top, name="top5")
    else:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        first = keras.metrics.SparseCategoricalAccuracy(name="top1")
        more = keras.metrics.SparseTopKCategoricalAccuracy(top, name="top5")
    optimizer = keras.optimizers.AdamW(1e-3, weight_decay=1e-4, global_clipnorm=1.0)
    model.compile(optimizer, loss, metrics=[first, more])


def some_labels(x=None, y=None, **_):
    """Return some labels from the arguments of `fit`, or `None` if they cannot be read."""
    if y is None and isinstance(x, keras.utils.PyDataset):
        batch = x[0]
        y = batch[1] if isinstance(batch, tuple) and len(batch) > 1 else None
    if y is None and hasattr(x, "element_spec"):  # tf.data: only the shape is known
        spec = x.element_spec[1] if isinstance(x.element_spec, tuple) else None
        if spec is not None and spec.shape.rank == 2 and spec.shape[1] and spec.shape[1] > 1:
            return np.eye(spec.shape[1], dtype="float32")
    return None if y is None else np.asarray(y[:32])


class Fitness(keras.callbacks.Callback):
    """Add `fitness = val_top1 + val_top5` to the logs of each epoch (Piergiovanni et al. 2019)."""

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None and "val_top1" in logs and "val_top5" in logs:
            logs["fitness"] = logs["val_top1"] + logs["val_top5"]


def to_metrics(results, objective):
    """Convert the result of `run_trial` to metrics.

    Args:
        results: a number, the value of the objective; a dict of metrics; a `History`, of which the
            epoch with the best objective counts; or a list of these, which are averaged.
        objective: `keras_tuner.Objective`.

    Returns:
        A pair: dict of floats, and the best epoch, an int.

    Raises:
        FatalTypeError: for another kind of result. Fatal errors end a search.
        FatalValueError: if the objective is missing.
    """
    runs = results if isinstance(results, (list, tuple)) else [results]
    found = [_one(run, objective) for run in runs]
    if not found:
        raise FatalTypeError("run_trial: expected a result, got an empty list.")
    names = [name for name in found[0][0] if all(name in metrics for metrics, _ in found)]
    if objective.name not in names:
        raise FatalValueError(
            f"{objective.name}: expected it among the metrics of the trial, got {sorted(names)}. "
            "Fitness is val_top1 + val_top5: pass validation_data to search(), and let compile "
            "set metrics of the names top1 and top5."
        )
    means = {name: sum(metrics[name] for metrics, _ in found) / len(found) for name in names}
    return means, sum(step for _, step in found) // len(found)


def _one(result, objective):
    if isinstance(result, keras.callbacks.History):
        return _best_epoch(result.history, objective)
    if isinstance(result, dict):
        return {name: float(value) for name, value in result.items()}, 0
    try:
        return {objective.name: float(result)}, 0
    except (TypeError, ValueError):
        raise FatalTypeError(
            "run_trial: expected a number, a dict of metrics, a History or a list of these, "
            f"got {result!r}."
        ) from None


def _best_epoch(history, objective):
    values = history.get(objective.name, [])
    best = 0
    for epoch, value in enumerate(values):
        # Any number is better than NaN, with which all comparisons are false.
        if objective.better_than(value, values[best]) or values[best] != values[best]:
            best = epoch
    return {n: float(series[best]) for n, series in history.items() if len(series) > best}, best


LONGEST_PAUSE = 2.0  # seconds between two questions of an idle worker


class SearchTuner(keras_tuner.Tuner):
    """A `keras_tuner.Tuner` for oracles with constraints. A killed search can be resumed.

    Args:
        oracle: `SearchOracle`.
        hypermodel: `keras_video.tuner.spaces.Space` or another `keras_tuner.HyperModel`.
        compile: function that compiles a built model; the default is `compile_classifier`.
        directory, project_name: strings, the folder of the search.
        overwrite: bool, removes an earlier search from the folder. Workers leave that to their
            chief.
        keep_weights: int, number of best trials whose trained weights are kept for
            `get_best_models`. Each worker counts its own trials.
        patience: float, seconds that a worker waits for its chief.
        **kwargs: further arguments of `keras_tuner.Tuner`: `executions_per_trial`, ...

    Raises:
        ValueError: if an argument is out of its range, or the folder holds another search.
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
        check_number("patience", patience, least=0)
        self._compile = compile
        self.keep_weights = check_int("keep_weights", keep_weights, 0)
        self._weights = []
        self._labels = None
        self._measuring = Measuring(oracle.screen.measured)
        overwrite = overwrite and not workers.is_worker()
        if overwrite:  # only if no search is running there
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
        if workers.is_worker():
            self.oracle = OracleClient(oracle, self.tuner_id, patience)

    def _populate_initial_space(self):
        """Declare the space and resume an earlier search. Called once by KerasTuner."""
        if hasattr(self.hypermodel, "declare"):
            self.oracle.declare(self.hypermodel)
        else:
            self.oracle.screen.space = self.hypermodel
            super()._populate_initial_space()
        if not workers.is_worker():
            self.oracle.open()

    def save(self):
        if not workers.is_worker():
            self.oracle.save()

    def reload(self):
        # KerasTuner calls this instead if the folder has a file named after the tuner. The state of
        # our searches is in the oracle's files, which are read in both cases.
        self._populate_initial_space()

    # The loop

    def search(self, *fit_args, **fit_kwargs):
        """Search until the budget is spent.

        Args:
            *fit_args, **fit_kwargs: arguments of `model.fit`: data, `validation_data`, `epochs`,
                `callbacks`. With `verbose=0` the search prints nothing either.

        Raises:
            ValueError: if no network meets the constraints.
            RuntimeError: if too many trials in a row failed; the message has the last traceback.
            ConnectionError: in a worker that cannot reach its chief.
        """
        if workers.is_worker():
            stopped = self._run_trials(*fit_args, **fit_kwargs)
        else:
            if "verbose" in fit_kwargs:
                self.oracle.verbose = fit_kwargs["verbose"]
            with project_lock(self.project_dir):
                self.save()
                if workers.is_chief():
                    Chief(self.oracle).serve()
                    stopped = self.oracle.stopped
                else:
                    stopped = self._run_trials(*fit_args, **fit_kwargs)
        if stopped:
            self._end_early(stopped["tuner/stopped"], stopped["tuner/failed"])

    def _run_trials(self, *fit_args, **fit_kwargs):
        """Run trials until there are no more, and return the oracle's `stopped`."""
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
            with self.oracle.working() if workers.is_worker() else contextlib.nullcontext():
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
            if workers.is_worker():
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
        """End the search of all workers: a fatal error would occur in each of them."""
        trial.status, trial.message = TrialStatus.INVALID, traceback.format_exc()
        trial.hyperparameters.values["tuner/fatal"] = True
        self.oracle.end_trial(trial)

    def _run_and_update_trial(self, trial, *fit_args, **fit_kwargs):
        found = self.run_trial(trial, *fit_args, **fit_kwargs)
        metrics, step = to_metrics(found, self.oracle.objective)
        metrics.update(self._measuring.numbers)
        trials.clear_metrics(trial)
        trials.set_metrics(trial, metrics, self.oracle.objective, step)

    def on_trial_end(self, trial):
        """Report the trial, and remove weights that are not needed any more."""
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
        """Return what the search found, see `keras_video.tuner.results_table`."""
        return results.results_table(self)

    # Training

    def _build_hypermodel(self, hp):
        model = self.hypermodel.build(hp)
        if isinstance(model, keras.Model):
            self._compile_model(model)
        return model

    def _compile_model(self, model):
        if self._compile is not None:
            self._compile(model)
        elif not model.compiled:
            compile_classifier(model, self._labels)
        self._override_compile_args(model)

    def _build_and_fit_model(self, trial, *args, **kwargs):
        if self._labels is None and self._compile is None:
            self._labels = some_labels(*args[:2], **kwargs)
        callbacks = [Fitness(), *kwargs.pop("callbacks", [])]
        with self._measuring.giving_way() as more:
            model = self._measuring.take()
            if model is None:
                model = self._try_build(trial.hyperparameters)
            else:
                self._compile_model(model)
            return self.hypermodel.fit(
                trial.hyperparameters, model, *args, callbacks=[*more, *callbacks], **kwargs
            )
