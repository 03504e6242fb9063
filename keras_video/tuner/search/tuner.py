"""`SearchTuner`: runs the trials of an oracle, alone or as one of several workers.

`Measuring`: the measured tier of the constraints, in the worker, before anything is trained.

What `run_trial` returned, as one dict of numbers.

How a network of a search is trained unless one says otherwise, and what its fitness is.
"""

import contextlib
import math
import os
import time
import traceback

import keras
import keras_tuner
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.errors import FailedTrialError, FatalError, FatalTypeError, FatalValueError

from keras_video.tuner.search import results, trials, workers
from keras_video.tuner.search.constraints import MeasurementError
from keras_video.tuner.search.trials import project_lock
from keras_video.tuner.search.workers import Chief, OracleClient

PAUSES = (5.0, 15.0, 45.0)  # seconds before a machine that was too busy is tried again


class Measuring:
    """Builds and measures the network of a trial, and keeps it for the training.

    Args:
        constraints: tuple of measured constraints.

    Attributes:
        numbers: dict, what was measured of the network, by name of the constraint.
    """

    def __init__(self, constraints):
        self.constraints = constraints
        self.forget()

    def forget(self):
        """Lets go of the network."""
        self.numbers, self._model = {}, None

    def reject(self, trial, hypermodel):
        """Measures a trial's network.

        Args:
            trial: `Trial`.
            hypermodel: what builds it.

        Returns:
            `None`, or if a limit is exceeded the values `"tuner/rejected"`, name of the constraint,
            and `"tuner/measured"`: the number, infinite if the network cannot be measured.

        Raises:
            MeasurementError: if the machine is too busy to tell.
        """
        self.forget()
        if not self.constraints:
            return None
        import keras

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
        """The network that was measured, once; or `None`."""
        model, self._model = self._model, None
        return model

    @contextlib.contextmanager
    def giving_way(self):
        """Callbacks for the training, which pauses while others on this machine measure."""
        if not self.constraints:
            yield []
            return
        from keras_video.tuner.latency.lock import GiveWay

        give_way = GiveWay()
        try:
            yield [give_way]
        finally:
            give_way.release()


def to_metrics(results, objective):
    """Brings the result of a trial into one form.

    Args:
        results: a number, taken for the objective; a dict of metrics; a `History`, of which the
            epoch with the best objective counts; or a list of these, which are averaged.
        objective: `keras_tuner.Objective`.

    Returns:
        The pair of a dict of floats and an int, the best epoch.

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
            f"{objective.name}: expected it among what the trial reports, got {sorted(names)}. "
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
        # A comparison with NaN is false: any number is better.
        if objective.better_than(value, values[best]) or values[best] != values[best]:
            best = epoch
    return {n: float(series[best]) for n, series in history.items() if len(series) > best}, best


class Fitness(keras.callbacks.Callback):
    """Adds `fitness = val_top1 + val_top5` to each epoch's logs (Piergiovanni et al. 2019)."""

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None and "val_top1" in logs and "val_top5" in logs:
            logs["fitness"] = logs["val_top1"] + logs["val_top5"]


def compile_classifier(model, labels=None):
    """Compiles a network that ends in logits: AdamW, cross entropy, top-1 and top-5 accuracy.

    Args:
        model: `keras.Model` with outputs `(batch, classes)`.
        labels: array of some labels, ints `(batch,)` or one-hot floats `(batch, classes)`; `None`
            stands for ints.

    Raises:
        ValueError: for labels of several classes each.
    """
    top = min(5, model.output_shape[-1])
    if labels is not None and labels.ndim == 2 and labels.shape[1] > 1:
        from keras_video.training.finetune import is_multi_label

        if is_multi_label(labels):
            raise ValueError(
                "compile: expected a function that compiles for videos of several classes each, "
                "with metrics named top1 and top5 or another objective; got None."
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
    """Labels from the arguments of `fit`, or `None` where they cannot be looked at."""
    import numpy as np

    if y is None and isinstance(x, keras.utils.PyDataset):
        batch = x[0]
        y = batch[1] if isinstance(batch, tuple) and len(batch) > 1 else None
    if y is None and hasattr(x, "element_spec"):  # tf.data: nothing but the shape is known
        spec = x.element_spec[1] if isinstance(x.element_spec, tuple) else None
        if spec is not None and spec.shape.rank == 2 and spec.shape[1] and spec.shape[1] > 1:
            return np.eye(spec.shape[1], dtype="float32")
    return None if y is None else np.asarray(y[:32])


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
        overwrite = overwrite and not workers.is_worker()
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
        if workers.is_worker():
            self.oracle = OracleClient(oracle, self.tuner_id, patience)

    def _populate_initial_space(self):
        """Declares the space and takes up an earlier search; called once by KerasTuner."""
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
        if not workers.is_worker():
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
        """Ends the search of all: what is fatal here would be fatal for each worker."""
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
            compile_classifier(model, self._labels)
        self._override_compile_args(model)

    def _build_and_fit_model(self, trial, *args, **kwargs):
        if self._labels is None and self._compile is None:
            self._labels = some_labels(*args[:2], **kwargs)
        callbacks = [Fitness(), *kwargs.pop("callbacks", [])]
        with self._measuring.giving_way() as more:
            model = self._try_build(trial.hyperparameters)
            return self.hypermodel.fit(
                trial.hyperparameters, model, *args, callbacks=[*more, *callbacks], **kwargs
            )
