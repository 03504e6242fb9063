"""The trials of a one-shot search without training: chunks, candidates, workers, kills."""

import json
import time

import numpy as np
import pytest
from keras_tuner.engine.trial import TrialStatus

from keras_video.tuner import Stage, TuNASOracle
from keras_video.tuner.one_shot import plan
from keras_video.tuner.search import trials, workers
from keras_video.tuner.spaces.declared import network_values
from tests.tuner.one_shot import toy

SITES = ("site0", "site1")
STAGES = (
    Stage("first", ("site0/*",), epochs=2, target=2),
    Stage("rest", ("site1/*",), epochs=1, target=3),
)


def make(folder, **options):
    given = {"stages": STAGES, "num_candidates": 3, "seed": 0, **options}
    oracle = TuNASOracle(**given)
    oracle.verbose = 0
    oracle.declare(toy.ToySpace(SITES))
    oracle._set_project_dir(str(folder), "search")
    oracle.save()
    return oracle


def sent(trial, oracle):
    """Return the trial after it was sent and received."""
    return workers.unpack(workers.decode(workers.encode(workers.pack(trial))), oracle.get_space)


def train(oracle, trial, logits=None, reward=0.5):
    """End a chunk as a worker does, with a policy that prefers the last values."""
    values = trial.hyperparameters.values
    choices = oracle.plan.choices
    if logits is None:
        logits = [[0.1 * i for i in range(len(c.values))] for c in choices]
    matrix = np.zeros((len(choices), 4))
    for row, given in zip(matrix, logits, strict=True):
        row[: len(given)] = given
    decided = plan.most_probable(choices, matrix, values["tuner/certain"])
    for name in network_values(values):
        del values[name]
    values.update(plan.only_active(choices, decided))
    values.update({"tuner/decided": decided, "tuner/policy": logits})
    end(oracle, trial, reward)


def end(oracle, trial, reward=0.5):
    metrics = {
        "reward": reward, "val_accuracy": reward, "policy_entropy": 1.0, "loss": 0.1,
        "cost_ratio": 1.0, "mean_cost_ratio": 1.0,
    }  # fmt: skip
    trials.set_metrics(trial, metrics, oracle.objective)
    trial = sent(trial, oracle)
    trial.status = TrialStatus.COMPLETED
    oracle.end_trial(trial)


def test_chunks_come_one_after_the_other_and_candidates_together(tmp_path):
    oracle = make(tmp_path)
    for number in range(3):
        chunk = sent(oracle.create_trial("a"), oracle)
        values = chunk.hyperparameters.values
        assert values["tuner/kind"] == "chunk" and values["tuner/chunk"] == number
        assert oracle.create_trial("b").status == TrialStatus.IDLE
        assert oracle.create_trial("a").trial_id == chunk.trial_id
        if number < 2:
            assert values["tuner/stage"] == "first"
            assert values["tuner/certain"] == {"site1/way": "closed", "site1/width": 1}
        else:
            assert values["tuner/certain"] == {"site0/way": "edge", "site0/width": 2}
        train(oracle, chunk)
        assert oracle.get_best_trials(5) == []
    first, second = oracle.create_trial("a"), oracle.create_trial("b")
    assert network_values(first.hyperparameters.values) == {
        "site0/way": "edge", "site0/width": 2, "site1/way": "edge", "site1/width": 2,
    }  # fmt: skip
    assert first.hyperparameters.values["tuner/origin"] == "most probable"
    assert second.hyperparameters.values["tuner/origin"] == "drawn"
    end(oracle, second, 0.7)
    end(oracle, first, 0.6)
    third = oracle.create_trial("b")
    end(oracle, third, 0.2)
    assert oracle.create_trial("a").status == TrialStatus.STOPPED
    assert [t.trial_id for t in oracle.get_best_trials(9)] == ["00004", "00003", "00005"]
    assert oracle.best.trial_id == "00004"
    networks = [json.dumps(network_values(t.hyperparameters.values)) for t in (first, second)]
    assert len({*networks, json.dumps(network_values(third.hyperparameters.values))}) == 3


def test_it_is_taken_up_where_it_was(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    oracle = make(whole)

    def go_on(oracle, count):
        for _ in range(count):
            trial = oracle.create_trial("tuner0")
            chunk = trial.hyperparameters.values["tuner/kind"] == "chunk"
            (train if chunk else end)(oracle, trial)

    go_on(oracle, 6)
    expected = {i: t.hyperparameters.values for i, t in oracle.trials.items()}
    for count in (1, 1, 2, 1, 1):
        oracle = make(broken)
        oracle.create_trial("tuner0")  # and is killed
        oracle = make(broken)
        go_on(oracle, count)
    assert {i: t.hyperparameters.values for i, t in oracle.trials.items()} == expected
    # The number of candidates can be increased later.
    more = make(broken, num_candidates=4)
    assert more.create_trial("tuner0").trial_id == "00006"


def test_a_chunk_that_fails_ends_the_search_and_is_run_again(tmp_path):
    oracle = make(tmp_path)
    train(oracle, oracle.create_trial("a"))
    chunk = oracle.create_trial("a")
    chunk.status, chunk.message = TrialStatus.INVALID, "out of memory"
    oracle.end_trial(chunk)
    stopped = oracle.create_trial("b")
    assert stopped.status == TrialStatus.STOPPED
    assert "out of memory" in stopped.hyperparameters.values["tuner/stopped"]
    again = make(tmp_path)
    assert again.create_trial("a").trial_id == "00001"
    # A chunk with a reward of NaN also stops the search.
    chunk = again.create_trial("a")
    train(again, chunk, reward=float("nan"))
    assert "reward: expected finite numbers" in again.stopped["tuner/stopped"]


def test_a_worker_that_is_lost_gives_its_chunk_to_another(tmp_path):
    oracle = make(tmp_path, lease_seconds=1e-3)
    late = oracle.create_trial("a")
    oracle.heartbeat("a")
    time.sleep(0.01)
    taken = oracle.create_trial("b")
    assert taken.trial_id == late.trial_id
    train(oracle, late, reward=0.1)  # too late
    assert oracle.trials[late.trial_id].status == TrialStatus.RUNNING
    train(oracle, taken, reward=0.9)
    assert oracle.trials[late.trial_id].score == pytest.approx(0.9)


def test_candidates_of_a_policy_that_is_certain(tmp_path):
    """The policy contains one network; the others are drawn at a higher temperature."""
    oracle = make(tmp_path, stages=None, epochs=1, target=None, num_candidates=4)
    logits = [[0.0] * (len(c.values) - 1) + [60.0] for c in oracle.plan.choices]
    train(oracle, oracle.create_trial("a"), logits)
    networks = []
    for _ in range(4):
        trial = oracle.create_trial("a")
        networks.append(network_values(trial.hyperparameters.values))
        end(oracle, trial)
    assert len({json.dumps(n) for n in networks}) == 4
    assert networks[0]["site0/way"] == "edge"


def test_never_above_the_target(tmp_path):
    oracle = make(tmp_path, stages=None, epochs=1, target=2, num_candidates=3, never_above=True)
    train(oracle, oracle.create_trial("a"))
    for _ in range(3):
        trial = oracle.create_trial("a")
        assert oracle.plan.cost.of(network_values(trial.hyperparameters.values)) <= 2
        end(oracle, trial)
    assert oracle.rejected["target"] > 0
