"""The overhead of a search: time per trial without training, time to resume, disk space.

A trial returns its result at once. What remains is the work of the oracle: drawing networks of the
full space of Tiny Video Networks, computing their costs, rejecting some, writing files.

    python benchmarks/search_overhead.py                # 600 and 2,000 trials
    python benchmarks/search_overhead.py --quick
"""

import os
import random
import statistics
import tempfile
import time
from pathlib import Path

import harness
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_multi_integer("trials", [600, 2000], "Numbers of trials at which to look.")
flags.DEFINE_float("macs", 2e9, "Limit of multiply-adds; 0 for none.")
flags.DEFINE_float("params", 2e7, "Limit of parameters; 0 for none.")
WINDOW = 100  # trials whose cost is taken together


def make(folder, trials):
    """A search whose trials answer at once; it notes the times at which they do."""
    from keras_video.tuner import Evolution, MaxMacs, MaxParams, TVNSpace

    class Instant(Evolution):
        def run_trial(self, trial, **_):
            self.times.append(time.perf_counter())
            return random.Random(trial.trial_id).random()

    limits = [MaxMacs(FLAGS.macs)] if FLAGS.macs else []
    limits += [MaxParams(FLAGS.params)] if FLAGS.params else []
    tuner = Instant(
        TVNSpace(600), max_trials=trials, constraints=limits, seed=0, directory=folder,
        project_name="search",
    )  # fmt: skip
    tuner.times = []
    return tuner


def main(_):
    # Nothing is computed here, and importing this one takes the least.
    os.environ["KERAS_BACKEND"] = "numpy"
    context = harness.describe_machine()
    counts = [30, 60] if FLAGS.quick else sorted(FLAGS.trials)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for trials in counts:
            began = time.perf_counter()
            tuner = make(folder, trials)
            loaded, seconds = len(tuner.oracle.trials), time.perf_counter() - began
            tuner.search(verbose=0)
            times = tuner.times[-WINDOW:]
            steps = [1e3 * (b - a) for a, b in zip(times, times[1:], strict=False)]
            began = time.perf_counter()
            make(folder, trials)
            files = [p for p in Path(folder).rglob("*.json")]
            rows.append(
                {
                    "benchmark": "search_overhead",
                    "trials": trials,
                    "median_ms": round(statistics.median(steps), 2),
                    "mean_ms": round(statistics.mean(steps), 2),
                    "mean_of_all_ms": round(
                        1e3 * (tuner.times[-1] - tuner.times[0]) / (len(tuner.times) - 1), 2
                    ),
                    "reload_s": round(time.perf_counter() - began, 3),
                    "disk_mb": round(sum(p.stat().st_size for p in files) / 1e6, 2),
                    "rejected": sum(tuner.oracle.rejected.values()),
                    **context,
                }
            )
            print(f"{trials} trials, {loaded} of them taken up in {seconds:.2f} s", flush=True)
    columns = ("trials", "median_ms", "mean_ms", "mean_of_all_ms", "reload_s", "disk_mb")
    harness.print_table(rows, (*columns, "rejected"))
    harness.write("search_overhead", rows)


if __name__ == "__main__":
    app.run(main)
