"""Workers read ahead in order. If one ends or hangs, the run ends with an error."""

import os
import select
import signal
import subprocess
import sys
import threading
import time

import pytest

from keras_video.data import prefetch
from keras_video.data.prefetch import Prefetcher

LIMIT = 100  # seconds until a test counts as hung


class Numbers:
    """Batches that are the arguments of the request."""

    num_batches = 6

    def batch(self, epoch, index):
        return epoch, index


class Failing(Numbers):
    def batch(self, epoch, index):
        if index == 2:
            raise ValueError("broken: c.mp4")
        return epoch, index


class Dying(Numbers):
    def batch(self, epoch, index):
        if index == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return epoch, index


class Interrupted(Numbers):
    def batch(self, epoch, index):
        os.kill(os.getpid(), signal.SIGINT)
        return epoch, index


class Stuck(Numbers):
    def batch(self, epoch, index):
        if index == 2:
            threading.Event().wait()
        return epoch, index


def every(prefetcher, epoch=0):
    return [prefetcher.get(epoch, index) for index in range(6)]


@pytest.mark.parametrize("processes", [False, True])
def test_batches_come_in_order(processes):
    prefetcher = Prefetcher(Numbers(), 2, processes)
    for epoch in (0, 1):
        assert every(prefetcher, epoch) == [(epoch, index) for index in range(6)]
    prefetcher.pause()
    assert [prefetcher.get(1, index) for index in (4, 1, 1, 5)] == [(1, k) for k in (4, 1, 1, 5)]
    prefetcher.close()
    assert prefetcher.get(3, 0) == (3, 0)
    prefetcher.close()


def test_no_more_is_made_than_can_wait():
    made, gate = [], threading.Event()

    class Counting(Numbers):
        def batch(self, epoch, index):
            made.append(index)
            if index == 2:
                gate.set()
            return index

    prefetcher = Prefetcher(Counting(), 1, depth=3)
    assert prefetcher.get(0, 0) == 0
    assert gate.wait(LIMIT)
    prefetcher.close()
    assert made == [0, 1, 2]


def test_batches_of_another_epoch_are_dropped():
    prefetcher = Prefetcher(Numbers(), 2)
    prefetcher.get(0, 0)
    assert every(prefetcher, 1) == [(1, index) for index in range(6)]
    assert not prefetcher._pending


@pytest.mark.parametrize("processes", [False, True])
def test_an_error_of_a_worker_is_that_of_the_run(processes):
    prefetcher = Prefetcher(Failing(), 2, processes)
    with pytest.raises(ValueError, match=r"broken: c\.mp4"):
        every(prefetcher)
    assert prefetcher.get(0, 3) == (0, 3)  # new workers continue
    prefetcher.close()


def test_an_interrupt_is_left_to_the_parent():
    prefetcher = Prefetcher(Interrupted(), 1, processes=True)
    # Background processes may ignore interrupts, and their workers would inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert every(prefetcher) == [(0, index) for index in range(6)]
    finally:
        signal.signal(signal.SIGINT, before)
    prefetcher.close()


def test_a_killed_worker_ends_the_run():
    prefetcher = Prefetcher(Dying(), 2, processes=True)
    with pytest.raises(RuntimeError, match="A worker process ended abruptly before batch . of epo"):
        every(prefetcher)
    assert prefetcher.get(0, 3) == (0, 3)
    prefetcher.close()


def test_a_stuck_worker_ends_the_run():
    prefetcher = Prefetcher(Stuck(), 2, processes=True)
    prefetcher.get(0, 1)
    workers = list(prefetcher._pool._processes.values())
    prefetcher.timeout = 0.5
    with pytest.raises(RuntimeError, match="Batch 2 of epoch 0 was not ready after 0.5 seconds"):
        prefetcher.get(0, 2)
    for worker in workers:  # Python would wait for them at its end
        deadline = time.monotonic() + LIMIT
        while worker.exitcode is None and time.monotonic() < deadline:
            time.sleep(0.01)  # `join` may lose the exit code to the pool's own thread
        assert worker.exitcode == -signal.SIGKILL
    prefetcher.timeout = LIMIT
    assert prefetcher.get(0, 3) == (0, 3)
    prefetcher.close()


def test_a_timeout_inside_a_worker_stays_what_it_is():
    class Slow(Numbers):
        def batch(self, epoch, index):
            raise TimeoutError("the disk is slow")

    with pytest.raises(TimeoutError, match="the disk is slow"):
        Prefetcher(Slow(), 1).get(0, 0)


ORPHANS = """
import os, signal
from keras_video.data.prefetch import Prefetcher
from tests.data.test_dataset_workers import Numbers

if __name__ == "__main__":
    prefetcher = Prefetcher(Numbers(), 2, processes=True)
    [prefetcher.get(0, index) for index in range(6)]
    print(*prefetcher._pool._processes, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="needs Linux")
def test_workers_end_with_a_killed_parent(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(ORPHANS)
    run = subprocess.Popen(
        [sys.executable, str(script)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    workers = [int(number) for number in run.stdout.readline().split()]
    run.wait(LIMIT)
    assert workers
    for worker in workers:
        try:
            file = os.pidfd_open(worker)
        except ProcessLookupError:
            continue
        try:
            assert select.select([file], [], [], LIMIT)[0], "a worker outlived its parent"
        finally:
            os.close(file)


def test_worker_processes_do_not_load_keras():
    code = (
        "import sys\n"
        "from keras_video.data import augmentation, clips, prefetch, shards\n"
        "print([m for m in ('keras', 'tensorflow', 'jax', 'torch') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=LIMIT, check=True
    )
    assert result.stdout.strip() == "[]"


def test_the_limit_is_finite():
    assert 0 < prefetch.TIMEOUT < float("inf")
