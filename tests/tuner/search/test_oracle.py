"""`SearchOracle`: handing out trials, taking in results, constraints, files."""

import json
import math
import threading

import keras_tuner
import pytest

from keras_video.tuner import Constraint, EvolutionOracle, MaxParams, SearchOracle
from keras_video.tuner.search.workers import Leases
from tests.tuner.toy import ToySpace, fitness, told


def make(folder, cls=SearchOracle, space=None, **options):
    oracle = cls(**{"max_trials": 5, "seed": 0, **options})
    oracle.verbose = 0
    oracle._set_project_dir(str(folder), "search")
    oracle.declare(space or ToySpace())
    return oracle


def finish(oracle, trial, value=None, status="COMPLETED", **metrics):
    value = fitness(trial.hyperparameters.values) if value is None else value
    for name, number in {"fitness": value, **metrics}.items():
        if not trial.metrics.exists(name):
            trial.metrics.register(name, "max")
        trial.metrics.update(name, number)
    trial.status = status
    oracle.end_trial(trial)


def run(oracle, tuner_id="tuner0"):
    """Runs all trials."""
    while (trial := oracle.create_trial(tuner_id)).status == "RUNNING":
        finish(oracle, trial)
    return trial


VALUES = {"rate": 0.5, "num_blocks": 1, "block_0/kind": "conv", "block_0/filters": 1}


class Measured(Constraint):
    """A measured constraint: the number is the value of `size`."""

    name = "latency_ms"
    cheap = False

    def __init__(self, limit, knows=False):
        super().__init__(limit)
        self.knows, self.learned = knows, []

    def measure(self, model):
        return float(model["size"])

    def predict(self, space, values):
        return values["size"] if self.knows and len(self.learned) > 3 else None

    def learn(self, space, values, measured):
        self.learned.append((values["size"], measured))


def test_the_budget_and_the_best(tmp_path):
    oracle = make(tmp_path)
    assert run(oracle).status == "STOPPED"
    assert list(oracle.trials) == [f"{i:05d}" for i in range(5)]
    best = oracle.get_best_trials(10)
    assert len(best) == 5
    assert [t.score for t in best] == sorted((t.score for t in best), reverse=True)
    assert best[0] is oracle.best
    assert (
        best[0].metrics.get_best_value("params")
        == ToySpace().costs(best[0].hyperparameters.values)["params"]
    )
    assert oracle.finished and oracle.remaining_trials() == 0


def test_a_tuner_is_given_the_trial_that_it_holds(tmp_path):
    oracle = make(tmp_path)
    first, again, other = (oracle.create_trial(name) for name in ("a", "a", "b"))
    assert first.trial_id == again.trial_id != other.trial_id
    assert first.hyperparameters.values == again.hyperparameters.values


def test_idle_until_the_last_trial_is_in(tmp_path):
    oracle = make(tmp_path, max_trials=1)
    trial = oracle.create_trial("a")
    assert oracle.create_trial("b").status == "IDLE"
    assert not oracle.finished
    finish(oracle, trial)
    assert oracle.create_trial("b").status == "STOPPED"
    assert oracle.create_trial("a").status == "STOPPED"
    assert not oracle.tuner_ids


def test_late_and_double_reports_are_ignored(tmp_path):
    now = [0.0]
    oracle = make(tmp_path)
    oracle.leases = Leases(10, clock=lambda: now[0])
    oracle.heartbeat("a")
    held = oracle.create_trial("a")
    now[0] = 11.0
    given = oracle.create_trial("b")  # to whom the trial goes
    assert given.trial_id == held.trial_id
    assert given.hyperparameters.values | {"tuner/run": 1} == held.hyperparameters.values
    finish(oracle, held, 9.0)  # the first worker was not dead after all
    assert oracle.trials[held.trial_id].status == "RUNNING"
    finish(oracle, given, 1.0)
    finish(oracle, given, 2.0)
    assert oracle.trials[held.trial_id].score == 1.0
    assert oracle.end_order == [held.trial_id]


def test_a_late_report_of_a_trial_that_nobody_has_taken_counts(tmp_path):
    now = [0.0]
    oracle = make(tmp_path, max_trials=1)
    oracle.leases = Leases(10, clock=lambda: now[0])
    oracle.heartbeat("a")
    held = oracle.create_trial("a")
    now[0] = 11.0
    oracle.expire()
    finish(oracle, held, 1.0)
    assert oracle.finished and oracle.create_trial("b").status == "STOPPED"


def test_a_trial_that_takes_its_workers_down_is_given_up(tmp_path):
    now = [0.0]
    oracle = make(tmp_path, max_trials=1)
    oracle.leases = Leases(10, clock=lambda: now[0])
    for worker in "abc":
        oracle.heartbeat(worker)
        assert oracle.create_trial(worker).status == "RUNNING"
        now[0] += 11
    assert oracle.create_trial("d").status == "STOPPED"
    (trial,) = oracle.trials.values()
    assert trial.status == "FAILED" and "died, 3 of them" in trial.message


def test_a_worker_that_waits_for_an_answer_is_not_missed():
    now = [0.0]
    leases = Leases(10, clock=lambda: now[0])
    with leases.call("a"):
        now[0] = 11.0
        assert leases.take_expired() == []
    now[0] = 20.0
    assert leases.take_expired() == []
    now[0] = 22.0
    assert leases.take_expired() == ["a"]
    assert leases.take_expired() == []


def test_networks_that_break_a_cheap_limit_cost_no_trial(tmp_path):
    oracle = make(tmp_path, max_trials=30, constraints=[MaxParams(500)])
    run(oracle)
    assert len(oracle.trials) == 30
    assert {t.status for t in oracle.trials.values()} == {"COMPLETED"}
    assert all(t.metrics.get_best_value("params") <= 500 for t in oracle.trials.values())
    counted = sum(record.rejected.get("params", 0) for record in oracle.records.values())
    assert counted == oracle.rejected["params"] > 30


def reject_or_finish(oracle, constraint):
    """Do what a worker does. Return the number of measured networks."""
    count = 0
    while (trial := oracle.create_trial("tuner0")).status == "RUNNING":
        count += 1
        number = constraint.measure(trial.hyperparameters.values)
        if number <= constraint.limit:
            finish(oracle, trial, latency_ms=number)
        else:
            rejected = {"tuner/rejected": constraint.name, "tuner/measured": number}
            trial.hyperparameters.values.update(rejected)
            trial.status = "INVALID"
            oracle.end_trial(trial)
    return count


def test_a_rejection_that_is_reported_twice_counts_once(tmp_path):
    oracle = make(tmp_path, max_trials=1, constraints=[Measured(96)])
    trial = oracle.create_trial("a")
    trial.hyperparameters.values.update({"tuner/rejected": "latency_ms", "tuner/measured": 200.0})
    trial.status = "INVALID"
    oracle.end_trial(trial)
    stored = oracle.trials[trial.trial_id]
    drawn = dict(stored.hyperparameters.values)
    oracle.end_trial(trial)  # the answer was lost, the worker asked again
    assert stored.hyperparameters.values == drawn and oracle.rejected["latency_ms"] == 1
    assert len(oracle.records[trial.trial_id].measured) == 1


def test_networks_that_break_a_measured_limit_cost_no_trial(tmp_path):
    limit = Measured(96)
    oracle = make(tmp_path, max_trials=20, constraints=[limit])
    count = reject_or_finish(oracle, limit)
    assert len(oracle.trials) == len(oracle.end_order) == 20
    assert {t.status for t in oracle.trials.values()} == {"COMPLETED"}
    assert all(t.hyperparameters.values["size"] <= 96 for t in oracle.trials.values())
    assert oracle.rejected["latency_ms"] == count - 20 > 5
    assert len(limit.learned) == count and all(size == ms for size, ms in limit.learned)
    kept = [item for record in oracle.records.values() for item in record.measured]
    assert len(kept) == count - 20 and all(item["values"]["size"] > 96 for item in kept)
    # What was learned is learned again, in the same order.
    again = Measured(96)
    other = make(tmp_path, max_trials=20, constraints=[again])
    other.open()
    assert again.learned == limit.learned
    assert other.rejected == oracle.rejected and told(other) == told(oracle)


def test_predictions_spare_measurements(tmp_path):
    limit = Measured(96, knows=True)
    oracle = make(tmp_path, max_trials=20, constraints=[limit])
    count = reject_or_finish(oracle, limit)
    measured = sum(len(record.measured) for record in oracle.records.values())
    assert count == 20 + measured
    assert measured < oracle.rejected["latency_ms"]
    # Up to 1.2 times the limit a network is measured before it is judged.
    assert {t.hyperparameters.values["size"] for t in oracle.trials.values()} == {32, 64, 96}


def test_between_the_limit_and_its_margin_a_network_is_measured(tmp_path):
    limit = Measured(150, knows=True)
    limit.learned = [None] * 4
    oracle = make(tmp_path, constraints=[limit])
    verdicts = {size: oracle.screen.judge({**VALUES, "size": size}) for size in (128, 160, 192)}
    assert [verdicts[size].cause for size in verdicts] == [None, None, "latency_ms"]
    assert verdicts[192].predicted == 192 / 150


def test_what_was_rejected_is_not_drawn_again_after_a_restart(tmp_path):
    class Sizes(ToySpace):
        def declare(self, hp):
            hp.Int("size", 1, 20)

        def invalid(self, values):
            return None

        def costs(self, values):
            return {"params": 1, "macs": 1, "memory": 1}

    seen = []
    while len(seen) < 20:
        limit = Measured(1)
        oracle = make(tmp_path, space=Sizes(), constraints=[limit], max_trials=1)
        trial = oracle.create_trial("a")
        seen.append(trial.hyperparameters.values["size"])
        if seen[-1] > 1:
            rejected = {"tuner/rejected": "latency_ms", "tuner/measured": float(seen[-1])}
            trial.hyperparameters.values.update(rejected)
            trial.status = "INVALID"
            oracle.end_trial(trial)
        else:
            break
    assert len(set(seen)) == len(seen) and seen[-1] == 1


def test_a_prediction_that_is_wrong_for_all_is_put_to_the_test(tmp_path):
    class Wrong(Measured):
        def predict(self, space, values):
            return 1000.0 + values["size"]

    limit = Wrong(96)
    oracle = make(tmp_path, max_trials=3, constraints=[limit])
    reject_or_finish(oracle, limit)
    assert len(oracle.get_best_trials(5)) == 3


@pytest.mark.parametrize("cheap", [True, False])
def test_a_limit_that_nothing_meets(tmp_path, cheap):
    limit = MaxParams(5) if cheap else Measured(20)
    options = {"max_rejections": 200, "max_measured_rejections": 30}
    oracle = make(tmp_path, constraints=[limit], **options)
    count = reject_or_finish(oracle, Measured(20))
    stopped = oracle.create_trial("tuner1")
    assert stopped.status == "STOPPED"
    reason = stopped.hyperparameters.values["tuner/stopped"]
    closest = (
        "params (rejected" if cheap else "latency_ms (rejected 30; limit 20, closest found 64)"
    )
    assert closest in reason and ("limit 5, closest found 10)" in reason or not cheap)
    assert count == (0 if cheap else 30)
    assert not oracle.get_best_trials() and oracle.finished
    assert not any(t.status == "FAILED" for t in oracle.trials.values())


def test_a_space_that_is_used_up(tmp_path):
    class Tiny(ToySpace):
        def declare(self, hp):
            hp.Int("size", 1, 3)

        def invalid(self, values):
            return None

        def costs(self, values):
            return {"params": 1, "macs": 1, "memory": 1}

    oracle = make(tmp_path, space=Tiny())
    while (trial := oracle.create_trial("a")).status == "RUNNING":
        finish(oracle, trial, 1.0)
    sizes = {t.hyperparameters.values["size"] for t in oracle.trials.values()}
    assert sizes == {1, 2, 3} and len(oracle.trials) == 3
    assert "duplicate (rejected 10,000)" in trial.hyperparameters.values["tuner/stopped"]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_that_are_no_numbers(tmp_path, value):
    oracle = make(tmp_path, max_trials=3, max_consecutive_failed_trials=5)
    finish(oracle, oracle.create_trial("a"), value)
    assert oracle.trials["00000"].status == "FAILED"
    assert oracle.trials["00000"].message == f"fitness: expected finite numbers, got [{value}]."
    finish(oracle, oracle.create_trial("a"), 1.0)
    finish(oracle, oracle.create_trial("a"), value)
    assert [t.trial_id for t in oracle.get_best_trials(3)] == ["00001"]
    again = make(tmp_path, max_trials=3)
    again.open()
    assert told(again)[1:2] == told(oracle)[1:2]
    assert again.trials["00000"].message == oracle.trials["00000"].message


def test_failures_are_tried_again_and_begin_afresh(tmp_path):
    oracle = make(tmp_path, max_trials=2, max_retries_per_trial=1)
    first = oracle.create_trial("a")
    finish(oracle, first, 5.0, status="INVALID")
    again = oracle.create_trial("a")
    assert again.trial_id == first.trial_id
    assert not again.metrics.metrics and again.hyperparameters.values["tuner/run"] > 1
    finish(oracle, again, 1.0)
    assert oracle.trials[first.trial_id].score == 1.0
    for _ in range(2):
        trial = oracle.create_trial("a")
        trial.status, trial.message = "INVALID", "out of luck"
        oracle.end_trial(trial)
    assert oracle.trials["00001"].status == "FAILED"
    assert [t.trial_id for t in oracle.get_best_trials(5)] == ["00000"]


def test_a_failure_that_is_reported_twice_counts_once(tmp_path):
    oracle = make(tmp_path, max_trials=1, max_retries_per_trial=1)
    trial = oracle.create_trial("a")
    trial.status, trial.message = "INVALID", "out of luck"
    oracle.end_trial(trial)
    oracle.end_trial(trial)  # the answer was lost, and the worker reports again
    assert oracle.records[trial.trial_id].failures == 1
    finish(oracle, oracle.create_trial("a"), 1.0)
    assert oracle.trials[trial.trial_id].status == "COMPLETED"


def test_an_exception_leaves_no_lock(tmp_path):
    class Broken(ToySpace):
        def invalid(self, values):
            raise ZeroDivisionError("in the space")

    oracle = make(tmp_path, space=Broken())
    with pytest.raises(ZeroDivisionError):
        oracle.create_trial("a")
    found = []
    thread = threading.Thread(target=lambda: found.append(oracle.create_trial("b")), daemon=True)
    thread.start()
    thread.join(timeout=10)
    assert found[0].status == "STOPPED"
    assert "ZeroDivisionError: in the space" in found[0].hyperparameters.values["tuner/stopped"]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"space": ToySpace(3)}, "in this space of 18 hyperparameters"),
        ({"space": ToySpace(name="other")}, "expected a search with space='other'"),
        (
            {"objective": keras_tuner.Objective("fitness", "min")},
            "expected a search with objective=",
        ),
        ({"constraints": [MaxParams(1e6)]}, "expected a search with constraints="),
        ({"seed": 1}, "expected a search with seed=1"),
        ({"cls": EvolutionOracle}, "expected a search with algorithm="),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_folder_of_another_search(tmp_path, change, field):
    oracle = make(tmp_path)
    run(oracle)
    files = {p: p.read_bytes() for p in tmp_path.rglob("*.json")}
    with pytest.raises(ValueError, match="overwrite=True to begin anew") as error:
        make(tmp_path, **change).open()
    assert field in str(error.value)
    with pytest.raises(ValueError, match="project"):
        make(tmp_path, **change).create_trial("a")
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.json")} == files


def test_damaged_and_foreign_files(tmp_path):
    run(make(tmp_path))
    header, trial = tmp_path / "search/oracle.json", tmp_path / "search/trial_00002/trial.json"
    good = trial.read_text()
    trial.write_text(good[:50])
    with pytest.raises(ValueError, match="trial_00002/trial.json: expected JSON, got a damaged"):
        make(tmp_path).open()
    trial.write_text('{"trial_id": "00002"}')
    with pytest.raises(ValueError, match="trial_00002/trial.json: expected a trial of keras_video"):
        make(tmp_path).open()
    trial.unlink()
    oracle = make(tmp_path)
    oracle.open()
    assert oracle.create_trial("a").trial_id == "00002"  # the number that is missing is run again
    header.write_text(json.dumps({"ongoing_trials": {}, "hyperparameters": {}}))
    with pytest.raises(ValueError, match="got one of another kind"):
        make(tmp_path).open()
    header.unlink()
    with pytest.raises(ValueError, match="expected an oracle.json next to the trials"):
        make(tmp_path).open()


def test_seed_0_is_a_seed_and_none_is_kept(tmp_path):
    values = [make(tmp_path / str(i)).create_trial("a").hyperparameters.values for i in range(2)]
    assert values[0] == values[1]
    other = make(tmp_path / "other", seed=1).create_trial("a").hyperparameters.values
    assert other != values[0]
    oracle = make(tmp_path / "none", seed=None)
    oracle.create_trial("a")
    again = make(tmp_path / "none", seed=None)
    again.open()
    assert again.seed == oracle.seed


def test_messages_hold_values_only(tmp_path, capsys):
    """KerasTuner's own messages, for its own tuners."""
    oracle = make(tmp_path)
    message = oracle.create_trial("a").to_proto()
    assert capsys.readouterr().out == ""
    assert message.ByteSize() < 1000
    assert "num_blocks" in message.hyperparameters.values.values


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_trials": 0}, "max_trials: expected an int of at least 1, got 0"),
        ({"max_trials": None}, "max_trials"),
        ({"seed": -1}, "seed: expected an int of at least 0"),
        ({"seed": 1.5}, "seed"),
        ({"lease_seconds": 0}, "lease_seconds: expected a finite number above 0"),
        ({"max_retries_per_trial": -1}, "max_retries_per_trial"),
        ({"constraints": [5]}, "constraints: expected a list of constraints"),
        ({"constraints": [MaxParams(5), MaxParams(6)]}, "constraints: expected one of each kind"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        SearchOracle(**options)


def test_with_the_tuner_of_kerastuner(tmp_path, monkeypatch):
    """Without a declared space, the hyperparameters are found by building."""

    def build(hp):
        hp.Int("a", 1, 5)
        with hp.conditional_scope("a", [2, 3, 4]):
            hp.Boolean("b")

    class Plain(keras_tuner.Tuner):
        def run_trial(self, trial):
            return -trial.hyperparameters.values["a"]

    def tuner():
        oracle = EvolutionOracle(
            keras_tuner.Objective("default_objective", "min"), max_trials=7, seed=0,
            population_size=3, tournament_size=2,
        )  # fmt: skip
        oracle.verbose = 0
        return Plain(oracle, build, directory=tmp_path)

    first = tuner()
    first.search()
    assert first.get_best_hyperparameters()[0].get("a") == 5
    assert len(first.oracle.trials) == 7
    assert told(tuner().oracle) == told(first.oracle)
