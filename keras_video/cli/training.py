"""The commands `train` and `bench-data`, for a folder of videos with one folder per class."""

import contextlib
import os
import sys

from keras_video import files
from keras_video.applications.families import builder_name, title
from keras_video.checks import check_extra
from keras_video.cli.command_line import Command, Option
from keras_video.cli.recipe import find_training_recipe
from keras_video.progress import load_keras, working


def train(options, folder):
    """Fine-tune a model on a folder of videos, and measure it on the validation videos."""
    check_extra("video", "Reading videos")
    clip = clip_options(options)
    recipe = find_training_recipe(options.model, options.weights, options.causal, **clip)
    keras = load_keras()
    from keras_video import training
    from keras_video.data import video_dataset_from_directory
    from keras_video.training import evaluation

    keras.utils.set_random_seed(options.seed)
    subset = "both" if options.validation_split else None
    data = video_dataset_from_directory(folder, **data_options(options, recipe, subset))
    data, validation = data if subset else (data, None)
    os.makedirs(options.output, exist_ok=True)
    model = _build(recipe, data.class_names, options.causal)
    backup = os.path.join(options.output, "backup")
    if not options.resume:
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(backup, "training.npz"))
    history = training.finetune(
        model,
        data,
        validation,
        epochs=options.epochs,
        learning_rate=options.learning_rate,
        freeze=options.freeze or None,
        backup=backup,
        log_dir=options.log_dir or None,
        verbose=1 if sys.stdout.isatty() else 2,
    )
    path = os.path.join(options.output, "model.keras")
    _save(model, path)
    names = "".join(f"{name}\n" for name in data.class_names)
    files.write_text(os.path.join(options.output, "labels.txt"), names)
    settings = {option.name: options[option.name].value for option in TRAIN.options}
    record = {"settings": settings, "history": history.history, "epochs": history.epoch}
    history_path = os.path.join(options.output, "history.json")
    files.write_json(history_path, record, indent=1, default=float)
    if validation is not None:
        report = os.path.join(options.output, "report.json")
        result = evaluation.evaluate(model, validation, report=report)
        model.info["measured"] = {
            "data": os.path.basename(os.path.abspath(folder)),
            "top1": 100 * result.top1,
            "top5": None,
            "source": f"keras-video train, {len(validation.files)} validation videos",
        }
        _save(model, path)
        with contextlib.suppress(ImportError):  # without matplotlib
            result.plot(options.output)
    print(f"model: {os.path.abspath(path)} (labels, history and report in the same folder)")
    same = f" --validation_split={options.validation_split:g} --seed={options.seed}"
    print(f"next:  keras-video evaluate {folder} --weights={path}{same if subset else ''}")


def _save(model, path):
    with files.replacing(path) as partial:
        model.save(partial)


def bench_data(options, folder):
    """Measure how many clips per second are read, and how many a model trains on."""
    check_extra("video", "Reading videos")
    recipe = find_training_recipe(options.model, options.weights, **clip_options(options))
    keras = load_keras()
    from keras_video.data import bench, video_dataset_from_directory

    data = video_dataset_from_directory(folder, **data_options(options, recipe, None))
    print(f"{options.batch_size} clips in a batch, {recipe.frames} {recipe.pictures}")
    model = None
    if options.network:
        model = _build(recipe._replace(weights="none"), data.class_names, causal=False)
        model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    with working("measuring"):
        found = bench.measure(data, model, options.batches, training=True)
    rows = {f"reading, {options.workers} workers": found["clips_per_second"]}
    if model is not None:
        rows[f"training {title(recipe.name)}"] = found["model_clips_per_second"]
    for label, speed in rows.items():
        print(f"{label:24s}{speed:9.1f} clips/s")
    if model is None:
        return
    if found["bottleneck"] == "data":
        print("The model waits for the data: try more --workers, or smaller video files.")
    else:
        print("The data wait for the model: reading does not slow down training.")


# Helpers of this and other commands


def clip_options(options):
    """Return the options that change the clip, as arguments of `find_recipe`."""
    return {name: options[name].value for name in ("frames", "size", "frame_rate")}


def data_options(options, recipe, subset):
    """Return arguments of `video_dataset_from_directory`; the same seed gives the same split."""
    split = {"validation_split": options.validation_split, "subset": subset} if subset else {}
    return {
        **split,
        "batch_size": options.batch_size,
        "image_size": recipe.size,
        "resize_side": recipe.resize_side,
        "num_frames": recipe.frames,
        "frame_rate": recipe.frame_rate,
        "sampling": recipe.sampling or "window",
        "step": 1 if recipe.frame_rate else recipe.frame_stride or 1,
        "errors": "skip" if options.skip_broken else "raise",
        "seed": options.seed,
        "workers": options.workers,
    }


def _build(recipe, class_names, causal):
    """Build the model to train; it outputs logits for the classes of the folder."""
    from keras_video import applications

    builder = getattr(applications, builder_name(recipe.name))
    weights = None if recipe.weights == "none" else recipe.weights
    return builder(weights=weights, classes=len(class_names), causal=causal)


CLIP_OPTIONS = (
    Option("frames", 0, "frames of a clip; 0: as for the weights", 0),
    Option("frame_rate", 0.0, "frames per second; 0: as for the weights", 0),
    Option("size", 0, "side of the square frames in pixels; 0: as for the weights", 0),
    Option("batch_size", 8, "clips in a batch", 1),
    Option("workers", 2, "threads that read videos", 0),
    Option("seed", 0, "seed of the split and of all random numbers", 0),
    Option("skip_broken", False, "skip files that cannot be read, and list them"),
)
TRAIN_WEIGHTS = "start from kinetics600, kinetics400, moving_digits, a path, none"
TRAIN = Command(
    train,
    "FOLDER",
    "fine-tunes a model on a folder of videos",
    """\
Fine-tunes a MoViNet on a folder that has a folder of videos for each class:

  videos/jumping/a.mp4  videos/jumping/b.mov  videos/running/c.mp4  ...

Some of the videos are set aside to measure the accuracy. The folder OUTPUT gets
the model (model.keras), its class names (labels.txt), losses and metrics of all
epochs (history.json), and a report and a plot of the accuracy. With few videos
or little time, freeze the first stages. Continue an interrupted run with --resume.

examples:
  keras-video train videos --epochs=20 --output=tuned
  keras-video train videos --model=A0 --freeze=block3 --frames=16 --frame_rate=8
  keras-video train videos --model=A0 --causal     # to use it as a stream
  keras-video train digits --model=A0 --weights=moving_digits""",
    (
        Option("model", "A2", "T0, or A0 (fastest) to A5 (most accurate)"),
        Option("weights", "kinetics600", TRAIN_WEIGHTS),
        Option("causal", False, "train a model that can stream"),
        Option("epochs", 10, "number of passes over the videos", 1),
        Option("learning_rate", 1e-3, "highest learning rate", 0),
        Option("freeze", "", "first layer to train, as in block3; empty: all layers"),
        Option("validation_split", 0.2, "part of the videos set aside; 0: none", 0),
        *CLIP_OPTIONS,
        Option("output", "fine_tuned", "folder for the results"),
        Option("resume", False, "continue the same command after an interruption"),
        Option("log_dir", "", "folder for TensorBoard"),
    ),
)
BENCH_DATA = Command(
    bench_data,
    "FOLDER",
    "measures how fast a folder of videos is read",
    """\
Measures how many clips per second are read from a folder of videos, and how
many a model can train on. The slower of the two decides the time of an epoch.
The model has random weights, nothing is downloaded.

examples:
  keras-video bench-data videos
  keras-video bench-data videos --model=A0 --frames=16 --size=112 --workers=4
  keras-video bench-data videos --nonetwork""",
    (
        Option("model", "A2", "T0, or A0 (fastest) to A5 (most accurate)"),
        Option("weights", "none", "read clips as for these weights, such as kinetics600"),
        Option("network", True, "train a model, too; --nonetwork: only read"),
        Option("batches", 20, "number of batches to measure", 1),
        *CLIP_OPTIONS,
    ),
)
