"""A TuNAS search for a MoViNet on clips that lie in a folder: what the CLI runs.

The folder has the settings and the arrays of `array_search`.
"""

import os

from keras_video.cli import search_tvn

PROJECT = "search"
CANDIDATES = 5


def space(settings):
    """The `MoViNetSpace` of a search: small networks on the clips as they are.

    Args:
        settings: dict of `classes`, `size` and `frames` of the clips, and `mobile`: networks that
            can stream; `layers`, the largest number of layers of a block, default 4.
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


def search(folder, verbose=1):
    """Searches, or goes on with a search that was interrupted; returns the tuner.

    Args:
        folder: string.
        verbose: int, 0 prints nothing.

    Raises:
        ValueError: if no network can have the wanted multiply-adds, or the folder's search is
            another one.
    """
    from keras_video.tuner import TuNAS

    settings = search_tvn.read_settings(folder)
    clips = search_tvn.read_clips(folder)
    tuner = TuNAS(
        space(settings),
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


def candidates(tuner, threads=1):
    """The candidates with their measured times.

    Args:
        tuner: a tuner whose search is over.
        threads: int, cores to measure on.

    Returns:
        List of dicts, the best first: `"values"`, `"val_accuracy"` with shared weights,
        `"cost_ratio"`, `"params"`, `"macs"`, and `"latency_ms"` of one clip, `None` where the
        machine was too busy.
    """
    from keras_video.tuner.latency.meter import LatencyMeter, MeasurementError

    meter, family, rows = LatencyMeter(threads=threads), tuner.hypermodel, []
    try:
        for row in tuner.results_table():
            if row.get("status", "COMPLETED") != "COMPLETED":
                continue
            values = row["values"]
            try:
                latency = meter.measure(family.build(values)).ms
            except MeasurementError:
                latency = None
            costs = {name: family.cost(values, name) for name in ("params", "macs")}
            shared = {name: row[name] for name in ("val_accuracy", "cost_ratio")}
            rows.append({"values": values, **shared, **costs, "latency_ms": latency})
    finally:
        meter.close()
    return rows


def show(rows):
    """The candidates as lines of a table: string."""
    lines = ["   top-1  of the target  params (M)  MACs (M)  latency (ms)"]
    for row in rows:
        latency = "-" if row["latency_ms"] is None else f"{row['latency_ms']:.2f}"
        lines.append(
            f"{row['val_accuracy']:8.4f}  {row['cost_ratio']:13.3f}  {row['params'] / 1e6:10.3f}  "
            f"{row['macs'] / 1e6:8.2f}  {latency:>12}"
        )
    return "\n".join(lines)


def plot(folder, values):
    """Draws how the search went and what it found beside MoViNet-A0; needs matplotlib.

    Args:
        folder: string, that of the search.
        values: dict of plain values, the network that was found.
    """
    from dataclasses import replace

    from keras_video.applications.movinet.config import A0
    from keras_video.plotting.architectures import plot_movinets
    from keras_video.tuner.one_shot.oracle import plot_search

    settings = search_tvn.read_settings(folder)
    plot_search(os.path.join(folder, PROJECT), os.path.join(folder, "history.png"))
    config = space(settings).to_config(values)
    published = replace(A0, clip=config.clip, variant=config.variant)
    path = os.path.join(folder, "network.png")
    plot_movinets({"found": config, "MoViNet-A0": published}, path, settings["classes"])


def retrain(folder, values, verbose=2):
    """Trains a network of the search from scratch.

    Returns:
        The pair of the model and a dict of metrics on the validation clips.
    """
    return search_tvn.retrain(folder, values, verbose, space)
