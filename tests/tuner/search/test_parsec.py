"""`ParsecOracle`: rounds of draws, what they cost, and the same again after a restart."""

import json
import math
import os

import keras_tuner
import numpy as np
import pytest

from keras_video.tuner import MaxParams, ParsecOracle, SearchTuner, Space, TVNSpace
from keras_video.tuner.search import trials as files
from keras_video.tuner.search.parsec import importance_weights
from tests.tuner.search.test_oracle import Measured, finish, reject_or_finish
from tests.tuner.search.test_oracle import make as make_oracle
from tests.tuner.toy import ToySpace, fitness, told


class Grid(Space):
    """Three choices of four; the score is a sum, the cost is another."""

    def __init__(self, name="grid", sizes=(4, 4, 4)):
        super().__init__(name=name)
        self.sizes = sizes

    def declare(self, hp):
        for j, size in enumerate(self.sizes):
            hp.Choice(f"v{j}", list(range(size)))

    def costs(self, values):
        return {"params": 1 + sum(values.values())}

    def build(self, hp):
        return dict(hp.values)


def score(values):
    return sum(values[name] * (j + 1) for j, name in enumerate(("v0", "v1", "v2"))) / 18


def make(folder, space=None, **options):
    options = {"max_trials": 40, "samples": 4, **options}
    return make_oracle(folder, ParsecOracle, space=space or Grid(), **options)


def network(trial):
    values = trial.hyperparameters.values
    return tuple(v for k, v in values.items() if not k.startswith("tuner/"))


def run(oracle, answer=score, tuner_id="a"):
    while (trial := oracle.create_trial(tuner_id)).status == "RUNNING":
        finish(oracle, trial, float(answer(trial.hyperparameters.values)))
    return trial


def fail(oracle, trial):
    trial.status, trial.message = "FAILED", "no luck"
    oracle.end_trial(trial)


def logits(oracle):
    return [a.tolist() for a in oracle.policy.logits]


# Rounds


def test_one_update_for_each_round(tmp_path):
    """The first two rounds, from draws and scores by hand."""
    oracle = make(tmp_path, max_trials=8)
    untrained = make(tmp_path / "other").policy
    trials = [oracle.create_trial(f"worker{i}") for i in range(4)]
    assert [t.status for t in trials] == ["RUNNING"] * 4
    assert {t.hyperparameters.values["tuner/round"] for t in trials} == {0}
    assert oracle.create_trial("another").status == "IDLE"
    for trial in reversed(trials):
        assert oracle.history == [] and not np.any(logits(oracle))
        finish(oracle, trial, score(trial.hyperparameters.values))
    assert len(oracle.history) == 1 and oracle.history[0].draws == 4
    assert oracle.history[0].entropy == pytest.approx(3 * math.log(4))
    draws = [
        type(untrained.best())(t.hyperparameters.values, dict(enumerate(network(t))))
        for t in trials
    ]
    scores = [score(draw.values) for draw in draws]
    weights = importance_weights(scores, np.zeros(4), 2.0, 0.05)
    untrained.update(draws, weights)
    np.testing.assert_allclose(logits(oracle), untrained.logits, rtol=1e-12)
    assert oracle.history[0].weight_entropy == pytest.approx(-np.sum(weights * np.log(weights)))
    assert oracle.create_trial("a").hyperparameters.values["tuner/round"] == 1


def test_repeated_draws_are_not_trained_again(tmp_path):
    oracle = make(tmp_path, Grid(sizes=(2, 2, 1)), samples=8, max_trials=10, max_rejections=80)
    asked = []
    while (trial := oracle.create_trial("a")).status == "RUNNING":
        asked.append(network(trial))
        finish(oracle, trial, score(trial.hyperparameters.values))
    assert len(set(asked)) == len(asked) == 4
    # The rest of the draws costs nothing and goes on teaching.
    assert all(r.draws == r.scored == 8 for r in oracle.history) and len(oracle.history) >= 10
    assert oracle.best_architecture() == {"v0": 1, "v1": 1, "v2": 0}
    assert "duplicate (rejected" in trial.hyperparameters.values["tuner/stopped"]
    assert oracle.finished


def test_a_network_over_a_counted_limit_costs_nothing(tmp_path):
    space, limit = Grid(), MaxParams(5)
    oracle = make(tmp_path, space, constraints=[limit], max_trials=20, samples=8)
    run(oracle)
    assert {t.status for t in oracle.trials.values()} == {"COMPLETED"}
    assert all(t.metrics.get_best_value("params") <= 5 for t in oracle.trials.values())
    assert oracle.rejected["params"] >= 5
    assert any(r.scored < r.draws for r in oracle.history)
    first = oracle.history[0]
    assert first.draws == 8 and 0 < first.scored < 8


def test_where_all_are_over_the_limit_their_excess_shows_the_way(tmp_path):
    """Nothing of the first rounds may be tried; they move the logits all the same, for free."""
    space = Grid(sizes=(8, 8, 8, 8, 8, 8))
    options = {"constraints": [MaxParams(5)], "samples": 4, "max_trials": 3, "seed": 1}
    oracle = make(tmp_path, space, **options)
    trial = oracle.create_trial("a")
    assert sum(trial.hyperparameters.values[f"v{j}"] for j in range(6)) <= 4
    assert len(oracle.history) > 20 and not any(r.scored for r in oracle.history)
    costs = [sum(v * p for v, p in each.items()) for each in oracle.probabilities().values()]
    assert sum(costs) < 18  # 21 at the beginning
    finish(oracle, trial, 1.0)
    assert len(oracle.trials) == 1


def test_failed_trials_weigh_nothing(tmp_path):
    oracle = make(tmp_path, max_consecutive_failed_trials=9, seed=1)
    trials = [oracle.create_trial(f"worker{i}") for i in range(4)]
    for trial in trials[1:]:
        fail(oracle, trial)
    finish(oracle, trials[0], 0.0)  # the worst score there is, but a score
    assert oracle.history[0].scored == 1 and oracle.history[0].weight_entropy == 0
    assert tuple(oracle.best_architecture().values()) == network(trials[0])


def test_a_round_of_failures_moves_nothing(tmp_path):
    oracle = make(tmp_path, max_consecutive_failed_trials=9)
    for trial in [oracle.create_trial(f"worker{i}") for i in range(4)]:
        fail(oracle, trial)
    assert len(oracle.history) == 1 and not np.any(logits(oracle))
    assert oracle.create_trial("a").hyperparameters.values["tuner/round"] == 1


def test_invalid_networks_are_passed_over(tmp_path):
    class Odd(Grid):
        def invalid(self, values):
            return "odd" if values["v0"] % 2 else None

    oracle = make(tmp_path, Odd(), max_trials=12)
    run(oracle)
    assert {network(t)[0] for t in oracle.trials.values()} <= {0, 2}
    assert oracle.rejected["invalid"] > 0


def test_objectives_to_be_minimised(tmp_path):
    oracle = make(tmp_path, objective=keras_tuner.Objective("loss", "min"), max_trials=60)
    while (trial := oracle.create_trial("a")).status == "RUNNING":
        finish(oracle, trial, loss=score(trial.hyperparameters.values), value=0.0)
    assert score(oracle.best_architecture()) < 0.4


def test_slack_lets_networks_over_the_limit_compete(tmp_path):
    hard = make(tmp_path / "hard", constraints=[MaxParams(5)], max_trials=20)
    soft = make(tmp_path / "soft", constraints=[MaxParams(5)], slack=0.5, penalty=3, max_trials=20)
    run(hard), run(soft)
    params = [t.metrics.get_best_value("params") for t in soft.trials.values()]
    assert 5 < max(params) <= 7.5
    for trial in soft.trials.values():
        over = max(0, trial.metrics.get_best_value("params") / 5 - 1)
        raw = score(trial.hyperparameters.values)
        assert trial.score == pytest.approx(raw - 3 * over)
        assert trial.metrics.get_best_value("fitness") == pytest.approx(raw)
    assert all(t.score == score(t.hyperparameters.values) for t in hard.trials.values())


def test_the_size_of_a_round_may_follow_the_entropy(tmp_path):
    options = {"max_trials": 60, "learning_rate": 0.3, "min_entropy": 0.5}
    oracle = make(tmp_path, samples=9, samples_per_nat=1.5, **options)
    run(oracle)
    for r in oracle.history:
        assert r.draws == min(max(2, math.ceil(1.5 * r.entropy)), 9)
    assert {r.draws for r in oracle.history} >= {2, 7}


# Ends


def test_it_learns(tmp_path):
    oracle = make(tmp_path, max_trials=45, samples=8, learning_rate=0.1)
    run(oracle)
    assert oracle.entropy < 0.5 * oracle.history[0].entropy
    assert score(oracle.best_architecture()) > 0.8
    likeliest = {name: max(p, key=p.get) for name, p in oracle.probabilities().items()}
    assert likeliest == oracle.best_architecture()


def test_it_ends_when_the_entropy_is_low(tmp_path):
    oracle = make(tmp_path, max_trials=1000, learning_rate=0.3, min_entropy=1.0)
    values = run(oracle).hyperparameters.values
    assert len(oracle.trials) < 64 and oracle.finished
    assert "below min_entropy=1" in values["tuner/stopped"] and not values["tuner/failed"]
    assert oracle.entropy < 1.0 <= oracle.history[-1].entropy


@pytest.mark.parametrize("ends", ["trials", "entropy"])
def test_the_best_is_tried_last(tmp_path, ends):
    limit = {"max_trials": 12} if ends == "trials" else {"max_trials": 99, "min_entropy": 9.5}
    # Too little is known after so few trials for the likeliest values to have been drawn.
    space = Grid(sizes=(6,) * 6)
    options = {"learning_rate": 0.1, "temperature": 0.5, "try_best": True}
    oracle = make(tmp_path, space, **options, **limit)
    run(oracle)
    *others, last = oracle.trials.values()
    assert last.hyperparameters.values["tuner/best"]
    assert network(last) == tuple(oracle.best_architecture().values())
    assert not any("tuner/best" in t.hyperparameters.values for t in others)
    assert last.status == "COMPLETED" and (ends == "entropy" or len(others) == 11)


def test_the_best_waits_for_what_runs(tmp_path):
    oracle = make(tmp_path, max_trials=3, samples=2, try_best=True)
    first, second = oracle.create_trial("a"), oracle.create_trial("b")
    finish(oracle, first, 0.1)
    assert oracle.create_trial("a").status == "IDLE"
    finish(oracle, second, 0.9)
    last = oracle.create_trial("a").hyperparameters.values
    # Either it is new, or it was drawn before and something else is tried.
    assert ("tuner/best" in last) == (oracle.best_architecture() not in (
        {f"v{j}": v for j, v in enumerate(network(t))} for t in (first, second)
    ))  # fmt: skip


# Measured limits


def measured(folder, limit, **options):
    return make(folder, constraints=[limit], **{"max_trials": 15, "samples": 6, **options})


class Slow(Measured):
    """Measures what is good for the score."""

    def measure(self, values):
        return 1.0 + values["v0"] + values["v1"]

    def learn(self, space, values, measured):
        assert measured == self.measure(values)


def search_measured(oracle, limit, trials=10**9):
    """Runs some trials; a fitness that is best over the limit."""
    for _ in range(trials):
        trial = oracle.create_trial("a")
        if trial.status != "RUNNING":
            return
        number = limit.measure(trial.hyperparameters.values)
        if number <= limit.limit:
            finish(oracle, trial, score(trial.hyperparameters.values), latency_ms=number)
        else:
            rejected = {"tuner/rejected": limit.name, "tuner/measured": number}
            trial.hyperparameters.values.update(rejected)
            trial.status = "INVALID"
            oracle.end_trial(trial)


def test_measured_limits_cost_no_trial(tmp_path):
    limit = Slow(4)
    oracle = measured(tmp_path, limit)
    search_measured(oracle, limit)
    assert len(oracle.trials) == len(oracle.end_order) == 15 and oracle.finished
    assert {t.status for t in oracle.trials.values()} == {"COMPLETED"}
    rejected = [item for record in oracle.records.values() for item in record.measured]
    assert len(rejected) > 5
    assert all(limit.measure(item["values"]) > 4 for item in rejected)
    networks = [tuple(item["values"].values()) for item in rejected]
    networks += [network(t) for t in oracle.trials.values()]
    assert len(set(networks)) == len(networks)  # none is measured twice


def test_a_search_with_measured_limits_is_taken_up_at_any_point(tmp_path):
    whole = measured(tmp_path / "whole", Slow(4))
    search_measured(whole, Slow(4))
    broken = None
    while broken is None or not broken.finished:
        broken = measured(tmp_path / "broken", Slow(4))
        broken.open()
        search_measured(broken, Slow(4), trials=1)
    assert told(broken) == told(whole) and logits(broken) == logits(whole)
    assert broken.rejected == whole.rejected


def test_a_rejected_network_leaves_its_trial_waiting(tmp_path):
    limit = Slow(1)
    oracle = measured(tmp_path, limit, samples=2, seed=3)
    first, second = oracle.create_trial("a"), oracle.create_trial("b")
    number = limit.measure(first.hyperparameters.values)
    first.hyperparameters.values.update({"tuner/rejected": "latency_ms", "tuner/measured": number})
    first.status = "INVALID"
    oracle.end_trial(first)
    oracle.end_trial(first)  # the answer was lost on the way, and it is told again
    assert len(oracle.records[first.trial_id].measured) == 1
    assert oracle.create_trial("a").status == "IDLE" and not oracle.finished
    finish(oracle, second, 0.5)
    again = oracle.create_trial("a")
    assert again.trial_id == first.trial_id and network(again) != network(first)
    assert again.hyperparameters.values["tuner/round"] == 1
    # Only one draw counted.
    assert tuple(oracle.best_architecture().values()) == network(second)


def test_a_search_is_not_finished_while_a_trial_waits_for_a_network(tmp_path):
    oracle = measured(tmp_path, Slow(0.5), samples=1, max_trials=1)
    search_measured(oracle, Slow(0.5), trials=1)
    assert not oracle.ongoing_trials and len(oracle.trials) == 1
    assert not oracle.finished
    assert oracle.create_trial("a").status == "RUNNING"


def test_where_all_were_measured_over_the_limit_their_excess_shows_the_way(tmp_path):
    oracle = measured(tmp_path, Slow(0.5), samples=4, max_trials=1)
    before = oracle.probabilities()
    seen = 0
    while not oracle.history:
        search_measured(oracle, Slow(0.5), trials=1)
        seen += 1
    assert seen == 4 and not oracle.history[0].scored
    weighted = sum(v * p for v, p in oracle.probabilities()["v0"].items())
    assert weighted < sum(v * p for v, p in before["v0"].items())


def test_predictions_are_not_used(tmp_path):
    """They would judge the same draw differently when a search is taken up."""

    class Wrong(Measured):
        def predict(self, space, values):
            raise AssertionError("asked")

    limit = Wrong(96)
    oracle = make(tmp_path, ToySpace(), constraints=[limit], max_trials=10)
    count = reject_or_finish(oracle, limit)
    assert len(oracle.trials) == 10 and count > 10


# The same again


def test_the_same_seed_gives_the_same_search(tmp_path):
    limits = {"constraints": [MaxParams(7)]}
    first, again, other = (
        make(tmp_path / name, seed=seed, **limits) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    for oracle in (first, again, other):
        run(oracle)
    assert told(first) == told(again) and logits(first) == logits(again)
    assert told(first) != told(other)


@pytest.mark.parametrize("space", [Grid, ToySpace])
def test_a_search_is_taken_up_after_every_trial(tmp_path, space):
    answer = score if space is Grid else fitness
    options = {"constraints": [MaxParams(7 if space is Grid else 3000)], "max_trials": 30}
    whole = make(tmp_path / "whole", space(), **options)
    run(whole, answer)
    for _ in range(40):
        broken = make(tmp_path / "broken", space(), **options)
        broken.open()
        trial = broken.create_trial("a")
        if trial.status == "STOPPED":
            break
        finish(broken, trial, float(answer(trial.hyperparameters.values)))
    assert told(broken) == told(whole)
    assert logits(broken) == logits(whole) and broken.history == whole.history
    assert broken.rejected == whole.rejected


def test_workers_and_their_pace_change_nothing(tmp_path):
    """Three of them, reporting in the order of a hat, draw what one draws."""
    import random

    one, three = make(tmp_path / "one"), make(tmp_path / "three")
    run(one)
    held, rng = {}, random.Random(0)
    while not three.finished or held:
        worker = rng.choice("abc")
        if worker in held and rng.random() < 0.5:
            trial = held.pop(worker)
            finish(three, trial, score(trial.hyperparameters.values))
        elif worker not in held and (trial := three.create_trial(worker)).status == "RUNNING":
            held[worker] = trial
    assert told(three) == told(one) and logits(three) == logits(one)
    assert three.end_order != one.end_order


def test_continuing_with_more_trials(tmp_path):
    short = make(tmp_path, max_trials=10)
    run(short)
    longer, whole = make(tmp_path, max_trials=30), make(tmp_path / "whole", max_trials=30)
    longer.open()
    run(longer), run(whole)
    assert told(longer)[:10] == told(short)
    assert told(longer) == told(whole) and logits(longer) == logits(whole)


def test_kills_between_any_two_writes_change_nothing(tmp_path, monkeypatch):
    class Killed(BaseException):
        """Nothing is cleaned up after it."""

    class Tuner(SearchTuner):
        def run_trial(self, trial, **_):
            return score(trial.hyperparameters.values)

    def search(folder, last=None, before=False):
        writes = 0

        def replace(source, target, real=os.replace):
            nonlocal writes
            writes += 1
            if writes == last and before:
                raise Killed
            real(source, target)
            if writes == last:
                raise Killed

        with monkeypatch.context() as context:
            context.setattr(os, "replace", replace)
            oracle = ParsecOracle(
                max_trials=8, samples=3, seed=2, constraints=[Slow(4), MaxParams(7)],
                try_best=True,
            )  # fmt: skip
            Tuner(oracle, Grid(), directory=folder, project_name="search").search(verbose=0)
        return writes, oracle

    def kept(folder):
        contents = []
        for path in files.trial_paths(folder / "search").values():
            content = json.loads(open(path).read())
            record = content["record"]
            names = ("draws", "rejected", "measured", "order")
            contents.append({**content, "record": {name: record[name] for name in names}})
        return contents

    writes, oracle = search(tmp_path / "whole")
    expected = kept(tmp_path / "whole")
    rejected = sum(len(content["record"]["measured"]) for content in expected)
    assert rejected > 0 and oracle.rejected["params"] > 0 and len(oracle.history) > 1
    assert writes == 1 + 2 * (8 + rejected)
    for last in range(1, writes + 1):
        for before in (True, False):
            folder = tmp_path / f"{last}{before}"
            with pytest.raises(Killed):
                search(folder, last, before)
            _, again = search(folder)
            assert kept(folder) == expected
            assert logits(again) == logits(oracle)


# Spaces


def test_frozen_hyperparameters(tmp_path):
    hp = keras_tuner.HyperParameters()
    hp.Fixed("v1", 2)
    oracle = make(tmp_path, hyperparameters=hp, max_trials=10)
    run(oracle)
    assert {network(t)[0] for t in oracle.trials.values()} == {2}
    assert oracle.probabilities()["v1"] == {2: 1.0}
    assert oracle.history[0].entropy == pytest.approx(2 * math.log(4))


def test_tiny_video_networks(tmp_path):
    space = TVNSpace(10, image_size=(32, 64, 32), blocks=(1, 3), filters=(8, 64, 8))
    oracle = make(tmp_path, space, constraints=[MaxParams(3e5)], max_trials=12)
    run(oracle, lambda values: -values["num_blocks"])
    assert len(oracle.trials) == 12 and len(oracle.history) >= 3
    for trial in oracle.trials.values():
        values = trial.hyperparameters.values
        assert oracle.space.problem(values) is None and space.cost(values, "params") <= 3e5
    again = make(tmp_path, TVNSpace(10, image_size=(32, 64, 32), blocks=(1, 3),
                                    filters=(8, 64, 8)),
                 constraints=[MaxParams(3e5)], max_trials=12)  # fmt: skip
    again.open()
    assert logits(again) == logits(oracle)


def test_a_hypermodel_that_declares_while_it_builds(tmp_path):
    class Model(keras_tuner.HyperModel):
        def build(self, hp):
            width = hp.Int("width", 1, 3)
            deep = hp.Boolean("deep")
            with hp.conditional_scope("deep", [True]):
                more = hp.Int("more", 1, 3)
            return width + more if deep else width

    class Tuner(SearchTuner):
        def run_trial(self, trial, **_):
            return float(self.hypermodel.build(trial.hyperparameters))

    oracle = ParsecOracle(max_trials=9, samples=6, seed=0, learning_rate=0.1)
    Tuner(oracle, Model(), directory=tmp_path).search(verbose=0)
    assert len(oracle.trials) == 9
    assert oracle.best_architecture() == {"width": 3, "deep": True, "more": 3}


def test_an_error_of_the_space_ends_the_search(tmp_path):
    class Broken(Grid):
        def invalid(self, values):
            raise ZeroDivisionError("in the space")

    oracle = make(tmp_path, Broken())
    with pytest.raises(ZeroDivisionError):
        oracle.create_trial("a")
    stopped = oracle.create_trial("a")
    assert stopped.status == "STOPPED"
    assert "in the space" in stopped.hyperparameters.values["tuner/stopped"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 0}, "samples: expected an int of at least 1, got 0"),
        (
            {"samples_per_nat": 0},
            "samples_per_nat: expected a finite number above 0 or None, got 0",
        ),
        ({"temperature": 0.0}, "temperature: expected a finite number above 0, got 0.0"),
        ({"learning_rate": -1}, "learning_rate: expected a finite number above 0, got -1"),
        ({"penalty": -1}, "penalty: expected a finite number of at least 0, got -1"),
        ({"slack": math.nan}, "slack: expected a finite number of at least 0, got nan"),
        ({"max_values": 1}, "max_values: expected an int of at least 2, got 1"),
        ({"min_entropy": "low"}, "min_entropy: expected a finite number of at least 0, got 'low'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        ParsecOracle(**options)


def test_another_temperature_is_another_search(tmp_path):
    run(make(tmp_path, max_trials=5))
    with pytest.raises(ValueError, match="expected a search with algorithm="):
        make(tmp_path, max_trials=5, temperature=0.1).open()
