"""Runs the contenders of a table in turns, and writes their times.

Each contender has its own process, because a Keras backend is chosen once per process. The
processes stay alive and compute in rounds, one after the other, so that a disturbance affects all
of them. Only one computes at a time, and every wait has a limit. The results of the
contenders are compared as well: the column `difference` shows wrong results.
"""

import csv
import datetime
import importlib.metadata
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from absl import flags

FLAGS = flags.FLAGS
flags.DEFINE_boolean("quick", False, "Small shapes, few repetitions, no file: does it run at all?")
flags.DEFINE_string("output", "", "Folder of the CSV file. Default: results/ beside the script.")
flags.DEFINE_list("backends", [], "Only these: tensorflow, jax, torch, litert. Default: all.")
flags.DEFINE_list("contenders", [], "Only those whose name contains one of these words.")
flags.DEFINE_integer("threads", 2, "CPU threads of each contender.", lower_bound=1)
flags.DEFINE_integer("rounds", 10, "Turns of each contender.", lower_bound=1)
flags.DEFINE_integer("repetitions", 5, "Timed calls in a turn.", lower_bound=1)
flags.DEFINE_float("turn_seconds", 3.0, "A turn ends early after so many seconds.")
flags.DEFINE_float("limit", 600.0, "Seconds a contender may take to get ready, or for a turn.")
flags.DEFINE_enum("device", "cpu", ["cpu", "gpu"], "With cpu, GPUs are hidden from the backends.")

STARTING = threading.Lock()  # the environment is that of the whole process
LONG = 0.3  # seconds; a call that takes longer needs none before it to wake anything
ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(1, str(ROOT))  # what is measured is this checkout, installed or not

PACKAGES = ("keras", "tensorflow", "jax", "torch", "ai-edge-litert")


class Contender(NamedTuple):
    """One way to compute something.

    Args:
        name: string, shown in the table.
        backend: `"tensorflow"`, `"jax"`, `"torch"` or `"litert"`.
        prepare: function of the case's values and the options. It returns a function without
            arguments that computes once and returns the outputs; it runs in the worker process,
            and only there may backends be imported.
        options: dict of further arguments of `prepare`.
        place: int; those that run at the same time have different ones, and cores of their own.
    """

    name: str
    backend: str
    prepare: object
    options: dict = {}
    place: int = 0


def compare(name, contenders, cases, reference):
    """Measures every contender on every case, prints a table per case and writes `<name>.csv`.

    Args:
        name: string, stem of the file.
        contenders: list of `Contender`.
        cases: `{title: dict of the arguments that `prepare` takes}`.
        reference: name of the contender whose median the ratios refer to, and whose outputs those
            of the others are compared with.

    Returns:
        The rows as dicts.
    """
    contenders = [c for c in contenders if wanted(c)]
    context = describe_machine()
    rows = []
    workers = {c.name: Worker(c) for c in contenders}
    try:
        for title, case in cases.items():
            measured = _compare_case(workers, title, case, reference)
            rows += [{"benchmark": name, **row, **_shape(case), **context} for row in measured]
            if any("median_ms" in row for row in rows):
                write(name, rows)
    finally:
        for worker in workers.values():
            worker.stop()
    return rows


def wanted(contender):
    """bool, whether the flags let a contender take part."""
    words = FLAGS.contenders
    chosen = not words or any(word in contender.name for word in words)
    available = not (FLAGS.device == "gpu" and contender.backend == "litert")
    return chosen and available and contender.backend in (FLAGS.backends or (contender.backend,))


def _compare_case(workers, title, case, reference):
    rounds, repetitions = (2, 2) if FLAGS.quick else (FLAGS.rounds, FLAGS.repetitions)
    print(f"\n{title}", flush=True)
    outputs, errors = {}, {}
    for name, worker in workers.items():
        start = time.monotonic()
        try:
            outputs[name] = worker.ask("prepare", case)
            print(f"  ready after {time.monotonic() - start:5.1f} s: {name}", flush=True)
        except WorkerError as error:
            errors[name] = str(error)
            print(f"  failed: {name}: {error}", flush=True)
    times = {name: [] for name in outputs}
    for _ in range(rounds):
        for name in [name for name in times if name not in errors]:
            try:
                times[name] += workers[name].ask("measure", (repetitions, FLAGS.turn_seconds))
            except WorkerError as error:
                errors[name] = str(error)
    medians = {n: statistics.median(t) for n, t in times.items() if t and n not in errors}
    rows = []
    for name, worker in workers.items():
        row = {"case": title, "contender": name, "backend": worker.contender.backend}
        if name in medians:
            row["median_ms"] = round(1e3 * medians[name], 3)
            row["min_ms"] = round(1e3 * min(times[name]), 3)
            if reference in medians:
                row["ratio"] = round(medians[name] / medians[reference], 3)
                difference = largest_difference(outputs[name], outputs[reference])
                row["difference"] = f"{difference:.1e}"
            row["calls"] = len(times[name])
        row["error"] = errors.get(name, "")
        rows.append(row)
    columns = ("contender", "median_ms", "min_ms", "ratio", "difference", "calls", "error")
    print_table(rows, columns)
    print(f"  ratio and difference: to {reference}")
    return rows


def largest_difference(outputs, reference):
    """`max|a - b| / max(1, max|b|)` over lists of arrays; infinite where the shapes differ."""
    if len(outputs) != len(reference):
        return float("inf")
    worst = 0.0
    for a, b in zip(outputs, reference, strict=True):
        if a.shape != b.shape:
            return float("inf")
        if a.size:
            worst = max(worst, float(np.abs(a - b).max()) / max(1.0, float(np.abs(b).max())))
    return worst


# The processes


class WorkerError(RuntimeError):
    """A worker failed, died or took too long."""


class Worker:
    """A process that answers one question at a time; it is started by the first."""

    def __init__(self, contender):
        self.contender = contender
        self.process = None

    def _start(self):
        spawn = multiprocessing.get_context("spawn")
        self.connection, theirs = spawn.Pipe()
        settings = (FLAGS.threads, FLAGS.device)
        self.chatter = tempfile.NamedTemporaryFile("r", errors="replace", suffix=".stderr")
        self.process = spawn.Process(
            target=_serve,
            args=(theirs, self.contender, *settings, self.chatter.name),
            daemon=True,
        )
        # Some libraries read their settings while they are imported, which spawning may do.
        with STARTING:
            before = dict(os.environ)
            os.environ.update(environment(self.contender.backend, *settings))
            try:
                self.process.start()
            finally:
                os.environ.clear()
                os.environ.update(before)
        theirs.close()

    def ask(self, request, argument):
        """The answer, or `WorkerError`; after a death or a hang the next question starts afresh."""
        if self.process is None:
            self._start()
        try:
            self.connection.send((request, argument))
            if not self.connection.poll(FLAGS.limit):
                self.stop()
                raise WorkerError(f"no answer within {FLAGS.limit:g} s")
            kind, answer = self.connection.recv()
        except (EOFError, OSError) as error:
            self.process.join(10)
            code, said = self.process.exitcode, self.chatter.read().strip().splitlines()
            self.stop()
            raise WorkerError(
                f"its process ended with exit code {code}: {said[-1] if said else ''}"
            ) from error
        if kind == "error":
            raise WorkerError(answer)
        return answer

    def stop(self):
        if self.process is None:
            return
        if self.process.is_alive():
            self.process.kill()
            self.process.join(10)
        self.connection.close()
        self.chatter.close()
        self.process = None


def call(contender, case):
    """What `prepare` itself returns, from a fresh process: a dict, or `{"error": why}`."""
    worker = Worker(contender)
    try:
        return worker.ask("call", case)
    except WorkerError as error:
        return {"error": str(error)}
    finally:
        worker.stop()


def environment(backend, threads, device="cpu"):
    """Environment variables of a worker: the Keras backend, its threads, and no chatter."""
    variables = {
        "KERAS_BACKEND": "tensorflow" if backend == "litert" else backend,
        "OMP_NUM_THREADS": str(threads),
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }
    if device == "cpu":
        variables |= {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    return variables


def limit_threads(backend, threads, place=0):
    """Holds this process, before it loads a backend, to so many threads on as many cores."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, [cores[(place * threads + i) % len(cores)] for i in range(threads)])
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        tf.config.threading.set_inter_op_parallelism_threads(threads)
    elif backend == "torch":
        import torch

        torch.set_num_threads(threads)


def _serve(connection, contender, threads, device, chatter):
    """The worker: `prepare` a case, then `measure` it as often as asked; or `call` once."""
    os.dup2(os.open(chatter, os.O_WRONLY), 2)  # warnings of backends, some of them from C++
    os.environ.update(environment(contender.backend, threads, device))
    limit_threads(contender.backend, threads, contender.place)
    run = None
    while True:
        try:
            request, argument = connection.recv()
        except EOFError:
            return
        try:
            if request == "prepare":
                run = None  # frees the last case before the next one is built
                run = contender.prepare(**argument, **contender.options)
                outputs = run()
                wait(contender.backend, outputs)
                answer = to_arrays(outputs)
                del outputs
                wait(contender.backend, run())
            elif request == "measure":
                answer = _time(contender.backend, run, *argument)
            else:
                answer = contender.prepare(**argument, **contender.options)
        except Exception as error:
            lines = str(error).strip().splitlines() or [""]
            connection.send(("error", f"{type(error).__name__}: {lines[0][:200]}"))
        else:
            connection.send(("answer", answer))


def _time(backend, run, repetitions, seconds):
    times, start = [], time.perf_counter()
    wait(backend, run())  # wakes threads and caches after the others' turns
    if time.perf_counter() - start > LONG:
        times, repetitions = [time.perf_counter() - start], repetitions - 1
    for _ in range(repetitions):
        if times and time.perf_counter() - start > seconds:
            break
        begin = time.perf_counter()
        wait(backend, run())
        times.append(time.perf_counter() - begin)
    return times


def wait(backend, outputs):
    """Returns when the outputs are really there."""
    if backend == "jax":
        import jax

        jax.block_until_ready(outputs)
    elif backend == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
    elif backend == "tensorflow":
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            tf.test.experimental.sync_devices()


def to_arrays(outputs):
    """A nested structure of tensors as a flat list of float32 NumPy arrays; `None` is skipped."""
    if outputs is None:
        return []
    if isinstance(outputs, dict):
        outputs = [outputs[key] for key in sorted(outputs)]
    if isinstance(outputs, (list, tuple)):
        return [array for part in outputs for array in to_arrays(part)]
    if hasattr(outputs, "detach"):
        outputs = outputs.detach().cpu()
    return [np.array(outputs, "float32")]


# What is written down


def describe_machine():
    """Date, processor, threads, load and versions, one column each."""
    versions = {}
    for package in PACKAGES:
        versions[package.replace("-", "_")] = _version(package)
    load = f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else ""
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M"),
        "device": _gpu_name() if FLAGS.device == "gpu" else "cpu",
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": FLAGS.threads,
        "load_before": load,
        "python": platform.python_version(),
        **versions,
    }


def _version(package):
    for name in (package, f"{package}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _cpu_name():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    fields = dict(map(str.strip, line.split(":", 1)) for line in lines if ":" in line)
    family, model = fields.get("cpu family", "?"), fields.get("model", "?")
    return f"{fields.get('model name', platform.machine())} (family {family} model {model})"


def _gpu_name():
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return "gpu"
    return found.stdout.strip().splitlines()[0] if found.stdout.strip() else "gpu"


def _shape(case):
    return {key: case.get(key, "") for key in ("batch", "frames", "size")}


def write(name, rows):
    """Writes `<name>.csv` under a temporary name and renames it; with `--quick` only if asked."""
    if FLAGS.quick and not FLAGS.output:
        return
    folder = Path(FLAGS.output) if FLAGS.output else Path(__file__).parent / "results"
    folder.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(key for row in rows for key in row))
    partial = folder / f"{name}.csv.partial"
    with open(partial, "w", newline="") as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    os.replace(partial, folder / f"{name}.csv")


def print_table(rows, columns):
    """Prints some columns of the rows, numbers to the right."""
    cells = [[str(column) for column in columns]]
    cells += [[str(row.get(column, "")) for column in columns] for row in rows]
    keep = [i for i in range(len(columns)) if any(line[i] for line in cells[1:])]
    widths = [max(len(line[i]) for line in cells) for i in range(len(columns))]
    for line in cells:
        parts = [line[i].ljust(widths[i]) if i == 0 else line[i].rjust(widths[i]) for i in keep]
        print("  " + "  ".join(parts).rstrip(), flush=True)
