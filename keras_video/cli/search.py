"""The command `search`: a network for a folder of videos, within milliseconds or multiply-adds."""

import contextlib
import json
import os
import sys

from keras_video.cli.command_line import Command, Option
from keras_video.progress import load_keras, progress

SPACES = ("tvn", "movinet")


def search(options, folder):
    """Searches a network for a folder of videos, trains and saves the best."""
    settings = {option.name: options[option.name].value for option in SEARCH.options}
    output = options.output
    if options.space not in SPACES:
        raise ValueError(f"--space: expected one of {SPACES}, got {options.space!r}.")
    if (options.space == "movinet") != bool(options.macs_per_frame):
        raise ValueError(
            "--macs_per_frame: expected a number above 0 with --space=movinet, and only there; got "
            f"{options.macs_per_frame:g}."
        )
    load_keras()
    if options.space == "movinet":
        _search_movinet(folder, output, settings)
        return
    from keras_video.cli import search_tvn
    from keras_video.tuner.search.workers import run_team

    os.makedirs(output, exist_ok=True)
    names = _prepare(folder, output, settings)
    if options.workers > 1:
        command = [sys.executable, "-m", "keras_video.cli.search_tvn", output]
        run_team(command, options.workers, output)
    else:
        search_tvn.search(output, verbose=2)
    best = _show(output)
    model, metrics = search_tvn.retrain(output, best["values"])
    _save(model, output, names, settings)
    print(f"\nfound:   {best['latency_ms']:.2f} ms, {best['params']:,.0f} parameters", end="; ")
    print(f"top-1 {100 * metrics['val_top1']:.1f} % on the videos kept aside")
    print(f"network: {os.path.abspath(os.path.join(output, 'model.keras'))}")
    print("         (results.csv, labels.txt and pictures beside it)")
    print(f"next:    keras-video evaluate {folder} --weights={os.path.join(output, 'model.keras')}")


def _search_movinet(folder, output, settings):
    """Searches a MoViNet by TuNAS, trains and saves it."""
    if settings["workers"] > 1:
        raise ValueError("--workers: expected 1 with --space=movinet: one process trains all.")
    from keras_video.cli import search_movinet

    os.makedirs(output, exist_ok=True)
    names = _prepare(folder, output, settings)
    tuner = search_movinet.search(output, verbose=1)
    rows = search_movinet.candidates(tuner, settings["threads"])
    print(f"\n{search_movinet.show(rows)}\n")
    best = rows[0]["values"]
    with contextlib.suppress(ImportError):  # of matplotlib
        search_movinet.plot(output, best)
    model, metrics = search_movinet.retrain(output, best)
    _save(model, output, names, settings)
    macs, wanted = rows[0]["macs"] / settings["frames"], settings["macs_per_frame"]
    print(f"\nfound:   {macs:,.0f} multiply-adds a frame ({wanted:,.0f} wanted)", end="; ")
    print(f"top-1 {100 * metrics['val_top1']:.1f} % on the videos kept aside")
    if abs(macs / wanted - 1) > 0.1:
        print("         the search was short: with more --trials it comes nearer to what is wanted")
    print(f"network: {os.path.abspath(os.path.join(output, 'model.keras'))}")
    print(f"next:    keras-video evaluate {folder} --weights={os.path.join(output, 'model.keras')}")


def _prepare(folder, output, settings):
    """Reads the videos into arrays, unless the same command did before; the names of the classes.

    All processes of the search map these arrays into memory.
    """
    from keras_video.cli import search_tvn
    from keras_video.data import video_dataset_from_directory

    path = os.path.join(output, "settings.json")
    settings = {**settings, "folder": os.path.abspath(folder)}
    kept = {"final_epochs", "workers", "output"}  # may change when a search goes on
    with contextlib.suppress(FileNotFoundError):
        found = search_tvn.read_settings(output)
        defaults = {option.name: option.default for option in SEARCH.options}
        found = defaults | found  # options that were not there when the search was begun
        other = [n for n in settings if n not in kept and found.get(n) != settings[n]]
        if other:
            raise ValueError(
                f"--output: {output} holds a search with another {other[0]}, "
                f"{found.get(other[0])!r}: choose another folder, or the same options."
            )
        _write(path, json.dumps({**found, **settings}, indent=1))
        return found["class_names"]
    train, validation = video_dataset_from_directory(
        folder, batch_size=8, image_size=(settings["size"],) * 2, num_frames=settings["frames"],
        frame_rate=settings["frame_rate"] or None, seed=settings["seed"], subset="both",
        validation_split=settings["validation_split"],
        errors="skip" if settings["skip_broken"] else "raise",
    )  # fmt: skip
    search_tvn.write_clips(
        output,
        train=_read(train, settings["clips"], "reading videos to train on"),
        validation=_read(validation, 1, "reading videos to measure on"),
    )
    settings |= {"classes": train.num_classes, "class_names": list(train.class_names)}
    _write(path, json.dumps(settings, indent=1))  # last: what it speaks of is there
    return settings["class_names"]


def _read(data, times, label):
    """All clips and labels of a data set, in `times` epochs."""
    import numpy as np

    batches = []
    for _ in range(times):
        batches += [data[i] for i in progress(range(len(data)), len(data), label)]
        data.on_epoch_end()
    clips, labels = zip(*batches, strict=True)
    return np.concatenate(clips), np.concatenate(labels)


def _show(output):
    """Prints the table, draws the pictures; returns the best row."""
    from keras_video.cli import search_tvn
    from keras_video.tuner.search import results

    settings = search_tvn.read_settings(output)
    table = results.results_table(os.path.join(output, search_tvn.PROJECT))
    print(f"\n{table}\n")
    _write(os.path.join(output, "results.csv"), table.to_csv())
    with contextlib.suppress(ImportError):  # of matplotlib
        from keras_video.plotting.architectures import plot_architecture
        from keras_video.plotting.search import plot_family, plot_pareto

        limit = settings["max_latency_ms"]
        slow = [row["latency_ms"] for row in table.rejected if "latency_ms" in row]
        front = results.pareto_front(table)
        plot_pareto(table, front, os.path.join(output, "pareto.png"), limit=limit, rejected=slow)
        plot_family(results.family_tree(table), os.path.join(output, "family.png"))
        config = search_tvn.space(settings).to_config(table[0]["values"])
        path = os.path.join(output, "network.png")
        plot_architecture(config, path, settings["classes"], f"Found within {limit:g} ms")
    return table[0]


def _save(model, output, names, settings):
    """Saves the network with what it wants to see, and the names of its classes."""
    stride = model.info.get("frame_stride", 1)
    rate = settings["frame_rate"] / stride if settings["frame_rate"] else None
    model.info.update(frame_rate=rate, resize_side=None, labels=names)
    temporary = os.path.join(output, f".{os.getpid()}.keras")
    try:
        model.save(temporary)
        os.replace(temporary, os.path.join(output, "model.keras"))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
    _write(os.path.join(output, "labels.txt"), "".join(f"{name}\n" for name in names))


def _write(path, text):
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


SEARCH = Command(
    search,
    "FOLDER",
    "finds a small network for your videos that is fast enough",
    """\
Searches the Tiny Video Network that is best on a folder of videos, which holds
a folder for each class, and takes no more milliseconds for a clip than allowed,
measured on one core of this machine. Networks are drawn at random, then the
better ones are changed (evolution); too slow ones are rejected before they are
trained. Every network sees some of the frames of a clip, at its own size.

The best is trained again from scratch. OUTPUT gets it (model.keras), a table of
all networks, and pictures. A search that was stopped, or killed, goes on when
the same command is given again. Latency is measured with LiteRT where
ai-edge-litert and TensorFlow are installed, else with the Keras backend.

With --space=movinet it is a MoViNet of about so many multiply-adds a frame, by
TuNAS: one network that holds all others is trained for so many epochs as there
are --trials, and a policy beside it. Then --epochs and --max-latency-ms have no
effect, and --mobile finds a network that can stream.

examples:
  keras-video search videos --max-latency-ms 5 --trials 60 --workers 2
  keras-video search videos --max-latency-ms 2 --frames 8 --size 48 --mobile
  keras-video search videos --space movinet --macs-per-frame 20e6 --size 96""",
    (
        Option("space", "tvn", "networks to search among: tvn or movinet"),
        Option("macs_per_frame", 0.0, "multiply-adds a frame; with --space=movinet", 0),
        Option("max_latency_ms", 5.0, "longest time for one clip, in milliseconds", 0.001),
        Option("max_params", 0.0, "largest number of parameters; 0: any", 0),
        Option("threads", 1, "processor cores for the clip whose time is measured", 1),
        Option("trials", 60, "how many networks to train", 1),
        Option("workers", 1, "processes that train networks", 1),
        Option("epochs", 8, "how often each network sees the clips", 1),
        Option("final_epochs", 40, "the same, for the network that was found", 1),
        Option("mobile", False, "search the mobile networks: inverted blocks, hard swish"),
        Option("frames", 16, "frames of the clips that networks see parts of", 1),
        Option("frame_rate", 12.0, "frames per second of these clips", 0.001),
        Option("size", 64, "side of their square frames in pixels", 16),
        Option("clips", 2, "clips taken from each video to train on", 1),
        Option("validation_split", 0.2, "part of the videos to measure on", 0.001),
        Option("batch_size", 16, "clips in a batch", 1),
        Option("seed", 0, "seed of the split, and of all that is random", 0),
        Option("skip_broken", False, "leave out files that cannot be read, and list them"),
        Option("output", "searched", "folder for the results"),
    ),
)
