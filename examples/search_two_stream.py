"""Searches a two-stream network for moving digits in three stages, as Auto-TSNet was found.

    python examples/search_two_stream.py                    # about half an hour on two cores
    python examples/search_two_stream.py --quick            # a few minutes, mostly compiling
    python examples/search_two_stream.py --chunks=24,18,6 --targets=0.9,2.0,2.4 --seed=2

The first stage searches the sparse stream alone. The second searches the dense stream and its
fusions into the sparse stream, whose design is fixed. The third searches where attention is. All
networks share the weights of one super-network, which is trained further in each stage. The result
of each stage has at most its target of multiply-adds.

A search that was interrupted continues when the same command is run again. The output folder gets
the table of the stages (stages.csv), plots of the network and of the search, and the network as
JSON and, trained from scratch, as model.keras. The policy learns from validation clips. The last
accuracy is that on test clips, with digits that no network has seen.
"""

import csv
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras  # noqa: E402
import numpy as np  # noqa: E402
from absl import app, flags  # noqa: E402

from keras_video import tuner as kv_tuner  # noqa: E402
from keras_video.datasets import moving_digits  # noqa: E402
from keras_video.files import replacing, write_json  # noqa: E402
from keras_video.plotting.architectures import plot_two_streams  # noqa: E402
from keras_video.tuner.one_shot.oracle import plot_search, stage_table  # noqa: E402
from keras_video.tuner.spaces.base import cut  # noqa: E402

FLAGS = flags.FLAGS
flags.DEFINE_list("targets", ["0.9", "2.2", "2.6"], "Target of each stage, million multiply-adds.")
flags.DEFINE_list("chunks", ["8", "6", "2"], "Number of training chunks of each stage.")
flags.DEFINE_integer("steps", 60, "Training steps of each chunk.")
flags.DEFINE_integer("samples", 4, "Networks drawn in each step.")
flags.DEFINE_integer("final_epochs", 30, "Epochs of the final training from scratch.")
flags.DEFINE_integer("seed", 1, "Seed of the search.")
flags.DEFINE_string("output", "search_two_stream", "Folder for the search and its results.")
flags.DEFINE_boolean("quick", False, "Test run with a tiny space and few steps.")

FRAMES, STRIDE, SIZE = 8, 4, 32
BATCH, SEARCH_BATCH, VALIDATION_BATCH = 32, 16, 32
TRAIN, VALIDATION, TEST = 3200, 800, 800  # clips
CLASSES = len(moving_digits.CLASS_NAMES)
COLUMNS = ("stage", "streams", "fusions", "attentions", "target", "macs", "top1", "entropy")


def space():
    """Return a space of two streams with four groups, for 2 and 8 frames of 32x32 pixels."""
    if FLAGS.quick:
        return kv_tuner.TwoStreamSpace(
            CLASSES, size=32, frames=4, stride=2, frame_stride=2, repeats=(1,), stages=(1,),
            sparse_filters=([4, 8],), dense_filters=([4],), expansions=[1.5], fusion_slots=(1,),
            temporal_kernels=[1, 3], spatial_kernels=3, fusions=("none", "time_strided_conv"),
            attention_slots=(1,), sparse_stem=4, dense_stem=4, hidden=16, dropout=0.0,
        )  # fmt: skip
    return kv_tuner.TwoStreamSpace(
        CLASSES,
        size=SIZE,
        frames=FRAMES,
        stride=STRIDE,
        frame_stride=1,
        repeats=(1, 1, 1, 1),
        stages=(1, 1, 2, 2),
        sparse_filters=([8, 12, 16], [8, 12, 16], [16, 24, 32], [16, 24, 32]),
        dense_filters=([4], [4, 8], [4, 8, 12], [4, 8, 12]),
        expansions=[1.5, 3.0],
        temporal_kernels=[1, 3],
        fusions=("none", "time_strided_conv", "time_strided_sampling"),
        fusion_slots=(2, 3),
        attention_slots=(3, 4),
        sparse_stem=8,
        dense_stem=4,
        hidden=64,
        dropout=0.2,
    )


def load_clips(folder, train, validation, test):
    """Return `{"train": (x, y), ...}`, memory-mapped arrays that the first call writes."""
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


def make_tuner():
    targets = [1e6 * float(target) for target in FLAGS.targets]
    return kv_tuner.Parsec(
        space(),
        stages=space().stages(targets, [int(n) for n in FLAGS.chunks]),
        samples=FLAGS.samples,
        steps_per_trial=FLAGS.steps,
        num_candidates=1,
        seed=FLAGS.seed,
        directory=FLAGS.output,
        project_name="search",
    )


def stages(tuner):
    """Return the results of the stages, like Table 5 of the paper: list of dicts."""
    rows = []
    for row in stage_table(tuner):
        config = space().to_config(row["values"])
        places = len(config.attention_sparse) + len(config.attention_dense)
        rows.append(
            {
                "stage": row["stage"],
                "streams": 1 + bool(config.dense),
                "fusions": sum(kind != "none" for kind in config.fusion),
                "attentions": places,
                "target": f"{row['target'] / 1e6:.3f} M",
                "macs": f"{row['cost'] / 1e6:.3f} M",
                "top1": f"{100 * row['val_accuracy']:.1f} %",
                "entropy": f"{row['policy_entropy']:.2f} nats",
            }
        )
    return rows


def show(tuner, folder):
    """Print and plot the results; return the values of the network."""
    rows = stages(tuner)
    widths = {name: max(len(name), *(len(str(row[name])) for row in rows)) for name in COLUMNS}
    for row in [dict(zip(COLUMNS, COLUMNS, strict=True)), *rows]:
        print("  ".join(str(row[name]).rjust(widths[name]) for name in COLUMNS))
    with (
        replacing(os.path.join(folder, "stages.csv")) as partial,
        open(partial, "w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    values = tuner.get_best_hyperparameters()[0].values
    config = space().to_config(values)
    write_json(os.path.join(folder, "network.json"), config.to_dict(), indent=1)
    title = "Found on moving digits"
    plot_two_streams(config, os.path.join(folder, "network.png"), CLASSES, title)
    plot_search(tuner, os.path.join(folder, "search.png"))
    return values


def retrain(values, clips, epochs):
    """Train the network from scratch, evaluate it and save it."""
    x, y = clips["train"]
    keras.utils.set_random_seed(FLAGS.seed)
    model = space().build(values)
    steps = epochs * -(-len(y) // BATCH)
    warmup = max(1, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        3e-4, max(1, steps - warmup), warmup_target=3e-3, warmup_steps=warmup
    )
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[keras.metrics.SparseCategoricalAccuracy(name="top1")],
    )
    space().fit(
        values, model, x, y, batch_size=BATCH, epochs=epochs, verbose=2,
        validation_data=clips["validation"],
    )  # fmt: skip
    test = cut(clips["test"][0], *space().clip(values))
    found = model.evaluate(test, clips["test"][1], return_dict=True, verbose=0)
    path = os.path.join(FLAGS.output, "model.keras")
    model.save(path)
    print(f"trained from scratch: {path}, top-1 on test clips {found['top1']:.3f}")


def main(argv):
    del argv
    counts, epochs = (TRAIN, VALIDATION, TEST), FLAGS.final_epochs
    if FLAGS.quick:
        counts, epochs = (64, 32, 32), 1
        FLAGS.targets, FLAGS.chunks = [0.12, 0.33, 0.5], [1, 1, 1]
        FLAGS.steps, FLAGS.samples = 2, 1
    os.makedirs(FLAGS.output, exist_ok=True)
    clips = load_clips(FLAGS.output, *counts)
    tuner = make_tuner()
    tuner.search(
        *clips["train"], clips["validation"], batch_size=SEARCH_BATCH,
        validation_batch_size=VALIDATION_BATCH,
    )  # fmt: skip
    retrain(show(tuner, FLAGS.output), clips, epochs)


if __name__ == "__main__":
    app.run(main)
