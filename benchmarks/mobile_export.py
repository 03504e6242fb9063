"""Exports all models: streams of MoViNet at their published sizes, clips, Tiny Video Networks.

Each model is exported with random weights as a float32 file, which is compared with Keras over 30
frames, inspected and timed. The exit code is 1 if one fails.

    python benchmarks/mobile_export.py                         # some minutes
    python benchmarks/mobile_export.py --only=a0,a1
"""

import os
import sys
import tempfile
from pathlib import Path

import harness
import networks
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_list("only", [], "Short names: t0, a0 to a5, tvn1 to tvn4. Default: all.")
STREAMS = ("t0", "a0", "a1", "a2", "a3", "a4", "a5")
TINY = ("1", "2", "3", "4", "mobile_1", "mobile_2")
FRAMES = 30
TOLERANCE = 1e-4


def check(name, folder, streaming):
    """Exports a network; returns a row of the table."""
    from keras_video.mobile import LiteRTModel, export_litert
    from keras_video.mobile.bench import bench
    from keras_video.mobile.comparison import compare, noise

    frames, *size = networks.config(name).clip[:3]
    if FLAGS.quick:
        frames, size = min(frames, 4), (64, 64)
    options = {"streaming": True} if streaming else {}
    shape = (None if streaming else min(frames, 16), *size, 3)
    model = networks.keras_model(name, input_shape=shape, **options)
    path = os.path.join(folder, f"{name}.tflite")
    export_litert(model, path)
    lite = LiteRTModel(path)
    count = (4 if FLAGS.quick else FRAMES) if streaming else shape[0]
    result = compare(model, lite, noise(lite, count))
    cost = bench(path, FLAGS.threads, 5 if FLAGS.quick else 50)
    os.remove(path)
    return {
        "network": name + ("_stream" if streaming else ""),
        "frames": result.predictions if streaming else shape[0],
        "size": size[0],
        "difference": f"{result.difference:.1e}",
        "megabytes": round(cost.inspection.bytes / 1e6, 2),
        "rank": cost.inspection.rank,
        "operations": len(cost.inspection.operations),
        "partitions": cost.delegated,
        "median_ms": round(cost.median, 2),
        "error": "" if result.difference <= TOLERANCE else f"above {TOLERANCE:g}",
    }


def main(argv):
    del argv
    os.environ.update(harness.environment("litert", FLAGS.threads))
    harness.limit_threads("litert", FLAGS.threads)
    wanted = [(f"movinet_{short}", short, True) for short in STREAMS]
    wanted += [(f"movinet_{short}", short, False) for short in ("a0", "a1", "a2")]
    wanted += [(f"tiny_video_net_{short}", f"tvn{short}", False) for short in TINY]
    context, rows = harness.describe_machine(), []
    with tempfile.TemporaryDirectory() as folder:
        for name, short, streaming in wanted:
            if FLAGS.only and short not in FLAGS.only:
                continue
            try:
                row = check(name, folder, streaming)
            except (RuntimeError, ValueError) as error:
                row = {"network": name, "error": str(error)[:200]}
            print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            rows.append({**row, **context})
            if not FLAGS.only:
                harness.write(Path(__file__).stem, rows)
    columns = [key for key in rows[0] if key not in context]
    harness.print_table(rows, columns)
    return int(any(row["error"] for row in rows))


if __name__ == "__main__":
    app.run(lambda argv: sys.exit(main(argv)))
