"""Logits of one clip by Tiny Video Networks, compared with plain TensorFlow and LiteRT.

python benchmarks/tiny_video_net.py                        # TVN-1 to 4 and the mobile ones
python benchmarks/tiny_video_net.py --models=1,mobile_1
"""

import tempfile

import clip_inference
import harness
import litert_reference
import networks
import plain_tiny_video_net
from absl import app, flags
from harness import Contender

FLAGS = flags.FLAGS
FLAGS.set_default("models", ["1", "2", "3", "4", "mobile_1", "mobile_2"])
REFERENCE = "plain tensorflow, frozen"
# Medians of the published graphs, frozen, in ms: one clip, two quiet cores, TensorFlow 2.15.
PUBLISHED = {
    "1": 46.6,
    "2": 278.0,
    "3": 393.0,
    "4": 210.0,
    "mobile_1": 52.0,
    "mobile_2": 50.8,
}


def contenders(folder):
    folded, lite = {"folded": True}, litert_reference.run_clip
    ours = clip_inference.compiled
    return [
        Contender(REFERENCE, "tensorflow", plain_tiny_video_net.run),
        Contender("LiteRT, 2 threads", "litert", lite, {"folder": folder, "threads": 2}),
        Contender("tensorflow, predict_on_batch", "tensorflow", clip_inference.predict),
        Contender("tensorflow, tf.function", "tensorflow", ours),
        Contender("tensorflow, tf.function, folded", "tensorflow", ours, folded),
        Contender("jax, predict_on_batch", "jax", clip_inference.predict),
        Contender("jax, jit", "jax", ours),
        Contender("jax, jit, folded", "jax", ours, folded),
        Contender("torch, inference_mode, folded", "torch", ours, folded),
    ]


def main(argv):
    del argv
    cases, published = {}, {}
    for short in FLAGS.models:
        model = f"tiny_video_net_{short}"
        frames, size, *_ = networks.config(model).clip
        size = 64 if FLAGS.quick else size
        title = f"TVN-{short}, {FLAGS.batch} x {frames} x {size} x {size}"
        cases[title] = {"model": model, "batch": FLAGS.batch, "frames": frames, "size": size}
        if FLAGS.batch == 1 and not FLAGS.quick:
            published[title] = PUBLISHED.get(short, "")
    with tempfile.TemporaryDirectory() as folder:
        rows = harness.compare("tiny_video_net", contenders(folder), cases, REFERENCE)
    for row in rows:
        row["published_ms"] = published.get(row["case"], "")
    harness.write("tiny_video_net", rows)
    for title, figure in published.items():
        ours = [row for row in rows if row["case"] == title and "median_ms" in row]
        ours = [row for row in ours if row["backend"] in ("tensorflow", "jax")]
        ours = [row for row in ours if row["contender"] != REFERENCE]
        if ours:
            best = min(ours, key=lambda row: row["median_ms"])
            print(f"{title}: {best['median_ms']} ms ({best['contender']}), published {figure} ms")


if __name__ == "__main__":
    app.run(main)
