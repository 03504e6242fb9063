"""Peak memory of a process that classifies one clip or a stream, by number of frames.

Every number is the peak resident memory (VmHWM) of a new process, including Python, Keras and the
backend; `before_mb` is its memory before the first frame. The memory of a clip grows with its
frames, that of a stream must not.

    python benchmarks/memory.py
"""

import resource
import sys
from pathlib import Path

import harness
import networks
import numpy as np
from absl import app, flags
from harness import Contender

FLAGS = flags.FLAGS
flags.DEFINE_list("clip_frames", ["16", "32", "64"], "Lengths of the clips.")
flags.DEFINE_list("stream_frames", ["50", "1000"], "Lengths of the streams, the shortest first.")
FLAT = 1.05


def clip(model, batch, frames, size):
    """Peak of `predict_on_batch` on one clip, three times."""
    network = networks.keras_model(model)
    video = networks.clip(batch, frames, size)
    before = resident_mb()
    for _ in range(3):
        logits = network.predict_on_batch(video)
    return _report(before, logits)


def plain(model, batch, frames, size):
    """The same of the plain PyTorch network."""
    import plain_torch
    import torch

    config = networks.config(model)
    network = plain_torch.PlainMoViNet(config).eval()
    plain_torch.load_named(network, networks.random_weights(config))
    video = plain_torch.channels_first(networks.clip(batch, frames, size))
    before = resident_mb()
    for _ in range(3):
        with torch.inference_mode():
            logits = network(video)
    return _report(before, logits)


def stream(model, batch, frames, size):
    """Peak of `Stream.step`, one random frame after the other."""
    import keras_video

    video = keras_video.Stream(networks.keras_model(model, streaming=True), batch)
    random = np.random.default_rng(0)
    before = resident_mb()
    for _ in range(frames):
        logits = video.step(random.random((batch, 1, size, size, 3), dtype="float32"))
    return _report(before, logits) | {"state_mb": round(video.state_bytes / 1e6, 2)}


def _report(before, logits):
    (logits,) = harness.to_arrays(logits)
    if not np.isfinite(logits).all():
        raise ValueError("the logits are not finite")
    return {"before_mb": round(before, 1), "peak_mb": round(peak_mb(), 1)}


def resident_mb():
    return _status("VmRSS") or peak_mb()


def peak_mb():
    """Largest resident size so far. `getrusage` is only the way out: it survives an exec."""
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def _status(key):
    """A size from /proc in MB, `None` where there is no such file."""
    path = Path("/proc/self/status")
    if not path.exists():
        return None
    lines = dict(line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return int(lines[key].split()[0]) * 1024 / 1e6


def contenders():
    backends = ("tensorflow", "jax", "torch")
    return [
        *(Contender(f"{b}, clip", b, clip) for b in backends),
        Contender("plain torch, clip", "torch", plain),
        *(Contender(f"{b}, stream", b, stream) for b in backends),
    ]


def main(argv):
    del argv
    clips, streams = FLAGS.clip_frames, FLAGS.stream_frames
    size = networks.SIZES["movinet_a0"]
    if FLAGS.quick:
        size, clips, streams = 64, ("4", "8"), ("5", "20")
    context = harness.describe_machine()
    rows, growing = [], []
    for contender in filter(harness.wanted, contenders()):
        streaming = contender.prepare is stream
        first = None
        for frames in map(int, streams if streaming else clips):
            case = {"model": "movinet_a0", "batch": 1, "frames": frames, "size": size}
            row = {"benchmark": "memory", "contender": contender.name}
            row |= {"backend": contender.backend} | case
            row |= harness.call(contender, case)
            if "peak_mb" in row:
                first = first or row["peak_mb"]
                row["ratio"] = round(row["peak_mb"] / first, 3)
                if streaming and row["ratio"] > FLAT:
                    growing.append(row)
            row.setdefault("state_mb", "")
            row.setdefault("error", "")
            rows.append(row | context)
            harness.write("memory", rows)
            print(f"  {contender.name}, {frames} frames: {row.get('peak_mb', 'failed')} MB")
    print(f"\nA0, {size} x {size}")
    columns = ("contender", "frames", "before_mb", "peak_mb", "ratio", "state_mb", "error")
    harness.print_table(rows, columns)
    print("  ratio: to the fewest frames")
    for row in growing:
        print(f"  {row['contender']} grows: {100 * row['ratio'] - 100:.1f} % more, allowed 5 %")
    return 1 if growing else 0


if __name__ == "__main__":
    app.run(main)
