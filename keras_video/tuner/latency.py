"""`LatencyMeter`: how long a network takes on this machine, measured undisturbed."""

import os
import platform
import time
from typing import NamedTuple

from keras_video.specs import check_int
from keras_video.tuner import latency_runtimes
from keras_video.tuner.latency_process import MeasurementError, MeasuringProcess
from keras_video.tuner.machine_lock import MachineLock

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
        self.runtime = latency_runtimes.choose(runtime, device)
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
