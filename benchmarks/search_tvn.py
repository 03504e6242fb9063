"""Evolution against random search under a latency limit, on moving digits, with equal budgets.

There are five pairs of searches with the same oracle and limit. The random search of a pair is an
evolution whose random start never ends. Each network that a search asks for is timed and trained
once. The numbers are kept in a table, which is part of the repository, so that anyone can replay
the searches in a minute. Two hand-made networks similar to TVN-1 are widened until they reach the
limit and trained in the same way. The networks that the searches found are timed again.

    python benchmarks/search_tvn.py --part=search     # an hour on two cores; can be resumed
    python benchmarks/search_tvn.py --part=replay     # the same searches from the table
    python benchmarks/search_tvn.py --part=hand       # the hand-made networks
    python benchmarks/search_tvn.py --part=remeasure  # needs an idle machine

Without `--part`, all parts run. `search_tvn_table.csv` is the table, `search_tvn.csv` has a row for
each pair.
"""

import csv
import json
import multiprocessing
import os
import sys
import time
from pathlib import Path
from unittest import mock

import harness
import numpy as np
from absl import app, flags

FLAGS = flags.FLAGS
PARTS = ("search", "replay", "hand", "remeasure")
flags.DEFINE_enum("part", "all", ["all", *PARTS], "What to do.")
flags.DEFINE_integer("workers", 2, "Processes that search, with one thread each.")
flags.DEFINE_integer("seeds", 5, "Pairs of searches.")
flags.DEFINE_integer("trials", 32, "Networks that a search may train.")
flags.DEFINE_integer("population", 12, "Random networks at the beginning of an evolution.")
flags.DEFINE_integer("tournament", 4, "Networks of which the best becomes a parent.")
flags.DEFINE_float("max_latency_ms", 0.12, "Limit for one clip on one core.")
flags.DEFINE_integer("epochs", 6, "Epochs of each network.")
flags.DEFINE_string("work", "search_tvn_work", "Folder for clips and unfinished searches.")

TRAIN, VALIDATION, FRAMES, SIZE = 1600, 960, 16, 40
BATCH, CLASSES = 32, 16


def make_space():
    """Return a space of small networks that are trained in seconds."""
    from keras_video.tuner import TVNSpace

    return TVNSpace(
        CLASSES, image_size=(24, SIZE, 8), frames=[2, 4, 8], frame_stride=(1, 7), blocks=(1, 3),
        repeats=(1, 2), spatial=("std", "depth", "maxpool"), spatial_kernel=(2, 5),
        spatial_stride=(1, 3), temporal=("1d", "maxpool"), temporal_kernel=(1, 3),
        temporal_stride=(1, 2), filters=(8, 32, 8), expand=[1, 2], squeeze=0.25, non_local=0,
        context_gate=False, activations="relu", dropout=0.0, video_frames=FRAMES, name="tvn_bench",
    )  # fmt: skip


# One network


def clips():
    """`(x, y, x_validation, y_validation)`, made once and mapped into memory."""
    from keras_video.datasets import moving_digits
    from keras_video.files import replacing

    paths = [os.path.join(FLAGS.work, name) for name in ("clips.npy", "labels.npy")]
    if not all(map(os.path.exists, paths)):
        arrays, _ = moving_digits.load_data(TRAIN + VALIDATION, 16, FRAMES, (SIZE, SIZE))
        for path, array in zip(paths, arrays, strict=True):
            with replacing(path) as partial:
                np.save(partial, array)
    x, y = (np.load(path, mmap_mode="r") for path in paths)
    return x[:TRAIN], y[:TRAIN], x[TRAIN:], y[TRAIN:]


def train(config):
    """Train a network. Return validation top-1 and top-5, and the seconds it took."""
    import keras

    from keras_video.applications.tiny_video_net.model import TinyVideoNet
    from keras_video.cli.searches import compile_network
    from keras_video.tuner.latency.lock import GiveWay
    from keras_video.tuner.spaces.base import cut

    start = time.perf_counter()
    keras.utils.clear_session()  # of the other name: nothing replaces it here
    keras.utils.set_random_seed(1)
    x, y, x_validation, y_validation = clips()
    clip = (*config.clip[:3], config.frame_stride)
    model = TinyVideoNet(config, classes=CLASSES, input_shape=config.clip)
    compile_network(model, FLAGS.epochs * -(-len(y) // BATCH))
    model.fit(
        cut(x, *clip), y, batch_size=BATCH, epochs=FLAGS.epochs, callbacks=[GiveWay()], verbose=0
    )
    logits = model.predict(cut(x_validation, *clip), batch_size=BATCH, verbose=0)
    ranks = (logits > logits[np.arange(len(logits)), y_validation][:, None]).sum(axis=1)
    top1, top5 = float(np.mean(ranks < 1)), float(np.mean(ranks < 5))
    return {
        "val_top1": round(top1, 6),
        "val_top5": round(top5, 6),
        "fitness": round(top1 + top5, 6),
        "train_seconds": round(time.perf_counter() - start, 2),
    }


class Measured:
    """Time and train networks. Earlier measurements are read from the work folder."""

    def __init__(self, space):
        from keras_video.tuner.latency.meter import LatencyMeter

        self.space, self.meter = space, LatencyMeter()

    def latency(self, values):
        return self._once("timed", values, self._time)["latency_ms"]

    def fitness(self, values):
        return self._once("trained", values, lambda v: train(self.space.to_config(v)))["fitness"]

    def _time(self, values):
        found = self.meter.measure(self.space.build(values))
        numbers = {"latency_ms": found.ms, "runs": found.runs, "reference_ms": found.reference_ms}
        return {name: round(number, 5) for name, number in numbers.items()}

    def _once(self, name, values, measure):
        key = key_of(values)
        known = read_lines(name)
        if key not in known:
            known[key] = {"key": key, **measure(values)}
            with open(os.path.join(FLAGS.work, f"{name}.jsonl"), "ab", buffering=0) as file:
                file.write((json.dumps(known[key]) + "\n").encode())
        return known[key]


class Tabled:
    """Look networks up in the table of the repository."""

    def __init__(self):
        with open(results_folder() / "search_tvn_table.csv", newline="") as file:
            self.rows = {row["network"]: row for row in csv.DictReader(file)}

    def latency(self, values):
        return float(self._row(values)["latency_ms"])

    def fitness(self, values):
        return float(self._row(values)["fitness"])

    def _row(self, values):
        key = key_of(values)
        if key not in self.rows:
            raise ValueError(f"table: this search asks for a network that is not in it: {key}.")
        return self.rows[key]


def key_of(values):
    return json.dumps({k: values[k] for k in sorted(values) if not k.startswith("tuner/")})


def read_lines(name):
    """Return the lines of a file by network. The last one is cut if a process was killed."""
    found = {}
    path = Path(FLAGS.work, f"{name}.jsonl")
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            content = json.loads(line)
        except ValueError:
            continue
        found.setdefault(content["key"], content)
    return found


# Searches


def run_search(kind, seed, source, folder):
    """Run a search, or resume it.

    Args:
        kind: `"evolution"` or `"random"`.
        seed: int.
        source: `Measured` or `Tabled`.
        folder: string, of the projects.

    Returns:
        The pair of the fitness of the best network after each trial, and that network's values.
    """
    from keras_video import tuner as kv_tuner

    class Latency(kv_tuner.MaxLatency):
        def measure(self, values):
            return source.latency(values)

    class Tuner(kv_tuner.Evolution):
        def run_trial(self, trial, *args, **kwargs):
            return {"fitness": source.fitness(trial.hyperparameters.values)}

    space = make_space()
    space.build = lambda hp: dict(hp.values)  # the source builds what it has to
    tuner = Tuner(
        space, max_trials=FLAGS.trials, tournament_size=FLAGS.tournament, survivors="aging",
        population_size=FLAGS.population if kind == "evolution" else 10**6, seed=seed,
        constraints=[Latency(FLAGS.max_latency_ms)], directory=folder,
        project_name=f"{kind}_{seed}",
    )  # fmt: skip
    with mock.patch("keras.backend.clear_session"):  # there is nothing to clear between lookups
        tuner.search(verbose=0)
    trials = [tuner.oracle.trials[name] for name in tuner.oracle.end_order]
    if len(trials) < FLAGS.trials or any(trial.status != "COMPLETED" for trial in trials):
        raise RuntimeError(f"{kind} {seed}: {[trial.message for trial in trials if trial.message]}")
    best = max(trials, key=lambda trial: trial.score).hyperparameters.values
    return np.maximum.accumulate([trial.score for trial in trials]).tolist(), best


def search_share(index, taken, argv):
    """Run one search after the other in a process, each time the next that is free.

    Args:
        index: int, which process.
        taken: shared int, how many searches were begun.
        argv: the command line.
    """
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[index % len(cores)]})
    FLAGS(argv)
    source, searches = Measured(make_space()), all_searches()
    while True:
        with taken.get_lock():
            number, taken.value = taken.value, taken.value + 1
        if number >= len(searches):
            return
        run_search(*searches[number], source, FLAGS.work)


def all_searches():
    """List all searches. Those of a seed share their first networks, so they run at other times."""
    return [(kind, seed) for kind in ("evolution", "random") for seed in range(FLAGS.seeds)]


def search_all():
    """Run all searches in processes of their own, and write the table of measurements."""
    clips()
    os.environ.update(harness.environment("tensorflow", 1))
    spawn = multiprocessing.get_context("spawn")
    taken = spawn.Value("i", 0)
    processes = [
        spawn.Process(target=search_share, args=(index, taken, sys.argv), daemon=True)
        for index in range(FLAGS.workers)
    ]
    for process in processes:
        process.start()
    most, start, before = 2 * FLAGS.seeds * FLAGS.trials, time.monotonic(), count_trials()
    while any(process.is_alive() for process in processes):
        for process in processes:
            process.join(30 / len(processes))
        rate = (count_trials() - before) / (time.monotonic() - start)
        left = f"{(most - count_trials()) / rate / 60:.0f} minutes left" if rate else ""
        print(f"trained {count_trials()} of at most {most}  {left}", flush=True)
    if any(process.exitcode for process in processes):
        raise RuntimeError(f"A process failed: {[process.exitcode for process in processes]}")
    trained, timed, space = read_lines("trained"), read_lines("timed"), make_space()
    rows = []
    for key, line in timed.items():
        numbers = {**line, **trained.get(key, {}), **space.costs(json.loads(key)), "network": key}
        rows.append({k: v for k, v in numbers.items() if k not in ("key", "memory")})
    harness.write("search_tvn_table", rows)


def count_trials():
    return len(read_lines("trained"))


def replay_all():
    """Replay all searches from the table: write a row for each pair, and a plot."""
    import tempfile

    source, rows = Tabled(), []
    curves = {"evolution": [], "random": []}
    for seed in range(FLAGS.seeds):
        row = {"benchmark": "search_tvn", "seed": seed, "trials": FLAGS.trials,
               "limit_ms": FLAGS.max_latency_ms}  # fmt: skip
        for kind, lines in curves.items():
            with tempfile.TemporaryDirectory() as folder:
                curve, best = run_search(kind, seed, source, folder)
            lines.append(curve)
            row |= {f"{kind}_best": curve[-1], f"{kind}_mean": round(float(np.mean(curve)), 4),
                    f"{kind}_ms": round(source.latency(best), 4),
                    f"{kind}_network": key_of(best)}  # fmt: skip
        row["evolution_wins"] = int(row["evolution_best"] > row["random_best"])
        rows.append(row)
    harness.print_table(rows, [c for c in rows[0] if not c.endswith("_network")][1:])
    wins = sum(row["evolution_wins"] for row in rows)
    print(f"evolution found the better network in {wins} of {len(rows)} pairs")
    harness.write("search_tvn", [row | harness.describe_machine() for row in rows])
    draw(curves)


def draw(curves):
    """Plot the best fitness so far over the number of trials, of each search and on average."""
    from keras_video.plotting.figures import COLORS, import_figure, save_figure

    figure = import_figure()(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    for color, (kind, lines) in zip(COLORS, curves.items(), strict=False):
        numbers = range(1, len(lines[0]) + 1)
        for line in lines:
            axes.plot(numbers, line, color=color, alpha=0.3, linewidth=0.8)
        axes.plot(numbers, np.mean(lines, axis=0), color=color, linewidth=2.2, label=kind)
    axes.set(xlabel="networks trained", ylabel="fitness (top-1 + top-5) of the best so far")
    axes.set_title(
        f"{len(lines)} searches each, limit {FLAGS.max_latency_ms:g} ms", loc="left", weight="bold"
    )
    figure.legend(frameon=False, loc="outside lower center", ncols=len(curves))
    axes.grid(color="#eeeeee")
    axes.spines[["top", "right"]].set_visible(False)
    if not FLAGS.quick:
        save_figure(figure, results_folder() / "search_tvn.png")


# Hand-made networks, and measuring again


def time_network(meter, model, attempts=10):
    """Return the `Measurement` of a model; wait while the machine is busy."""
    from keras_video.tuner.latency.meter import MeasurementError

    for attempt in range(attempts):
        try:
            return meter.measure(model)
        except MeasurementError as error:
            if not error.transient or attempt == attempts - 1:
                raise
            time.sleep(10)


def by_hand(size, filters, temporal):
    """Return TVN-1 at another size and width, with `temporal` instead of its temporal pooling."""
    from keras_video.applications.tiny_video_net.config import TinyVideoNetConfig, block

    f = filters
    return TinyVideoNetConfig(
        "by_hand", frames=2, size=size, frame_stride=FRAMES - 1, dropout=0.0, blocks=(
            block("std 4/2", temporal, f, 4, 2, gate=1),
            block("maxpool 3/2", "1d 1/1", 2 * f, 4, 1, squeeze=0.9067600752736579),
            block("depth 5/3", "avgpool 1/1", 2 * f, 4, 2, skip=1, gate=1),
            block("std 3/2", "avgpool 1/1", 4 * f, 8, 2, squeeze=0.7265534208526172, gate=1),
        ),
    )  # fmt: skip


def compare_by_hand():
    """Train the widest networks similar to TVN-1 that keep the limit."""
    from keras_video.applications.tiny_video_net.model import TinyVideoNet
    from keras_video.tuner.latency.meter import LatencyMeter

    meter, rows = LatencyMeter(), []
    for temporal, title in (("maxpool 2/2", "as TVN-1"), ("1d 2/2", "convolution over time")):
        for size in (24, 32, 40):
            fits = None
            for filters in range(1, 65):
                config = by_hand(size, filters, temporal)
                model = TinyVideoNet(config, classes=CLASSES, input_shape=config.clip)
                ms = time_network(meter, model).ms
                if fits and ms > FLAGS.max_latency_ms:
                    break
                fits = (filters, ms, config)  # the narrowest counts even where it takes longer
                if ms > FLAGS.max_latency_ms:
                    break
            filters, ms, config = fits
            rows.append({"network": f"TVN-1-like, {title}", "size": size, "filters": filters,
                         "latency_ms": round(ms, 4), "limit_ms": FLAGS.max_latency_ms,
                         **train(config)})  # fmt: skip
            print(rows[-1], flush=True)
    meter.close()
    harness.write("search_tvn_by_hand", [row | harness.describe_machine() for row in rows])


def remeasure():
    """Times what the searches found once more: it must keep the limit within 10 %."""
    from keras_video.tuner.latency.meter import LatencyMeter

    with open(results_folder() / "search_tvn.csv", newline="") as file:
        found = list(csv.DictReader(file))
    space, meter, rows = make_space(), LatencyMeter(), []
    for line in found:
        for kind in ("evolution", "random"):
            again = time_network(meter, space.build(json.loads(line[f"{kind}_network"])))
            rows.append({"seed": line["seed"], "search": kind, "limit_ms": line["limit_ms"],
                         "first_ms": line[f"{kind}_ms"], "again_ms": round(again.ms, 4),
                         "reference_ms": round(again.reference_ms, 4),
                         "over": round(again.ms / float(line["limit_ms"]) - 1, 4)})  # fmt: skip
    meter.close()
    harness.print_table(rows, list(rows[0]))
    print(f"largest excess over the limit: {100 * max(row['over'] for row in rows):.1f} %")
    harness.write("search_tvn_again", [row | harness.describe_machine() for row in rows])


def results_folder():
    return Path(FLAGS.output) if FLAGS.output else Path(__file__).parent / "results"


def main(argv):
    del argv
    os.makedirs(FLAGS.work, exist_ok=True)
    for name, part in zip(PARTS, (search_all, replay_all, compare_by_hand, remeasure), strict=True):
        if FLAGS.part in ("all", name):
            part()


if __name__ == "__main__":
    app.run(main)
