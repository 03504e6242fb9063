"""Searches a MoViNet for moving digits with TuNAS.

    python examples/search_movinet.py                     # about half an hour on two cores
    python examples/search_movinet.py --quick             # test run of a minute or two
    python examples/search_movinet.py --macs_per_frame=1e6 --epochs=40

One super-network contains all networks of the space. Each training step draws one of them from a
policy. The network learns from training clips; the policy learns from the network's accuracy on
validation clips and from its multiply-adds. A search that was interrupted continues when the same
command is run again. The output folder gets plots of the search (history.png) and of the network
compared with MoViNet-A0 (network.png), and the network trained from scratch (model.keras).
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
from absl import app, flags  # noqa: E402

from keras_video.cli import searches  # noqa: E402
from keras_video.datasets import moving_digits  # noqa: E402

FLAGS = flags.FLAGS
flags.DEFINE_float("macs_per_frame", 2e6, "Target, multiply-adds per frame.")
flags.DEFINE_integer("epochs", 20, "Epochs of the search.")
flags.DEFINE_integer("final_epochs", 20, "Epochs of the final training from scratch.")
flags.DEFINE_integer("seed", 1, "Seed of the search.")
flags.DEFINE_boolean("causal", False, "Search networks that can stream.")
flags.DEFINE_string("output", "search_movinet", "Folder for the search and its results.")
flags.DEFINE_boolean("quick", False, "Test run with a few clips and epochs.")

FRAMES, SIZE, BATCH = 8, 40, 16
TRAIN, VALIDATION, TEST = 2000, 960, 960


def main(argv):
    del argv
    train, validation, test = (48, 32, 32) if FLAGS.quick else (TRAIN, VALIDATION, TEST)
    epochs, final_epochs = (1, 1) if FLAGS.quick else (FLAGS.epochs, FLAGS.final_epochs)
    os.makedirs(FLAGS.output, exist_ok=True)
    settings = {
        "classes": len(moving_digits.CLASS_NAMES), "frames": FRAMES, "size": SIZE,
        "mobile": FLAGS.causal, "macs_per_frame": FLAGS.macs_per_frame, "trials": epochs,
        "layers": 1 if FLAGS.quick else 4, "final_epochs": final_epochs, "batch_size": BATCH,
        "seed": FLAGS.seed,
    }  # fmt: skip
    searches.write_settings(FLAGS.output, settings)
    (x, y), unseen = moving_digits.load_data(train + validation, test, FRAMES, (SIZE, SIZE))
    searches.write_clips(
        FLAGS.output, train=(x[:train], y[:train]), validation=(x[train:], y[train:])
    )
    tuner = searches.search_movinet(FLAGS.output)
    rows = searches.measure_candidates(tuner)
    print(f"\ncandidates, with shared weights:\n{searches.format_candidates(rows)}\n")
    best = rows[0]["values"]
    searches.plot_movinet(FLAGS.output, best)
    keras.utils.set_random_seed(FLAGS.seed)
    model, _ = searches.retrain(FLAGS.output, searches.movinet_space(settings), best)
    found = model.evaluate(*unseen, batch_size=BATCH, return_dict=True, verbose=0)
    path = os.path.join(FLAGS.output, "model.keras")
    model.save(path)
    print(f"what was found, trained from scratch: {path}")
    print(f"on test clips: top-1 {found['top1']:.3f}, top-5 {found['top5']:.3f}")


if __name__ == "__main__":
    app.run(main)
