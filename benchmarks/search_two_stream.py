"""Compares progressive and one-step search of a two-stream network on moving digits.

Both are PARSEC with shared weights, over the same small space, with the same number of steps, drawn
networks and clips, and with the same final target of multiply-adds. The progressive search has
three stages with targets of their own: the sparse stream, the dense stream and its fusions, and
attention. The one-step search searches everything at once. Both results are trained from scratch in
the same way, with a few seeds, and evaluated on clips with digits that no search has seen.

    python benchmarks/search_two_stream.py --part=progressive   # 27 minutes on busy cores
    python benchmarks/search_two_stream.py --part=one_step      # 43 minutes
    python benchmarks/search_two_stream.py --part=compare       # 26 minutes

Without `--part` it runs all of them. Searches can be resumed. `search_two_stream.csv` has a row for
each stage and one for each network that was found.
"""

import json
import os
import sys
import time
from pathlib import Path

import harness
import numpy as np
from absl import app, flags

from keras_video.files import replacing

FLAGS = flags.FLAGS
PARTS = ("progressive", "one_step", "compare")
flags.DEFINE_enum("part", "all", ["all", *PARTS], "Part to run.")
flags.DEFINE_integer("seed", 1, "Seed of both searches.")
flags.DEFINE_integer("samples", 4, "Networks drawn in each step.")
flags.DEFINE_list("chunks", ["8", "6", "2"], "Number of training chunks of each stage.")
flags.DEFINE_integer("steps", 120, "Training steps of each chunk.")
flags.DEFINE_list("targets", ["0.9", "2.2", "2.6"], "Target of each stage, million multiply-adds.")
flags.DEFINE_integer("epochs", 20, "Epochs of the training from scratch.")
flags.DEFINE_integer("seeds", 3, "Trainings from scratch of each network.")
flags.DEFINE_string("work", "search_two_stream_work", "Folder for clips and searches.")

CLASSES, FRAMES, STRIDE, SIZE = 16, 8, 4, 32
BATCH, SEARCH_BATCH, VALIDATION_BATCH = 32, 16, 32
TRAIN, VALIDATION, TEST = 3200, 960, 1600
COLUMNS = (
    "method", "stage", "steps", "choices", "target", "macs", "within_target", "params", "val_top1",
    "entropy_nats", "search_minutes", "test_top1", "test_top1_each",
)  # fmt: skip


def make_space():
    """Return a space of two streams with four groups, for 2 and 8 frames of 32x32 pixels.

    With --quick it returns a tiny one.
    """
    from keras_video.tuner import TwoStreamSpace

    common = {"size": SIZE, "frames": FRAMES, "stride": STRIDE, "frame_stride": 1}
    if FLAGS.quick:
        return TwoStreamSpace(
            CLASSES, repeats=(1,), stages=(1,), sparse_filters=([4, 8],), dense_filters=([4],),
            expansions=[1.5], temporal_kernels=[1, 3], spatial_kernels=3, fusion_slots=(1,),
            fusions=("none", "time_strided_conv"), attention_slots=(1,), sparse_stem=4,
            dense_stem=4, hidden=16, dropout=0.0, name="two_stream_quick", **common,
        )  # fmt: skip
    return TwoStreamSpace(
        CLASSES, repeats=(1, 1, 1, 1), stages=(1, 1, 2, 2),
        sparse_filters=([8, 12, 16], [8, 12, 16], [16, 24, 32], [16, 24, 32]),
        dense_filters=([4], [4, 8], [4, 8, 12], [4, 8, 12]), expansions=[1.5, 3.0],
        temporal_kernels=[1, 3], fusions=("none", "time_strided_conv", "time_strided_sampling"),
        fusion_slots=(2, 3), attention_slots=(3, 4), sparse_stem=8, dense_stem=4, hidden=64,
        dropout=0.2, name="two_stream_bench", **common,
    )  # fmt: skip


def clips():
    """Return `{"train": (x, y), "validation": ..., "test": ...}`: memory-mapped, written once."""
    from keras_video.datasets import moving_digits

    counts = (96, 64, 64) if FLAGS.quick else (TRAIN, VALIDATION, TEST)
    paths = [os.path.join(FLAGS.work, f"{name}.npy") for name in ("x", "y", "x_test", "y_test")]
    if not all(map(os.path.exists, paths)):
        seen, unseen = moving_digits.load_data(sum(counts[:2]), counts[2], FRAMES, (SIZE, SIZE))
        for path, array in zip(paths, (*seen, *unseen), strict=True):
            with replacing(path) as partial:
                np.save(partial, array)
    x, y, x_test, y_test = (np.load(path, mmap_mode="r") for path in paths)
    cut = counts[0]
    return {"train": (x[:cut], y[:cut]), "validation": (x[cut:], y[cut:]), "test": (x_test, y_test)}


# The two searches


def make_tuner(method):
    """Return a tuner, which resumes a search in the work folder."""
    from keras_video.tuner import Parsec

    space = make_space()
    chunks = [int(n) for n in FLAGS.chunks]
    targets = [1e6 * float(target) for target in FLAGS.targets]
    if method == "progressive":
        stages = space.stages(targets, chunks)
    else:
        stages = space.one_step(targets[-1], sum(chunks))
    return Parsec(
        space, stages=stages, samples=FLAGS.samples, steps_per_trial=FLAGS.steps, num_candidates=1,
        seed=FLAGS.seed, directory=FLAGS.work, project_name=method,
    )  # fmt: skip


def search(method):
    """Run or resume a search."""
    from keras_video.tuner.latency.lock import GiveWay
    from keras_video.tuner.one_shot.oracle import stage_table

    print(f"\n{method}", flush=True)
    tuner, data, start = make_tuner(method), clips(), time.perf_counter()
    tuner.search(
        *data["train"], data["validation"], batch_size=SEARCH_BATCH,
        validation_batch_size=VALIDATION_BATCH, callbacks=[GiveWay()],
    )  # fmt: skip
    note(method, "seconds", time.perf_counter() - start)
    print(stage_table(tuner), flush=True)


def note(method, name, number):
    """Append a line to the notes of the work folder."""
    line = json.dumps({"method": method, "name": name, "number": number})
    with open(os.path.join(FLAGS.work, "notes.jsonl"), "ab", buffering=0) as file:
        file.write((line + "\n").encode())


def noted(method, name):
    """Return the noted numbers. The last line may be incomplete after a kill."""
    path, numbers = Path(FLAGS.work, "notes.jsonl"), []
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if (content["method"], content["name"]) == (method, name):
            numbers.append(content["number"])
    return numbers


# The comparison


def compare():
    """Train both networks from scratch and write the table."""
    from keras_video.tuner.one_shot.oracle import stage_table

    rows = []
    for method in ("progressive", "one_step"):
        folder = os.path.join(FLAGS.work, method)
        tuner = make_tuner(method) if os.path.exists(folder) else None
        best = tuner.get_best_hyperparameters() if tuner else []
        if not best:
            sys.exit(f"{FLAGS.work}: expected a complete search of --part={method}, got none.")
        space = tuner.hypermodel
        table = stage_table(tuner)
        rows += [stage_row(method, row, space) for row in table]
        for number in range(len(noted(method, "test_top1")), FLAGS.seeds):
            note(method, "test_top1", train(space, best[0].values, number))
        rows.append(found_row(method, table, best[0].values, space))
    print()
    harness.print_table(rows, COLUMNS)
    first, second = (r["test_top1"] for r in rows if r["stage"] == "found")
    verdict = "better than" if first > second else "no better than"
    print(f"\nprogressive {first:.4f}, one step {second:.4f}: {verdict} one-step search here")
    context = harness.describe_machine()
    common = {"benchmark": "search_two_stream", "seed": FLAGS.seed, "samples": FLAGS.samples}
    harness.write("search_two_stream", [{**common, **row, **context} for row in rows])


def stage_row(method, row, space):
    return {
        "method": method,
        "stage": row["stage"],
        "steps": row["chunks"] * FLAGS.steps,
        "choices": row["searched"],
        "target": round(row["target"]),
        "macs": round(row["cost"]),
        "within_target": row["cost"] <= row["target"],
        "params": space.cost(row["values"], "params"),
        "val_top1": round(row["val_accuracy"], 4),
        "entropy_nats": round(row["policy_entropy"], 2),
    }


def found_row(method, table, values, space):
    """Return the row of the found network. As in the paper, entropy is the mean over stages."""
    each = noted(method, "test_top1")[: FLAGS.seeds]
    macs, target = space.cost(values, "macs"), table[-1]["target"]
    return {
        "method": method,
        "stage": "found",
        "steps": sum(row["chunks"] for row in table) * FLAGS.steps,
        "choices": sum(row["searched"] for row in table),
        "target": round(target),
        "macs": macs,
        "within_target": macs <= target,
        "params": space.cost(values, "params"),
        "entropy_nats": round(float(np.mean([row["policy_entropy"] for row in table])), 2),
        "search_minutes": round(sum(noted(method, "seconds")) / 60, 1),
        "test_top1": round(float(np.mean(each)), 4),
        "test_top1_each": " ".join(f"{top1:.4f}" for top1 in each),
    }


def train(space, values, seed):
    """Train a network from scratch; return top-1 on the test clips."""
    import keras

    from keras_video.tuner.latency.lock import GiveWay
    from keras_video.tuner.spaces.base import cut

    keras.utils.clear_session()
    keras.utils.set_random_seed(seed + 1)
    data = clips()
    x, y = data["train"]
    epochs = 1 if FLAGS.quick else FLAGS.epochs
    steps = epochs * -(-len(y) // BATCH)
    warmup = max(1, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        3e-4, max(1, steps - warmup), warmup_target=3e-3, warmup_steps=warmup
    )
    model = space.build(values)
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    clip = space.clip(values)
    model.fit(cut(x, *clip), y, batch_size=BATCH, epochs=epochs, callbacks=[GiveWay()], verbose=0)
    test, labels = data["test"]
    logits = model.predict(cut(test, *clip), batch_size=BATCH, verbose=0)
    top1 = float(np.mean(logits.argmax(axis=1) == labels))
    print(f"trained from scratch, seed {seed}: top-1 {top1:.4f}", flush=True)
    return round(top1, 6)


def main(argv):
    del argv
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if FLAGS.quick:
        FLAGS.chunks, FLAGS.steps, FLAGS.samples, FLAGS.seeds = [1, 1, 1], 2, 1, 1
        FLAGS.targets = [0.12, 0.45, 0.6]
    os.makedirs(FLAGS.work, exist_ok=True)
    for method in ("progressive", "one_step"):
        if FLAGS.part in ("all", method):
            search(method)
    if FLAGS.part in ("all", "compare"):
        compare()


if __name__ == "__main__":
    app.run(main)
