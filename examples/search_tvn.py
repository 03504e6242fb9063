"""Search for a Tiny Video Network that classifies moving digits within half a millisecond.

    python examples/search_tvn.py                     # about half an hour on two cores
    python examples/search_tvn.py --quick             # about a minute, to see whether it runs
    python examples/search_tvn.py --max_latency_ms=2 --trials=60 --seed=2

To resume an interrupted search, run the same command again. The folder OUTPUT gets the results: the
table of all networks (results.csv), plots (Pareto front, ancestors of the best network, its
architecture), and the best network, trained from scratch on twice as many clips (model.keras).
Fitness is measured on validation clips. The best network is evaluated on test clips, whose digits
no network has seen.

The clips are made once, as arrays that all processes map into memory. Each network uses frames of
its own number and size. With several workers, this script starts itself again on this machine, as a
chief and its workers. On several machines, start them by hand:

    export KERASTUNER_ORACLE_IP=10.0.0.1 KERASTUNER_ORACLE_PORT=8000   # of the chief
    KERASTUNER_TUNER_ID=chief    python examples/search_tvn.py --output=/shared/run
    KERASTUNER_TUNER_ID=worker_0 python examples/search_tvn.py --output=/shared/run  # and so on
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402

from keras_video import tuner as kv_tuner  # noqa: E402
from keras_video.datasets import moving_digits  # noqa: E402
from keras_video.files import replacing, write_text  # noqa: E402
from keras_video.plotting.architectures import plot_architecture  # noqa: E402
from keras_video.plotting.search import plot_family, plot_pareto  # noqa: E402
from keras_video.tuner.search.results import family_tree, pareto_front, results_table  # noqa: E402
from keras_video.tuner.search.workers import run_team  # noqa: E402
from keras_video.tuner.spaces.base import cut  # noqa: E402

FLAGS = flags.FLAGS
flags.DEFINE_float("max_latency_ms", 0.5, "Limit for one clip on one CPU core.")
flags.DEFINE_integer("trials", 100, "Networks to train.")
flags.DEFINE_integer("population", 30, "Random networks at the start.")
flags.DEFINE_integer("tournament", 8, "Networks of which the best becomes a parent.")
flags.DEFINE_integer("epochs", 8, "Epochs of each trial.")
flags.DEFINE_integer("final_epochs", 30, "Epochs of the best network.")
flags.DEFINE_integer("workers", 2, "Processes that train; 1: only this process.")
flags.DEFINE_integer("seed", 1, "Seed of the search.")
flags.DEFINE_string("output", "search_tvn", "Folder for the search and its results.")
flags.DEFINE_boolean("quick", False, "A few networks with little training.")

FRAMES, SIZE = 16, 64
BATCH = 32
TRIAL, TRAIN, VALIDATION, TEST = 1600, 3200, 800, 800  # clips


def space():
    """Return the space: up to three blocks on 2 to 8 frames of 32 to 64 pixels."""
    return kv_tuner.TVNSpace(
        num_classes=len(moving_digits.CLASS_NAMES),
        image_size=(32, 64, 16),
        frames=[2, 4, 8],
        frame_stride=(1, 7),
        blocks=(1, 3),
        repeats=(1, 3),
        spatial_kernel=(1, 5),
        spatial_stride=(1, 4),
        temporal_kernel=(1, 4),
        temporal_stride=(1, 2),
        filters=(8, 64, 8),
        expand=[1, 2, 3],
        non_local=[4, 8, 16],
        dropout=0.2,
        video_frames=FRAMES,
    )


def load_clips(folder, train, validation, test):
    """Make the arrays once and map them into memory: `{"train": (x, y), ...}`."""
    paths = [os.path.join(folder, f"{name}.npy") for name in ("x", "y", "x_test", "y_test")]
    if not all(map(os.path.exists, paths)):
        seen, unseen = moving_digits.load_data(train + validation, test, FRAMES, (SIZE, SIZE))
        for path, array in zip(paths, (*seen, *unseen), strict=True):
            with replacing(path) as partial:
                np.save(partial, array)
    x, y, x_test, y_test = (np.load(path, mmap_mode="r") for path in paths)
    return {
        "train": (x[:train], y[:train]),
        "validation": (x[train:], y[train:]),
        "test": (x_test, y_test),
    }


def compile_network(model, steps):
    """Compile with AdamW and a cosine schedule over the whole training."""
    warmup = max(1, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        3e-4, steps - warmup, warmup_target=3e-3, warmup_steps=warmup
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="top1"),
            keras.metrics.SparseTopKCategoricalAccuracy(5, name="top5"),
        ],
    )


def make_tuner(steps):
    return kv_tuner.Evolution(
        space(),
        max_trials=FLAGS.trials,
        population_size=FLAGS.population,
        tournament_size=FLAGS.tournament,
        survivors="aging",
        constraints=[kv_tuner.MaxLatency(FLAGS.max_latency_ms), kv_tuner.MaxParams(1e6)],
        compile=lambda model: compile_network(model, steps),
        seed=FLAGS.seed,
        directory=FLAGS.output,
        project_name="search",
    )


def show(folder):
    """Write a table and plots of the search. Return the values of the best network."""
    table = results_table(os.path.join(folder, "search"))
    print(f"\n{table}\n")
    write_text(os.path.join(folder, "results.csv"), table.to_csv())
    slow = [row["latency_ms"] for row in table.rejected if row["constraint"] == "latency_ms"]
    plot_pareto(
        table, pareto_front(table), os.path.join(folder, "pareto.png"),
        limit=FLAGS.max_latency_ms, rejected=slow,
    )  # fmt: skip
    plot_family(family_tree(table), os.path.join(folder, "family.png"))
    config = space().to_config(table[0]["values"])
    classes = len(moving_digits.CLASS_NAMES)
    title = f"Found within {FLAGS.max_latency_ms:g} ms"
    plot_architecture(config, os.path.join(folder, "network.png"), classes, title)
    return table[0]["values"]


def retrain(values, clips):
    """Train the best network from scratch, save and evaluate it."""
    x, y = clips["train"]
    keras.utils.set_random_seed(FLAGS.seed)
    model = space().build(values)
    compile_network(model, FLAGS.final_epochs * -(-len(y) // BATCH))
    space().fit(
        values, model, x, y, batch_size=BATCH, epochs=FLAGS.final_epochs, verbose=2,
        validation_data=clips["validation"],
    )  # fmt: skip
    test = cut(clips["test"][0], *space().clip(values))
    found = model.evaluate(test, clips["test"][1], return_dict=True, verbose=0)
    path = os.path.join(FLAGS.output, "model.keras")
    model.save(path)
    print(f"best network, trained from scratch: {path}")
    print(f"on test clips: top-1 {found['top1']:.3f}, top-5 {found['top5']:.3f}")


def main(argv):
    del argv
    counts = (TRAIN, VALIDATION, TEST)
    if FLAGS.quick:
        counts = (160, 96, 96)
        FLAGS.trials, FLAGS.population, FLAGS.tournament = 4, 2, 2
        FLAGS.epochs = FLAGS.final_epochs = FLAGS.workers = 1
    os.makedirs(FLAGS.output, exist_ok=True)
    clips = load_clips(FLAGS.output, *counts)
    role = os.environ.get("KERASTUNER_TUNER_ID", "")
    if FLAGS.workers > 1 and not role:
        run_team([sys.executable, *sys.argv], FLAGS.workers, FLAGS.output)
    else:
        x, y = (array[:TRIAL] for array in clips["train"])
        keras.utils.set_random_seed(FLAGS.seed)
        make_tuner(FLAGS.epochs * -(-len(y) // BATCH)).search(
            x, y, batch_size=BATCH, epochs=FLAGS.epochs, validation_data=clips["validation"],
            verbose=1 if role == "chief" else 2,
        )  # fmt: skip
    if not role:
        retrain(show(FLAGS.output), clips)


if __name__ == "__main__":
    app.run(main)
