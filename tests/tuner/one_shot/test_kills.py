"""A search that is killed and restarted ends with the same policy and weights, bit by bit."""

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

from keras_video.tuner.search import trials as files

ROOT = Path(__file__).parents[3]
LONG = 240.0  # seconds; a limit that is never reached
CHUNKS, STEPS = 5, 12


def search(folder):
    """Run the search."""
    from keras_video.tuner import Parsec, Stage
    from tests.tuner.one_shot import toy

    stages = [
        Stage("first", ("site0/*",), epochs=2, target=2.0),
        Stage("rest", ("site1/*",), epochs=CHUNKS - 2, target=3.0),
    ]
    tuner = Parsec(
        toy.ToySpace(("site0", "site1")),
        stages=stages, samples=2, steps_per_trial=STEPS, num_candidates=2, seed=3,
        directory=str(folder), project_name="search",
        compile_search=lambda searcher: searcher.compile(keras.optimizers.Adam(0.02)),
    )  # fmt: skip
    tuner.search(
        *toy.make_clips(64, 0, tuner.hypermodel.sites),
        validation_data=toy.make_clips(32, 1, tuner.hypermodel.sites),
        batch_size=16,
    )


def start(folder):
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": keras.backend.backend(),
    }  # fmt: skip
    command = [sys.executable, "-m", "tests.tuner.one_shot.test_kills", str(folder)]
    log = open(folder / "log.txt", "a")
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def finish(process, folder):
    try:
        code = process.wait(LONG)
    finally:
        process.kill()
    assert code == 0, (folder / "log.txt").read_text()[-2000:]


def kill_when(process, condition):
    """Kill the process when the condition holds; fail if it ends before."""
    deadline = time.monotonic() + LONG
    try:
        while not condition():
            assert process.poll() is None, "It ended before it was killed."
            assert time.monotonic() < deadline
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait(LONG)


def trials(folder):
    """Return the trials without their records, which count times and kills."""
    found = []
    for path in files.trial_paths(folder / "search").values():
        trial = json.loads(Path(path).read_text())
        del trial["record"]
        found.append(trial)
    return found


@pytest.mark.slow
def test_killed_and_restarted_it_ends_in_the_same_bits(tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    whole.mkdir()
    broken.mkdir()
    search(whole)
    # Kill it during the first chunk of the second stage, and then right after a checkpoint.
    for condition in (
        lambda: (broken / "search" / "trial_00002" / "trial.json").exists(),
        lambda: (broken / "search" / "shared-00004.npz").exists(),
    ):
        kill_when(start(broken), condition)
    finish(start(broken), broken)
    assert trials(broken) == trials(whole) and len(trials(whole)) == CHUNKS + 2
    ends = [np.load(folder / "search" / f"shared-{CHUNKS:05d}.npz") for folder in (whole, broken)]
    assert ends[0].files == ends[1].files and len(ends[0].files) > 10
    assert np.any(ends[0]["model/0"])
    for name in ends[0].files:
        np.testing.assert_array_equal(ends[0][name], ends[1][name])


if __name__ == "__main__":
    search(sys.argv[1])
