"""The command `search`: a model for a folder of videos, within milliseconds or multiply-adds."""

import contextlib
import os
import sys
from dataclasses import replace

from keras_video import files
from keras_video.checks import check_choice, check_extra
from keras_video.cli import searches
from keras_video.cli.command_line import Command, Option
from keras_video.progress import load_keras

SPACES = ("tvn", "movinet")


def search(options, folder):
    """Search a model for a folder of videos, then train and save the best one."""
    check_choice("--space", options.space, SPACES)
    movinet = options.space == "movinet"
    if movinet != bool(options.macs_per_frame):
        raise ValueError(
            "--macs_per_frame: expected a number above 0 with --space=movinet, and only there, got "
            f"{options.macs_per_frame:g}."
        )
    if movinet and options.workers > 1:
        raise ValueError(
            f"--workers: expected 1 with --space=movinet, which trains in one process, got "
            f"{options.workers}."
        )
    check_extra("video", "Reading videos")
    check_extra("tuner", "A search")
    load_keras()
    settings = {option.name: options[option.name].value for option in SEARCH.options}
    defaults = {option.name: option.default for option in SEARCH.options}
    os.makedirs(options.output, exist_ok=True)
    names = searches.prepare(folder, options.output, settings, defaults)
    run = _search_movinet if movinet else _search_tvn
    model, accuracy, found = run(options)
    path = os.path.join(options.output, "model.keras")
    _save(model, path, names, options.frame_rate)
    print(f"\nfound: {found};", end=" ")
    print(f"top-1 {100 * accuracy:.1f} % on the validation videos")
    print(f"model: {os.path.abspath(path)} (labels and plots in the same folder)")
    print(f"next:  keras-video evaluate {folder} --weights={path}")


def _search_tvn(options):
    """Search a Tiny Video Network; return the trained model, its accuracy and its size as text."""
    from keras_video.tuner.search import results, workers

    output = options.output
    if options.workers > 1:
        command = [sys.executable, "-m", "keras_video.cli.searches", output]
        workers.run_team(command, options.workers, output)
    else:
        searches.search_tvn(output, verbose=2)
    table = results.results_table(os.path.join(output, searches.PROJECT))
    print(f"\n{table}\n")
    files.write_text(os.path.join(output, "results.csv"), table.to_csv())
    with contextlib.suppress(ImportError):  # without matplotlib
        searches.plot_tvn(output, table)
    best = table[0]
    space = searches.tvn_space(searches.read_settings(output))
    model, metrics = searches.retrain(output, space, best["values"])
    found = f"{best['latency_ms']:.2f} ms, {best['params']:,.0f} parameters"
    return model, metrics["val_top1"], found


def _search_movinet(options):
    """Search a MoViNet; return the trained model, its accuracy and its size as text."""
    output = options.output
    tuner = searches.search_movinet(output, verbose=1)
    rows = searches.measure_candidates(tuner, options.threads)
    print(f"\n{searches.format_candidates(rows)}\n")
    best = rows[0]
    with contextlib.suppress(ImportError):  # without matplotlib
        searches.plot_movinet(output, best["values"])
    space = searches.movinet_space(searches.read_settings(output))
    model, metrics = searches.retrain(output, space, best["values"])
    macs, target = best["macs"] / options.frames, options.macs_per_frame
    found = f"{macs:,.0f} multiply-adds per frame (target {target:,.0f})"
    if abs(macs / target - 1) > 0.1:
        found += ", more --trials come closer to the target"
    return model, metrics["val_top1"], found


def _save(model, path, names, frame_rate):
    """Save the model with its input specification and the names of its classes."""
    known = model.video_input
    rate = frame_rate / known.frame_stride if frame_rate else None
    stride = 1 if rate else known.frame_stride
    model.video_input = replace(known, frame_rate=rate, frame_stride=stride, resize_side=None)
    model.class_names = names
    with files.replacing(path) as partial:
        model.save(partial)
    labels = os.path.join(os.path.dirname(path), "labels.txt")
    files.write_text(labels, "".join(f"{name}\n" for name in names))


SEARCH = Command(
    search,
    "FOLDER",
    "finds a small and fast model for a folder of videos",
    """\
Searches the most accurate Tiny Video Network for a folder of videos, which has a
folder for each class. A clip may take at most --max-latency-ms milliseconds on
one core of this machine. The search is an evolution: it starts with random
networks, then mutates the better ones. Networks that are too slow are rejected
before they are trained. Each network uses some frames of a clip, at its own size.

The best network is trained again from scratch. The folder OUTPUT gets the model
(model.keras), a table of all networks (results.csv), and plots. To continue a
search that was interrupted or killed, give the same command again. Latency is
measured with LiteRT if ai-edge-litert and TensorFlow are installed, else with
the Keras backend.

--space=movinet searches a MoViNet with about --macs-per-frame multiply-adds per
frame, by TuNAS: a super-network with the weights of all MoViNets and a policy
that chooses among them are trained together for --trials epochs. --epochs and
--max-latency-ms have no effect then, and --mobile finds a model that can stream.

examples:
  keras-video search videos --max-latency-ms 5 --trials 60 --workers 2
  keras-video search videos --max-latency-ms 2 --frames 8 --size 48 --mobile
  keras-video search videos --space movinet --macs-per-frame 20e6 --size 96""",
    (
        Option("space", "tvn", "search space: tvn or movinet"),
        Option("macs_per_frame", 0.0, "target of multiply-adds per frame; for --space=movinet", 0),
        Option("max_latency_ms", 5.0, "largest time for one clip in milliseconds", 0.001),
        Option("max_params", 0.0, "largest number of parameters; 0: no limit", 0),
        Option("threads", 1, "processor cores for measuring latency", 1),
        Option("trials", 60, "number of networks to train", 1),
        Option("workers", 1, "number of processes that train networks", 1),
        Option("epochs", 8, "training epochs of each network", 1),
        Option("final_epochs", 40, "training epochs of the best network", 1),
        Option("mobile", False, "search mobile networks: inverted blocks, hard swish"),
        Option("frames", 16, "frames of a clip; networks use some of them", 1),
        Option("frame_rate", 12.0, "frames per second of these clips", 0.001),
        Option("size", 64, "side of their square frames in pixels", 16),
        Option("clips", 2, "training clips from each video", 1),
        Option("validation_split", 0.2, "part of the videos set aside to measure accuracy", 0.001),
        Option("batch_size", 16, "clips in a batch", 1),
        Option("seed", 0, "seed of the split and of all random numbers", 0),
        Option("skip_broken", False, "skip files that cannot be read, and list them"),
        Option("output", "searched", "folder for the results"),
    ),
)
