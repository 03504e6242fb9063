"""A small progressive search of a two-stream network: stages, targets, kills, the plot."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

pytest.importorskip("keras_tuner")

from keras_video.applications.auto_tsnet import CONFIGS  # noqa: E402
from keras_video.tuner import Parsec, TwoStreamSpace  # noqa: E402
from keras_video.tuner.one_shot.oracle import search_history, stage_table  # noqa: E402
from keras_video.tuner.one_shot.runner import compile_searcher  # noqa: E402

ROOT = Path(__file__).parents[3]
TARGETS = (8e3, 22e3, 40e3)


def make_space():
    return TwoStreamSpace(
        3, size=8, frames=4, stride=2, frame_stride=1, repeats=(1,), stages=(1,),
        sparse_filters=([4, 8],), dense_filters=([4],), expansions=[1.5], temporal_kernels=3,
        spatial_kernels=[3, 5], fusions=("none", "time_strided_conv"), fusion_slots=(1,),
        attention_slots=(1,), sparse_stem=4, dense_stem=4, hidden=8, dropout=0.0,
    )  # fmt: skip


def without_a_graph(searcher):
    """Compile for eager steps on TensorFlow, where tracing takes most of the time of a test."""
    eager = keras.backend.backend() == "tensorflow"
    searcher.compile(keras.optimizers.Adam(1e-3), run_eagerly=eager)


def make_tuner(folder, stages=3, compile_search=without_a_graph):
    return Parsec(
        make_space(), stages=make_space().stages(TARGETS, (2, 2, 1))[:stages], samples=1, delay=0.0,
        steps_per_trial=2, num_candidates=1, seed=3, directory=str(folder), project_name="search",
        compile_search=compile_search,
    )  # fmt: skip


def clips(count, seed):
    """Return clips of three classes, which differ in brightness."""
    labels = np.arange(count) % 3
    noise = np.random.default_rng(seed).integers(0, 60, (count, 4, 8, 8, 3))
    return (noise + 90 * labels[:, None, None, None, None]).astype("uint8"), labels


def search(folder, stages=3, **options):
    tuner = make_tuner(folder, stages, **options)
    tuner.search(*clips(24, 0), clips(12, 1), batch_size=6, verbose=0)
    return tuner


def outcome(folder):
    """Return all results of a search as plain numbers."""
    return search_history(os.path.join(folder, "search"))


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    def compile_search(searcher):
        """Compile the second stage, where fusions are searched, as searches do by default."""
        if "fusion/group1" in searcher.policy.fixed:
            without_a_graph(searcher)
        else:
            compile_searcher(searcher)

    return search(tmp_path_factory.mktemp("two_stream"), compile_search=compile_search)


def test_stages_of_the_paper():
    space = TwoStreamSpace(400)
    sparse, dense, attention = space.stages()
    assert [s.target for s in (sparse, dense, attention)] == [1.4e9, 2.0e9, 2.5e9]
    assert [s.epochs for s in (sparse, dense, attention)] == [800, 400, 200]
    searched = [[c.name for c in space.choices if s.searches(c)]
                for s in (sparse, dense, attention)]  # fmt: skip
    assert [len(names) for names in searched] == [44, 54, 12]
    assert sorted(sum(searched, ["dense_stream"])) == sorted(c.name for c in space.choices)
    certain = sparse.values(space.choices, {})
    # Parts that are not searched yet do not exist.
    config = space.to_config({c.name: certain.get(c.name, c.values[0]) for c in space.choices})
    assert not config.dense and set(config.fusion) == {"none"} and not config.attention_sparse
    (everything,) = space.one_step()
    assert everything.values(space.choices, {}) == {"dense_stream": True}
    assert (everything.target, everything.epochs) == (2.5e9, 1400)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"targets": (1, 2)}, "targets: expected three numbers"),
        ({"targets": (2, 1, 3)}, "targets: expected numbers in ascending order"),
        ({"epochs": 3}, "epochs: expected three"),
        ({"epochs": (1, 0, 1)}, "epochs: expected an int of at least 1"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        make_space().stages(**options)


def test_a_target_that_no_network_meets(tmp_path):
    with pytest.raises(ValueError, match="target: expected a cost .macs. that networks"):
        Parsec(make_space(), stages=make_space().stages((1, 2, 3), (1, 1, 1)), directory=tmp_path)


def test_every_stage_keeps_its_budget_and_the_design_before(searched):
    tuner = searched
    space, table = make_space(), stage_table(tuner)
    assert [row["stage"] for row in table] == ["sparse", "dense", "attention"]
    assert [row["target"] for row in table] == list(TARGETS)
    for row in table:
        assert row["cost"] == space.cost(row["values"], "macs") <= row["target"]
    configs = [space.to_config(row["values"]) for row in table]
    assert not configs[0].dense and configs[1].dense == configs[2].dense != ()
    assert configs[0].sparse == configs[1].sparse == configs[2].sparse
    assert configs[1].fusion == configs[2].fusion
    assert not any(c.attention_sparse or c.attention_dense for c in configs[:2])
    best = tuner.get_best_hyperparameters()[0].values
    assert space.cost(best, "macs") <= TARGETS[-1]
    assert tuner.get_best_models()[0].output_shape == (None, 3)


@pytest.mark.slow
def test_kill_and_resume(tmp_path):
    """A search that is killed in the second stage and resumed has exactly the same results."""
    whole, tmp_path = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    tmp_path.mkdir()
    search(whole, 2)
    expected = outcome(whole)
    assert len(expected) == 4
    module = "tests.tuner.one_shot.test_progressive"
    code = f"import sys; from {module} import search; search(sys.argv[1], 2)"
    env = {**os.environ, "PYTHONPATH": str(ROOT)}

    def start():
        return subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, env=env,
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)  # fmt: skip

    process, deadline = start(), time.monotonic() + 400
    try:
        while done(tmp_path) < 3 and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        assert 3 <= done(tmp_path) < 5
        process.send_signal(signal.SIGKILL)
        assert process.wait(timeout=60) == -signal.SIGKILL
        before = outcome(tmp_path)
        process = start()
        assert process.wait(timeout=400) == 0
    finally:
        process.kill()
    after = outcome(tmp_path)
    assert after[: len(before)] == before
    assert after == expected


def done(folder):
    """Return the number of completed chunks in the files of the trials."""
    paths = Path(folder).glob("search/trial_*/trial.json")
    contents = [json.loads(path.read_text()) for path in paths]
    return sum(c["status"] == "COMPLETED" for c in contents)


def test_picture(tmp_path):
    pytest.importorskip("matplotlib")
    from keras_video.plotting.architectures import plot_two_streams

    both = plot_two_streams(CONFIGS["auto_tsnet_s"], tmp_path / "both.svg", title="A network")
    text = Path(both).read_text()
    assert "A network" in text and "stage 4" in text and "2.46 G" in text
    alone = CONFIGS["auto_tsnet_s"].sparse_alone()
    svg = Path(plot_two_streams(alone, tmp_path / "alone.svg")).read_text()
    assert "4 frames" in svg and "32 frames" not in svg and "attention" not in svg
    assert sorted(p.name for p in tmp_path.iterdir()) == ["alone.svg", "both.svg"]
