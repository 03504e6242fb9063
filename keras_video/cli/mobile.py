"""The commands `export` and `bench-mobile`, for phones and small computers."""

import os

from keras_video.checks import check_choice, check_extra
from keras_video.cli.command_line import Command, Option
from keras_video.cli.recipe import load_model
from keras_video.cli.training import CLIP_OPTIONS, clip_options, data_options
from keras_video.progress import working

QUANTIZATIONS = ("none", "float16", "dynamic", "int8", "int16x8")


def export(options, model):
    """Write a model as a LiteRT file."""
    quantization = check_choice("--quantization", options.quantization, QUANTIZATIONS)
    calibrated = quantization in ("int8", "int16x8")
    if calibrated and not options.calibration:
        raise ValueError(
            f"--calibration: expected a folder of videos for --quantization={quantization}, "
            "got none. Use --calibration=FOLDER."
        )
    check_extra("mobile", "An export")
    if calibrated:
        check_extra("video", "--calibration")
    weights = model if model.endswith(".keras") else options.weights
    clip = clip_options(options)
    model, recipe = load_model(model, weights, options.streaming, labels=options.labels, **clip)
    from keras_video.mobile.export import export_litert
    from keras_video.mobile.rewriting import with_input_shape

    frames = None if options.streaming else recipe.frames
    model = with_input_shape(model, (frames, *recipe.size, 3))
    clips = _clips(options, recipe) if calibrated else None
    output = options.output or f"{model.name}_{quantization}.tflite".replace("_none", "")
    print(f"converting {model.name}, then comparing the file with the model", flush=True)
    export_litert(
        model,
        output,
        quantization=None if quantization == "none" else quantization,
        representative_data=clips,
        labels=recipe.labels,
        keep_float="auto" if options.keep_float == "auto" else _names(options.keep_float),
    )
    print(f"file: {os.path.abspath(output)}")
    print(f"next: keras-video bench-mobile {output}")


def _names(text):
    return [name for name in text.split(",") if name]


def _clips(options, recipe):
    """Read clips from the calibration folder until there are enough."""
    import numpy as np

    from keras_video.data import video_dataset_from_directory

    data = video_dataset_from_directory(options.calibration, **data_options(options, recipe, None))
    clips = []
    with working("reading videos"):
        for i in range(len(data)):
            clips.append(np.asarray(data[i][0]))
            if sum(map(len, clips)) >= options.clips:
                break
    return np.concatenate(clips)[: options.clips]


def bench_mobile(options, path):
    """Measure a LiteRT file on this machine."""
    check_extra("litert", "bench-mobile")
    from keras_video.mobile.bench import bench

    print(bench(path, options.threads, options.calls))


EXPORT = Command(
    export,
    "MODEL",
    "writes a model as a LiteRT file for phones",
    """\
Writes a model as a LiteRT file for Android, Raspberry Pi and the like. MODEL is
a model's name, or a .keras file of keras-video train. With --streaming the file
takes one frame and a state, and returns predictions for every frame. The file
contains its labels and input specification. It is compared with the Keras model
before it is put in place.

quantization:
  none      float32
  float16   half the size
  dynamic   8-bit weights
  int8      8 bits everywhere: smallest and fastest; needs calibration videos
  int16x8   8-bit weights, 16-bit activations; needs calibration videos

examples:
  keras-video export A0 --streaming
  keras-video export A0 --streaming --quantization=int8 --calibration=videos
  keras-video export tuned/model.keras --streaming --quantization=float16
  keras-video export A0 --streaming --weights=moving_digits --output=digits.tflite""",
    (
        Option("streaming", False, "take one frame at a time, with a state"),
        Option("quantization", "none", "none, float16, dynamic, int8, int16x8"),
        Option("calibration", "", "calibration videos: a folder with one folder per class"),
        Option("clips", 32, "number of calibration clips", 1),
        Option(
            "keep_float", "", "layers to keep in float, comma-separated; auto: as few as possible"
        ),
        Option("weights", "", "kinetics600, charades, ..., a path; empty: the model's first"),
        Option("labels", "", "file with one class name per line, for weights from a path"),
        *CLIP_OPTIONS,
        Option("output", "", "the file; default: named after the model, in this folder"),
    ),
)
BENCH_MOBILE = Command(
    bench_mobile,
    "FILE",
    "measures a LiteRT file: time, memory, operations",
    """\
Measures a file of keras-video export on this machine: milliseconds for a clip,
or for a frame with its state (median and 95th percentile), peak memory,
operations, and the operations of a quantized file that still compute in float.
One XNNPACK partition means that all operations use the fast kernels.

examples:
  keras-video bench-mobile digits.tflite
  keras-video bench-mobile digits.tflite --threads=2 --calls=500""",
    (
        Option("threads", 1, "CPU threads", 1),
        Option("calls", 100, "number of timed calls", 1),
    ),
)
