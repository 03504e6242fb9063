"""`EvolutionOracle`: whose children are tried, who survives, the same again from a seed."""

import random

import pytest

from keras_video.tuner import EvolutionOracle, MaxParams
from tests.tuner.search.test_oracle import finish, make, run
from tests.tuner.toy import ToySpace, ToyTuner, fitness, told


def search(folder, **options):
    tuner = ToyTuner(**{"max_trials": 60, "seed": 0, "directory": folder, **options})
    tuner.search(verbose=0)
    return tuner


def test_the_same_seed_gives_the_same_search(tmp_path):
    limits = {"constraints": [MaxParams(3000)]}
    first, again = (search(tmp_path / name, **limits).oracle for name in "ab")
    assert told(first) == told(again)
    assert told(first) != told(search(tmp_path / "c", seed=1, **limits).oracle)


def test_random_at_first_then_children_of_completed_trials(tmp_path):
    oracle = search(tmp_path).oracle
    for number, trial in enumerate(oracle.trials.values()):
        values = trial.hyperparameters.values
        assert ("tuner/parent" in values) == ("tuner/mutation" in values) == (number >= 10)
        assert values.get("tuner/parent", "") < trial.trial_id


def best_of(folder, seed, **options):
    """Return the best score of 120 trials."""
    oracle = make(folder, EvolutionOracle, max_trials=120, seed=seed, **options)
    run(oracle)
    return oracle.best.score


@pytest.fixture(scope="module")
def random_scores(tmp_path_factory):
    """The best scores of five random searches."""
    folder = tmp_path_factory.mktemp("random")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda file: None)  # as in conftest.py, for each test
        return [best_of(folder / str(seed), seed, population_size=120) for seed in range(5)]


@pytest.mark.parametrize("survivors", ["all", "aging", "best"])
def test_evolution_beats_random_search(tmp_path, random_scores, survivors):
    options = {"population_size": 20, "tournament_size": 5, "survivors": survivors}
    scores = [best_of(tmp_path / str(seed), seed, **options) for seed in range(5)]
    assert sum(a > b for a, b in zip(scores, random_scores, strict=True)) >= 4


def test_best_so_far_never_falls(tmp_path):
    bests = []

    class Watching(EvolutionOracle):
        def survive(self, trial):
            super().survive(trial)
            bests.append(self.best.score)

    run(make(tmp_path, Watching, max_trials=50, population_size=10, tournament_size=4))
    assert bests == sorted(bests) and len(set(bests)) > 3


def pool_after(folder, survivors, scores=(3, 1, 5, 2, 4, 0), direction="max"):
    import keras_tuner

    oracle = make(
        folder, EvolutionOracle, max_trials=6, population_size=3, survivors=survivors,
        objective=keras_tuner.Objective("fitness", direction),
    )  # fmt: skip
    for score in scores:
        finish(oracle, oracle.create_trial("a"), float(score))
    again = make(
        folder, EvolutionOracle, max_trials=6, population_size=3, survivors=survivors,
        objective=keras_tuner.Objective("fitness", direction),
    )  # fmt: skip
    again.open()
    assert [t.trial_id for t in again.pool] == [t.trial_id for t in oracle.pool]
    return [t.score for t in oracle.pool]


def test_survivors(tmp_path):
    assert pool_after(tmp_path / "all", "all") == [3, 1, 5, 2, 4, 0]
    assert pool_after(tmp_path / "aging", "aging") == [2, 4, 0]
    assert pool_after(tmp_path / "best", "best") == [5, 4, 3]
    assert pool_after(tmp_path / "min", "best", direction="min") == [0, 1, 2]


def test_who_is_old_is_known_after_a_restart(tmp_path):
    options = {"max_trials": 8, "population_size": 3, "survivors": "aging"}
    oracle = make(tmp_path, EvolutionOracle, **options)
    held = [oracle.create_trial(f"worker{i}") for i in range(6)]
    for trial in reversed(held):  # the last are first
        finish(oracle, trial)
    again = make(tmp_path, EvolutionOracle, **options)
    again.open()
    assert [t.trial_id for t in again.pool] == ["00002", "00001", "00000"]
    assert again.end_order == oracle.end_order


def test_the_parent_is_the_best_of_those_drawn(tmp_path):
    oracle = make(tmp_path, EvolutionOracle, max_trials=40, population_size=20, tournament_size=3)
    for score in range(20):
        finish(oracle, oracle.create_trial("a"), float(score))
    counts = dict.fromkeys(range(20), 0)
    for draw in range(2000):
        values = oracle.propose(20, random.Random(draw), 0)
        counts[int(values["tuner/parent"])] += 1
    # The best of 3 out of 20: the two worst never win, the best in 3 of 20 tournaments.
    assert counts[0] == counts[1] == 0
    assert 240 < counts[19] < 360
    assert sum(counts[i] for i in range(10, 20)) > 0.8 * 2000


def test_failed_trials_are_no_parents(tmp_path):
    oracle = make(
        tmp_path, EvolutionOracle, max_trials=40, population_size=5,
        max_consecutive_failed_trials=9,
    )  # fmt: skip
    for _ in range(5):
        trial = oracle.create_trial("a")
        trial.status, trial.message = "FAILED", "no luck"
        oracle.end_trial(trial)
    child = oracle.create_trial("a")  # nobody to descend from
    assert "tuner/parent" not in child.hyperparameters.values
    finish(oracle, child)
    second = oracle.create_trial("a")
    assert second.hyperparameters.values["tuner/parent"] == child.trial_id


def test_a_cornered_search_begins_elsewhere(tmp_path):
    """The only parent has no feasible child: a random network is tried in its stead."""

    class Corner(ToySpace):
        def invalid(self, values):
            near = values["rate"] == self.rate if hasattr(self, "rate") else False
            return "too near" if near else None

    space = Corner()
    oracle = make(
        tmp_path, EvolutionOracle, space=space, max_trials=2, population_size=1,
        max_rejections=100,
    )  # fmt: skip
    first = oracle.create_trial("a")
    finish(oracle, first)
    space.rate = first.hyperparameters.values["rate"]
    oracle.mutator.targets = lambda values: {"global": ["size"]}
    second = oracle.create_trial("a")
    assert second.status == "RUNNING"
    assert "tuner/parent" not in second.hyperparameters.values
    assert oracle.rejected["invalid"] > 50


def test_continuing_with_more_trials(tmp_path):
    short = search(tmp_path, max_trials=20)
    longer = search(tmp_path, max_trials=60)
    assert told(longer.oracle)[:20] == told(short.oracle)
    assert told(longer.oracle) == told(search(tmp_path / "whole").oracle)
    assert longer.oracle.best.score >= short.oracle.best.score


def test_no_network_is_built(tmp_path):
    tuner = search(tmp_path, constraints=[MaxParams(3000)])
    assert tuner.hypermodel.built == 0


def test_results(tmp_path, capsys):
    tuner = search(tmp_path)
    best = tuner.get_best_hyperparameters()[0]
    assert fitness(best.values) == tuner.oracle.best.score
    assert tuner.hypermodel.build(best)["size"] == best.get("size")
    tuner.results_summary(2)
    printed = capsys.readouterr().out
    assert f"Trial {tuner.oracle.best.trial_id} summary" in printed
    assert printed.count("Score:") == 2
    assert tuner.results_table()[0]["trial"] == tuner.oracle.best.trial_id
    tuner.search_space_summary()
    assert "Default search space size: 23" in capsys.readouterr().out


def test_overridden_hyperparameters(tmp_path):
    import keras_tuner

    hp = keras_tuner.HyperParameters()
    hp.Fixed("size", 64)
    oracle = search(tmp_path, hyperparameters=hp).oracle
    assert {t.hyperparameters.values["size"] for t in oracle.trials.values()} == {64}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population_size": 0}, "population_size: expected an int of at least 1, got 0"),
        ({"tournament_size": 0}, "tournament_size: expected an int of at least 1, got 0"),
        ({"survivors": "some"}, "survivors: expected one of .* got 'some'"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        EvolutionOracle(**options)
