"""The commands `train` and `bench-data`, for a folder of videos with a folder per class."""

import contextlib
import json
import os
import sys

from keras_video.cli.command_line import Command, Option
from keras_video.progress import load_keras, working


def train(options, folder):
    """Fine-tunes a network on a folder of videos, measures it on the videos kept aside."""
    recipe = _clip(options, causal=options.causal)
    keras = load_keras()
    from keras_video import training
    from keras_video.data import video_dataset_from_directory
    from keras_video.training import evaluation

    keras.utils.set_random_seed(options.seed)
    subset = "both" if options.validation_split else None
    data = video_dataset_from_directory(folder, **data_options(options, recipe, subset))
    data, validation = data if subset else (data, None)
    os.makedirs(options.output, exist_ok=True)
    model = _network(recipe, data.class_names, options.causal)
    # The file tells by itself what the network wants to see.
    model.info.update(
        clip=[recipe.frames, *recipe.size, 3],
        frame_rate=recipe.frame_rate,
        resize_side=recipe.resize_side,
        labels=data.class_names,
    )
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
    _write(os.path.join(options.output, "labels.txt"), names)
    settings = {option.name: options[option.name].value for option in TRAIN.options}
    record = {"settings": settings, "history": history.history, "epochs": history.epoch}
    record = json.dumps(record, indent=1, default=float)
    _write(os.path.join(options.output, "history.json"), record)
    if validation is not None:
        report = os.path.join(options.output, "report.json")
        result = evaluation.evaluate(model, validation, report=report)
        with contextlib.suppress(ImportError):  # of matplotlib
            result.plot(options.output)
    print(f"network: {os.path.abspath(path)} (labels, history and report beside it)")
    same = f" --validation_split={options.validation_split:g} --seed={options.seed}"
    print(f"next:    keras-video evaluate {folder} --weights={path}{same if subset else ''}")


def bench_data(options, folder):
    """Measures how many clips per second come out of the files, and go into a network."""
    recipe = _clip(options, causal=False)
    keras = load_keras()
    from keras_video.cli.recipe import title
    from keras_video.data import bench, video_dataset_from_directory

    data = video_dataset_from_directory(folder, **data_options(options, recipe, None))
    print(f"{options.batch_size} clips in a batch, {recipe.frames} {recipe.pictures}")
    model = None
    if options.network:
        model = _network(recipe._replace(weights="none"), data.class_names, causal=False)
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
        print("The model waits for the data: more --workers, smaller or less compressed files.")
    else:
        print("The data wait for the model: reading the files costs no time in training.")


# What the commands share


def _clip(options, causal):
    """The `Recipe` of the network to train: what clips it gets, from which weights it starts."""
    from keras_video.applications import movinet
    from keras_video.cli.recipe import WEIGHTS, Recipe, find_recipe, full_name

    wanted = {name: options[name].value for name in ("frames", "size", "frame_rate")}
    if options.weights in WEIGHTS:
        return find_recipe(options.model, options.weights, causal, **wanted)
    if options.weights != "none" and not _is_path(options.weights):
        known = ", ".join(WEIGHTS)
        raise ValueError(f"--weights must be {known}, none or a path. Received: {options.weights}")
    name = full_name(options.model, movinet.CONFIGS)
    config = movinet.CONFIGS[name]
    return Recipe(
        name=name,
        weights=options.weights,
        streaming=causal,
        frames=options.frames or config.clip[0],
        size=(options.size,) * 2 if options.size else config.clip[1:3],
        frame_rate=options.frame_rate or config.frame_rate,
        resize_side=None if options.size else config.resize_side,
        labels=[],
    )


def _is_path(weights):
    return os.path.exists(weights) or os.path.exists(f"{weights}.index")


def data_options(options, recipe, subset):
    """Arguments of `video_dataset_from_directory`; the same seed splits in the same way."""
    shares = {"validation_split": options.validation_split, "subset": subset} if subset else {}
    return {
        **shares,
        "batch_size": options.batch_size,
        "image_size": recipe.size,
        "resize_side": recipe.resize_side,
        "num_frames": recipe.frames,
        "frame_rate": recipe.frame_rate,
        "step": 1 if recipe.frame_rate else recipe.frame_stride or 1,
        "errors": "skip" if options.skip_broken else "raise",
        "seed": options.seed,
        "workers": options.workers,
    }


def _network(recipe, class_names, causal):
    """The network to train: logits for the classes of the folder."""
    from keras_video import applications
    from keras_video.cli.recipe import title

    builder = getattr(applications, title(recipe.name).replace("-", ""))
    weights = None if recipe.weights == "none" else recipe.weights
    return builder(weights=weights, classes=len(class_names), causal=causal)


def _save(model, path):
    """Saves beside the target first, so that no half network is ever found."""
    temporary = os.path.join(os.path.dirname(path), f".{os.getpid()}.keras")
    try:
        model.save(temporary)
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)


def _write(path, text):
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(temporary, path)


CLIP_OPTIONS = (
    Option("frames", 0, "frames of a clip; 0: as the weights were made for", 0),
    Option("frame_rate", 0.0, "frames per second; 0: as the weights were made for", 0),
    Option("size", 0, "side of the square frames in pixels; 0: as they were made for", 0),
    Option("batch_size", 8, "clips in a batch", 1),
    Option("workers", 2, "threads that read the files", 0),
    Option("seed", 0, "seed of the split, and of all that is random", 0),
    Option("skip_broken", False, "leave out files that cannot be read, and list them"),
)
TRAIN_WEIGHTS = "start from kinetics600, kinetics400, moving_digits, a path, none"
TRAIN = Command(
    train,
    "FOLDER",
    "fine-tunes a model on a folder of videos",
    """\
Fine-tunes a MoViNet on a folder that holds a folder of videos for each class:

  videos/jumping/a.mp4  videos/jumping/b.mov  videos/running/c.mp4  ...

A part of the videos is kept aside, to measure on. OUTPUT gets the network
(model.keras), its labels.txt, the course of training (history.json), and the
report and picture of the measurement. With few videos, or little time, freeze
the first stages. A run that was stopped goes on with --resume.

examples:
  keras-video train videos --epochs=20 --output=tuned
  keras-video train videos --model=A0 --freeze=block3 --frames=16 --frame_rate=8
  keras-video train videos --model=A0 --causal     # to stream it afterwards
  keras-video train digits --model=A0 --weights=moving_digits""",
    (
        Option("model", "A2", "T0, or A0 (fastest) to A5 (most accurate)"),
        Option("weights", "kinetics600", TRAIN_WEIGHTS),
        Option("causal", False, "train the network that can stream"),
        Option("epochs", 10, "how often to go through the videos", 1),
        Option("learning_rate", 1e-3, "highest learning rate", 0),
        Option("freeze", "", "first layer to train, as in block3; empty: all layers"),
        Option("validation_split", 0.2, "part of the videos to measure on; 0: none", 0),
        *CLIP_OPTIONS,
        Option("output", "fine_tuned", "folder for the results"),
        Option("resume", False, "go on where the same command was interrupted"),
        Option("log_dir", "", "folder for TensorBoard"),
    ),
)
BENCH_DATA = Command(
    bench_data,
    "FOLDER",
    "measures how fast a folder of videos is read",
    """\
Measures how many clips per second are read from a folder of videos, and how
many a network can be trained on: which of the two decides how long an epoch
takes. The network has random weights, nothing is downloaded.

examples:
  keras-video bench-data videos
  keras-video bench-data videos --model=A0 --frames=16 --size=112 --workers=4
  keras-video bench-data videos --nonetwork""",
    (
        Option("model", "A2", "T0, or A0 (fastest) to A5 (most accurate)"),
        Option("weights", "none", "weights whose clips to read, as kinetics600"),
        Option("network", True, "train a network, too; --nonetwork: only read"),
        Option("batches", 20, "how many batches to measure", 1),
        *CLIP_OPTIONS,
    ),
)
