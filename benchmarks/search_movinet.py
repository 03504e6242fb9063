"""Compares a MoViNet found by TuNAS with random networks and MoViNet-A0 of the same cost.

The search runs on moving digits, in the space of A0's size with small clips, and its target is the
multiply-adds of A0. Then the found network, ten random networks of the space and A0 with scaled
widths are trained from scratch in the same way, each in a separate process. They all have the cost
of the found network within 5 %. The random networks are fixed before any training. The search uses
training and validation clips. The table shows test clips, with digits that no network has seen.

    python benchmarks/search_movinet.py                   # some hours on two cores; can be resumed
    python benchmarks/search_movinet.py --part=search     # only the search
    python benchmarks/search_movinet.py --part=compare    # only the trainings; can be resumed
    python benchmarks/search_movinet.py --quick           # test run

`search_movinet.csv` has a row for each training; `search_movinet.png` shows the found network.
"""

import dataclasses
import json
import os
import queue
import random
import statistics
import threading
import time
from multiprocessing.pool import ThreadPool
from pathlib import Path

import harness
import numpy as np
from absl import app, flags

from keras_video.files import replacing, write_json

FLAGS = flags.FLAGS
flags.DEFINE_enum("part", "all", ["all", "search", "compare"], "Part to run.")
flags.DEFINE_integer(
    "search_epochs", 20, "Training chunks of the search, one epoch each.", lower_bound=1
)
flags.DEFINE_integer("epochs", 12, "Epochs of each network from scratch.", lower_bound=1)
flags.DEFINE_integer("networks", 10, "Number of random networks.", lower_bound=1)
flags.DEFINE_integer("repeats", 5, "Trainings of the found network and of A0.", lower_bound=1)
flags.DEFINE_integer("workers", 2, "Parallel trainings, one thread each.", lower_bound=1)
flags.DEFINE_float("beta", -0.3, "Weight of the cost in the reward.")
flags.DEFINE_integer("seed", 1, "Seed of the search.")
flags.DEFINE_string("work", "search_movinet_work", "Folder for clips, search and trainings.")

FRAMES, SIZE, CLASSES, HIDDEN, BATCH = 8, 40, 16, 256, 16
TRAIN, VALIDATION, TEST = 2000, 960, 960
LAYERS = (2, 4, 4, 4, 5)  # A0 has 1, 3, 3, 4, 4
WITHIN = 0.05


def counts():
    """Return the numbers of training, validation and test clips."""
    return (64, 32, 32) if FLAGS.quick else (TRAIN, VALIDATION, TEST)


def make_space():
    """Return the space of A0's size for small clips."""
    from keras_video.tuner import MoViNetSpace

    layers = (1, 1, 2, 1, 1) if FLAGS.quick else LAYERS
    return MoViNetSpace(
        "A0", CLASSES, clip=(FRAMES, SIZE, SIZE), layers=layers, hidden=HIDDEN, dropout=0.1,
        stochastic_depth=0.0, name="movinet_bench",
    )  # fmt: skip


def widened(factor):
    """Return MoViNet-A0 for the same clips, with all widths times a factor, in multiples of 8."""
    from keras_video.applications.movinet.config import A0
    from keras_video.tuner.spaces.movinet_bases import round_to_8

    def widen(row):
        return dataclasses.replace(
            row, filters=round_to_8(row.filters * factor), expand=round_to_8(row.expand * factor)
        )

    variant = make_space().variant
    return dataclasses.replace(
        A0, clip=(FRAMES, SIZE, SIZE, 3), hidden=HIDDEN, variant=variant,
        stem=round_to_8(A0.stem * factor), project=round_to_8(A0.project * factor),
        stages=tuple(tuple(widen(row) for row in stage) for stage in A0.stages),
    )  # fmt: skip


def macs(config):
    """Return the multiply-adds for one clip."""
    from keras_video.utils import complexity

    return complexity.macs(config, classes=CLASSES)


def load_clips():
    """Return `[(x, y), ...]` of training, validation and test: memory-mapped, written once."""
    from keras_video.datasets import moving_digits

    train, validation, test = counts()
    folder = os.path.join(FLAGS.work, f"clips_{train}")
    names = ("x", "y", "x_test", "y_test")
    paths = [os.path.join(folder, f"{name}.npy") for name in names]
    if not all(map(os.path.exists, paths)):
        os.makedirs(folder, exist_ok=True)
        seen, unseen = moving_digits.load_data(train + validation, test, FRAMES, (SIZE, SIZE))
        for path, array in zip(paths, (*seen, *unseen), strict=True):
            with replacing(path) as partial:
                np.save(partial, array)
    x, y, x_test, y_test = (np.load(path, mmap_mode="r") for path in paths)
    return [(x[:train], y[:train]), (x[train:], y[train:]), (x_test, y_test)]


# The search


def search():
    """Run or resume the search; return the values of the found network."""
    from keras_video.tuner import TuNAS
    from keras_video.tuner.spaces.base import values_of

    path = Path(FLAGS.work, "found.json")
    if path.exists():
        return json.loads(path.read_text())
    train, validation, _ = load_clips()
    space = make_space()
    target = 0.5 * sum(extremes(space)) if FLAGS.quick else macs(widened(1.0))
    tuner = TuNAS(
        space, cost="macs", target=target, beta=FLAGS.beta, seed=FLAGS.seed,
        epochs=2 if FLAGS.quick else FLAGS.search_epochs, num_candidates=2 if FLAGS.quick else 5,
        directory=FLAGS.work, project_name="search",
    )  # fmt: skip
    begin = time.time()
    tuner.search(*train, validation_data=validation, batch_size=BATCH, verbose=1)
    print(f"\nsearch: {time.time() - begin:.0f} s in this run, target {target / 1e6:.2f} M macs")
    print(tuner.results_table())
    plot(tuner)
    found = values_of(tuner.get_best_hyperparameters()[0])
    write_json(path, found, indent=1)
    return found


def extremes(space):
    """Return the smallest and the largest cost."""
    from keras_video.tuner.spaces.costs import Cost

    return Cost(space, "macs").extremes()


def plot(tuner):
    """Plot the search, if matplotlib is installed."""
    from keras_video.tuner.one_shot.oracle import plot_search

    try:
        plot_search(tuner, str(Path(FLAGS.work, "history.png")))
    except ImportError as error:
        print(f"no plot: {error}")


# The trainings


def train(config, seed, epochs, work, clip_counts):
    """Train a network from scratch in a separate process; return a row of the table."""
    import keras

    from keras_video.applications.movinet import MoViNet
    from keras_video.applications.movinet.config import MoViNetConfig
    from keras_video.cli.searches import compile_network
    from keras_video.utils import complexity

    config = MoViNetConfig.from_dict(config)
    folder = os.path.join(work, f"clips_{clip_counts[0]}")
    names = ("x", "y", "x_test", "y_test")
    x, y, x_test, y_test = (
        np.load(os.path.join(folder, f"{name}.npy"), mmap_mode="r") for name in names
    )
    x, y = x[: clip_counts[0]], y[: clip_counts[0]]
    keras.utils.set_random_seed(seed)
    model = MoViNet(config, classes=CLASSES, input_shape=config.clip)
    compile_network(model, epochs * -(-len(y) // BATCH))
    begin = time.time()
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    seconds = time.time() - begin
    found = model.evaluate(x_test, y_test, batch_size=BATCH, verbose=0, return_dict=True)
    return {
        "seed": seed,
        "macs": complexity.macs(config, classes=CLASSES),
        "params": complexity.params(config, CLASSES),
        "test_top1": round(found["top1"], 4),
        "epochs": epochs,
        "seconds": round(seconds, 1),
    }


def contestants(found):
    """Return `[(name, config, seed), ...]`, fixed before any training."""
    space = make_space()
    winner = space.to_config(found)
    cost = macs(winner)
    repeats = 1 if FLAGS.quick else FLAGS.repeats
    a0 = min((widened(f / 200) for f in range(60, 400)), key=lambda c: abs(macs(c) / cost - 1))
    rows = [("found", winner, seed) for seed in range(repeats)]
    rows += [("A0, scaled", a0, seed) for seed in range(repeats)]
    wanted = 2 if FLAGS.quick else FLAGS.networks
    networks = random_networks(space, cost, wanted)
    rows += [(f"random {i}", network, 0) for i, network in enumerate(networks)]
    return rows


def random_networks(space, cost, wanted, attempts=1_000_000):
    """Return the first uniformly drawn networks that have this cost within 5 %."""
    from keras_video.tuner.spaces.choices import active_values

    table, rng, found = space.cost_table("macs"), random.Random(0), []
    for _ in range(attempts):
        indices = [rng.randrange(len(choice.values)) for choice in space.choices]
        values = active_values(space.choices, indices)
        if abs(table.of(values) / cost - 1) <= WITHIN:
            found.append(space.to_config(values))
            if len(found) == wanted:
                return found
    raise ValueError(
        f"expected {wanted} random networks of {cost:,} multiply-adds among {attempts:,}, got "
        f"{len(found)}."
    )


def compare(found):
    """Trains everybody, prints the table, writes the CSV."""
    load_clips()
    path = Path(FLAGS.work, "trained.json")
    done = json.loads(path.read_text()) if path.exists() else {}
    machine, rows = harness.describe_machine(), []
    backend = (FLAGS.backends or ["tensorflow"])[0]
    cost = macs(make_space().to_config(found))
    wanted, lock, places = contestants(found), threading.Lock(), queue.SimpleQueue()
    for place in range(FLAGS.workers):
        places.put(place)

    def run(contestant):
        name, config, seed = contestant
        key = f"{name}, seed {seed}"
        if key in done:
            return
        case = {
            "config": config.to_dict(),
            "seed": seed,
            "epochs": 1 if FLAGS.quick else FLAGS.epochs,
            "work": os.path.abspath(FLAGS.work),
            "clip_counts": counts(),
        }
        place = places.get()
        row = harness.call(harness.Contender(key, backend, train, place=place), case)
        places.put(place)
        if "error" in row:
            raise RuntimeError(f"{key}: {row['error']}")
        with lock:
            done[key] = row
            write_json(path, done, indent=1)
            print(f"trained {len(done)} of {len(wanted)}, {row['seconds']:.0f} s", flush=True)

    with ThreadPool(FLAGS.workers) as pool:
        pool.map(run, wanted, chunksize=1)
    for name, _, seed in wanted:
        row = done[f"{name}, seed {seed}"]
        rows.append({"network": name, **row, "cost_ratio": round(row["macs"] / cost, 4)})
    columns = ("network", "seed", "macs", "cost_ratio", "params", "test_top1", "seconds")
    harness.print_table(rows, columns)
    by = {
        kind: [row["test_top1"] for row in rows if row["network"].startswith(kind)]
        for kind in ("found", "A0", "random")
    }
    for kind, scores in by.items():
        print(f"{kind}: median top-1 {statistics.median(scores):.4f} of {len(scores)}, "
              f"from {min(scores):.4f} to {max(scores):.4f}")  # fmt: skip
    better = sum(score < statistics.median(by["found"]) for score in by["random"])
    print(f"random networks below the median of the found network: {better} of {len(by['random'])}")
    harness.write("search_movinet", [row | machine for row in rows])
    picture(found)


def picture(found):
    """Plot the found network and A0, if matplotlib is installed."""
    from keras_video.plotting.architectures import plot_movinets

    folder = Path(FLAGS.output) if FLAGS.output else Path(__file__).parent / "results"
    folder = Path(FLAGS.work) if FLAGS.quick else folder
    configs = {"found": make_space().to_config(found), "MoViNet-A0": widened(1.0)}
    try:
        plot_movinets(configs, str(folder / "search_movinet.png"), CLASSES)
    except ImportError as error:
        print(f"no plot: {error}")


def main(argv):
    del argv
    FLAGS.set_default("threads", 1)
    FLAGS.set_default("limit", 3600.0)
    os.makedirs(FLAGS.work, exist_ok=True)
    if FLAGS.part in ("all", "search"):
        search()
    if FLAGS.part in ("all", "compare"):
        path = Path(FLAGS.work, "found.json")
        if not path.exists():
            raise FileNotFoundError(
                f"{path}: expected the result of --part=search, got no such file."
            )
        compare(json.loads(path.read_text()))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    app.run(main)
