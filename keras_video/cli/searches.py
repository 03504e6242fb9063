"""The searches of `keras-video search`: arrays and settings in a folder, and what runs on them.

A search folder contains `settings.json`, arrays of training and validation clips, which all
processes of a search map into memory, and the files of the search itself. As a program,
`python -m keras_video.cli.searches FOLDER` is the chief or a worker of a search by several
processes.
"""

import contextlib
import os
import sys
from dataclasses import replace

import numpy as np

from keras_video import files
from keras_video.progress import progress

PARTS = ("train", "validation")
PROJECT = "search"
CANDIDATES = 5


# The folder of a search


def prepare(folder, output, settings, defaults):
    """Read a folder of videos into the arrays of a search folder, unless they are there already.

    Args:
        folder: string, videos in one folder per class.
        output: string, the search folder.
        settings: dict of the options of `keras-video search`.
        defaults: dict of their defaults, for a search folder that was written before an option
            existed.

    Returns:
        List of the class names.

    Raises:
        ValueError: if the search folder belongs to a search with other options.
    """
    from keras_video.data import video_dataset_from_directory

    settings = {**settings, "folder": os.path.abspath(folder)}
    may_change = {"final_epochs", "workers", "output"}  # when an interrupted search continues
    with contextlib.suppress(FileNotFoundError):
        found = defaults | read_settings(output)
        other = [n for n in settings if n not in may_change and found.get(n) != settings[n]]
        if other:
            name = other[0]
            raise ValueError(
                f"--output: expected a folder of a search with {name}={settings[name]!r}, got "
                f"{output} with another {name}, {found.get(name)!r}. Use another folder, or the "
                "same options."
            )
        write_settings(output, {**found, **settings})
        return found["class_names"]
    train, validation = video_dataset_from_directory(
        folder, batch_size=8, image_size=(settings["size"],) * 2, num_frames=settings["frames"],
        frame_rate=settings["frame_rate"] or None, seed=settings["seed"], subset="both",
        validation_split=settings["validation_split"],
        errors="skip" if settings["skip_broken"] else "raise",
    )  # fmt: skip
    write_clips(
        output,
        train=_read(train, settings["clips"], "reading training videos"),
        validation=_read(validation, 1, "reading validation videos"),
    )
    settings |= {"classes": train.num_classes, "class_names": list(train.class_names)}
    write_settings(output, settings)  # last, because it says that the arrays are complete
    return settings["class_names"]


def _read(data, epochs, label):
    """Return all clips and labels of a data set, read `epochs` times."""
    batches = []
    for _ in range(epochs):
        batches += [data[i] for i in progress(range(len(data)), len(data), label)]
        data.on_epoch_end()
    clips, labels = zip(*batches, strict=True)
    return np.concatenate(clips), np.concatenate(labels)


def write_clips(folder, **parts):
    """Write clips and labels.

    Args:
        folder: string.
        **parts: `train=` and `validation=`, pairs of arrays `(clips, frames, height, width, 3)`
            and `(clips,)`.
    """
    for part, arrays in parts.items():
        for path, array in zip(_paths(folder, part), arrays, strict=True):
            with files.replacing(path) as partial:
                np.save(partial, array)


def read_clips(folder):
    """Map the clips into memory; return `{"train": (clips, labels), "validation": ...}`."""
    return {
        part: tuple(np.load(path, mmap_mode="r") for path in _paths(folder, part)) for part in PARTS
    }


def write_settings(folder, settings):
    """Write the settings of a search, a dict of plain values."""
    files.write_json(os.path.join(folder, "settings.json"), settings, indent=1)


def read_settings(folder):
    """Return the settings of the search in a folder."""
    return files.read_json(os.path.join(folder, "settings.json"))


def _paths(folder, part):
    return [os.path.join(folder, f"{part}_{kind}.npy") for kind in ("clips", "labels")]


# Training of one model


def compile_network(model, steps):
    """Compile with AdamW, warm-up and cosine decay over `steps`; measure top-1 and top-5."""
    import keras

    warmup = max(1, steps // 10)
    schedule = keras.optimizers.schedules.CosineDecay(
        3e-4, max(1, steps - warmup), warmup_target=3e-3, warmup_steps=warmup
    )
    top = min(5, model.output_shape[-1])
    model.compile(
        keras.optimizers.AdamW(schedule, weight_decay=1e-3, global_clipnorm=1.0),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="top1"),
            keras.metrics.SparseTopKCategoricalAccuracy(top, name="top5"),
        ],
    )


def retrain(folder, space, values, verbose=2):
    """Train a model of the search from scratch, for `final_epochs` epochs.

    Args:
        folder: string, the search folder.
        space: search space of the model.
        values: dict of plain values, the choices of the model.
        verbose: int, as in `fit`.

    Returns:
        `(model, metrics)`; the metrics are a dict of those of the last epoch.
    """
    import keras

    settings = read_settings(folder)
    clips = read_clips(folder)
    x, y = clips["train"]
    keras.utils.set_random_seed(settings["seed"])
    model = space.build(values)
    epochs, batch = settings["final_epochs"], settings["batch_size"]
    compile_network(model, epochs * -(-len(y) // batch))
    history = space.fit(
        values, model, x, y, batch_size=batch, epochs=epochs,
        validation_data=clips["validation"], verbose=verbose,
    )  # fmt: skip
    return model, {name: series[-1] for name, series in history.history.items()}


# Tiny Video Networks, by evolution


def tvn_space(settings):
    """Return the `TVNSpace` of a search: small networks on parts of the clips.

    Args:
        settings: dict with `classes`, `mobile`, and `size` and `frames` of the clips.
    """
    from keras_video.tuner import TVNSpace

    size, frames = settings["size"], settings["frames"]
    return TVNSpace(
        num_classes=settings["classes"],
        image_size=(min(32, size), size, 16),
        frames=[n for n in (1, 2, 4, 8, 16, 32) if n <= frames],
        frame_stride=(1, max(1, (frames - 1) // 2)),
        blocks=(1, 4),
        repeats=(1, 4),
        spatial_kernel=(1, 5),
        spatial_stride=(1, 4),
        temporal_kernel=(1, 5),
        temporal_stride=(1, 3),
        filters=(8, 128, 8),
        expand=[1, 2, 3, 4],
        non_local=[8, 16, 32],
        dropout=0.2,
        mobile=settings["mobile"],
        video_frames=frames,
    )


def search_tvn(folder, verbose=1):
    """Search a Tiny Video Network by evolution, or continue an interrupted search.

    Args:
        folder: string, the search folder.
        verbose: int, 0 prints nothing.

    Returns:
        The tuner.

    Raises:
        ValueError: if no network keeps the limits, or the folder holds another search.
    """
    import keras

    from keras_video.tuner import Evolution, MaxLatency, MaxParams

    settings = read_settings(folder)
    clips = read_clips(folder)
    x, y = clips["train"]
    batch, epochs, trials = (settings[name] for name in ("batch_size", "epochs", "trials"))
    limits = [MaxLatency(settings["max_latency_ms"], threads=settings["threads"])]
    limits += [MaxParams(settings["max_params"])] if settings["max_params"] else []
    keras.utils.set_random_seed(settings["seed"])
    tuner = Evolution(
        tvn_space(settings),
        max_trials=trials,
        population_size=max(2, min(200, trials // 3)),
        tournament_size=max(2, min(50, trials // 10)),
        survivors="aging",
        constraints=limits,
        compile=lambda model: compile_network(model, epochs * -(-len(y) // batch)),
        seed=settings["seed"],
        directory=folder,
        project_name=PROJECT,
    )
    tuner.search(
        x, y, batch_size=batch, epochs=epochs, validation_data=clips["validation"], verbose=verbose
    )
    return tuner


def plot_tvn(folder, table):
    """Plot fitness over latency, the family tree and the best network; requires matplotlib.

    Args:
        folder: string, the search folder.
        table: `ResultsTable` of the search.
    """
    from keras_video.plotting.architectures import plot_architecture
    from keras_video.plotting.search import plot_family, plot_pareto
    from keras_video.tuner.search import results

    settings = read_settings(folder)
    limit = settings["max_latency_ms"]
    slow = [row["latency_ms"] for row in table.rejected if "latency_ms" in row]
    path = os.path.join(folder, "pareto.png")
    plot_pareto(table, results.pareto_front(table), path, limit=limit, rejected=slow)
    plot_family(results.family_tree(table), os.path.join(folder, "family.png"))
    config = tvn_space(settings).to_config(table[0]["values"])
    path = os.path.join(folder, "network.png")
    plot_architecture(config, path, settings["classes"], f"Found within {limit:g} ms")


# MoViNets, by TuNAS


def movinet_space(settings):
    """Return the `MoViNetSpace` of a search: small networks on whole clips.

    Args:
        settings: dict with `classes`, `size` and `frames` of the clips, `mobile` for networks that
            can stream, and optionally `layers`, the largest number of layers in a block (4).
    """
    from keras_video.tuner import MoViNetSpace

    return MoViNetSpace(
        "A0",
        num_classes=settings["classes"],
        clip=(settings["frames"], settings["size"], settings["size"]),
        causal=settings["mobile"],
        layers=settings.get("layers", 4),
        hidden=512,
        dropout=0.2,
        stochastic_depth=0.0,
    )


def search_movinet(folder, verbose=1):
    """Search a MoViNet by TuNAS, or continue an interrupted search.

    Args:
        folder: string, the search folder.
        verbose: int, 0 prints nothing.

    Returns:
        The tuner.

    Raises:
        ValueError: if no network has so many multiply-adds, or the folder holds another search.
    """
    from keras_video.tuner import TuNAS

    settings = read_settings(folder)
    clips = read_clips(folder)
    tuner = TuNAS(
        movinet_space(settings),
        cost="macs",
        target=settings["macs_per_frame"] * settings["frames"],
        beta=-0.3,
        epochs=settings["trials"],
        num_candidates=CANDIDATES,
        seed=settings["seed"],
        directory=folder,
        project_name=PROJECT,
    )
    tuner.search(
        *clips["train"], validation_data=clips["validation"], batch_size=settings["batch_size"],
        verbose=verbose,
    )  # fmt: skip
    return tuner


def measure_candidates(tuner, threads=1):
    """Measure the latency of the candidates of a TuNAS search.

    Args:
        tuner: tuner whose search is complete.
        threads: int, number of cores to use.

    Returns:
        List of dicts, the best first: `"values"`, `"val_accuracy"` with shared weights,
        `"cost_ratio"` to the target, `"params"`, `"macs"`, and `"latency_ms"` of one clip, `None`
        if the machine was too busy.
    """
    from keras_video.tuner.latency.meter import LatencyMeter, MeasurementError

    meter, space, rows = LatencyMeter(threads=threads), tuner.hypermodel, []
    with contextlib.closing(meter):
        for row in tuner.results_table():
            if row.get("status", "COMPLETED") != "COMPLETED":
                continue
            values = row["values"]
            try:
                latency = meter.measure(space.build(values)).ms
            except MeasurementError:
                latency = None
            costs = {name: space.cost(values, name) for name in ("params", "macs")}
            shared = {name: row[name] for name in ("val_accuracy", "cost_ratio")}
            rows.append({"values": values, **shared, **costs, "latency_ms": latency})
    return rows


def format_candidates(rows):
    """Return the result of `measure_candidates` as a table to print."""
    lines = ["   top-1  of the target  params (M)  MACs (M)  latency (ms)"]
    for row in rows:
        latency = "-" if row["latency_ms"] is None else f"{row['latency_ms']:.2f}"
        lines.append(
            f"{row['val_accuracy']:8.4f}  {row['cost_ratio']:13.3f}  {row['params'] / 1e6:10.3f}  "
            f"{row['macs'] / 1e6:8.2f}  {latency:>12}"
        )
    return "\n".join(lines)


def plot_movinet(folder, values):
    """Plot the course of a TuNAS search, and a network next to MoViNet-A0; requires matplotlib.

    Args:
        folder: string, the search folder.
        values: dict of plain values, the choices of the network.
    """
    from keras_video.applications.movinet.config import A0
    from keras_video.plotting.architectures import plot_movinets
    from keras_video.tuner.one_shot.oracle import plot_search

    settings = read_settings(folder)
    plot_search(os.path.join(folder, PROJECT), os.path.join(folder, "history.png"))
    config = movinet_space(settings).to_config(values)
    published = replace(A0, clip=config.clip, variant=config.variant)
    path = os.path.join(folder, "network.png")
    plot_movinets({"found": config, "MoViNet-A0": published}, path, settings["classes"])


if __name__ == "__main__":
    from keras_video.tuner.search import workers

    search_tvn(sys.argv[1], verbose=1 if workers.is_chief() else 2)
