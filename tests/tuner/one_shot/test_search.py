"""Whole searches in the toy space: results, resuming, and errors."""

import json
import shutil

import keras
import numpy as np
import pytest
from keras import ops

from keras_video.tuner import (
    Choice,
    ChoiceSpace,
    MaxMacs,
    Parsec,
    ResultsTable,
    Stage,
    TuNAS,
    results_table,
    search_history,
    stage_table,
    super_network,
)  # fmt: skip
from keras_video.tuner.one_shot.tuner import OneShotTuner
from keras_video.tuner.spaces.declared import network_values
from tests.helpers import to_numpy
from tests.tuner.one_shot import toy

TRAIN = toy.make_clips(1024, 0)
VALIDATION = toy.make_clips(512, 1)
TENSORFLOW = keras.backend.backend() == "tensorflow"
on_one_backend = pytest.mark.skipif(not TENSORFLOW, reason="no backend has a part in it")
SMALL = ("site0", "site1")  # two sites, for searches whose results do not matter


def compile_quickly(searcher):
    searcher.compile(keras.optimizers.Adam(0.02))


def without_a_graph(searcher):
    """Compile for eager steps: in short searches, tracing takes most of the time."""
    searcher.compile(keras.optimizers.Adam(0.02), run_eagerly=TENSORFLOW)


def make(folder, cls=TuNAS, space=None, **options):
    given = {
        "target": toy.TARGET, "seed": 0, "directory": folder, "project_name": "search",
        "compile_search": compile_quickly, **options,
    }  # fmt: skip
    return cls(toy.ToySpace() if space is None else space, **given)


def run(tuner, train=TRAIN, validation=VALIDATION, batch_size=16, **options):
    tuner.search(
        *train, validation_data=validation, **{"batch_size": batch_size, "verbose": 0, **options}
    )
    return tuner


def short(folder, cls=TuNAS, **options):
    """Return a tuner for two sites and a few steps."""
    given = {
        "epochs": 2, "steps_per_trial": 2, "target": 2.0, "num_candidates": 2,
        "space": toy.ToySpace(SMALL), "compile_search": without_a_graph,
    }  # fmt: skip
    return make(folder, cls, **{**given, **options})


def data(count=32, seed=0):
    return toy.make_clips(count, seed, SMALL)


def found(tuner):
    return network_values(tuner.get_best_hyperparameters()[0].values)


def told(tuner):
    """Return the results, which must not depend on interruptions."""
    folder = tuner.project_dir
    rows = [{**row, "policy": row["policy"]} for row in search_history(folder)]
    return rows, [{k: v for k, v in row.items()} for row in results_table(folder)]


@pytest.mark.slow
@pytest.mark.skipif(not TENSORFLOW, reason="the other backends compute the same formulas")
def test_tunas_finds_the_best_network(tmp_path, capsys):
    del toy.STARTED[:]
    tuner = run(make(tmp_path, epochs=12, beta=-0.3), verbose=1)
    assert found(tuner) == toy.BEST
    assert len(toy.STARTED) == 3  # training and validation in one graph, evaluation in another
    best = tuner.results_table()[0]
    assert best["mutation"] == "most probable" and best["cost_ratio"] == 1
    assert best["val_accuracy"] > 0.9
    rows = search_history(tuner)
    assert len(rows) == 12 and rows[-1]["policy_entropy"] < 0.6 * rows[0]["policy_entropy"]
    assert 0.9 < rows[-1]["mean_cost_ratio"] < 1.15
    printed = capsys.readouterr().out.splitlines()
    assert "chunk 12/12" in printed[11] and "entropy" in printed[11] and "cost" in printed[11]
    assert len(printed) == 12 + 5
    # The network from the space, and the one with its part of the shared weights.
    assert tuner.hypermodel.build(tuner.get_best_hyperparameters()[0]).count_params() == 4 * 2 + 2
    model = tuner.get_best_models()[0]
    logits = model.predict(VALIDATION[0], verbose=0)
    assert np.mean(logits.argmax(axis=1) == VALIDATION[1]) == pytest.approx(best["val_accuracy"])


@pytest.mark.slow
@pytest.mark.skipif(not TENSORFLOW, reason="the other backends compute the same formulas")
def test_parsec_finds_it_in_stages_within_each_target(tmp_path):
    stages = [
        Stage("first", ("site0/*", "site1/*"), epochs=6, target=3.0),
        Stage("rest", ("site[2-4]/*",), epochs=6),
    ]
    tuner = run(make(tmp_path, Parsec, stages=stages, samples=6))
    assert found(tuner) == toy.BEST
    table = stage_table(tuner)
    assert [row["stage"] for row in table] == ["first", "rest"]
    assert [row["cost"] for row in table] == [3, 4] and [row["target"] for row in table] == [3, 4]
    assert [row["searched"] for row in table] == [4, 6]
    assert table[0]["val_accuracy"] < table[1]["val_accuracy"]
    assert "first" in str(table) and "3" in str(table)
    rows = search_history(tuner)
    assert rows[5]["decided"]["site2/way"] == "closed"  # not searched yet
    assert rows[6]["certain"] == {n: v for n, v in toy.BEST.items() if n[:5] in ("site0", "site1")}
    # The second stage starts with the shared weights of the first.
    assert rows[6]["val_accuracy"] >= rows[5]["val_accuracy"] - 0.1


@pytest.mark.parametrize("cls", [TuNAS, Parsec])
def test_a_short_search(tmp_path, cls):
    tuner = run(short(tmp_path, cls), data(), data(16, 1))
    assert isinstance(tuner, OneShotTuner)
    rows = search_history(tuner)
    assert [row["chunk"] for row in rows] == [0, 1]
    for row in rows:
        for name in ("reward", "val_accuracy", "cost_ratio", "policy_entropy", "loss"):
            assert np.isfinite(row[name])
    table = tuner.results_table()
    assert isinstance(table, ResultsTable) and len(table) == 2
    trials = tuner.oracle.get_best_trials(10)
    assert [t.trial_id for t in trials] == [row["trial"] for row in table]
    assert {t.trial_id for t in trials} == {"00002", "00003"}
    assert trials[0].score == max(row["fitness"] for row in table)
    assert table[0]["values"] != table[1]["values"]
    # Chunks are not run again, nor are candidates.
    again = run(short(tmp_path, cls), data(), data(16, 1))
    assert told(again) == told(tuner)


def test_interrupted_and_resumed_it_ends_the_same(tmp_path):
    """A second tuner continues from the checkpoint of the first."""
    whole = run(short(tmp_path / "whole", epochs=3), data(), data(16, 1))

    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if len(search_history(tmp_path / "broken" / "search")) == 2 and batch == 0:
                raise KeyboardInterrupt

    broken = short(tmp_path / "broken", epochs=3)
    with pytest.raises(KeyboardInterrupt):
        run(broken, data(), data(16, 1), callbacks=[Stop()])
    assert len(search_history(broken)) == 2
    # A process that is killed while it writes leaves a partial file.
    (tmp_path / "broken" / "search" / ".shared-00001.7-ab.partial.npz").touch()
    resumed = run(short(tmp_path / "broken", epochs=3), data(), data(16, 1))
    assert told(resumed) == told(whole)
    ends = [np.load(t.project_dir + "/shared-00003.npz") for t in (whole, resumed)]
    assert len(ends[0].files) > 10 and ends[0].files == ends[1].files
    for name in ends[0].files:
        np.testing.assert_array_equal(ends[0][name], ends[1][name])
    kept = sorted(p.name for p in (tmp_path / "broken" / "search").glob("*.npz"))
    assert kept == ["shared-00002.npz", "shared-00003.npz"]


def test_mixed_precision(tmp_path):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        tuner = run(short(tmp_path), data(), data(16, 1))
    finally:
        keras.config.set_dtype_policy("float32")
    searcher = tuner._runner.searcher
    assert searcher.compute_dtype == "bfloat16"
    assert {v.dtype for v in searcher.weights if "float" in v.dtype} == {"float32"}
    logits = to_numpy(searcher.policy.logits)
    assert np.isfinite(logits).all() and np.any(logits)
    assert np.any(logits != logits.astype("float16"))  # they learn in full precision


@on_one_backend
def test_random_search_is_the_control(tmp_path):
    tuner = run(short(tmp_path, policy="random", num_candidates=6), data(), data(16, 1))
    assert not to_numpy(tuner._runner.searcher.policy.logits).any()
    table = tuner.results_table()
    assert len({json.dumps(row["values"]) for row in table}) == 6
    assert all(row["cost_ratio"] <= 1 and row["mutation"] == "drawn" for row in table)
    assert [row["fitness"] for row in table] == [row["val_accuracy"] for row in table]
    entropies = {round(row["policy_entropy"], 4) for row in search_history(tuner)}
    assert len(entropies) == 1


@on_one_backend
def test_limits_hold_for_candidates(tmp_path):
    tuner = run(
        short(tmp_path, never_above=True, constraints=[MaxMacs(1)], num_candidates=3),
        data(), data(16, 1),
    )  # fmt: skip
    table = tuner.results_table()
    assert len(table) == 3 and all(row["macs"] <= 1 for row in table)
    assert table.limits == {"target": 2, "macs": 1}


@on_one_backend
def test_candidates_may_be_trained_on(tmp_path):
    tuner = run(short(tmp_path, candidate_epochs=2, num_candidates=1), data(), data(16, 1))
    for row in tuner.results_table():
        assert 0 <= row["shared_accuracy"] <= 1
    best = tuner.results_table()[0]
    model = tuner.get_best_models()[0]
    clips, labels = data(16, 1)
    logits = model.predict(clips, verbose=0)
    assert np.isfinite(logits).all() and best["val_accuracy"] >= 0.4


@on_one_backend
def test_a_data_set_is_seen_in_an_order_of_the_seed(tmp_path):
    clips, labels = data(64)
    seen = []

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 7

        def __getitem__(self, index):
            seen.append(index)
            return clips[index * 10 : index * 10 + 10], labels[index * 10 : index * 10 + 10]

    def orders():
        del seen[:]
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        tuner = short(folder, steps_per_trial=None, num_candidates=1)
        tuner.search(Batches(), validation_data=data(16, 1), verbose=0)
        assert tuner._runner.searcher.total_steps == 12  # the last batch is smaller
        return list(seen)

    first = orders()
    assert orders() == first
    steps = [index for index in first if index != 6]
    assert set(steps) == set(range(6)) and steps[-6:] != sorted(steps[-6:])


@on_one_backend
def test_nothing_is_lost_when_numbers_are_not_finite(tmp_path):
    """The search stops and keeps the checkpoint before, from which the same chunk follows.

    So the checkpoint holds all state, that of optimizer and seeds included.
    """
    tuner = run(short(tmp_path, num_candidates=1), data(), data(16, 1))
    expected, folder = told(tuner), tmp_path / "search"
    whole = dict(np.load(folder / "shared-00002.npz"))
    for name in ("trial_00001", "trial_00002"):
        shutil.rmtree(folder / name)
    (folder / "shared-00002.npz").unlink()
    broken = toy.ToySpace(SMALL, breaks_at=lambda logits: logits * ops.log(-ops.ones(())))
    tuner = short(tmp_path, num_candidates=1, space=broken)
    with pytest.raises(RuntimeError, match="loss: expected finite numbers, got nan in chunk 1"):
        run(tuner, data(), data(16, 1))
    assert (folder / "shared-00001.npz").exists()
    assert not (folder / "shared-00002.npz").exists()
    again = run(short(tmp_path, num_candidates=1), data(), data(16, 1))
    found = dict(np.load(folder / "shared-00002.npz"))
    assert json.loads(found["about"].tobytes().decode())["position"] == 2
    assert found.keys() == whole.keys()
    for name, array in whole.items():
        np.testing.assert_array_equal(found[name], array)
    assert told(again) == expected


@pytest.mark.parametrize(
    "options, message",
    [
        ({"target": 20}, "target: .*from 0 to 4 in stage 'search', got 20"),
        ({"target": -1}, "target: .*got -1"),
        ({"target": None, "never_above": True}, "target: .*got None"),
        ({"cost": None}, "cost: .*got None"),
        ({"cost": "joules"}, "name: expected 'macs', got 'joules'"),
        ({"margin": 1.5}, "margin: .*got 1.5"),
        ({"epochs": 0}, "epochs: expected an int of at least 1, got 0"),
        ({"policy": "best"}, "policy: .*'best'"),
        ({"num_candidates": -1}, "num_candidates: .*got -1"),
        ({"steps_per_trial": 0}, "steps_per_trial: .*got 0"),
        ({"candidate_epochs": -1}, "candidate_epochs: .*got -1"),
        ({"quality": "speed"}, "quality: .*'speed'"),
        ({"stages": []}, "stages: .*got ()"),
        ({"stages": [Stage("a", ("site9/*",))]}, "'a': .*'site9/.'"),
        ({"stages": [Stage("a"), Stage("b")]}, "'b': expected at least one choice"),
        ({"stages": [Stage("a", fixed={"site0/way": "x"})]}, "site0/way: .*got 'x'"),
        ({"stages": [Stage("a", ("site0/*",), target=4)]}, "from 0 to 2 in stage 'a', got 4"),
    ],
)
def test_wrong_arguments(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        short(tmp_path, **options)


def test_a_space_must_hold_several_networks_and_share_weights(tmp_path):
    one = (Choice("site0/way", ("mean",)), Choice("site0/width", (1,), "filters"))
    with pytest.raises(ValueError, match="hypermodel: expected a space of several networks"):
        short(tmp_path, space=toy.ToySpace(("site0",), one))
    from tests.tuner.toy import ToySpace

    with pytest.raises(ValueError, match="hypermodel: expected a ChoiceSpace .* got ToySpace"):
        short(tmp_path, space=ToySpace())


def test_a_space_without_a_super_network_is_searched_trial_by_trial(tmp_path):
    class Plain(ChoiceSpace):
        choices = toy.make_choices(SMALL)

    class More(toy.ToySpace):
        """Inherits the super-network of its base."""

    with pytest.raises(ValueError, match="space: expected a space with a super-network, got Plain"):
        super_network(Plain())
    with pytest.raises(ValueError, match="hypermodel: .* super-network, got Plain"):
        short(tmp_path, space=Plain())
    assert not isinstance(Parsec(Plain(), directory=tmp_path, project_name="p"), OneShotTuner)
    assert isinstance(super_network(More(SMALL)), toy.ToySuperNetwork)
    assert isinstance(More(SMALL).super_network(), toy.ToySuperNetwork)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"validation_data": None}, "validation_data: .*got None"),
        ({"validation_data": data(8)[0]}, "validation_data: expected arrays"),
        ({"validation_data": (*data(8), 1)}, "validation_data: .*got 3 items"),
        ({"validation_data": toy.make_clips(8)}, "validation_data: expected clips and labels of"),
        (
            {"validation_data": [a[:0] for a in data(8)]},
            "validation_data: expected at least one clip",
        ),
        ({"x": data(8)[0][:5]}, "x: expected equally many clips and labels"),
        ({"y": None}, "x: expected arrays"),
        ({"x": iter(())}, "x: expected arrays .*PyDataset"),
        ({"batch_size": 0}, "batch_size: .*got 0"),
    ],
)
def test_wrong_data(tmp_path, change, message):
    tuner = short(tmp_path)
    x, y = data(8)
    with pytest.raises(ValueError, match=message):
        tuner.search(**{"x": x, "y": y, "validation_data": data(8, 1), **change})
    assert not tuner.oracle.trials


@on_one_backend
def test_another_search_in_the_folder_is_refused(tmp_path):
    run(short(tmp_path), data(), data(16, 1))
    with pytest.raises(ValueError, match="expected a search with algorithm"):
        short(tmp_path, epochs=3)
    with pytest.raises(ValueError, match="batch_size: expected data with 2 steps"):
        again = short(tmp_path, steps_per_trial=3)
        again.search(*data(), validation_data=data(16, 1), verbose=0)
        again.get_best_models()
