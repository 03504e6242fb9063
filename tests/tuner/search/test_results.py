"""What a search leaves: its table, the Pareto front, the family of the winner, pictures."""

import csv
import io
import json

import numpy as np
import pytest

pytest.importorskip("keras_tuner")

from keras_video.applications.tiny_video_net.config import CONFIGS  # noqa: E402
from keras_video.tuner import MaxParams  # noqa: E402
from keras_video.tuner.search.results import ResultsTable, family_tree, pareto_front, results_table
from tests.tuner.toy import ToyTuner, fitness  # noqa: E402


def evaluate(values):
    if values["size"] == 64:
        raise ValueError("no such size")
    return {"fitness": fitness(values), "latency_ms": 0.01 * values["size"]}


@pytest.fixture(scope="module")
def search(tmp_path_factory):
    """A finished search of 40 networks, some of which fail."""
    tuner = ToyTuner(
        answer=evaluate, constraints=[MaxParams(3000)], max_trials=40, seed=2,
        max_consecutive_failed_trials=40, directory=tmp_path_factory.mktemp("search"),
        project_name="toy",
    )  # fmt: skip
    tuner.search(verbose=0)
    return tuner


def test_the_table_is_that_of_the_oracle(search):
    table = results_table(search)
    assert (table.objective, table.direction, table.limits) == ("fitness", "max", {"params": 3000})
    assert len(table) == 40
    done = [row for row in table if row["status"] == "COMPLETED"]
    assert 20 < len(done) < 40 and table[: len(done)] == done  # the failed ones come last
    assert [row["fitness"] for row in done] == sorted((r["fitness"] for r in done), reverse=True)
    best = search.oracle.get_best_trials(1)[0]
    assert table[0]["trial"] == best.trial_id and table[0]["fitness"] == best.score
    for row in done:
        assert row["fitness"] == pytest.approx(fitness(row["values"]))
        assert row["latency_ms"] == pytest.approx(0.01 * row["values"]["size"])
        assert (
            row["params"] <= 3000
            and row["params"] == search.hypermodel.costs(row["values"])["params"]
        )
        assert not any(name.startswith("tuner/") for name in row["values"])
    assert table.counts == search.oracle.rejected and table.counts["params"] > 0
    assert results_table(str(search.project_dir)) == table


def test_the_table_as_text(search):
    table = results_table(search)
    text = str(table).splitlines()
    assert text[0].split()[:2] == ["trial", "fitness"] and len(text) == 1 + 20 + 3
    assert text[1].split()[0] == table[0]["trial"]
    assert f"{table[0]['fitness']:.4f}" in text[1]
    assert text[-3] == "... and 20 more" and "params <= 3,000" in text[-2]
    assert f"params {table.counts['params']}" in text[-1]
    assert "failed" in str(ResultsTable([row for row in table if row["status"] != "COMPLETED"]))
    rows = list(csv.DictReader(io.StringIO(table.to_csv())))
    assert [row["trial"] for row in rows] == [row["trial"] for row in table]
    assert float(rows[0]["rate"]) == table[0]["values"]["rate"]


def test_measured_rejections_are_listed(search, tmp_path):
    folder = tmp_path / "copy"
    (folder / "trial_00").mkdir(parents=True)
    (folder / "oracle.json").write_text(
        json.dumps({"objective": 'Objective(name="loss", direction="min")', "constraints": []})
    )
    measured = {"name": "latency_ms", "number": 7.5, "values": {"size": 64}, "order": 0}
    record = {"rejected": {"macs": 3}, "measured": [measured]}
    trial = {"status": "COMPLETED", "score": 2.0, "values": {"size": 32}, "metrics": {}}
    trial["record"] = record
    (folder / "trial_00" / "trial.json").write_text(json.dumps(trial))
    (folder / "trial_01").mkdir()
    (folder / "trial_01" / "trial.json").write_text(json.dumps({**trial, "score": 1.0}))
    table = results_table(folder)
    assert (table.objective, table.direction) == ("loss", "min")
    assert [row["trial"] for row in table] == ["01", "00"]
    assert table.counts == {"macs": 6, "latency_ms": 2}
    assert table.rejected[0] == {
        "trial": "00", "constraint": "latency_ms", "latency_ms": 7.5, "values": {"size": 64}
    }  # fmt: skip
    with pytest.raises(ValueError, match="expected a tuner or a folder with an oracle.json"):
        results_table(tmp_path)


@pytest.mark.parametrize("direction", ["max", "min"])
def test_pareto_front(direction):
    rng = np.random.default_rng(0)
    sign = 1 if direction == "max" else -1
    points = rng.integers(0, 12, (60, 2)).tolist()
    rows = [{"ms": x, "score": sign * (x + y)} for x, y in points]
    rows += [{"ms": None, "score": 99}, {"score": 99}]
    front = pareto_front(rows, "ms", "score", direction)

    def beaten(row):
        return any(
            other["ms"] <= row["ms"]
            and sign * other["score"] >= sign * row["score"]
            and (other["ms"] < row["ms"] or other["score"] != row["score"])
            for other in rows[:60]
        )

    expected = {(row["ms"], row["score"]) for row in rows[:60] if not beaten(row)}
    assert [(row["ms"], row["score"]) for row in front] == sorted(expected)
    assert len(expected) > 2


def test_family_tree(search):
    table = results_table(search)
    rows = {row["trial"]: row for row in table}
    steps = family_tree(table)
    assert steps[-1].trial == table[0]["trial"] and steps[-1].fitness == table[0]["fitness"]
    assert steps[0].mutation is None and len(steps) > 2
    assert sum(step.gain for step in steps) == pytest.approx(steps[-1].fitness - steps[0].fitness)
    for before, after in zip(steps, steps[1:], strict=False):
        assert rows[after.trial]["parent"] == before.trial and after.mutation
        assert after.costs["params"] == rows[after.trial]["params"]
    assert len(family_tree(table, steps[0].trial)) == 1
    with pytest.raises(ValueError, match="trial: expected the id of a completed trial, got 'x'"):
        family_tree(table, "x")
    with pytest.raises(ValueError, match="got None"):
        family_tree(ResultsTable())


def picture(path):
    """The picture as an array, and how much of it is not white."""
    from matplotlib.image import imread

    pixels = imread(path)[..., :3]
    return pixels, float((pixels < 0.98).any(-1).mean())


def test_pictures_of_a_search(search, tmp_path):
    pytest.importorskip("matplotlib")
    from keras_video.plotting.search import plot_family, plot_pareto

    table = results_table(search)
    path = plot_pareto(table, pareto_front(table), tmp_path / "a.png", limit=2.0, rejected=[2.1, 3])
    plain = plot_pareto(table, pareto_front(table), tmp_path / "b.png")
    pixels, ink = picture(path)
    assert 0.01 < ink < 0.5 and pixels.shape[1] > 600
    assert pixels.shape == picture(plain)[0].shape and not np.array_equal(pixels, picture(plain)[0])
    assert 0.01 < picture(plot_family(family_tree(table), tmp_path / "c.png"))[1] < 0.5
    with pytest.raises(ValueError, match="rows: expected at least one with 'energy'"):
        plot_pareto(table, [], tmp_path / "d.png", cost="energy")
    assert not (tmp_path / "d.png").exists()


@pytest.mark.parametrize("name", ["tiny_video_net_2", "tiny_video_net_mobile_1"])
def test_picture_of_a_network(name, tmp_path):
    pytest.importorskip("matplotlib")
    from keras_video.plotting.architectures import plot_architecture

    config = CONFIGS[name]
    pixels, ink = picture(plot_architecture(config, tmp_path / "a.png", classes=10))
    assert 0.05 < ink < 0.9
    fewer = config.with_options(blocks=config.blocks[:1], head="per_frame")
    assert picture(plot_architecture(fewer, tmp_path / "b.svg.png"))[0].shape[0] < pixels.shape[0]
