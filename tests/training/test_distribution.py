"""Training on two replicas: the parts of the data, and a step that equals that on the whole.

Every run is a process of its own, since devices are set up once per process. The data come from
TFRecord shards, read with `shard=(index, 2)` where there are two processes.
"""

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_video.data.shards import write_shards

pytest.importorskip("av")
pytest.importorskip("tensorflow")  # reads the shards
if keras.backend.backend() != "tensorflow":
    pytest.skip("each test says on which backend its processes run", allow_module_level=True)

ROOT = Path(__file__).parents[2]
TIMEOUT = 240  # seconds, after which a run counts as hanging
VIDEOS = 19  # two joint batches of 8, and a rest


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three shards of videos in which something moves."""
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)

    def video(label):
        image = rng.integers(0, 256, (4, 4, 3), dtype="uint8").repeat(6, 0).repeat(6, 1)
        return np.stack([np.roll(image, label * t, axis=1) for t in range(5)])

    write_shards(folder, ((video(k % 5), k % 5) for k in range(VIDEOS)), 3)
    labels = tmp_path_factory.mktemp("labels")
    write_shards(labels, ((video(0), k) for k in range(VIDEOS)), 3)
    return folder, labels


def start(backend, mode, folder, index=0, address="none", **environment):
    """Starts one process of a run."""
    command = [sys.executable, "-m", "tests.training.replica", mode, folder, index, address]
    dropped = ("XLA_FLAGS", "TF_CONFIG")
    environment = {
        **{k: v for k, v in os.environ.items() if k not in dropped},
        **{"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
        **{"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""},
        **environment,
    }
    log = open(Path(folder) / f"log-{mode}-{index}", "w+")
    return log, subprocess.Popen(
        list(map(str, command)), env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
    )


def finish(*runs):
    """Waits for processes; ends them all if one fails or hangs. Returns what they printed last."""
    deadline, logs, processes = time.monotonic() + TIMEOUT, *map(list, zip(*runs, strict=True))
    try:
        while any(process.poll() is None for process in processes):
            if time.monotonic() > deadline or any(process.poll() for process in processes):
                break
            with contextlib.suppress(subprocess.TimeoutExpired):
                next(p for p in processes if p.poll() is None).wait(0.2)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    texts = []
    for log in logs:
        log.seek(0)
        texts.append(log.read())
        log.close()
    for process, text in zip(processes, texts, strict=True):
        assert process.returncode == 0, "\n\n".join(text[-3000:] for text in texts)
    return [json.loads(text.strip().splitlines()[-1]) for text in texts]


def addresses():
    """Two free addresses on this machine."""
    with socket.socket() as first, socket.socket() as second:
        for s in (first, second):
            s.bind(("127.0.0.1", 0))
        return ",".join(f"127.0.0.1:{s.getsockname()[1]}" for s in (first, second))


def weights(folder, mode, index=0):
    return dict(np.load(folder / f"weights-{mode}-{index}.npz"))


def assert_same_training(found, expected, changes):
    assert found["steps"] == expected["steps"] == 2
    assert found.keys() == expected.keys() and len(expected) == 7
    for name in expected.keys() - {"steps"}:
        np.testing.assert_allclose(found[name], expected[name], rtol=0, atol=1e-5, err_msg=name)
        assert changes[name] > 1e-3, f"{name} has hardly moved"  # else anything would be equal


@pytest.fixture(scope="module")
def single(folder):
    """What one process makes of the joint batches, by backend."""
    known = {}

    def train(backend):
        if backend not in known:
            (changes,) = finish(start(backend, "single", folder[0]))
            known[backend] = weights(folder[0], "single"), changes
        return known[backend]

    return train


def needs(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"needs {module}")


def test_two_processes_read_disjoint_and_complete_shards(folder):
    first, second = finish(*(start("tensorflow", "labels", folder[1], i) for i in range(2)))
    assert len(first) == 10 and len(second) == 9
    assert sorted(first + second) == list(range(VIDEOS))


@needs("jax")
def test_two_processes_of_keras_distribution_equal_one(folder, single):
    expected, changes = single("jax")
    place = addresses()
    finish(*(start("jax", "processes", folder[0], i, place) for i in range(2)))
    for index in range(2):
        assert_same_training(weights(folder[0], "processes", index), expected, changes)


@needs("jax")
def test_two_devices_of_keras_distribution_equal_one(folder, single):
    expected, changes = single("jax")
    flags = "--xla_force_host_platform_device_count=2"
    finish(start("jax", "devices", folder[0], XLA_FLAGS=flags))
    assert_same_training(weights(folder[0], "devices"), expected, changes)


def test_two_devices_of_tf_distribute_equal_one(folder, single):
    expected, changes = single("tensorflow")
    finish(start("tensorflow", "mirrored", folder[0]))
    assert_same_training(weights(folder[0], "mirrored"), expected, changes)


def test_the_comparison_can_fail(folder, single):
    """One replica alone, without its partner's gradients, ends up elsewhere."""
    expected, _ = single("tensorflow")
    finish(start("tensorflow", "half", folder[0]))
    alone = weights(folder[0], "half")
    for name in expected.keys() - {"steps"}:
        assert np.abs(alone[name] - expected[name]).max() > 1e-3, name


def test_two_processes_of_tf_distribute_equal_one(folder, single):
    expected, changes = single("tensorflow")
    place = addresses()
    finish(*(start("tensorflow", "multiworker", folder[0], i, place) for i in range(2)))
    for index in range(2):
        assert_same_training(weights(folder[0], "multiworker", index), expected, changes)
