"""`LatencyMeter`: how long a network takes on this machine, measured undisturbed.

`MeasuringProcess`: the parent's side of the process in which networks run.

The process in which networks run to be timed: `python -m keras_video.tuner.latency.meter`.

It reads one JSON request per line and answers each with one JSON line. Networks come as Keras'
JSON, without weights: their values do not change the time.
"""

import atexit
import json
import os
import platform
import queue
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from typing import NamedTuple

from keras_video.specs import check_int
from keras_video.tuner.latency import runtimes
from keras_video.tuner.latency.lock import MachineLock

START_SECONDS = 180.0  # a backend's import, on a busy machine
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))


class MeasurementError(RuntimeError):
    """A network could not be measured.

    Attributes:
        transient: bool, whether the machine is to blame rather than the network, so that it may
            succeed later.
    """

    def __init__(self, message, transient=False):
        super().__init__(message)
        self.transient = transient


class MeasuringProcess:
    """Asks a process to run networks; starts it when needed, also after it died.

    Args:
        settings: dict of `runtime`, `backend`, `threads` and `device`.
    """

    def __init__(self, settings):
        self.settings = settings
        self._process, self._owner = None, None

    def load(self, architecture, timeout):
        """Has the process build a network and run it once.

        Args:
            architecture: string, the model's JSON.
            timeout: float, seconds.

        Raises:
            MeasurementError: if it fails, dies or takes too long.
        """
        self._start()
        path = os.path.join(self._folder, "network.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(architecture)
        self.ask({"path": path}, timeout)

    def ask(self, request, timeout):
        """The answer to a request, a dict.

        Raises:
            MeasurementError: if the process fails, dies or takes too long.
        """
        self._start()
        request = json.dumps({**request, "timeout": timeout + 10})
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except OSError:
            self._died()
        answer = self._answer(timeout)
        if "error" in answer:
            raise MeasurementError(f"The network does not run: {answer['error']}")
        return answer

    def close(self):
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait(10)
            process.stdin.close()
            self._reader.join(10)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self):
        if self._process is not None and self._owner == os.getpid():
            return
        self._owner = os.getpid()  # a fork must not share its parent's process
        self._folder = tempfile.mkdtemp(prefix="keras_video_measuring_")
        self._errors = os.path.join(self._folder, "errors.txt")
        environment = runtimes.environment(self.settings)
        paths = [ROOT, *environment.get("PYTHONPATH", "").split(os.pathsep)]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        command = [sys.executable, "-m", "keras_video.tuner.latency.meter"]
        with open(self._errors, "wb") as errors:
            self._process = subprocess.Popen(
                [*command, json.dumps(self.settings)], env=environment, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=errors, encoding="utf-8",
            )  # fmt: skip
        self._answers = queue.Queue()
        self._reader = threading.Thread(
            target=_read, args=(self._process.stdout, self._answers), daemon=True
        )
        self._reader.start()
        atexit.register(self.close)
        self._answer(START_SECONDS)

    def _answer(self, timeout):
        try:
            line = self._answers.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise MeasurementError(f"The network took more than {timeout:g} s.") from None
        return self._died() if line is None else json.loads(line)

    def _died(self):
        code = self._process.wait(10)
        with open(self._errors, encoding="utf-8", errors="replace") as file:
            said = file.read().strip().splitlines()
        self.close()
        raise MeasurementError(
            f"The measuring process ended with exit code {code}: {said[-1] if said else ''}"
        )


def _read(stream, answers):
    """Passes lines on, and `None` at the end: one can wait for a queue with a time-out."""
    with stream:
        for line in stream:
            answers.put(line)
    answers.put(None)


DRIFT = 0.15  # part by which the reference network may be slower than at first
PAUSES = (0.5, 1, 2, 4, 8)  # seconds to wait for a busy machine, one after the other
REFERENCE_SECONDS = 0.3


class Measurement(NamedTuple):
    """The time of one network, and how it was measured.

    Args:
        ms: float, median of the runs, milliseconds for one clip.
        fastest_ms: float.
        runs: int.
        spread: float, half the 95 % interval of the median, as a part of it.
        runtime: `"litert"` or `"keras"`.
        device: `"cpu"` or `"gpu"`.
        threads: int.
        load: float, the machine's load average before.
        cpu: string, name of the processor.
        reference_ms: float, the reference network's time right before and after, the slower one.
    """

    ms: float
    fastest_ms: float
    runs: int
    spread: float
    runtime: str
    device: str
    threads: int
    load: float
    cpu: str
    reference_ms: float


class LatencyMeter:
    """Measures networks in a process of its own, one at a time on the whole machine.

    The process is pinned to as many cores as it has threads; it is started by the first
    measurement, kept, and started again after a crash or a time-out. Before and after each network
    a small reference network is timed: where it takes 15 % longer than at first the machine is
    busy, and the measurement is repeated after a pause.

    Args:
        device: `"cpu"` or `"gpu"`, where the Keras runtime then runs.
        threads: int.
        runtime: `"litert"`, `"keras"` (the compiled function of the current backend) or `"auto"`:
            LiteRT on a CPU where `ai-edge-litert` and TensorFlow are installed, else Keras.
        seconds: float, longest time spent on the runs of one network.
        spread: float, precision of the median at which to stop earlier.
        timeout: float, seconds after which a network counts as not measurable.

    Raises:
        ValueError: naming the argument.
    """

    def __init__(
        self, device="cpu", threads=1, runtime="auto", seconds=1.0, spread=0.02, timeout=120.0
    ):
        if device not in ("cpu", "gpu"):
            raise ValueError(f"device: expected 'cpu' or 'gpu', got {device!r}.")
        if runtime not in ("auto", "litert", "keras"):
            raise ValueError(f"runtime: expected 'auto', 'litert' or 'keras', got {runtime!r}.")
        if runtime == "litert" and device == "gpu":
            raise ValueError("runtime: expected 'keras' on a GPU, got 'litert'.")
        check_int("threads", threads)
        for name, value in (("seconds", seconds), ("spread", spread), ("timeout", timeout)):
            if not value > 0:
                raise ValueError(f"{name}: expected a number above 0, got {value!r}.")
        self.device, self.threads, self.timeout = device, threads, timeout
        self.runtime = runtimes.choose(runtime, device)
        self.effort = {"seconds": seconds, "spread": spread}
        self._process, self._usual = None, None

    def measure(self, model):
        """Measures one network.

        Args:
            model: `keras.Model` with one input of fixed shape. Its architecture alone is used.

        Returns:
            `Measurement`.

        Raises:
            MeasurementError: if the network does not run, or takes too long; with `transient` set
                if the machine was busy all the time.
        """
        process = self._get_process()
        try:
            process.load(model.to_json(), self.timeout)
            for pause in (*PAUSES, None):
                load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
                with MachineLock().alone():
                    before = self._time_reference()
                    found = process.ask({"network": "candidate", **self.effort}, self.timeout)
                    reference = max(before, self._time_reference())
                if reference <= (1 + DRIFT) * self._usual:
                    return Measurement(
                        **found, runtime=self.runtime, device=self.device, threads=self.threads,
                        load=load, cpu=cpu_name(), reference_ms=reference,
                    )  # fmt: skip
                if pause is not None:
                    time.sleep(pause)
        except TimeoutError as error:  # of the lock
            raise MeasurementError(str(error), transient=True) from error
        raise MeasurementError(
            f"The machine is too busy to measure on: the reference network takes {reference:.3g} "
            f"ms, at first it took {self._usual:.3g} ms; {len(PAUSES)} pauses did not help.",
            transient=True,
        )

    def close(self):
        """Ends the process. The next measurement starts another one."""
        if self._process is not None:
            self._process.close()

    def _get_process(self):
        if self._process is None:
            settings = {"runtime": self.runtime, "threads": self.threads, "device": self.device}
            if self.runtime == "keras":
                import keras

                settings["backend"] = keras.backend.backend()
            self._process = MeasuringProcess(settings)
        return self._process

    def _time_reference(self):
        """Milliseconds of the reference network."""

        def ask():
            effort = {"seconds": REFERENCE_SECONDS, "spread": self.effort["spread"]}
            return self._process.ask({"network": "reference", **effort}, self.timeout)["ms"]

        if self._usual is None:
            self._usual = min(ask() for _ in range(3))
        now = ask()
        if now < self._usual / (1 + DRIFT):  # it was the first time that was disturbed
            self._usual = now
        return now


def cpu_name():
    """string, the name of the processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1] for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0].strip() if names else platform.processor()


WARM_UP, WARM_UP_SECONDS = 5, 0.5
LEAST_RUNS, MOST_RUNS = 10, 10_000
LEAST_SECONDS = 0.05  # a few runs of a tiny network are over before caches and clock have settled


def main():
    """Serves until the input ends."""
    settings = json.loads(sys.argv[1])
    pin(settings["threads"], settings["device"])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever backends print goes to the errors
    from keras_video.tuner.latency import runtimes

    networks = {"reference": runtimes.reference(settings)}
    networks["reference"]()
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        _kill_after(request["timeout"])
        try:
            if "path" in request:
                networks.pop("candidate", None)  # frees its memory first
                run = runtimes.load(request["path"], settings)
                run()
                networks["candidate"] = run
                answer = {"loaded": True}
            else:
                answer = clock(networks[request["network"]], request["seconds"], request["spread"])
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {said[0][:300]}"}
        _kill_after(0)
        answers.write(json.dumps(answer) + "\n")


def pin(threads, device):
    """Keeps this process on as many cores as it may have threads, where the system allows it."""
    if device == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def clock(run, seconds=1.0, spread=0.02, timer=time.perf_counter):
    """Times a function until its median is known, or the time is up.

    Args:
        run: function without arguments, which returns when its work is done.
        seconds: float, how long to go on at most; three runs are made in any case.
        spread: float, stops where half the 95 % interval of the median is below this part of it,
            though not before `LEAST_SECONDS`.
        timer: function that gives seconds.

    Returns:
        Dict of `ms`, the median, `fastest_ms`, `runs`, and `spread`, the half interval reached.
    """
    least = min(LEAST_SECONDS, seconds)
    begin, count = timer(), 0
    while count < 1 or timer() - begin < (WARM_UP_SECONDS if count < WARM_UP else least):
        run()
        count += 1
    times, begin = [], timer()
    while len(times) < 3 or (len(times) < MOST_RUNS and timer() - begin < seconds):
        start = timer()
        run()
        end = timer()
        times.append(end - start)
        enough = len(times) >= LEAST_RUNS and end - begin >= least
        if enough and len(times) % 5 == 0 and half_interval(times) < spread:
            break
    return {
        "ms": 1e3 * statistics.median(times),
        "fastest_ms": 1e3 * min(times),
        "runs": len(times),
        "spread": half_interval(times),
    }


def half_interval(times):
    """Half the distribution-free 95 % interval of the median, as a part of the median."""
    ordered, n = sorted(times), len(times)
    reach = 0.98 * n**0.5
    low, high = max(0, int(n / 2 - reach)), min(n - 1, int(n / 2 + reach))
    return (ordered[high] - ordered[low]) / 2 / max(statistics.median(ordered), 1e-12)


def _kill_after(seconds):
    """Has the kernel end this process, so that nothing hangs on once nobody asks any more."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
