"""Latency: measured in a process of its own, alone on the machine, when the machine is quiet."""

import itertools
import os
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest

pytest.importorskip("keras_tuner")

from keras_video.tuner.latency import child  # noqa: E402
from keras_video.tuner.latency import lock as machine_lock  # noqa: E402
from keras_video.tuner.latency import meter as latency  # noqa: E402
from keras_video.tuner.latency.lock import MachineLock  # noqa: E402
from keras_video.tuner.latency.meter import LatencyMeter, MeasurementError  # noqa: E402


@pytest.fixture(autouse=True)
def own_lock(tmp_path_factory, monkeypatch):
    """Do not wait for other measurements on this machine."""
    monkeypatch.setattr(machine_lock, "DIRECTORY", str(tmp_path_factory.mktemp("lock")))


def network(width=8, size=16):
    inputs = keras.Input((2, size, size, 3))
    x = keras.layers.Conv3D(width, (1, 3, 3), 2)(inputs)
    return keras.Model(inputs, keras.layers.GlobalAveragePooling3D()(x))


# Timing, with a fake clock


class Clock:
    """Advance by the duration of each run."""

    def __init__(self, durations):
        self.now, self.durations, self.runs = 0.0, itertools.cycle(durations), 0

    def __call__(self):
        return self.now

    def run(self):
        self.now += next(self.durations)
        self.runs += 1


def test_steady_runs_stop_early():
    clock = Clock([0.010])
    found = child.clock(clock.run, timer=clock)
    assert found["ms"] == pytest.approx(10) and found["fastest_ms"] == pytest.approx(10)
    assert (
        found["runs"] == 10 and clock.runs == 15 and found["spread"] == pytest.approx(0, abs=1e-9)
    )


def test_noisy_runs_use_their_time():
    clock = Clock([0.010, 0.020, 0.011, 0.013])
    found = child.clock(clock.run, seconds=1.0, timer=clock)
    assert found["runs"] == pytest.approx(1.0 / 0.0135, abs=2) and found["spread"] > 0.02
    assert 11 <= found["ms"] <= 13


def test_tiny_networks_are_warmed_up_and_run_for_a_while():
    clock = Clock([0.0001])
    found = child.clock(clock.run, timer=clock)
    assert found["runs"] == pytest.approx(500, abs=6) and clock.runs == pytest.approx(1000, abs=12)


def test_slow_runs_are_few():
    clock = Clock([2.0])
    assert child.clock(clock.run, timer=clock)["runs"] == 3
    assert clock.runs == 4


def test_half_interval_shrinks_with_the_root_of_the_runs():
    rng = np.random.default_rng(0)
    few, many = (child.half_interval(rng.normal(1, 0.1, n).tolist()) for n in (50, 5000))
    # The median's 95 % interval of a normal distribution: 1.96 * 1.2533 * sigma / sqrt(n).
    assert few == pytest.approx(1.96 * 1.2533 * 0.1 / 50**0.5, rel=0.5)
    assert many == pytest.approx(1.96 * 1.2533 * 0.1 / 5000**0.5, rel=0.3)


# A busy machine, with a fake process


class Machine:
    """Stand in for the process: answer with the next of the given times."""

    def __init__(self, reference, candidate=8.0):
        self.reference, self.candidate = iter(reference), candidate

    def load(self, architecture, timeout):
        assert "Conv3D" in architecture

    def ask(self, request, timeout):
        ms = self.candidate if request["network"] == "candidate" else next(self.reference)
        return {"ms": ms, "fastest_ms": ms, "runs": 10, "spread": 0.01}


def measure_on(machine, monkeypatch):
    pauses = []
    monkeypatch.setattr(latency.time, "sleep", pauses.append)
    meter = LatencyMeter(threads=2)
    meter._process = machine
    return meter, pauses


def test_a_quiet_machine_needs_no_pause(monkeypatch):
    meter, pauses = measure_on(Machine([1.0, 1.1, 1.0, 1.0, 1.14]), monkeypatch)
    found = meter.measure(network())
    assert (found.ms, found.threads, found.reference_ms, found.device) == (8.0, 2, 1.14, "cpu")
    assert found.runtime == meter.runtime and found.load >= 0 and found.cpu and found.runs == 10
    assert pauses == []


def test_a_busy_machine_is_waited_for(monkeypatch):
    meter, pauses = measure_on(Machine([1.0, 1.0, 1.0, 1.0, 1.2, 1.3, 1.0, 1.0, 1.1]), monkeypatch)
    assert meter.measure(network()).reference_ms == 1.1
    assert pauses == [0.5, 1]


def test_a_machine_that_stays_busy_is_refused(monkeypatch):
    meter, pauses = measure_on(Machine(itertools.chain([1] * 4, itertools.repeat(3))), monkeypatch)
    with pytest.raises(MeasurementError, match="too busy.* takes 3 ms, usually 1 ms") as error:
        meter.measure(network())
    assert error.value.transient and pauses == list(latency.PAUSES)


def test_a_machine_that_was_busy_at_first_is_believed_later(monkeypatch):
    times = [3, 3, 3, 3, 1, 1.05, 1.2, 1, 1.1]
    meter, pauses = measure_on(Machine(times), monkeypatch)
    assert meter.measure(network()).reference_ms == 1.1
    assert pauses == [0.5, 1]  # 3 is too slow by now, and so is 1.2


# The process


@pytest.fixture(scope="module")
def meter():
    """A meter with the default runtime."""
    meter = LatencyMeter(seconds=0.05, spread=0.5)
    yield meter
    meter.close()


STUB = """
import time
from keras_video.tuner.latency import child
is_wide = lambda path: '"filters": 64' in open(path).read()
child.reference = lambda settings: lambda: None
child.load = lambda path, settings: lambda: time.sleep(5 * is_wide(path) + 1e-4)
child.main()
"""


@pytest.fixture
def stub(monkeypatch):
    """A meter whose process is the real one, except that no backend is loaded and no model built.

    It starts in a moment. A model with 64 filters takes five seconds.
    """
    popen = subprocess.Popen

    def start(command, **options):
        assert command[1:3] == ["-m", "keras_video.tuner.latency.child"]
        return popen([command[0], "-c", STUB, *command[3:]], **options)

    monkeypatch.setattr(latency.subprocess, "Popen", start)
    monkeypatch.setattr(latency, "DRIFT", float("inf"))
    meter = LatencyMeter(seconds=0.01, spread=0.5)
    yield meter
    meter.close()


def measure(meter, model):
    """Measure, however busy the machine of the tests is."""
    meter._usual = float("inf")
    return meter.measure(model)


def alive(pid):
    return os.path.exists(f"/proc/{pid}") if os.path.isdir("/proc") else True


def test_measures_in_a_process_that_stays(meter, monkeypatch):
    monkeypatch.setattr(latency, "DRIFT", float("inf"))
    first = measure(meter, network())
    assert 0 < first.fastest_ms <= first.ms < 1e4 and first.runs >= 3 and first.reference_ms > 0
    process = meter._process._process
    measure(meter, network(width=4))
    assert meter._process._process is process and process.pid != os.getpid()
    if hasattr(os, "sched_getaffinity"):
        assert len(os.sched_getaffinity(process.pid)) == 1


def test_networks_of_the_library_are_measured(meter, monkeypatch):
    from keras_video.tuner.spaces import TVNSpace
    from tests.tuner.spaces.test_tvn import SMALL, sample

    monkeypatch.setattr(latency, "DRIFT", float("inf"))
    space = TVNSpace(5, **SMALL)
    assert measure(meter, space.build(sample(space, 1))).ms > 0


def test_a_killed_process_is_named_and_replaced(stub):
    measure(stub, network())
    process = stub._process._process
    process.kill()
    process.wait(10)  # so that nobody reads the next request
    with pytest.raises(MeasurementError, match="ended with exit code -9"):
        measure(stub, network())
    assert measure(stub, network()).ms > 0
    assert stub._process._process.pid != process.pid
    # While it works on a request:
    threading.Timer(0.2, stub._process._process.kill).start()
    with pytest.raises(MeasurementError, match="ended with exit code -9"):
        measure(stub, network(width=64))


def test_what_does_not_run_is_named(meter):
    with pytest.raises(MeasurementError, match="does not run: ValueError: model: expected one in"):
        inputs = keras.Input((2, None, None, 3))
        measure(meter, keras.Model(inputs, keras.layers.Conv3D(4, 1)(inputs)))


def test_a_timeout_is_named_and_the_process_ended(stub):
    measure(stub, network())
    pid = stub._process._process.pid
    stub.timeout = 0.2
    with pytest.raises(MeasurementError, match="took more than 0.2 s") as error:
        measure(stub, network(width=64))
    assert not error.value.transient and not alive(pid)


def test_the_compiled_function_of_the_backend(monkeypatch):
    monkeypatch.setattr(latency, "DRIFT", float("inf"))
    meter = LatencyMeter(runtime="keras", seconds=0.02, spread=0.5)
    try:
        assert meter.measure(network()).runtime == "keras"
        pid = meter._process._process.pid
    finally:
        meter.close()
    assert not alive(pid)


# The lock


HOLDER = """
import runpy, sys, time, types
# The lock needs no Keras, which would take seconds to import.
sys.modules["keras"] = types.SimpleNamespace(callbacks=types.SimpleNamespace(Callback=object))
lock = runpy.run_path(sys.argv[1])
lock["MachineLock"].enter.__globals__["DIRECTORY"] = sys.argv[2]
with lock["MachineLock"]().alone(20):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_dead_process_holds_no_lock():
    command = [sys.executable, "-c", HOLDER, machine_lock.__file__, machine_lock.DIRECTORY]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout.readline() == "held\n"
            with pytest.raises(TimeoutError, match="No turn to measure within 0.05 s"):
                with MachineLock().alone(timeout=0.05):
                    pass
        finally:
            process.kill()
    with MachineLock().alone(timeout=20):
        pass


def test_who_computes_gives_way():
    worker, seen = MachineLock(), []
    worker.enter()
    with pytest.raises(TimeoutError), MachineLock().alone(timeout=0.05):
        pass
    worker.release()
    other = MachineLock()
    worker.enter()
    other.enter()  # several may compute
    worker.release()
    other.release()

    def work():
        lock = MachineLock()
        lock.enter(timeout=20)
        seen.append("batch")
        lock.release()

    with MachineLock().alone(timeout=20):
        thread = threading.Thread(target=work)
        thread.start()
        time.sleep(0.2)
        seen.append("measured")
    thread.join(20)
    assert seen == ["measured", "batch"]


def test_a_measurement_comes_to_its_turn():
    """Who comes after it waits outside, so that those inside become fewer."""
    first, late, measuring = MachineLock(), MachineLock(), threading.Event()
    first.enter()

    def measure():
        with MachineLock().alone(timeout=20):
            measuring.set()

    thread = threading.Thread(target=measure)
    thread.start()
    time.sleep(0.2)  # it waits for the first to leave
    late.enter(timeout=0.1)
    first.release()
    found = measuring.wait(5)
    late.release()
    thread.join(20)
    assert found


def test_nobody_waits_for_ever():
    lock = MachineLock()
    with MachineLock().alone(timeout=20):
        lock.enter(timeout=0.05)
    lock.release()
    with MachineLock().alone(timeout=20):
        pass


def test_training_pauses_between_batches():
    from keras_video.tuner.latency.lock import GiveWay

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    batches, inside = [], threading.Event()
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: (batches.append(batch), inside.set())
    )

    def train():
        model.fit(np.ones((400, 2)), np.ones((400, 1)), batch_size=1, verbose=0,
                  callbacks=[GiveWay(), count])  # fmt: skip

    thread = threading.Thread(target=train)
    thread.start()
    assert inside.wait(60)
    with MachineLock().alone(timeout=20):  # gets its turn between two batches
        time.sleep(0.1)  # the end of the last batch is still being counted
        before = len(batches)
        time.sleep(0.2)
        assert len(batches) == before < 400
    thread.join(60)
    assert len(batches) == 400
