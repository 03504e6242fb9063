"""Size, time and memory of LiteRT files: A0, A1, A2 as streams and clips, in several precisions.

The weights are random, because the cost does not depend on them. int8 is calibrated on noise. Every
file is measured in its own process. A quantization-aware model has the same file as a calibrated
one, with other numbers, and the same cost. `examples/quantize_for_mobile.py` measures the loss of
accuracy on moving digits.

    python benchmarks/mobile.py                                # half an hour
    python benchmarks/mobile.py --networks=a0 --forms=float32,int8
"""

import os
import tempfile

import harness
import networks
import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_list("networks", ["a0", "a1", "a2"], "Short names.")
flags.DEFINE_list("forms", ["float32", "float16", "dynamic", "int8"], "Forms of the file.")
flags.DEFINE_list("kinds", ["stream", "clip"], "Streams take a frame, clips 16 frames.")
CLIP, CALIBRATION = 16, 8
GATE = 0.3  # of residual branches, which begin at zero


def keras_model(short, kind, size, frames):
    """A network with random weights in which every layer counts."""
    streaming = {"streaming": True} if kind == "stream" else {}
    shape = (None if streaming else frames, size, size, 3)
    model = networks.keras_model(f"movinet_{short}", input_shape=shape, **streaming)
    for variable in model.weights:
        if variable.path.endswith("_rezero/scale"):
            variable.assign(GATE)
    return model


def measure(path, threads, calls):
    """For a process of its own: what a file costs."""
    from keras_video.mobile.bench import bench

    found = bench(path, threads, calls)
    return {
        "megabytes": round(found.inspection.bytes / 1e6, 2),
        "threads": threads,
        "median_ms": round(found.median, 3),
        "p95_ms": round(found.p95, 3),
        "memory_mb": round(found.memory, 1),
        "state_mb": round(found.state, 2),
        "operations": len(found.inspection.operations),
        "float_operations": len(found.inspection.float_operations) if found.quantized else "",
        "partitions": found.delegated,
    }


def rows_of(short, kind, folder):
    """Writes the files of a network and measures them; one row per form and number of threads."""
    from keras_video.mobile import export_litert

    size = 64 if FLAGS.quick else networks.SIZES[f"movinet_{short}"]
    frames = 4 if FLAGS.quick else CLIP
    model = keras_model(short, kind, size, frames)
    length = CALIBRATION if kind == "stream" else frames
    noise = np.random.default_rng(0).random((2, length, size, size, 3), "float32")
    for form in FLAGS.forms:
        path = os.path.join(folder, f"{short}_{kind}_{form}.tflite")
        quantization = None if form == "float32" else form
        export_litert(model, path, quantization, noise if form == "int8" else None)
        for threads in (1, 2):
            worker = harness.Contender(form, "litert", measure)
            calls = 5 if FLAGS.quick else 200
            row = harness.call(worker, {"path": path, "threads": threads, "calls": calls})
            names = {"network": f"movinet_{short}", "kind": kind, "size": size, "form": form}
            yield {**names, **row}


def main(argv):
    del argv
    os.environ.update(harness.environment("litert", FLAGS.threads))
    context = harness.describe_machine()
    context.pop("threads")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for short in FLAGS.networks:
            for kind in FLAGS.kinds:
                rows += [{**row, **context} for row in rows_of(short, kind, folder)]
                harness.write("mobile", rows)
    columns = ("network", "kind", "form", "threads", "megabytes", "median_ms", "p95_ms")
    harness.print_table(rows, (*columns, "memory_mb", "float_operations", "partitions", "error"))


if __name__ == "__main__":
    app.run(main)
