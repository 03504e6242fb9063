"""Searches that go wrong: clear errors, and nothing lost."""

import json
import math
import os
import re
import subprocess
import sys
import warnings

import keras_tuner
import pytest

from keras_video.checks import install_hint
from keras_video.tuner import MaxParams
from keras_video.tuner.search.trials import project_lock
from tests.tuner.nursery import wait_until
from tests.tuner.search.test_oracle import Measured
from tests.tuner.toy import ToySpace, ToyTuner, fail, fitness, told


def make(folder, **options):
    return ToyTuner(**{"max_trials": 6, "seed": 0, "directory": folder, **options})


def trial_file(folder, number):
    path = folder / "untitled_project" / f"trial_{number:05d}" / "trial.json"
    return json.loads(path.read_text())


def test_fitness_that_is_nan(tmp_path, capsys):
    def sometimes(values):
        return math.nan if values["num_blocks"] == 2 else fitness(values)

    tuner = make(tmp_path, max_trials=30, answer=sometimes, max_consecutive_failed_trials=9)
    tuner.search()
    statuses = {t.status for t in tuner.oracle.trials.values()}
    assert statuses == {"COMPLETED", "FAILED"}
    assert all(
        t.hyperparameters.values["num_blocks"] != 2 for t in tuner.oracle.get_best_trials(40)
    )
    assert "failed: fitness: expected finite numbers, got [nan]." in capsys.readouterr().out
    assert told(make(tmp_path, max_trials=30, answer=sometimes).oracle) == told(tuner.oracle)


def test_failures_in_a_row_end_the_search_with_the_whole_reason(tmp_path):
    tuner = make(tmp_path, answer=fail)
    with pytest.raises(RuntimeError, match="3 trials in a row failed; the last, 00002") as error:
        tuner.search(verbose=0)
    assert "ValueError: no such kernel" in str(error.value) and "in fail" in str(error.value)
    assert "in fail" in trial_file(tmp_path, 0)["message"]
    assert tuner.get_best_hyperparameters() == []
    # With a corrected script the search is resumed.
    mended = make(tmp_path)
    mended.search(verbose=0)
    assert [t.status for t in mended.oracle.trials.values()] == ["FAILED"] * 3 + ["COMPLETED"] * 3


def test_a_build_that_raises_before_it_is_measured(tmp_path):
    class Broken(ToySpace):
        def build(self, hp):
            raise ZeroDivisionError("in build")

    tuner = make(tmp_path, space=Broken(), constraints=[Measured(1000)])
    with pytest.raises(RuntimeError, match="ZeroDivisionError: in build"):
        tuner.search(verbose=0)


def test_errors_that_end_the_search_at_once(tmp_path):
    tuner = make(tmp_path, answer=lambda values: {"accuracy": 1.0})
    with pytest.raises(keras_tuner.errors.FatalError, match="fitness: expected it among"):
        tuner.search(verbose=0)
    tuner = make(tmp_path, answer=lambda values: {"fitness": None})
    with pytest.raises(RuntimeError, match="in a row failed"):
        tuner.search(verbose=0)


def test_a_user_who_interrupts_loses_nothing(tmp_path):
    def interrupt(values):
        if calls.append(1) or len(calls) == 3:
            raise KeyboardInterrupt
        return fitness(values)

    calls = []
    with pytest.raises(KeyboardInterrupt):
        make(tmp_path, answer=interrupt).search(verbose=0)
    tuner = make(tmp_path)
    tuner.search(verbose=0)
    whole = make(tmp_path / "whole")
    whole.search(verbose=0)
    assert told(tuner.oracle) == told(whole.oracle)


@pytest.mark.parametrize("limit", [MaxParams(5), Measured(20)], ids=["cheap", "measured"])
def test_a_limit_that_nothing_meets(tmp_path, limit):
    options = {"max_rejections": 500, "max_measured_rejections": 12}
    tuner = make(tmp_path, constraints=[limit], oracle_options=options)
    with pytest.raises(ValueError, match=r"No network found that may be tried") as error:
        tuner.search(verbose=0)
    found = re.search(r"(\w+) \(rejected \d+; limit (\d+), closest found (\d+)\)", str(error.value))
    assert found.groups() == (limit.name, f"{limit.limit:g}", "10" if limit.cheap else "64")


def test_measured_networks_are_built_once_and_never_fail(tmp_path, capfd):
    limit = Measured(96)
    tuner = make(tmp_path, max_trials=6, constraints=[limit])
    tuner.search()
    oracle = tuner.oracle
    assert all(t.metrics.get_best_value("latency_ms") <= 96 for t in oracle.trials.values())
    assert {t.status for t in oracle.trials.values()} == {"COMPLETED"}
    assert tuner.hypermodel.built == 6 + oracle.rejected["latency_ms"]
    printed = capfd.readouterr()
    assert "Traceback" not in printed.err
    assert f"rejected latency_ms {oracle.rejected['latency_ms']}" in printed.out


def test_networks_that_cannot_be_measured(tmp_path, monkeypatch):
    from keras_video.tuner.search import tuner as measuring
    from keras_video.tuner.search.constraints import MeasurementError

    class Unsure(Measured):
        busy = 2

        def measure(self, model):
            if model["size"] == 32:
                raise MeasurementError("it does not run")
            if self.busy:
                self.busy -= 1
                raise MeasurementError("too busy", transient=True)
            return super().measure(model)

    monkeypatch.setattr(measuring, "PAUSES", (0.01, 0.01))
    tuner = make(tmp_path, max_trials=8, constraints=[Unsure(200)])
    tuner.search(verbose=0)
    sizes = {t.hyperparameters.values["size"] for t in tuner.oracle.trials.values()}
    assert 32 not in sizes and max(sizes) <= 200
    Unsure.busy = 99
    tuner = make(tmp_path / "busy", constraints=[Unsure(200)])
    with pytest.raises(RuntimeError, match="MeasurementError: too busy"):
        tuner.search(verbose=0)


def test_the_folder_of_another_search(tmp_path):
    tuner = make(tmp_path)
    tuner.search(verbose=0)
    for options in ({"space": ToySpace(3)}, {"constraints": [MaxParams(9)]}, {"seed": 7}):
        with pytest.raises(ValueError, match="project: expected a search"):
            make(tmp_path, **options)
    assert told(make(tmp_path).oracle) == told(tuner.oracle)
    anew = make(tmp_path, space=ToySpace(3), overwrite=True)
    assert not anew.oracle.trials
    anew.search(verbose=0)
    assert len(anew.oracle.trials) == 6


def test_two_searches_in_one_folder(tmp_path, nursery):
    journal = tmp_path / "journal"
    other = nursery.start(
        tmp_path / "log", directory=str(tmp_path), seconds=60, journal=str(journal), max_trials=6,
        seed=0,
    )  # fmt: skip
    wait_until(journal.exists, explain=lambda: other.output)
    tuner = make(tmp_path)
    with pytest.raises(RuntimeError, match="no other process searches in"):
        tuner.search(verbose=0)
    with pytest.raises(RuntimeError, match="no other process searches in"):
        make(tmp_path, overwrite=True)
    other.kill()
    tuner = make(tmp_path)
    tuner.search(verbose=0)
    assert len(tuner.oracle.end_order) == 6


def test_the_lock_is_lifted_after_an_error(tmp_path):
    with pytest.raises(ZeroDivisionError), project_lock(tmp_path):
        raise ZeroDivisionError
    with project_lock(tmp_path):
        pass


def test_a_tuner_of_its_own_name_resumes(tmp_path):
    first = make(tmp_path, tuner_id="mine")
    first.search(verbose=0)
    again = make(tmp_path, tuner_id="mine", journal=tmp_path / "journal")
    again.search(verbose=0)
    assert not (tmp_path / "journal").exists()
    assert told(again.oracle) == told(first.oracle)


def test_nothing_warns(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        make(tmp_path).search(verbose=0)


def test_remote_folders_are_refused():
    with pytest.raises(ValueError, match="directory: expected a folder of this machine"):
        make("gs://bucket/search")


def test_what_is_seen_of_a_search(tmp_path, capsys):
    make(tmp_path, max_trials=12, constraints=[MaxParams(2000)]).search()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 12 and "\x1b" not in "".join(lines)
    pattern = (
        r"trial 00011  fitness \d\.\d{4}  12/12 done  best \d\.\d{4} \(trial 000\d\d\)  "
        r"rejected params \d+.*  [\d,]+ trials/h  0:00:00 left"
    )
    assert re.fullmatch(pattern, lines[-1])
    make(tmp_path / "silent").search(verbose=0)
    assert capsys.readouterr().out == ""


def test_a_terminal_has_a_line_of_status(tmp_path, capsys):
    class Terminal:
        def __init__(self):
            self.text = ""

        def write(self, text):
            self.text += text

        def flush(self):
            pass

        def isatty(self):
            return True

    tuner = make(tmp_path, max_trials=12)
    terminal = tuner.oracle.progress._stream = Terminal()
    tuner.search()
    assert "\r\x1b[Krunning trial 00011: 000" in terminal.text
    assert "running trial 00000: a random network" in terminal.text
    assert terminal.text.count("\n") == 12


def test_without_kerastuner(tmp_path):
    code = (
        "import sys; sys.modules['keras_tuner'] = None\n"
        "import keras_video.tuner\n"
        "dir(keras_video.tuner)\n"
        "try: keras_video.tuner.Evolution\n"
        "except ImportError as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert result.stdout == (
        "keras_video.tuner.Evolution needs KerasTuner, and 'keras_tuner' is missing. "
        f"{install_hint('tuner')}\n"
    ), result.stderr
