"""The command `search` on tiny files: one process, several, interrupted, in vain."""

import csv
import json
import os

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("keras_tuner")

from keras_video.cli import commands, searches  # noqa: E402
from keras_video.tuner.search import workers as local_team  # noqa: E402
from tests.cli.helpers import fails, run  # noqa: E402
from tests.cli.test_training import CLASSES, folder  # noqa: E402, F401

TINY = (
    "--trials=2", "--epochs=1", "--final-epochs=1", "--frames=4", "--size=32", "--frame_rate=6",
    "--clips=1", "--validation-split=0.34", "--max-latency-ms=1000", "--max_params=6000",
)  # fmt: skip


class Meter:
    """A meter that returns the same latency for every network."""

    device, threads, runtime = "cpu", 1, "litert"

    def __init__(self, ms=2.5):
        self.ms, self.measured = ms, 0

    def measure(self, model):
        self.measured += 1
        return type("Measurement", (), {"ms": self.ms})


@pytest.fixture
def meter(monkeypatch):
    """Search networks of one block, and do not measure them."""
    from keras_video.tuner import TVNSpace
    from keras_video.tuner.search import constraints

    def space(settings):
        return TVNSpace(
            settings["classes"], image_size=(16, 32, 16), frames=[1, 2], frame_stride=(1, 2),
            blocks=1, repeats=1, filters=[4, 8], expand=1, non_local=0, squeeze=0.0,
            spatial_kernel=[1, 3], spatial_stride=2, temporal_kernel=[1, 2], temporal_stride=1,
        )  # fmt: skip

    meter = Meter()
    monkeypatch.setattr(searches, "tvn_space", space)
    monkeypatch.setattr(constraints, "LatencyMeter", lambda *args, **kwargs: meter)
    return meter


def test_search_saves_a_network_and_continues(capsys, folder, tmp_path, meter):  # noqa: F811
    import keras

    output = tmp_path / "found"
    words = ("search", folder, *TINY, f"--output={output}")
    code, out, err = run(capsys, *words)
    assert code == 0, err
    expected = {"model.keras", "labels.txt", "results.csv", "settings.json", "search"}
    assert expected <= set(os.listdir(output)) and meter.measured == 2
    assert "2.50 ms" in out and f"--weights={output}/model.keras" in out
    assert (output / "labels.txt").read_text().splitlines() == list(CLASSES)
    rows = list(csv.DictReader(open(output / "results.csv")))
    assert len(rows) == 2 and float(rows[0]["fitness"]) >= float(rows[-1]["fitness"])
    model = keras.models.load_model(output / "model.keras")
    frames, size = int(rows[0]["frames"]), int(rows[0]["image_size"])
    assert model.input_shape == (None, frames, size, size, 3)
    stride = int(rows[0].get("frame_stride") or 1)
    assert model.info["frame_rate"] == 6 / stride and model.info["labels"] == list(CLASSES)
    if pytest.importorskip("matplotlib"):
        assert {"pareto.png", "family.png", "network.png"} <= set(os.listdir(output))

    clips = searches.read_clips(output)
    assert clips["train"][0].shape == (12, 4, 32, 32, 3) and len(clips["validation"][1]) == 6
    assert clips["train"][0].dtype == np.uint8 and set(clips["train"][1]) == {0, 1, 2}

    # The same command again: nothing is measured or searched a second time.
    code, out, _ = run(capsys, *words)
    assert code == 0 and meter.measured == 2 and "Found 18 files" not in out
    line = fails(capsys, *words, "--epochs=2")
    assert "another epochs, 1" in line

    # The command that `search` suggests measures the network.
    code, out, err = run(capsys, "evaluate", folder, f"--weights={output}/model.keras")
    assert code == 0 and "18 videos" in out, err


def test_a_search_in_vain_is_one_line(capsys, folder, tmp_path, monkeypatch):  # noqa: F811
    def search(place, verbose):
        raise ValueError("No network found that may be tried: latency_ms")

    monkeypatch.setattr(searches, "search_tvn", search)
    line = fails(capsys, "search", folder, *TINY, f"--output={tmp_path}")
    assert "latency_ms" in line


def test_several_workers(capsys, folder, tmp_path, monkeypatch):  # noqa: F811
    """The command of the team. What follows is the same as with one worker."""
    seen = {}

    def run_team(command, workers, place):
        seen.update(command=command, workers=workers, place=place)
        raise RuntimeError("that is enough")

    monkeypatch.setattr(local_team, "run_team", run_team)
    words = ("search", folder, *TINY, "--workers", "3", f"--output={tmp_path}")
    assert "that is enough" in fails(capsys, *words)
    assert seen["workers"] == 3 and seen["place"] == str(tmp_path)
    assert seen["command"][1:] == ["-m", "keras_video.cli.searches", str(tmp_path)]


def test_wrong_words(capsys, folder, tmp_path):  # noqa: F811
    assert "one FOLDER" in fails(capsys, "search")
    output = f"--output={tmp_path}"
    assert "max_latency_ms" in fails(capsys, "search", folder, output, "--max-latency-ms=0")
    assert "no-folder" in fails(capsys, "search", tmp_path / "no-folder", output)
    assert "validation_split" in fails(capsys, "search", folder, output, "--validation-split=2")
    assert "--space: expected one of" in fails(capsys, "search", folder, output, "--space=x3d")
    movinet = ("search", folder, output, "--space=movinet")
    assert "--macs_per_frame: expected a number" in fails(capsys, *movinet)
    for_tvn = ("search", folder, output, "--macs-per-frame=1e6")
    assert "--macs_per_frame: expected a number" in fails(capsys, *for_tvn)
    workers = (*movinet, "--macs-per-frame=1e6", "--workers=2")
    assert "--workers: expected 1" in fails(capsys, *workers)
    assert not (tmp_path / "settings.json").exists()


def test_dashes_and_underscores_are_the_same():
    from keras_video.cli.command_line import _underscored

    assert _underscored("--max-latency-ms=1e-3") == "--max_latency_ms=1e-3"
    assert [_underscored(w) for w in ("--", "-1", "a-b", "--quiet")] == [
        "--",
        "-1",
        "a-b",
        "--quiet",
    ]


# The team


def team(tmp_path, chief, worker, workers=2, **options):
    """Run a team whose chief and workers are lines of Python."""
    import sys

    lines = ["import os, sys, time", "name = os.environ['KERASTUNER_TUNER_ID']"]
    lines += ["if name == 'chief':", f"    {chief}", "else:", f"    {worker}"]
    code = "\n".join(lines)
    local_team.run_team([sys.executable, "-c", code], workers, str(tmp_path), **options)


def waiting(path):
    """Return a line of Python that waits until a file has contents."""
    there = f"os.path.exists({path!r}) and open({path!r}).read()"
    return f"[time.sleep(0.05) for _ in range(400) if not ({there})]"


def test_team_shares_address_and_cores(tmp_path):
    names = "'KERASTUNER_ORACLE_IP', 'KERASTUNER_ORACLE_PORT', 'OMP_NUM_THREADS'"
    say = f"print(name, *[os.environ.get(n) for n in ({names})])"
    place = f"{tmp_path}/said"
    team(tmp_path, f"{say}; open({place!r}, 'w').write('ended')", say, threads=3)
    said = [(tmp_path / f"worker_{i}.log").read_text().split() for i in range(2)]
    assert [line[0] for line in said] == ["worker_0", "worker_1"]
    assert said[0][1:] == said[1][1:] and said[0][1] == "127.0.0.1" and said[0][3] == "3"
    assert int(said[0][2]) > 0 and (tmp_path / "said").read_text() == "ended"


def test_a_worker_that_dies_is_started_again(tmp_path):
    flag = f"{tmp_path}/died"
    worker = f"os.path.exists({flag!r}) or (open({flag!r}, 'w').close(), os.kill(os.getpid(), 9))"
    again = f"{tmp_path}/again"
    team(tmp_path, waiting(again), f"{worker}; open({again!r}, 'w').write('x')", workers=1)
    assert (tmp_path / "again").exists()


def test_a_team_without_workers_ends(tmp_path):
    with pytest.raises(RuntimeError, match="All workers failed.*ends: .*ZeroDivisionError"):
        team(tmp_path, "time.sleep(60)", "1 / 0")


def test_a_chief_that_fails_is_named(tmp_path):
    with pytest.raises(RuntimeError, match="chief ended with exit code 3.*ends: busy"):
        team(tmp_path, "time.sleep(0.5); sys.exit(3)", "print('busy', flush=True); time.sleep(60)")


def test_workers_do_not_outlive_their_chief(tmp_path):
    pid = f"{tmp_path}/pid"
    worker = f"open({pid!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    team(tmp_path, waiting(pid), worker, workers=1, grace=0.1)
    number = int(open(pid).read())
    if os.path.isdir("/proc"):
        assert not os.path.exists(f"/proc/{number}")


@pytest.mark.slow
def test_array_search_as_a_program(folder, tmp_path, capsys, monkeypatch):  # noqa: F811
    """Run a real chief and worker, which train one network."""
    import sys

    from keras_video.cli.search import SEARCH

    settings = {option.name: option.default for option in SEARCH.options}
    settings |= {"trials": 1, "epochs": 1, "frames": 2, "size": 32, "clips": 1}
    settings |= {"validation_split": 0.34, "max_params": 6e3, "max_latency_ms": 1e4}
    searches.prepare(str(folder), str(tmp_path), settings, {})
    command = [sys.executable, "-m", "keras_video.cli.searches", str(tmp_path)]
    local_team.run_team(command, 1, str(tmp_path))
    from keras_video.tuner.search.results import results_table

    table = results_table(tmp_path / "search")
    assert [row["status"] for row in table] == ["COMPLETED"]
    assert all(row["latency_ms"] > 0 and row["params"] <= 6e3 for row in table)
    assert json.loads((tmp_path / "settings.json").read_text())["class_names"] == list(CLASSES)
    assert commands.COMMANDS["search"] is SEARCH
