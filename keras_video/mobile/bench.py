"""Measure a LiteRT file on this machine: time, memory, operations."""

import contextlib
import resource
import sys
import time
from typing import NamedTuple

import numpy as np

from keras_video.checks import check_int
from keras_video.mobile.file import inspect
from keras_video.mobile.runner import LiteRTModel

WARM_UP = 10


class Bench(NamedTuple):
    """The result of `bench`.

    Args:
        path: string.
        threads: int, CPU threads.
        calls: int, timed calls.
        median, p95: floats, median and 95th percentile of a call in milliseconds. A call is a clip,
            or a step of a stream with the update of its state.
        memory: float, peak memory of loading and running, in MB.
        state: float, memory of the state in MB.
        delegated: int, number of XNNPACK partitions. One means that all operations run there.
        inspection: `Inspection` of the file.
        quantized: bool, whether activations are int8 or int16.
    """

    path: str
    threads: int
    calls: int
    median: float
    p95: float
    memory: float
    state: float
    delegated: int
    inspection: object
    quantized: bool

    def __str__(self):
        size = f"{self.inspection.bytes / 1e6:.2f} MB"
        lines = [
            f"{self.path}: {size}, state {self.state:.2f} MB",
            f"  median {self.median:.2f} ms, 95 % below {self.p95:.2f} ms "
            f"({self.threads} thread(s), {self.calls} calls)",
            f"  memory at the peak {self.memory:.1f} MB",
            f"  XNNPACK partitions: {self.delegated}",
            "  " + ", ".join(f"{count} {name}" for name, count in self.inspection.counts.items()),
        ]
        if self.quantized:
            floats = self.inspection.float_operations
            lines.append(f"  computed in float: {len(floats)}")
            kinds = {}
            for op in floats:
                kinds.setdefault(op.name, []).append(op.output)
            for name, outputs in sorted(kinds.items(), key=lambda item: -len(item[1])):
                more = ", ..." if len(outputs) > 1 else ""
                lines.append(f"    {len(outputs):3d} {name:20s} {outputs[0]}{more}")
        return "\n".join(lines)


def bench(path, threads=1, calls=100):
    """Measure a file of `export_litert` on random pixels.

    The memory is that of the process, and only right in a process that has done nothing else, such
    as `keras-video bench-mobile`.

    Args:
        path: string.
        threads: int, number of CPU threads.
        calls: int, number of timed calls.

    Returns:
        `Bench`.
    """
    check_int("calls", calls)
    found = inspect(path)
    before = _peak()
    model = LiteRTModel(path, threads)
    pixels = np.random.default_rng(0).integers(0, 256, (8, *model.input_shape[1:]), "uint8")
    clips = pixels if model.info["pixels"] == 255 else (pixels / 255).astype("float32")
    run = model.step if model.streaming else lambda clip: model.predict(clip[None])
    for i in range(WARM_UP):
        run(clips[i % len(clips)])
    times = []
    for i in range(calls):
        begin = time.perf_counter()
        run(clips[i % len(clips)])
        times.append(1e3 * (time.perf_counter() - begin))
    types = {kind for op in found.operations for kind in op.types}
    return Bench(
        path,
        threads,
        calls,
        float(np.median(times)),
        float(np.percentile(times, 95)),
        _peak() - before,
        model.state_bytes / 1e6,
        sum(op["op_name"] == "DELEGATE" for op in model.interpreter._get_ops_details()),
        found,
        bool(types & {"INT8", "INT16"}),
    )


def _peak():
    """Return the peak memory of this process in MB."""
    # On Linux, `getrusage` includes the peak of the process that started this one.
    with contextlib.suppress(OSError), open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024  # bytes, or kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6
