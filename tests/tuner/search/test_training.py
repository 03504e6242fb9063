"""A trial by default: build, compile, fit, report the best epoch."""

import os

import keras
import numpy as np
import pytest

from keras_video.tuner import Evolution, Space
from keras_video.tuner.search.tuner import compile_classifier, some_labels, to_metrics
from tests.tuner.search.test_oracle import Measured
from tests.tuner.toy import ToyTuner, told

CLASSES = 6
RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 4)).astype("float32")
Y = (X @ RNG.normal(size=(4, CLASSES))).argmax(axis=1)
DATA = {"x": X[:32], "y": Y[:32], "validation_data": (X[32:], Y[32:]), "verbose": 0}


class Dense(Space):
    """One dense layer after another."""

    def __init__(self):
        super().__init__(name="dense")

    def declare(self, hp):
        hp.Int("units", 4, 12)

    def costs(self, values):
        return {"params": 5 * values["units"] + CLASSES * (values["units"] + 1)}

    def build(self, hp):
        return keras.Sequential(
            [
                keras.Input((4,)),
                keras.layers.Dense(hp.values["units"], "relu"),
                keras.layers.Dense(CLASSES),
            ]
        )


def quick(model):
    """Compile with the metrics of the default, but a cheap optimizer and no graph to trace."""
    compile_classifier(model)
    model.compile("sgd", model.loss, metrics=[
        keras.metrics.SparseCategoricalAccuracy(name="top1"),
        keras.metrics.SparseTopKCategoricalAccuracy(5, name="top5"),
    ], run_eagerly=keras.backend.backend() == "tensorflow")  # fmt: skip


def make(folder, **options):
    keras.utils.set_random_seed(0)
    given = {"max_trials": 2, "seed": 0, "directory": folder, "project_name": "search"}
    return Evolution(options.pop("space", Dense()), **{**given, **options})


def test_a_search_trains_and_keeps_the_best_epoch(tmp_path):
    epochs = []

    class Watch(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            epochs.append(dict(logs))

        def __deepcopy__(self, memo):
            return Watch()

    tuner = make(tmp_path)
    tuner.search(**DATA, epochs=3, batch_size=16, callbacks=[Watch()])
    assert len(epochs) == 6
    for number, trial in enumerate(tuner.oracle.trials.values()):
        logs = epochs[3 * number : 3 * number + 3]
        fitnesses = [log["val_top1"] + log["val_top5"] for log in logs]
        assert trial.score == pytest.approx(max(fitnesses), rel=1e-6)
        assert [log["fitness"] for log in logs] == fitnesses
        assert trial.best_step == fitnesses.index(max(fitnesses))
        best = logs[trial.best_step]
        for name in ("loss", "val_loss", "val_top1", "val_top5"):
            assert trial.metrics.get_best_value(name) == pytest.approx(best[name], rel=1e-6)
        model = tuner.hypermodel.build(trial.hyperparameters)
        assert trial.metrics.get_best_value("params") == model.count_params()
    # The weights are those of the best epoch.
    model = tuner.get_best_models()[0]
    best = tuner.oracle.best
    logits = np.asarray(model.predict(X[32:], verbose=0))
    top1 = np.mean(logits.argmax(axis=1) == Y[32:])
    assert top1 == pytest.approx(best.metrics.get_best_value("val_top1"), abs=1e-6)
    assert told(make(tmp_path).oracle) == told(tuner.oracle)


def test_compile_of_ones_own_and_another_objective(tmp_path):
    import keras_tuner

    def compile(model):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss, run_eagerly=keras.backend.backend() == "tensorflow")

    tuner = make(
        tmp_path, compile=compile, objective=keras_tuner.Objective("val_loss", "min"), max_trials=1
    )
    tuner.search(**DATA, epochs=1)
    best = tuner.oracle.best
    assert set(best.metrics.metrics) == {"loss", "val_loss", "params"}
    assert best.score == best.metrics.get_best_value("val_loss")


def test_executions_are_averaged(tmp_path):
    tuner = make(tmp_path, compile=quick, executions_per_trial=2, max_trials=1)
    fits = []
    fit = tuner.hypermodel.fit
    tuner.hypermodel.fit = lambda *a, **k: fits.append(fit(*a, **k)) or fits[-1]
    tuner.search(**DATA, epochs=1)
    mean = np.mean([history.history["fitness"][0] for history in fits])
    assert len(fits) == 2 and tuner.oracle.best.score == pytest.approx(mean, rel=1e-6)


def test_what_was_measured_is_what_is_trained(tmp_path):
    class Size(Measured):
        def measure(self, model):
            models.append(model)
            return float(model.count_params())

        def predict(self, space, values):
            return None

        def learn(self, space, values, measured):
            assert measured == space.costs(values)["params"]

    models, trained = [], []
    tuner = make(tmp_path, compile=quick, constraints=[Size(100)])
    fit = tuner.hypermodel.fit
    tuner.hypermodel.fit = lambda hp, model, *a, **k: (
        trained.append(model) or fit(hp, model, *a, **k)
    )
    tuner.search(**DATA, epochs=1)
    assert len(trained) == 2 and all(any(t is m for m in models) for t in trained)
    for trial in tuner.oracle.trials.values():
        assert trial.metrics.get_best_value("latency_ms") <= 100


def test_without_validation_data(tmp_path):
    from keras_tuner.errors import FatalError

    with pytest.raises(FatalError, match="pass validation_data to search"):
        make(tmp_path, compile=quick).search(X, Y, epochs=1, verbose=0)


def test_only_the_best_weights_are_kept(tmp_path):
    class Saving(ToyTuner):
        def run_trial(self, trial, *args, **kwargs):
            path = self._get_checkpoint_fname(trial.trial_id)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            open(path, "wb").close()
            return super().run_trial(trial, *args, **kwargs)

    tuner = Saving(max_trials=12, keep_weights=2, seed=0, directory=tmp_path)
    tuner.search(verbose=0)
    kept = {p.parent.name for p in tmp_path.rglob("*.weights.h5")}
    assert kept == {f"trial_{t.trial_id}" for t in tuner.oracle.get_best_trials(2)}


class Batches(keras.utils.PyDataset):
    """Pairs as a data set."""

    def __init__(self, labels):
        super().__init__()
        self.labels = labels

    def __len__(self):
        return 2

    def __getitem__(self, index):
        part = slice(16 * index, 16 * index + 16)
        return X[part], self.labels[part]


def test_data_sets_and_one_hot_labels(tmp_path):
    data = Batches(np.eye(CLASSES, dtype="float32")[Y])
    tuner = make(tmp_path, max_trials=1)
    tuner.search(data, validation_data=data, epochs=1, verbose=0)
    assert 0 <= tuner.oracle.best.score <= 2


def test_labels_of_several_classes_need_a_compile(tmp_path):
    labels = np.ones((32, CLASSES), "float32")
    with pytest.raises(RuntimeError, match="compile: expected a function that compiles for videos"):
        make(tmp_path, max_consecutive_failed_trials=1).search(X[:32], labels, verbose=0)


def test_some_labels():
    assert some_labels(X, Y).shape == (32,)
    assert some_labels(Batches(Y)).shape == (16,)
    assert some_labels(iter([])) is None
    assert some_labels() is None


def test_few_classes_have_no_top_5():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    compile_classifier(model)
    logs = model.evaluate(X, Y % 3, verbose=0, return_dict=True)
    assert logs["top5"] == 1


def test_reports():
    from keras_tuner import Objective
    from keras_tuner.errors import FatalTypeError

    best = Objective("fitness", "max")
    assert to_metrics(0.5, best) == ({"fitness": 0.5}, 0)
    assert to_metrics(np.float32(0.5), best) == ({"fitness": 0.5}, 0)
    two = [{"fitness": 1, "a": 2, "b": 3}, {"fitness": 2, "a": 4}]
    assert to_metrics(two, best) == ({"fitness": 1.5, "a": 3.0}, 0)
    history = keras.callbacks.History()
    history.history = {"fitness": [float("nan"), 0.5, 0.7, 0.6], "loss": [4, 3, 2, 1]}
    assert to_metrics(history, best) == ({"fitness": 0.7, "loss": 2.0}, 2)
    for wrong in (None, "much", []):
        with pytest.raises(FatalTypeError, match="run_trial: expected"):
            to_metrics(wrong, best)


def test_a_checkpoint_of_a_killed_trial_does_not_harm(tmp_path):
    tuner = make(tmp_path, compile=quick, max_trials=1)
    trial = tuner.oracle.create_trial("tuner0")
    path = tuner._get_checkpoint_fname(trial.trial_id)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(b"half a file")
    again = make(tmp_path, compile=quick, max_trials=1)
    again.search(**DATA, epochs=1)
    assert len(again.get_best_models()) == 1
