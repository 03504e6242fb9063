"""Compares one-shot searches with random search in a space whose best network is known.

The space is the toy space of the tests. A network has five sites. Each site is closed or observes
the clip in one of three ways through one or two channels. One of the 16,807 networks observes all
relevant signals at the target cost. Three searches train the same super-network for the same
number of steps:

- `TuNAS`: REINFORCE with the absolute reward.
- `Parsec`: importance sampling with a hinge penalty, 4 networks in each step.
- `random`: all networks are equally probable. The result is the best of many random networks within
  the target. Their number is chosen so that this search reads as many validation clips as TuNAS.

The results are evaluated on new clips, which no search has used, with the shared weights.

    python benchmarks/one_shot_toy.py [--quick] [--seeds=0,1,2,3,4] [--backends=tensorflow]
"""

import shutil
import statistics
import tempfile
import time

import harness
from absl import app, flags

FLAGS = flags.FLAGS
flags.DEFINE_list("seeds", ["0", "1", "2", "3", "4"], "Seeds, with one search of each kind.")

EPOCHS, BATCH, TRAIN, VALIDATION, TEST = 12, 16, 2048, 1024, 4096
CANDIDATES = 5
BETA = -0.3
SEARCHES = ("TuNAS", "Parsec", "random")


def search(kind, seed, epochs):
    """Run one search in a separate process; return its result as a row."""
    import keras
    import numpy as np

    from keras_video.tuner import Parsec, TuNAS, search_history
    from tests.tuner.one_shot import toy

    train = toy.make_clips(TRAIN, 100 + seed)
    validation = toy.make_clips(VALIDATION, 200 + seed)
    clips, labels = toy.make_clips(TEST, 300 + seed)
    folder = tempfile.mkdtemp()
    common = {
        "hypermodel": toy.ToySpace(), "target": toy.TARGET, "epochs": epochs, "seed": seed,
        "directory": folder, "project_name": "toy",
        "compile_search": lambda searcher: searcher.compile(keras.optimizers.Adam(0.02)),
    }  # fmt: skip
    passes = epochs * (TRAIN // BATCH) * BATCH // VALIDATION
    if kind == "Parsec":
        tuner = Parsec(**common, samples=4, num_candidates=CANDIDATES)
    elif kind == "random":
        tuner = TuNAS(**common, policy="random", num_candidates=passes + CANDIDATES)
    else:
        tuner = TuNAS(**common, beta=BETA, num_candidates=CANDIDATES)
    begin = time.perf_counter()
    try:
        tuner.search(*train, validation_data=validation, batch_size=BATCH, verbose=0)
        seconds = time.perf_counter() - begin
        best = tuner.results_table()[0]
        model = tuner.get_best_models()[0]
        last = search_history(tuner)[-1]
        candidates = len(tuner.results_table())
    finally:
        shutil.rmtree(folder)
    accuracy = float(np.mean(model.predict(clips, verbose=0).argmax(axis=1) == labels))
    ratio = best["cost_ratio"]
    return {
        "search": kind,
        "seed": seed,
        "backend": keras.backend.backend(),
        "found_the_best": int(best["values"] == toy.BEST),
        "cost_ratio": round(ratio, 4),
        "test_accuracy": round(accuracy, 4),
        "test_reward": round(accuracy + BETA * abs(ratio - 1), 4),
        "entropy_end": round(last["policy_entropy"], 3),
        "steps": epochs * (TRAIN // BATCH),
        "candidates": candidates,
        "seconds": round(seconds, 1),
    }


def main(argv):
    del argv
    backends = FLAGS.backends or ["tensorflow"]
    seeds = FLAGS.seeds[:1] if FLAGS.quick else FLAGS.seeds
    machine, rows = harness.describe_machine(), []
    for backend in backends:
        for seed in seeds:
            for kind in SEARCHES:
                contender = harness.Contender(kind, backend, search, {})
                if not harness.wanted(contender):
                    continue
                case = {"kind": kind, "seed": int(seed), "epochs": 2 if FLAGS.quick else EPOCHS}
                row = harness.call(contender, case)
                rows.append({"search": kind, "seed": int(seed), "backend": backend, **row})
                print(rows[-1], flush=True)
                # Write after each search, so that nothing is lost if a later one fails.
                harness.write("one_shot_toy", [row | machine for row in rows])
    harness.print_table(rows, list(rows[0]))
    for backend in backends:
        for kind in SEARCHES:
            done = [r for r in rows if r["search"] == kind and "test_reward" in r]
            done = [r for r in done if r["backend"] == backend]
            if done:
                found = sum(row["found_the_best"] for row in done)
                reward = statistics.mean(row["test_reward"] for row in done)
                print(f"{backend} {kind}: best network in {found} of {len(done)} searches, "
                      f"mean reward on new clips {reward:.4f}")  # fmt: skip


if __name__ == "__main__":
    app.run(main)
