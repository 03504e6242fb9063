"""Two checkouts of this library, timed in turns: did a change make anything slower?

    python benchmarks/compare_checkouts.py ../old     # this checkout against another
    python benchmarks/compare_checkouts.py ../old --backends=torch --only=stream,clip

Each checkout runs its own benchmark code in a process of its own, on one backend at a time. The two
processes compute in turns, so that a noisy minute of the machine hits both; a ratio is that of one
turn of the new to the turn of the old just before or after it. `spread` is half the distance
between the quartiles of these ratios: differences below it say nothing.
"""

import importlib
import json
import os
import queue
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path

import harness
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_list("only", [], "Only workloads whose name contains one of these words.")
flags.DEFINE_boolean("serve", False, "Internal: computes what is asked for on standard input.")
FOLDER = Path(__file__).resolve().parent
FOLDED = {"folded": True}
TVN_1, TVN_2 = (2, 224), (2, 256)  # frames and size as published
# Name: module of the checkout's benchmarks, function, arguments, further options.
WORKLOADS = {
    "clip, MoViNet-A0, predict_on_batch": (
        "clip_inference",
        "predict",
        ("movinet_a0", 1, 16, 172),
        {},
    ),
    "clip, MoViNet-A0, compiled": (
        "clip_inference",
        "compiled",
        ("movinet_a0", 1, 16, 172),
        FOLDED,
    ),
    "stream, MoViNet-A0": ("stream_frame", "stream", ("movinet_a0", 1, 1, 172), {}),
    "train step, MoViNet-A0": ("train_step", "keras_step", ("movinet_a0", 4, 8, 172), {}),
    "tiny_video_net_1": ("clip_inference", "compiled", ("tiny_video_net_1", 1, *TVN_1), FOLDED),
    "tiny_video_net_2": ("clip_inference", "compiled", ("tiny_video_net_2", 1, *TVN_2), FOLDED),
    "blvnet_tam_50": ("clip_inference", "compiled", ("blvnet_tam_50", 1, 16, 224), FOLDED),
    "x3d_s": ("clip_inference", "compiled", ("x3d_s", 1, 13, 182), FOLDED),
}


def serve():
    """Answers lines of JSON: prepares a workload, or times some calls of it."""
    backend = os.environ["KERAS_BACKEND"]
    harness.limit_threads(backend, FLAGS.threads)
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print must not come between the answers
    run = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "prepare" in request:
                run = prepare(*WORKLOADS[request["prepare"]])
                for _ in range(3):
                    harness.wait(backend, run())
                answer = {"ready": True}
            else:
                answer = {"seconds": [timed(backend, run) for _ in range(request["calls"])]}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


def prepare(module, function, arguments, options):
    """A function without arguments that computes a workload once."""
    if module not in sys.modules:
        for flag in ("models", "frames", "batch"):  # the benchmark modules define the same flags
            if flag in FLAGS:
                delattr(FLAGS, flag)
    return getattr(importlib.import_module(module), function)(*arguments, **options)


def timed(backend, run):
    start = time.perf_counter()
    harness.wait(backend, run())
    return time.perf_counter() - start


class Checkout:
    """A process that computes with one checkout on one backend."""

    def __init__(self, root, backend):
        environment = dict(os.environ) | harness.environment(backend, FLAGS.threads, FLAGS.device)
        # The checkout's own benchmark modules and library come first.
        paths = [str(Path(root) / "benchmarks"), str(root)]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        command = [sys.executable, "-P", str(FOLDER / Path(__file__).name), "--serve"]
        command.append(f"--threads={FLAGS.threads}")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen(
            command, **pipes, stderr=subprocess.DEVNULL, env=environment, cwd=root
        )
        self.lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line)
        self.lines.put("")

    def ask(self, **request):
        """The answer; raises `RuntimeError` for an error, a death, or after `--limit` seconds."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        try:
            line = self.lines.get(timeout=FLAGS.limit)
        except queue.Empty:
            raise RuntimeError(f"no answer within {FLAGS.limit:g} s") from None
        answer = json.loads(line or '{"error": "the process ended"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def stop(self):
        self.process.kill()
        self.process.wait(30)


def compare(name, old, new):
    """One row of the table."""
    for checkout in (old, new):
        checkout.ask(prepare=name)
    first = statistics.median(old.ask(calls=3)["seconds"])
    calls = max(1, min(50, round(1.0 / first)))
    rounds = 2 if FLAGS.quick else FLAGS.rounds
    medians = {old: [], new: []}
    for i in range(rounds):
        for checkout in (old, new) if i % 2 else (new, old):
            medians[checkout].append(statistics.median(checkout.ask(calls=calls)["seconds"]))
    ratios = sorted(b / a for a, b in zip(medians[old], medians[new], strict=True))
    quartiles = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
    return {
        "old_ms": round(1e3 * statistics.median(medians[old]), 2),
        "new_ms": round(1e3 * statistics.median(medians[new]), 2),
        "ratio": round(statistics.median(ratios), 3),
        "spread": round((quartiles[2] - quartiles[0]) / 2, 3),
        "turns": rounds,
    }


def main(argv):
    if FLAGS.serve:
        return serve()
    if len(argv) < 2 or not Path(argv[1], "keras_video").is_dir():
        raise app.UsageError("expected the folder of another checkout.")
    roots = Path(argv[1]).resolve(), Path(argv[2] if len(argv) > 2 else FOLDER.parent).resolve()
    names = [n for n in WORKLOADS if not FLAGS.only or any(word in n for word in FLAGS.only)]
    rows = []
    for backend in FLAGS.backends or ("tensorflow", "jax", "torch"):
        old, new = (Checkout(root, backend) for root in roots)
        try:
            for name in names:
                row = {"workload": name, "backend": backend}
                try:
                    row |= compare(name, old, new)
                except RuntimeError as error:
                    row["error"] = str(error)
                rows.append(row)
                print("  ", row, flush=True)
        finally:
            old.stop()
            new.stop()
    columns = ("workload", "backend", "old_ms", "new_ms", "ratio", "spread", "turns", "error")
    harness.print_table(rows, columns)
    return None


if __name__ == "__main__":
    app.run(main)
