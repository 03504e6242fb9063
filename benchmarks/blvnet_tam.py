"""bLVNet-TAM-50 compared with plain torch: speed, memory, and a training step against ResNet-50.

    python benchmarks/blvnet_tam.py                    # logits of a clip of 8x2 frames, 224 pixels
    python benchmarks/blvnet_tam.py --part=memory      # peak memory, each in a new process
    python benchmarks/blvnet_tam.py --part=training    # one step, against ResNet-50 on each frame

The plain torch model is the direct form of the published code, which keeps both frames of a pair
after every stage. Our model keeps one feature map for the pair, and folds batch norm. The plain
ResNet-50 (TSN) consists of our own layers. It uses the same number of frames, or half of them.
"""

import time

import clip_inference
import harness
import memory
import networks
import numpy as np
import resnet_tsn
from absl import app, flags
from harness import Contender

FLAGS = flags.FLAGS
flags.DEFINE_enum("part", "speed", ["speed", "memory", "training"], "What to measure.")
MODEL = "blvnet_tam_50"
REFERENCE = "plain torch"
STEPS = 3


def plain(model, batch, frames, size, channels_last=False):
    """The direct form in PyTorch, in inference mode."""
    import plain_blvnet_tam
    import torch

    config = networks.config(model).with_options(num_frames=frames)
    network = plain_blvnet_tam.PlainBLVNetTAM(config, networks.classes(model)).eval()
    weights = networks.random_weights(config, networks.classes(model))
    plain_blvnet_tam.load_named(network, config, weights)
    clip = plain_blvnet_tam.channels_first(networks.clip(batch, frames, size))
    if channels_last:
        network.to(memory_format=torch.channels_last)

    def run():
        with torch.inference_mode():
            return network(clip)

    return run


def speed_contenders():
    predict, compiled = clip_inference.predict, clip_inference.compiled
    folded = {"folded": True}
    return [
        Contender(REFERENCE, "torch", plain),
        Contender("plain torch, channels last", "torch", plain, {"channels_last": True}),
        Contender("tensorflow, predict_on_batch", "tensorflow", predict),
        Contender("tensorflow, tf.function", "tensorflow", compiled),
        Contender("tensorflow, tf.function, folded", "tensorflow", compiled, folded),
        Contender("jax, jit", "jax", compiled),
        Contender("jax, jit, folded", "jax", compiled, folded),
        Contender("torch, inference_mode", "torch", compiled),
        Contender("torch, inference_mode, folded", "torch", compiled, folded),
    ]


def peak(model, batch, frames, size, prepare, **options):
    """Largest resident memory of a process that computes a clip three times."""
    run = prepare(model, batch, frames, size, **options)
    before = memory.resident_mb()
    for _ in range(3):
        logits = run()
    return memory._report(before, logits)


def memory_contenders():
    compiled = clip_inference.compiled
    ours = [(f"{b}, ours", b, compiled) for b in ("tensorflow", "jax", "torch")]
    return [
        Contender(name, backend, peak, {"prepare": prepare})
        for name, backend, prepare in ((REFERENCE, "torch", plain), *ours)
    ]


def train(model, batch, frames, size):
    """Peak memory of three training steps, and the time of the faster ones."""
    import keras

    clips, labels = networks.clip(batch, frames, size), np.arange(batch)
    if model == "resnet_tsn_50":
        network = resnet_tsn.build((frames, size, size, 3))
    else:
        network = networks.keras_model(model, input_shape=(frames, size, size, 3))
    network.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before, times = memory.resident_mb(), []
    for _ in range(STEPS):
        start = time.perf_counter()
        loss = float(network.train_on_batch(clips, labels))
        times.append(time.perf_counter() - start)
        if not np.isfinite(loss):
            raise ValueError(f"the loss is {loss}")
    return {
        "before_mb": round(before, 1),
        "peak_mb": round(memory.peak_mb(), 1),
        "step_mb": round(memory.peak_mb() - before, 1),
        "clips_per_second": round(batch / min(times[1:]), 3),
    }


def giga_macs(model, frames, size):
    if model == "resnet_tsn_50":
        return resnet_tsn.macs((frames, size, size, 3)) / 1e9
    from keras_video.utils import macs

    return macs(networks.config(model), (frames, size, size, 3), networks.classes(model)) / 1e9


def measure_fresh(name, cases, context):
    """One row for each contender and case, every one in a process of its own."""
    rows = []
    for contender, case, labels in cases:
        if not harness.wanted(contender):
            continue
        row = {"benchmark": name, "contender": contender.name, "backend": contender.backend}
        row |= labels | case | harness.call(contender, case)
        row.setdefault("error", "")
        rows.append(row | context)
        harness.write(name, rows)
        print(f"  {contender.name}, {case['frames']} frames: {row.get('peak_mb', row['error'])}")
    return rows


def measure_training(context, size, frames):
    cases = []
    for backend in ("tensorflow", "torch", "jax"):
        for model, count in (
            (MODEL, frames),
            ("resnet_tsn_50", frames),
            ("resnet_tsn_50", frames // 2),
        ):
            case = {"model": model, "batch": FLAGS.batch, "frames": count, "size": size}
            labels = {"gmacs": round(giga_macs(model, count, size), 2)}
            cases.append((Contender(f"{backend}, {model}", backend, train), case, labels))
    rows = measure_fresh("blvnet_tam_training", cases, context)
    columns = ("contender", "frames", "gmacs", "before_mb", "peak_mb", "step_mb")
    harness.print_table(rows, (*columns, "clips_per_second", "error"))
    print("  step_mb: what training adds to the process that holds the network")


def main(argv):
    del argv
    size, frames = (64, 4) if FLAGS.quick else (224, FLAGS.frames)
    case = {"model": MODEL, "batch": FLAGS.batch, "frames": frames, "size": size}
    title = f"bLVNet-TAM-50, {FLAGS.batch} x {frames} x {size} x {size}"
    if FLAGS.part == "speed":
        harness.compare("blvnet_tam", speed_contenders(), {title: case}, REFERENCE)
    elif FLAGS.part == "memory":
        cases = [(contender, case, {}) for contender in memory_contenders()]
        rows = measure_fresh("blvnet_tam_memory", cases, harness.describe_machine())
        harness.print_table(rows, ("contender", "frames", "before_mb", "peak_mb", "error"))
    else:
        measure_training(harness.describe_machine(), size, frames)


if __name__ == "__main__":
    app.run(main)
