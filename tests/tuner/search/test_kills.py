"""A search that is killed again and again makes the same trials."""

import json
import os
import random
import time

from keras_video.tuner.search import trials
from tests.tuner.nursery import wait_until
from tests.tuner.search.test_oracle import Measured
from tests.tuner.toy import ToyTuner


def trials_of(folder):
    """Return what must be the same: all but times and counts of kills."""
    found = []
    for path in trials.trial_paths(folder / "search").values():
        with open(path) as file:
            trial = json.load(file)
        record = trial["record"]
        values = {k: v for k, v in trial["values"].items()}
        kept = {name: record[name] for name in ("draws", "rejected", "measured", "order")}
        found.append({**trial, "values": values, "record": kept})
    return found


def options(folder, **more):
    return {
        "directory": str(folder), "project_name": "search", "seed": 0, "max_trials": 60,
        "limits": 3000, "seconds": 0.01, **more,
    }  # fmt: skip


def test_eight_kills_change_nothing(nursery, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    assert nursery.start(tmp_path / "whole.log", **options(whole)).wait() == 0
    expected = trials_of(whole)
    assert len(expected) == 60
    assert any("params" in trial["record"]["rejected"] for trial in expected)
    rng = random.Random(1)
    for kill in range(8):
        child = nursery.start(tmp_path / "broken.log", **options(broken))
        # At any moment, also before the first trial and while files are written.
        wait_until(lambda: (broken / "search" / "search.lock").exists())
        time.sleep(rng.uniform(0, 0.12))
        child.kill()
        assert child.status == -9, f"Too slow to be killed for the {kill}th time."
    assert nursery.start(tmp_path / "broken.log", **options(broken)).wait() == 0
    assert trials_of(broken) == expected


def test_kills_between_any_two_writes_change_nothing(tmp_path, monkeypatch):
    """End the process right before and right after each renaming of a file."""

    class Killed(BaseException):
        """Nothing is cleaned up after it."""

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
            tuner = ToyTuner(
                max_trials=6, population_size=3, seed=1, directory=folder, project_name="search",
                constraints=[Measured(96, knows=True)],
            )  # fmt: skip
            tuner.search(verbose=0)
        return writes

    writes = search(tmp_path / "whole")
    expected = trials_of(tmp_path / "whole")
    rejected = sum(len(trial["record"]["measured"]) for trial in expected)
    # One for the search, and two for each network that was handed out.
    assert writes == 1 + 2 * (6 + rejected) and rejected > 2
    for last in range(1, writes + 1):
        for before in (True, False):
            folder = tmp_path / f"{last}{before}"
            try:
                search(folder, last, before)
            except Killed:
                pass
            else:
                raise AssertionError("It was not killed.")
            search(folder)
            assert trials_of(folder) == expected
