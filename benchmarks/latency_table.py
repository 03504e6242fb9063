"""Measures how well the sum of layer times predicts the time of a whole network.

`LatencyTable` measures each distinct layer of a MoViNet space alone in LiteRT, and fits one factor
to a few whole networks. This benchmark measures other, uniformly drawn networks as a whole, and
compares their times with the predictions of the table. As a baseline, times are also predicted from
multiply-adds, with a factor fitted to the same few networks.

    python benchmarks/latency_table.py                # 584 layers; can be resumed
    python benchmarks/latency_table.py --quick        # test run

`latency_table.csv` has a row for each held-out network.
"""

import os
import statistics
import tempfile

import harness
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("work", "latency_table_work", "Folder of the measured times.")
flags.DEFINE_integer("fitted", 10, "Number of networks for the fit.", lower_bound=1)
flags.DEFINE_integer("held_out", 30, "Number of other networks.", lower_bound=3)
flags.DEFINE_integer("frames", 8, "Frames of a clip.", lower_bound=1)
flags.DEFINE_integer("size", 96, "Height and width.", lower_bound=32)
COLUMNS = (
    "network", "macs", "measured_ms", "table_ms", "table_error", "macs_ms", "macs_error",
)  # fmt: skip


def make_space():
    """Return the whole space of A0's size."""
    from keras_video.tuner import MoViNetSpace

    if FLAGS.quick:
        return MoViNetSpace(
            "A0", 16, clip=(2, 32, 32), layers=(1, 1, 1, 1, 1), kernels=("1x3x3", "3x3x3"),
            multipliers=(1.0,), expansions=(2.0,), hidden=64,
        )  # fmt: skip
    return MoViNetSpace("A0", 600, clip=(FLAGS.frames, FLAGS.size, FLAGS.size))


def spearman(first, second):
    """Return the rank correlation. Ties do not occur among measured times."""
    ranks = [[sorted(values).index(value) for value in values] for values in (first, second)]
    return statistics.correlation(*ranks)


def summary(rows):
    """Print median, mean and largest error and the rank correlation of both predictions."""
    measured = [row["measured_ms"] for row in rows]
    print(f"measured: {min(measured):.2f} to {max(measured):.2f} ms")
    for kind in ("table", "macs"):
        errors = [abs(row[f"{kind}_error"]) for row in rows]
        ranks = spearman(measured, [row[f"{kind}_ms"] for row in rows])
        middle, mean = statistics.median(errors), statistics.mean(errors)
        print(
            f"{kind}: error median {middle:.1%}, mean {mean:.1%}, largest {max(errors):.1%}; "
            f"rank correlation {ranks:.3f}"
        )


def main(argv):
    del argv
    os.environ.update(harness.environment("tensorflow", FLAGS.threads, FLAGS.device))
    from keras_video.tuner import LatencyTable
    from keras_video.tuner.latency.table import drawn

    folder = tempfile.mkdtemp() if FLAGS.quick else FLAGS.work
    os.makedirs(folder, exist_ok=True)
    fitted, held_out = (2, 3) if FLAGS.quick else (FLAGS.fitted, FLAGS.held_out)
    space = make_space()
    table = LatencyTable(os.path.join(folder, "latency.json"))
    table.measure(space, progress=lambda done, of: print(f"\r{done} of {of} layers", end=""))
    table.fit(space, networks=fitted, seed=0)
    macs = space.cost_table("macs")
    per_mac = statistics.median(
        table.time(space, values) / macs.of(values) for values in drawn(space, fitted, seed=0)
    )
    rows = []
    for row in table.errors(space, networks=held_out, seed=1):
        cost = macs.of(row["values"])
        rows.append({
            "network": len(rows), "macs": int(cost), "measured_ms": round(row["measured_ms"], 3),
            "table_ms": round(row["table_ms"], 3), "table_error": round(row["error"], 4),
            "macs_ms": round(per_mac * cost, 3),
            "macs_error": round(per_mac * cost / row["measured_ms"] - 1, 4),
        })  # fmt: skip
    print()
    harness.print_table(rows, COLUMNS)
    print(f"whole networks take {table.factor:.3f} of the sum of their layers")
    summary(rows)
    clip = f"{space.frames}x{space.height}x{space.width}"
    case = {"clip": clip, "factor": round(table.factor, 4), **harness.describe_machine()}
    harness.write("latency_table", [row | case for row in rows])


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app.run(main)
