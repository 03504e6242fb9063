"""Accuracy on moving digits without temporal aggregation, with fixed shifts (TSM), and with TAM.

A narrow bLVNet-TAM and a narrow ResNet on each frame (TSN) are trained in the same way. The motions
are pairs of exact time reversals, so only the order of the frames tells them apart: a network that
ignores the order is right in half of the cases within a pair. Table 5 of the paper makes the same
comparison on Something-Something.

    python benchmarks/blvnet_tam_digits.py
"""

import time

import harness
import numpy as np
import resnet_tsn
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_integer("epochs", 8, "Epochs of 1,600 clips.")
flags.DEFINE_integer("width", 16, "Channels of the first convolution; 64 in the paper.")
flags.DEFINE_integer("frames", 8, "Frames of a clip.")
flags.DEFINE_integer("test_clips", 800, "Clips of the test.")
flags.DEFINE_integer("seeds", 1, "Runs of each network.")
flags.DEFINE_list("networks", ["tsn", "none", "shift", "tam"], "Which to train.")
SIZE, CLASSES, BATCH, RATE = 48, 16, 16, 2e-3
TITLES = {
    "tsn": "ResNet-50 on each frame",
    "none": "bLVNet without aggregation",
    "shift": "bLVNet with TSM",
    "tam": "bLVNet with TAM",
}


def build(name):
    """A narrow network for pixels in 0..255."""
    from keras_video.applications import BLVNetTAM50

    shape = (FLAGS.frames, SIZE, SIZE, 3)
    if name == "tsn":
        return resnet_tsn.build(
            shape, include_preprocessing=True, classes=CLASSES, width=FLAGS.width
        )
    options = {"classes": CLASSES, "width": FLAGS.width, "dropout": 0.0}
    return BLVNetTAM50(input_shape=shape, temporal=name, **options)


def train(name, seed, clips, epochs):
    """Trains one network; returns it and the seconds that took."""
    import keras

    from keras_video.datasets.moving_digits import MovingDigits

    keras.utils.set_random_seed(seed)
    network = build(name)
    data = MovingDigits("train", clips, BATCH, FLAGS.frames, (SIZE, SIZE), seed)
    steps = epochs * len(data)
    schedule = keras.optimizers.schedules.CosineDecay(
        RATE / 10, steps, warmup_target=RATE, warmup_steps=steps // 10
    )
    network.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    start = time.monotonic()
    network.fit(data, epochs=epochs, verbose=2)
    return network, time.monotonic() - start


def test(network, count):
    """Top-1, the share of clips that are in the right pair, and that are right within the pair."""
    from keras_video.datasets.moving_digits import MovingDigits

    data = MovingDigits("test", count, 50, FLAGS.frames, (SIZE, SIZE))
    hits = {"top1": [], "pair": [], "within_pair": []}
    for i in range(len(data)):
        clips, labels = data[i]
        scores = np.asarray(network.predict_on_batch(clips))
        answers, rows = scores.argmax(-1), np.arange(len(labels))
        hits["top1"].append(answers == labels)
        hits["pair"].append(answers // 2 == labels // 2)
        hits["within_pair"].append(scores[rows, labels] > scores[rows, labels ^ 1])
    return {name: round(100 * float(np.concatenate(h).mean()), 2) for name, h in hits.items()}


def main(argv):
    del argv
    harness.limit_threads(_backend(), FLAGS.threads)
    context = harness.describe_machine()
    clips, epochs, count = (32, 1, 32) if FLAGS.quick else (1600, FLAGS.epochs, FLAGS.test_clips)
    rows = []
    for name in FLAGS.networks:
        for seed in range(1, FLAGS.seeds + 1):
            network, seconds = train(name, seed, clips, epochs)
            row = {"benchmark": "blvnet_tam_digits", "network": TITLES[name], "seed": seed}
            row |= {"backend": _backend(), "width": FLAGS.width, "frames": FLAGS.frames}
            row |= {"size": SIZE, "epochs": epochs, "parameters": network.count_params()}
            row |= test(network, count) | {"test_clips": count, "seconds": round(seconds)}
            rows.append(row | context)
            harness.write("blvnet_tam_digits", rows)
    columns = ("network", "seed", "parameters", "top1", "pair", "within_pair", "seconds")
    harness.print_table(rows, columns)
    print("  in %: right; in the right pair; right within the pair, where chance is 50")


def _backend():
    import keras

    return keras.backend.backend()


if __name__ == "__main__":
    app.run(main)
