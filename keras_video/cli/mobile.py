"""The commands `export` and `bench-mobile`, for phones and small computers."""

import os

from keras_video.cli.command_line import Command, Option
from keras_video.cli.evaluate import trained
from keras_video.cli.training import CLIP_OPTIONS, data_options
from keras_video.progress import working

QUANTIZATIONS = ("none", "float16", "dynamic", "int8", "int16x8")


def export(options, model):
    """Writes a network as a LiteRT file."""
    quantization = options.quantization
    if quantization not in QUANTIZATIONS:
        known = ", ".join(QUANTIZATIONS)
        raise ValueError(f"--quantization must be one of {known}. Received: {quantization}")
    calibrated = quantization in ("int8", "int16x8")
    if calibrated and not options.calibration:
        raise ValueError(
            f"--quantization={quantization} needs videos like those that the network will see: "
            "--calibration=FOLDER"
        )
    weights = model if model.endswith(".keras") else options.weights
    network, recipe = trained(options, model, weights, options.streaming)
    from keras_video.mobile.export import export_litert
    from keras_video.mobile.rewriting import with_input_shape

    frames = None if options.streaming else recipe.frames
    network = with_input_shape(network, (frames, *recipe.size, 3))
    clips = _clips(options, recipe) if calibrated else None
    output = options.output or f"{network.name}_{quantization}.tflite".replace("_none", "")
    print(f"converting {network.name}, and comparing the file with it", flush=True)
    export_litert(
        network,
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
    """Clips from a folder of videos, until there are enough."""
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
    """Measures a LiteRT file on this machine."""
    from keras_video.mobile.bench import bench

    print(bench(path, options.threads, options.calls))


EXPORT = Command(
    export,
    "MODEL",
    "writes a model as a LiteRT file for phones",
    """\
Writes a model as a LiteRT file for Android, Raspberry Pi and the like. MODEL is
the name of one, or a .keras file of keras-video train. With --streaming the
file takes one frame and a state, and gives an answer for every frame. The file
holds its labels and says what it wants to see; it is compared with the model
before it gets its name.

quantization:
  none      float32
  float16   half the size
  dynamic   weights of 8 bits
  int8      all in 8 bits: the smallest and fastest; needs videos to calibrate on
  int16x8   weights of 8 bits, the rest in 16; needs videos to calibrate on

examples:
  keras-video export A0 --streaming
  keras-video export A0 --streaming --quantization=int8 --calibration=videos
  keras-video export tuned/model.keras --streaming --quantization=float16
  keras-video export A0 --streaming --weights=moving_digits --output=digits.tflite""",
    (
        Option("streaming", False, "one frame after the other, with a state"),
        Option("quantization", "none", "none, float16, dynamic, int8, int16x8"),
        Option("calibration", "", "folder of videos with a folder per class, to calibrate on"),
        Option("clips", 32, "clips to calibrate on", 1),
        Option(
            "keep_float", "", "layers that stay in float, with commas between; auto: the fewest"
        ),
        Option("weights", "kinetics600", "kinetics600, moving_digits, charades, ..., a path"),
        Option("labels", "", "file with one class name per line, for weights from a path"),
        *CLIP_OPTIONS,
        Option("output", "", "the file; default: called like the model, here"),
    ),
)
BENCH_MOBILE = Command(
    bench_mobile,
    "FILE",
    "measures a LiteRT file: time, memory, operations",
    """\
Measures a file of keras-video export on this machine: milliseconds of a clip,
or of a frame with its state (the middle, and what 95 % stay below), memory at
the peak, operations, and those that compute in float in a quantized file. One
XNNPACK partition means that all operations run in the fast kernels.

examples:
  keras-video bench-mobile digits.tflite
  keras-video bench-mobile digits.tflite --threads=2 --calls=500""",
    (
        Option("threads", 1, "CPU threads", 1),
        Option("calls", 100, "calls to time", 1),
    ),
)
