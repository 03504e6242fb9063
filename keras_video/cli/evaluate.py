"""The command `evaluate`, for a folder of videos with one folder per class."""

import os

from keras_video.checks import check_choice, check_extra
from keras_video.cli.command_line import Command, Option
from keras_video.cli.recipe import load_model
from keras_video.cli.training import CLIP_OPTIONS, clip_options, data_options

PROTOCOLS = ("single_clip", "multi_clip", "streaming")


def evaluate(options, folder):
    """Measure the accuracy of a model on a folder of videos."""
    check_choice("--protocol", options.protocol, PROTOCOLS)
    if options.clips and options.protocol != "multi_clip":
        raise ValueError(
            f"--clips: expected none unless --protocol=multi_clip, got {options.clips}."
        )
    check_extra("video", "Reading videos")
    if options.plots:
        check_extra("plot", "--plots")
    streaming = options.protocol == "streaming"
    clip = clip_options(options)
    model, recipe = load_model(
        options.model, options.weights, streaming, labels=options.labels, **clip
    )
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
    for label, path in (("report", options.report), ("plots", options.plots)):
        if path:
            print(f"{label}: {os.path.abspath(path)}")


EVALUATE = Command(
    evaluate,
    "FOLDER",
    "measures a model on a folder of videos",
    """\
Measures a model on a folder that has a folder of videos for each class: top-1
and top-5 accuracy, accuracy of each class, confusion matrix. The folders are
matched with the classes of the model by name; some classes may be missing.

protocols:
  single_clip   a clip from the middle of each video
  multi_clip    CLIPS clips of each video with CROPS crops each; logits averaged
  streaming     frame by frame; shows also the accuracy after each frame

examples:
  keras-video evaluate videos --weights=fine_tuned/model.keras --validation_split=0.2
  keras-video evaluate videos --weights=kinetics600 --model=A2 --report=a2.json
  keras-video evaluate videos --weights=m.keras --protocol=multi_clip --clips=10 --crops=3
  keras-video evaluate videos --weights=m.keras --protocol=streaming --plots=plots""",
    (
        Option(
            "weights", "", "a .keras file of keras-video train, a name; empty: the model's first"
        ),
        Option("model", "A2", "for weights other than a .keras file: T0, A0 to A5"),
        Option("labels", "", "file with one class name per line, for weights from a path"),
        Option("protocol", "single_clip", "single_clip, multi_clip or streaming"),
        Option("crops", 1, "crops of each clip, 1 or 3", 1),
        Option("clips", 0, "clips of each video for multi_clip; 0: ten", 0),
        Option("report", "", "file for a report (.json)"),
        Option("plots", "", "folder for plots"),
        Option("validation_split", 0.0, "measure only the part that train set aside; 0: all", 0),
        *CLIP_OPTIONS,
    ),
)
