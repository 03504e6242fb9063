"""Two streaming networks at half the frame rate against each of them alone.

Both are MoViNet-A0 streams trained on moving digits, with different seeds, on clips of 8 frames.
The test clips have 16 frames: each member sees every second one, offset by one frame.

    python benchmarks/temporal_ensemble.py --train=FOLDER    # once, 20 minutes for each member
    python benchmarks/temporal_ensemble.py --weights=FOLDER
"""

import os
import sys
from pathlib import Path

import harness
import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_string("train", "", "Train two members and leave their weights in this folder.")
flags.DEFINE_string("weights", "", "Folder with the members' weights.")
flags.DEFINE_integer("epochs", 4, "Epochs of 1,600 clips for each member.")
flags.DEFINE_integer("clips", 1600, "Test clips.")
FRAMES, SIZE, SEEDS = 8, (48, 48), (11, 12)


def train(seed, path):
    """One member, trained from scratch."""
    import keras

    from keras_video.applications import MoViNetA0
    from keras_video.datasets.moving_digits import CLASS_NAMES, MovingDigits
    from keras_video.training import finetune

    keras.utils.set_random_seed(seed)
    model = MoViNetA0(
        classes=len(CLASS_NAMES), causal=True, input_shape=(FRAMES, *SIZE, 3), stochastic_depth=0.0
    )
    for variable in model.trainable_variables:
        if variable.path.endswith("_rezero/scale"):
            variable.assign(0.3)
    data = MovingDigits("train", 1600, num_frames=FRAMES, size=SIZE, seed=seed)
    finetune(model, data, epochs=FLAGS.epochs, learning_rate=2e-3, warmup=0.1, verbose=2)
    model.save_weights(path)


def evaluate(folder):
    """Top-1 of the members on their frames, and of the ensemble, streamed."""
    from keras_video.applications import MoViNetA0
    from keras_video.datasets.moving_digits import MovingDigits
    from keras_video.models import EnsembleStream, Stream, TemporalEnsemble

    members = [
        MoViNetA0(
            weights=os.path.join(folder, f"member_{seed}.weights.h5"), streaming=True, classes=16
        )
        for seed in SEEDS
    ]
    batch_size = 40
    ensemble = EnsembleStream(TemporalEnsemble(members), batch_size)
    alone = [Stream(member, batch_size) for member in members]
    test = MovingDigits("test", FLAGS.clips, batch_size, 2 * FRAMES, SIZE)
    hits = {"member 0": [], "member 1": [], "ensemble": []}
    for i in range(len(test)):
        clips, labels = test[i]
        for k, stream in enumerate(alone):
            stream.reset()
            answers = np.asarray(stream.step(clips[:, k::2]))
            hits[f"member {k}"].append(answers.argmax(-1) == labels)
        ensemble.reset()
        for t in range(2 * FRAMES):
            answers = ensemble.step(clips[:, t : t + 1])
        hits["ensemble"].append(np.asarray(answers).argmax(-1) == labels)
    return {name: round(100 * float(np.concatenate(h).mean()), 2) for name, h in hits.items()}


def main(argv):
    del argv
    if FLAGS.train:
        Path(FLAGS.train).mkdir(parents=True, exist_ok=True)
        for seed in SEEDS:
            path = os.path.join(FLAGS.train, f"member_{seed}.weights.h5")
            if not os.path.exists(path):
                train(seed, path)
        return 0
    if not FLAGS.weights:
        print("expected --train=FOLDER or --weights=FOLDER", file=sys.stderr)
        return 2
    context = harness.describe_machine()
    rows = [
        {
            "benchmark": "temporal_ensemble",
            "network": name,
            "test_top1": top1,
            "test_clips": FLAGS.clips,
        }
        | context
        for name, top1 in evaluate(FLAGS.weights).items()
    ]
    harness.write("temporal_ensemble", rows)
    harness.print_table(rows, ("network", "test_top1", "test_clips"))
    return 0


if __name__ == "__main__":
    app.run(main)
