"""Logits of one clip by X3D, compared with the same network in plain torch.

python benchmarks/x3d.py                        # X3D-S 13 x 182, X3D-M 16 x 256
python benchmarks/x3d.py --models=xs,s,m,l
"""

import clip_inference
import harness
import networks
from absl import app, flags
from harness import Contender

FLAGS = flags.FLAGS
FLAGS.set_default("models", ["s", "m"])
REFERENCE = "plain torch"


def plain(model, batch, frames, size, channels_last=False):
    """The plain PyTorch network; `channels_last` is the layout that torch's kernels prefer."""
    import plain_x3d
    import torch

    from keras_video.applications.x3d.checkpoints import published_names

    config = networks.config(model)
    network = plain_x3d.PlainX3D(config.width, config.depth).eval()
    names = published_names(config)
    plain_x3d.load_named(network, networks.random_weights(config, 400), names)
    clip = torch.from_numpy(networks.clip(batch, frames, size)).permute(0, 4, 1, 2, 3)
    clip = clip if channels_last else clip.contiguous()
    if channels_last:
        network = network.to(memory_format=torch.channels_last_3d)
    if torch.cuda.is_available():
        network, clip = network.cuda(), clip.cuda()

    def run():
        with torch.inference_mode():
            return network(clip)

    return run


def contenders():
    folded, ours = {"folded": True}, clip_inference.compiled
    return [
        Contender(REFERENCE, "torch", plain),
        Contender("plain torch, channels last", "torch", plain, {"channels_last": True}),
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
    cases = {}
    for short in FLAGS.models:
        model = f"x3d_{short}"
        config = networks.config(model)
        frames, size = config.frames, 64 if FLAGS.quick else config.resize_side
        title = f"X3D-{short.upper()}, {FLAGS.batch} x {frames} x {size} x {size}"
        cases[title] = {"model": model, "batch": FLAGS.batch, "frames": frames, "size": size}
    rows = harness.compare("x3d", contenders(), cases, REFERENCE)
    for title in cases:
        timed = [row for row in rows if row["case"] == title and "median_ms" in row]
        ours = [row for row in timed if row["backend"] in ("tensorflow", "jax")]
        if ours:
            best = min(ours, key=lambda row: row["median_ms"])
            print(
                f"{title}: {best['median_ms']} ms ({best['contender']}), {best['ratio']} of plain"
            )


if __name__ == "__main__":
    app.run(main)
