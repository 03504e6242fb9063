"""`OneShotTuner`: the tuner that runs the trials of a `OneShotOracle`."""

import os

import keras
from keras_tuner.engine.trial import TrialStatus
from keras_tuner.errors import FatalError, FatalRuntimeError, FatalValueError

from keras_video.checks import check_int
from keras_video.tuner.one_shot import plan
from keras_video.tuner.one_shot.batches import SearchData
from keras_video.tuner.one_shot.oracle import is_chunk
from keras_video.tuner.one_shot.runner import Runner
from keras_video.tuner.one_shot.searcher import QUALITIES
from keras_video.tuner.search import tuner, workers
from keras_video.tuner.search.tuner import SearchTuner
from keras_video.tuner.spaces.declared import network_values


class OneShotTuner(SearchTuner):
    """A tuner that trains a super-network and a policy, and finds the best networks in it.

    After each chunk of training it saves the shared weights, the policy, the optimizer and all
    random seeds. So a search that was killed and restarted has the same result.

    Args:
        oracle: `OneShotOracle`.
        hypermodel: `ChoiceSpace` with a super-network.
        steps_per_trial: int, training steps of a chunk. `None` means one epoch of the data.
        candidate_epochs: int, epochs for which each candidate is trained as a separate network
            before it is ranked. 0 ranks candidates by their accuracy with shared weights.
        quality: the quality of networks, `"accuracy"`, `"log_likelihood"`, or a function of labels
            and logits that returns a float32 tensor `(batch,)`.
        compile: function that compiles the network of a candidate; see `SearchTuner`.
        compile_search: function that compiles the `Searcher`; its attribute `total_steps` is the
            length of the training. Default: AdamW, cosine schedule, cross entropy.
        **kwargs: further arguments of `SearchTuner`: `directory`, `project_name`, `overwrite`, ...

    Raises:
        ValueError: naming the argument that is wrong.
    """

    def __init__(
        self,
        oracle,
        hypermodel,
        steps_per_trial=None,
        candidate_epochs=0,
        quality="accuracy",
        compile=None,
        compile_search=None,
        **kwargs,
    ):
        if steps_per_trial is not None:
            check_int("steps_per_trial", steps_per_trial, 1)
        check_int("candidate_epochs", candidate_epochs, 0)
        if quality not in QUALITIES and not callable(quality):
            raise ValueError(
                f"quality: expected one of {tuple(QUALITIES)} or a function, got {quality!r}."
            )
        self.plan = oracle.plan
        self.candidate_epochs = candidate_epochs
        self._data = None
        super().__init__(oracle, hypermodel, compile=compile, **kwargs)
        self._runner = Runner(
            self.plan, self.hypermodel, str(self.project_dir), compile_search, quality,
            steps_per_trial,
        )  # fmt: skip

    def search(
        self,
        x=None,
        y=None,
        validation_data=None,
        batch_size=32,
        validation_batch_size=None,
        callbacks=None,
        verbose=1,
    ):
        """Search until all chunks and candidates are complete.

        Args:
            x, y: arrays of clips `(clips, frames, height, width, 3)`, or a dict of such arrays, and
                of labels, ints `(clips,)` or one-hot `(clips, classes)`; or only `x`, a
                `keras.utils.PyDataset` of such pairs.
            validation_data: pair of arrays or a `PyDataset`. The policy learns from it, and
                candidates are ranked by it.
            batch_size: int, batch size for training arrays.
            validation_batch_size: int, batch size for validation arrays. Default: `batch_size`.
                TuNAS uses four times as many.
            callbacks: list of Keras callbacks. Each chunk is a `fit` of one epoch.
            verbose: int. 0 prints nothing, 1 a line per trial, 2 also the progress of `fit`.

        Raises:
            ValueError: if the data are not as above, or no candidate meets the constraints.
            RuntimeError: if the training fails, or its numbers are no longer finite.
        """
        if not workers.is_chief():
            self._data = self._take(x, y, validation_data, batch_size, validation_batch_size)
        super().search(callbacks=callbacks, verbose=1 if verbose == "auto" else int(verbose))

    def _take(self, x, y, validation_data, batch_size, validation_batch_size):
        first = {choice.name: choice.values[0] for choice in self.plan.choices}
        clip = self.hypermodel.clip(plan.only_active(self.plan.choices, first))
        return SearchData(x, y, validation_data, batch_size, validation_batch_size, clip)

    def _try_run_and_update_trial(self, trial, **options):
        if not is_chunk(trial):
            super()._try_run_and_update_trial(trial, **options)
            return
        try:
            self._run_and_update_trial(trial, **options)
            trial.status = TrialStatus.COMPLETED
        except Exception as error:
            # All later trials depend on this chunk: it is repeated when the search is restarted.
            if workers.is_worker():
                self._tell_fatal(trial)
            if isinstance(error, FatalError):
                raise
            raise FatalRuntimeError(
                f"Chunk {trial.trial_id} of the training failed: {error}"
            ) from error

    def run_trial(self, trial, callbacks=None, verbose=1):
        """Train a chunk or evaluate a candidate; return a dict of metrics."""
        values = trial.hyperparameters.values
        if not is_chunk(trial):
            return self._candidate(trial, verbose)
        metrics, decided, logits = self._runner.chunk(
            values["tuner/chunk"], values["tuner/certain"], values["tuner/seed"], self._data,
            callbacks or (), max(0, verbose - 1),
        )  # fmt: skip
        for name in network_values(values):
            del values[name]
        values |= plan.only_active(self.plan.choices, decided)
        values |= {"tuner/decided": decided, "tuner/policy": logits}
        return metrics

    def _candidate(self, trial, verbose):
        values = network_values(trial.hyperparameters.values)
        metrics = self._runner.candidate(values, self._data)
        if not self.candidate_epochs:
            return metrics
        model = self._runner.network(values)
        if self._compile is not None:
            self._compile(model)
        else:
            tuner.compile_classifier(model, self._data.labels)
        number = int(trial.trial_id)
        keras.utils.set_random_seed(number)
        found = self._data.fit(model, self.candidate_epochs, number, max(0, verbose - 1))
        model.save_weights(self._get_checkpoint_fname(trial.trial_id))
        if "val_top1" not in found:
            raise FatalValueError(f"compile: expected a metric named 'top1', got {sorted(found)}.")
        quality = max(found["val_top1"])
        trained = self._runner.judge(quality, values, len(self.plan.stages) - 1)
        return {**metrics, **trained, "shared_accuracy": metrics["val_accuracy"]}

    def get_best_models(self, num_models=1):
        """Return the networks of the best candidates.

        They have the weights of their own training. With `candidate_epochs=0` they have their part
        of the shared weights and new moving statistics, so they need further training.

        Raises:
            ValueError: with `candidate_epochs=0`, if `search` was not called in this process.
        """
        return super().get_best_models(num_models)

    def load_model(self, trial):
        path = self._get_checkpoint_fname(trial.trial_id)
        if os.path.exists(path):
            return super().load_model(trial)
        if self._data is None:
            raise ValueError(
                "get_best_models: expected a tuner with data, got none. Call search() first."
            )
        self._runner.finish(self._data)
        return self._runner.network(network_values(trial.hyperparameters.values))
