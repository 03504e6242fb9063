"""The command `evaluate`, for a folder of videos with a folder per class."""

import os

from keras_video.cli.command_line import Command, Option
from keras_video.cli.training import CLIP_OPTIONS, data_options
from keras_video.progress import load_keras, working

PROTOCOLS = ("single_clip", "multi_clip", "streaming")


def evaluate(options, folder):
    """Measures a network on a folder of videos."""
    if options.protocol not in PROTOCOLS:
        known = ", ".join(PROTOCOLS)
        raise ValueError(f"--protocol must be one of {known}. Received: {options.protocol}")
    if options.clips and options.protocol != "multi_clip":
        raise ValueError(f"--clips goes with --protocol=multi_clip, not {options.protocol}.")
    streaming = options.protocol == "streaming"
    model, recipe = trained(options, options.model, options.weights, streaming)
    from keras_video.data import video_dataset_from_directory
    from keras_video.training import evaluation

    subset = "validation" if options.validation_split else None
    data = video_dataset_from_directory(folder, **data_options(options, recipe, subset))
    result = evaluation.evaluate(
        model,
        data,
        options.protocol,
        crops=options.crops,
        clips=options.clips or None,
        class_names=recipe.labels,
        report=options.report or None,
        plots=options.plots or None,
    )
    print(f"\n{result.table(most=40)}\n")
    for label, path in (("report", options.report), ("pictures", options.plots)):
        if path:
            print(f"{label}: {os.path.abspath(path)}")


def trained(options, name, weights, streaming):
    """A network and its recipe: by its name, or from a `.keras` file given as weights."""
    if not weights.endswith(".keras"):
        from keras_video.cli.recipe import find_recipe

        wanted = {key: options[key].value for key in ("labels", "frames", "size", "frame_rate")}
        recipe = find_recipe(name, weights, streaming, **wanted)
        return recipe.build(), recipe
    from keras_video.cli.recipe import Recipe

    if not os.path.isfile(weights):
        raise ValueError(f"--weights: there is no file {weights}.")
    keras = load_keras()
    with working(f"loading {weights}"):
        model = keras.models.load_model(weights)
    info = getattr(model, "info", {})
    if "clip" not in info:
        raise ValueError(f"--weights: {weights} holds no network of keras_video.")
    if streaming and not model.streaming:
        model = _streaming_twin(model, weights)
    labels = info.get("labels")
    if options.labels:
        with open(options.labels, encoding="utf-8") as file:
            labels = [line.strip() for line in file if line.strip()]
    return model, Recipe(
        name=info.get("config", {}).get("name", model.name),
        weights=weights,
        streaming=streaming,
        frames=options.frames or info["clip"][0],
        size=(options.size,) * 2 if options.size else tuple(info["clip"][1:3]),
        frame_rate=options.frame_rate or info.get("frame_rate"),
        resize_side=None if options.size else info.get("resize_side"),
        labels=labels,
        frame_stride=info.get("frame_stride"),
    )


def _streaming_twin(model, path):
    """The same network with a state, if it looks into the past only."""
    from keras_video.applications.movinet import MoViNet, MoViNetConfig
    from keras_video.models import copy_weights

    if model.info.get("family") != "movinet":
        raise ValueError(f"--protocol=streaming: {model.name} in {path} takes whole clips only.")
    config = MoViNetConfig.from_dict(model.info["config"])
    if not config.variant.causal:
        raise ValueError(
            f"--protocol=streaming: the network in {path} looks into the future and cannot stream; "
            "train one with --causal."
        )
    twin = MoViNet(
        config,
        streaming=True,
        classes=model.info["classes"],
        include_preprocessing=model.info["pixels"] == 255,
    )
    copy_weights(model, twin)
    return twin


EVALUATE = Command(
    evaluate,
    "FOLDER",
    "measures a model on a folder of videos",
    """\
Measures a model on a folder that holds a folder of videos for each class: top-1
and top-5 accuracy, accuracy of each class, confusion matrix. The folders are
matched with the classes of the model by name; not all need to be there.

protocols:
  single_clip   a clip from the middle of each video
  multi_clip    CLIPS clips of each video, of CROPS crops each; logits averaged
  streaming     frame by frame; also the accuracy after each number of frames

examples:
  keras-video evaluate videos --weights=fine_tuned/model.keras --validation_split=0.2
  keras-video evaluate videos --weights=kinetics600 --model=A2 --report=a2.json
  keras-video evaluate videos --weights=m.keras --protocol=multi_clip --clips=10 --crops=3
  keras-video evaluate videos --weights=m.keras --protocol=streaming --plots=pictures""",
    (
        Option("weights", "kinetics600", "a .keras file of keras-video train, or a name"),
        Option("model", "A2", "for weights other than a .keras file: T0, A0 to A5"),
        Option("labels", "", "file with one class name per line, for weights from a path"),
        Option("protocol", "single_clip", "single_clip, multi_clip or streaming"),
        Option("crops", 1, "crops of each clip, 1 or 3", 1),
        Option("clips", 0, "clips of each video for multi_clip; 0: ten", 0),
        Option("report", "", "write a report here (.json)"),
        Option("plots", "", "folder for pictures"),
        Option("validation_split", 0.0, "measure only the part that train kept; 0: all", 0),
        *CLIP_OPTIONS,
    ),
)
