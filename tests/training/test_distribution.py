"""Training on two replicas: each reads its part of the data, and a step equals that of one device.

The runs have their own processes, because devices are set up once per process. The data come from
TFRecord shards, which two processes read with `shard=(index, 2)`.
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
    """Three shards of videos in which something moves, and three whose labels are all different."""
    folder = tmp_path_factory.mktemp("shards")
    rng = np.random.default_rng(0)

    def video(label):
        image = rng.integers(0, 256, (4, 4, 3), dtype="uint8").repeat(6, 0).repeat(6, 1)
        return np.stack([np.roll(image, label * t, axis=1) for t in range(5)])

    write_shards(folder, ((video(k % 5), k % 5) for k in range(VIDEOS)), 3)
    write_shards(folder / "labels", ((video(0), k) for k in range(VIDEOS)), 3)
    return folder


def start(backend, modes, folder, index=0, address="none", **environment):
    """Start one process of a run."""
    command = [sys.executable, "-m", "tests.training.replica", modes, folder, index, address]
    dropped = ("XLA_FLAGS", "TF_CONFIG")
    environment = {
        **{k: v for k, v in os.environ.items() if k not in dropped},
        **{"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)},
        **{"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": ""},
        **environment,
    }
    log = open(Path(folder) / f"log-{backend}-{modes}-{index}", "w+")
    return log, subprocess.Popen(
        list(map(str, command)), env=environment, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT
    )


def finish(*runs):
    """Wait for processes; end all if one fails or hangs. Return the JSON that each printed last."""
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
    """Return two free addresses on this machine."""
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
def tensorflow_runs(folder):
    """Changes of the weights by mode, from one process: on joint batches, on half of them, ..."""
    return finish(start("tensorflow", "single,half,mirrored", folder))[0]


def needs(module):
    return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"needs {module}")


@needs("jax")
def test_keras_distribution_equals_one_device(folder):
    """Two devices of one process, and two processes, end with the weights of a single device."""
    flags = "--xla_force_host_platform_device_count=2"
    (changes,) = finish(start("jax", "single,devices", folder, XLA_FLAGS=flags))
    expected = weights(folder, "single")
    assert_same_training(weights(folder, "devices"), expected, changes["single"])
    place = addresses()
    finish(*(start("jax", "processes", folder, i, place) for i in range(2)))
    for index in range(2):
        assert_same_training(weights(folder, "processes", index), expected, changes["single"])


def test_two_devices_of_tf_distribute_equal_one(folder, tensorflow_runs):
    changes = tensorflow_runs["single"]
    assert_same_training(weights(folder, "mirrored"), weights(folder, "single"), changes)


def test_the_comparison_can_fail(folder, tensorflow_runs):
    """One replica alone, without its partner's gradients, ends with other weights."""
    alone, expected = weights(folder, "half"), weights(folder, "single")
    for name in tensorflow_runs["single"]:
        assert np.abs(alone[name] - expected[name]).max() > 1e-3, name


def test_two_processes_of_tf_distribute_equal_one(folder, tensorflow_runs):
    """They read disjoint and complete parts of the data."""
    place = addresses()
    modes = "labels,multiworker"
    runs = finish(*(start("tensorflow", modes, folder, i, place) for i in range(2)))
    first, second = (run["labels"] for run in runs)
    assert len(first) == 10 and len(second) == 9
    assert sorted(first + second) == list(range(VIDEOS))
    expected = weights(folder, "single")
    for index in range(2):
        found = weights(folder, "multiworker", index)
        assert_same_training(found, expected, tensorflow_runs["single"])
