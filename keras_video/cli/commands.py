"""The command `keras-video`: one short function per command."""

import contextlib
import itertools
import os
import sys
import time

from keras_video.applications.families import all_configs, family_of, title
from keras_video.cli.command_line import Command, CommandLine, Option
from keras_video.cli.evaluate import EVALUATE
from keras_video.cli.mobile import BENCH_MOBILE, EXPORT
from keras_video.cli.recipe import find_recipe, find_records
from keras_video.cli.search import SEARCH
from keras_video.cli.training import BENCH_DATA, TRAIN
from keras_video.progress import working
from keras_video.utils import macs, params


def classify(options, path):
    """Classify a clip from the middle of a video file."""
    from keras_video.data import VideoReader

    _check_pictures(options, path)
    video = VideoReader(path, partial=options.partial)
    recipe = _recipe(options, streaming=False)
    with working("reading the video"):
        clip, seconds = recipe.read_clip(video)
    height, width = video.size
    print(f"{path}: {video.duration:.1f} s, {width} x {height} at {video.fps:.4g} frames/s")
    print(f"{recipe.title}: {recipe.frames} {recipe.pictures}")
    if seconds:
        print(f"The video is shorter than the clip of {seconds:.1f} s, so it was repeated.")
    model = recipe.build()
    with working("classifying"):
        probabilities = _numpy(model(clip[None]))[0]
    best = _best(probabilities, recipe.labels, options.top)
    print()
    for place, (label, probability) in enumerate(best):
        bar = "#" * round(30 * probability)
        print(f"{place + 1:3d}. {label:34s}{100 * probability:6.1f} %  {bar}")
    if options.annotate:
        _annotate(video, options, [(0.0, best)], recipe.title)


def stream(options, source):
    """Classify a video file or a camera frame by frame."""
    from keras_video.data import VideoReader, open_video
    from keras_video.data.frames import resize_frame

    _check_pictures(options, source)
    video = open_video(source, partial=options.partial)
    recipe = _recipe(options, streaming=True)
    window = recipe.frames if options.window < 0 else options.window
    every = options.every or max(1, round(recipe.frame_rate))
    geometry = (recipe.size, True, recipe.resize_side)
    # What a camera shows is annotated as it comes, a file afterwards in its own quality.
    live = bool(options.annotate) and not isinstance(video, VideoReader)
    frames = video.frames(recipe.frame_rate, *(() if live else geometry))
    first = next(frames)  # fails before the model is loaded if there is no camera
    rolling = recipe.rolling_stream(window)
    print(f"{recipe.title}: {recipe.pictures}, one by one;", end=" ")
    print(f"remembers {window // 2} to {window} frames" if window else "remembers all frames")
    log = _StreamLog(recipe, rolling, options.top, every, keep=bool(options.plot))
    answers, ended = [], False
    with contextlib.ExitStack() as stack:
        output = stack.enter_context(_live_output(options, recipe)) if live else None
        stack.enter_context(contextlib.suppress(KeyboardInterrupt))
        for number, whole in enumerate(itertools.chain([first], frames), 1):
            frame = resize_frame(whole, *geometry) if live else whole
            log.add(frame, rolling.step(frame))
            best = _best(log.latest, recipe.labels, options.top)
            if live:
                output.write(whole, best, time.perf_counter() - log.began)
            elif options.annotate:
                answers.append(((number - 1) / recipe.frame_rate, best))
            if number == options.max_frames:
                break
        else:
            ended = True
    log.finish()
    if options.annotate and not live:
        seconds = None if ended else log.count / recipe.frame_rate
        _annotate(video, options, answers, recipe.title, seconds)
    elif live:
        print(f"annotated video: {os.path.abspath(options.annotate)}")
    if options.plot:
        from keras_video.plotting.stream import plot_stream

        plot_stream(
            log.shots, log.probabilities, recipe.labels, options.plot,
            frame_rate=recipe.frame_rate, title=f"{source}: {recipe.title}",
        )  # fmt: skip
        print(f"plot: {os.path.abspath(options.plot)}")


def models(options):
    """Print a table of all models, without loading Keras."""
    configs = all_configs()
    rows = [
        ("model", "params (M)", "GMACs", "input", "fps", "Kinetics-600 top-1", "weights"),
        *(_model_row(name, config) for name, config in configs.items()),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [f"{cell:{width}s}" for cell, width in zip(row, widths, strict=True)]
        print("  ".join(cells).rstrip())
    records = [record for name in configs for record in find_records(name).values()]
    sources = {r.source for r in records if r.name == "kinetics600" and r.top1}
    print(MODELS_NOTE.format(sources="; ".join(sorted(sources))))


MODELS_NOTE = """
Pairs are base / streaming. GMACs are billions of multiply-adds for one clip of the
published size. fps is the frame rate of the clip; models without one take 1 frame of
so many, or frames spread over the whole video. Parameters include the statistics of
batch norm. MoViNet is counted with 600 classes, TVN (Tiny Video Networks) with 339,
bLVNet-TAM with 174, X3D and Auto-TSNet with 400. Auto-TSNet-S, M and L are
reconstructions that meet the published budget.
Top-1 in % as published: {sources}.
Use them as keras_video.applications.MoViNetA2(weights=...), TinyVideoNet1(...), ...,
or --model=A2 --weights=..., --model=TVN1, --model=X3DS, --model=bLVNet50 ..."""


def _model_row(name, config):
    frames, height, width, _ = config.clip
    family = family_of(name)
    both = (config, config.streaming()) if family.streams else (config,)
    records = find_records(name)
    top1 = [getattr(records.get(("kinetics600", causal)), "top1", None) for causal in (False, True)]
    top1 = top1[: len(both)]
    return (
        title(name),
        " / ".join(f"{params(c, family.classes) / 1e6:.2f}" for c in both),
        " / ".join(f"{macs(c, c.clip, family.classes) / 1e9:.3g}" for c in both),
        f"{frames} x {height} x {width}",
        _pace(config),
        " / ".join(f"{accuracy:.2f}" if accuracy else "-" for accuracy in top1),
        ", ".join(dict.fromkeys(weights for weights, _ in records)) or "-",
    )


def _pace(config):
    rate = getattr(config, "frame_rate", None)
    if rate:
        return f"{rate:g}"
    stride = getattr(config, "frame_stride", None)
    return f"1 of {stride}" if stride else "spread"


def demo(options):
    """Run the demo."""
    from keras_video.cli.demo import run

    return run(options.output)


def _recipe(options, streaming):
    names = ("model", "weights", "labels", "frames", "size", "frame_rate")
    return find_recipe(streaming=streaming, **{name: options[name].value for name in names})


def _check_pictures(options, source):
    """Raise an error now, and not after the work, if a plot or a video could not be written."""
    if options.annotate:
        from keras_video.plotting.overlays import check_annotation

        check_annotation(options.annotate, source, "--annotate")
    if "plot" in options and options.plot:
        from keras_video.plotting.figures import check_figure

        check_figure(options.plot, "--plot")


def _annotate(video, options, answers, title, seconds=None):
    """Write the annotated copy of a video file."""
    from keras_video.plotting import annotate_video

    with working("writing the annotated video"):
        annotate_video(
            video, options.annotate, answers, top=options.top, title=title, duration=seconds
        )
    print(f"annotated video: {os.path.abspath(options.annotate)}")


def _live_output(options, recipe):
    from keras_video.plotting import AnnotatedVideo

    return AnnotatedVideo(options.annotate, recipe.frame_rate, options.top, recipe.title)


class _StreamLog:
    """Prints the predictions of a stream, and keeps the data of the plot."""

    def __init__(self, recipe, rolling, top, every, keep):
        self.recipe, self.rolling, self.top, self.every = recipe, rolling, top, every
        self.keep, self.shots, self.probabilities = keep, [], []
        self.count, self.apart = 0, 1
        self.began = self.last = time.perf_counter()
        self.sizes = set()

    def add(self, frame, probabilities):
        self.count += 1
        self.sizes.add(self.rolling.state_bytes)
        if self.keep:
            self._remember(frame, probabilities)
        self.latest = probabilities
        if self.count % self.every == 0:
            self._print(self.every)

    def _print(self, frames):
        """Print a line with the latest predictions and the speed of the last frames."""
        now = time.perf_counter()
        speed, self.last = frames / max(now - self.last, 1e-9), now
        best = _best(self.latest, self.recipe.labels, self.top)
        answers = "  ".join(f"{label} {100 * p:.0f} %" for label, p in best)
        print(
            f"{self.count / self.recipe.frame_rate:7.1f} s  {answers:56s}"
            f"{speed:7.1f} frames/s  state {self.rolling.state_bytes / 1e6:.2f} MB",
            flush=True,
        )

    def finish(self):
        if self.count % self.every:
            self._print(self.count % self.every)
        seconds = time.perf_counter() - self.began
        sizes = " to ".join(f"{size / 1e6:.2f}" for size in sorted(self.sizes))
        print(
            f"{self.count} frames in {seconds:.1f} s: {self.count / max(seconds, 1e-9):.1f} "
            f"frames/s; state {sizes} MB from the first frame to the last."
        )

    def _remember(self, frame, probabilities):
        """Keep all predictions, and at most 64 frames, evenly spread."""
        self.probabilities.append(probabilities)
        if (self.count - 1) % self.apart == 0:
            self.shots.append(frame)
        if len(self.shots) > 64:
            self.shots, self.apart = self.shots[::2], 2 * self.apart


def _best(probabilities, labels, top):
    order = sorted(range(len(labels)), key=lambda k: -probabilities[k])[:top]
    return [(labels[k].replace("_", " "), float(probabilities[k])) for k in order]


def _numpy(tensor):
    from keras import ops

    return ops.convert_to_numpy(tensor)


WEIGHTS_HELP = "kinetics600, charades, ..., a path; empty: the model's first"
MODEL_OPTIONS = (
    Option("weights", "", WEIGHTS_HELP),
    Option("labels", "", "file with one class name per line, for weights from a path"),
    Option("frames", 0, "frames of a clip; 0: as for the weights", 0),
    Option("frame_rate", 0.0, "frames per second; 0: as for the weights", 0),
    Option("size", 0, "side of the square frames in pixels; 0: as for the weights", 0),
    Option("partial", False, "read a damaged video as far as possible"),
)
COMMANDS = {
    "classify": Command(
        classify,
        "VIDEO",
        "classifies a video file",
        """\
Classifies a video file. One clip from the middle is sampled at the frame rate
of the weights, resized and cropped, and classified by the model. A video that
is too short is repeated. The official weights are downloaded once (12 to 72 MB)
and kept in the Keras home.

examples:
  keras-video classify skating.mp4
  keras-video classify skating.mp4 --model=A0 --top=3
  keras-video classify digits.mp4 --model=A0 --weights=moving_digits
  keras-video classify skating.mp4 --annotate=annotated.mp4
  keras-video classify mine.mp4 --weights=tuned.weights.h5 --labels=classes.txt
  keras-video classify home.mp4 --model=TVN1 --weights=charades --labels=classes.txt
  keras-video classify home.mp4 --model=X3DS --weights=kinetics400""",
        (
            Option("model", "A2", "T0, A0 (fastest) to A5 (most accurate), TVN1 to TVN4, ..."),
            *MODEL_OPTIONS,
            Option("top", 5, "number of classes to print", 1),
            Option("annotate", "", "file for the video with the answer drawn in (.mp4)"),
        ),
    ),
    "stream": Command(
        stream,
        "SOURCE",
        "classifies a video file or a camera frame by frame",
        """\
Classifies a video frame by frame, and prints predictions all the time. SOURCE
is a file or the number of a camera (0 is the first). The model keeps a state
whose size, which is printed, does not depend on the length of the video. To
notice changes, the model must forget: predictions depend on the last WINDOW/2
to WINDOW frames (two states are reset alternately), or with --window=0 on all
frames since the start.

examples:
  keras-video stream skating.mp4
  keras-video stream 0 --model=A1 --window=30
  keras-video stream skating.mp4 --annotate=annotated.mp4
  keras-video stream digits.mp4 --weights=moving_digits --every=4 --plot=digits.png""",
        (
            Option("model", "A0", "T0, or A0 (fastest) to A5 (most accurate)"),
            *MODEL_OPTIONS,
            Option("window", -1, "frames to remember; 0: all; -1: the length of a clip", -1),
            Option("every", 0, "frames between two lines; 0: a line per second", 0),
            Option("top", 2, "number of classes to print", 1),
            Option("max_frames", 0, "stop after so many frames; 0: at the end of the video", 0),
            Option("plot", "", "file for a plot of the predictions over time (.png)"),
            Option("annotate", "", "file for the video with the predictions drawn in (.mp4)"),
        ),
    ),
    "train": TRAIN,
    "evaluate": EVALUATE,
    "search": SEARCH,
    "bench-data": BENCH_DATA,
    "export": EXPORT,
    "bench-mobile": BENCH_MOBILE,
    "models": Command(
        models,
        "",
        "lists the models with their size, cost and accuracy",
        """\
Lists the models: parameters, multiply-adds, input, and published accuracy with
its source. Loads neither Keras nor a backend.

example:
  keras-video models""",
        (),
    ),
    "demo": Command(
        demo,
        "",
        "shows both kinds of models in a minute, offline",
        """\
Writes a video of handwritten digits that change their motion. A small MoViNet
classifies it clip by clip (base model) and frame by frame (streaming model). The
demo prints both predictions next to the true motion, and saves a plot and the
video with the predictions drawn in. It needs no internet. The exit code is 1 if a
prediction is wrong.

example:
  keras-video demo --output=demo""",
        (Option("output", "keras_video_demo", "folder for the videos and the plot"),),
    ),
}


def _version():
    import keras_video

    return keras_video.__version__


COMMAND_LINE = CommandLine(
    name="keras-video",
    commands=COMMANDS,
    intro="keras-video: efficient video recognition with Keras",
    closing="""\
The backend is set by KERAS_BACKEND=tensorflow, jax or torch.

first steps:
  keras-video demo                         see it work, offline, in a minute
  keras-video classify skating.mp4         classify a video
  keras-video stream 0                     classify what a camera sees
  keras-video train videos                 train a model for your own classes""",
    version=_version,
    debug="KERAS_VIDEO_DEBUG",
)


def main(argv=None):
    """Run the command line; return 0, 1 if the demo predicts wrongly, or 2 after an error."""
    return COMMAND_LINE.main(argv)


if __name__ == "__main__":
    sys.exit(main())
