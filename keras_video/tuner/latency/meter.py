"""`LatencyMeter`: measures how long a model takes on this machine, undisturbed by other processes.

The models run in a process of their own, see `keras_video.tuner.latency.child`.
"""

import atexit
import contextlib
import json
import os
import platform
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from typing import NamedTuple

import keras

from keras_video.checks import check_choice, check_int, check_number
from keras_video.tuner.latency import child
from keras_video.tuner.latency.lock import MachineLock

START_SECONDS = 180.0  # a backend's import, on a busy machine
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
DRIFT = 0.15  # the machine is busy if the reference model is slower than usual by this part
PAUSES = (0.5, 1, 2, 4, 8)  # seconds to wait for a busy machine, one after the other
REFERENCE_SECONDS = 0.3


class MeasurementError(RuntimeError):
    """A model could not be measured.

    Attributes:
        transient: bool, `True` if the machine was too busy, so that a later attempt may succeed.
            `False` if the model itself cannot be measured.
    """

    def __init__(self, message, transient=False):
        super().__init__(message)
        self.transient = transient


class Measurement(NamedTuple):
    """The time of one model, and how it was measured.

    Args:
        ms: float, median of the runs, milliseconds for one clip.
        fastest_ms: float, milliseconds of the fastest run.
        runs: int, number of timed runs.
        spread: float, half the 95 % interval of the median, relative to the median.
        runtime: `"litert"` or `"keras"`.
        device: `"cpu"` or `"gpu"`.
        threads: int.
        load: float, the load average of the machine before the measurement.
        cpu: string, name of the processor.
        reference_ms: float, time of the reference model: the slower of the measurements right
            before and right after.
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
    """Measures models in a separate process, one at a time on the whole machine.

    The process is limited to as many cores as it has threads. The first measurement starts it; it
    is kept for the next ones, and started again after a crash or a timeout. A small reference model
    is timed before and after each model. If it is 15 % slower than usual, the machine is busy: the
    measurement is repeated after a pause.

    Args:
        device: `"cpu"` or `"gpu"`. On a GPU the runtime is Keras.
        threads: int, threads of the measured model.
        runtime: `"litert"`, `"keras"` (the compiled function of the current backend) or `"auto"`:
            LiteRT on a CPU if `ai-edge-litert` and TensorFlow are installed, otherwise Keras.
        seconds: float, longest time for the runs of one model.
        spread: float, relative precision of the median at which to stop earlier.
        timeout: float, seconds after which a model counts as not measurable.

    Raises:
        ValueError: if an argument is out of its range.
    """

    def __init__(
        self, device="cpu", threads=1, runtime="auto", seconds=1.0, spread=0.02, timeout=120.0
    ):
        check_choice("device", device, ("cpu", "gpu"))
        check_choice("runtime", runtime, ("auto", "litert", "keras"))
        if runtime == "litert" and device == "gpu":
            raise ValueError("runtime: expected 'keras' on a GPU, got 'litert'.")
        self.threads = check_int("threads", threads)
        seconds = check_number("seconds", seconds, above=0)
        spread = check_number("spread", spread, above=0)
        self.timeout = check_number("timeout", timeout, above=0)
        self.device = device
        self.runtime = child.choose_runtime(runtime, device)
        self.effort = {"seconds": seconds, "spread": spread}
        self._process, self._usual = None, None

    def measure(self, model):
        """Measure one model.

        Args:
            model: `keras.Model` with one input of fixed shape. Only its architecture is used.

        Returns:
            `Measurement`.

        Raises:
            MeasurementError: if the model does not run or takes too long; with `transient=True` if
                the machine was busy all the time.
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
            f"The machine is too busy to measure on: the reference model takes {reference:.3g} ms, "
            f"usually {self._usual:.3g} ms, also after {len(PAUSES)} pauses.",
            transient=True,
        )

    def close(self):
        """End the process. The next measurement starts another one."""
        if self._process is not None:
            self._process.close()

    def _get_process(self):
        if self._process is None:
            settings = {"runtime": self.runtime, "threads": self.threads, "device": self.device}
            if self.runtime == "keras":
                settings["backend"] = keras.backend.backend()
            self._process = MeasuringProcess(settings)
        return self._process

    def _time_reference(self):
        """Return the milliseconds of the reference model."""

        def ask():
            effort = {"seconds": REFERENCE_SECONDS, "spread": self.effort["spread"]}
            return self._process.ask({"network": "reference", **effort}, self.timeout)["ms"]

        if self._usual is None:
            self._usual = min(ask() for _ in range(3))
        now = ask()
        if now < self._usual / (1 + DRIFT):  # the earlier measurements were disturbed
            self._usual = now
        return now


class MeasuringProcess:
    """The parent's side of the process in which models run.

    The process is started when it is needed, also after it died.

    Args:
        settings: dict of `runtime`, `backend`, `threads` and `device`.
    """

    def __init__(self, settings):
        self.settings = settings
        self._process, self._owner = None, None

    def load(self, architecture, timeout):
        """Let the process build a model and run it once.

        Args:
            architecture: string, the model's JSON.
            timeout: float, seconds.

        Raises:
            MeasurementError: if the process fails, dies or takes too long.
        """
        self._start()
        path = os.path.join(self._folder, "network.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(architecture)
        self.ask({"path": path}, timeout)

    def ask(self, request, timeout):
        """Send a request and return the answer, a dict.

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
            raise MeasurementError(f"The model does not run: {answer['error']}")
        return answer

    def close(self):
        """End the process."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait(10)
            with contextlib.suppress(OSError):  # of a request that the process did not read
                process.stdin.close()
            self._reader.join(10)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self):
        if self._process is not None and self._owner == os.getpid():
            return
        self._owner = os.getpid()  # a fork must not use its parent's process
        self._folder = tempfile.mkdtemp(prefix="keras_video_measuring_")
        self._errors = os.path.join(self._folder, "errors.txt")
        environment = child.environment(self.settings)
        paths = [ROOT, *environment.get("PYTHONPATH", "").split(os.pathsep)]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        command = [sys.executable, "-m", "keras_video.tuner.latency.child"]
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
            raise MeasurementError(f"The model took more than {timeout:g} s.") from None
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
    """Pass lines on to a queue, then `None`. A queue has timeouts, a pipe has none."""
    with stream:
        for line in stream:
            answers.put(line)
    answers.put(None)


def cpu_name():
    """Return the name of the processor, a string."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1] for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0].strip() if names else platform.processor()
