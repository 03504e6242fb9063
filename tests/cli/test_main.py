"""The command line: help, errors and output; most tests replace the models by stand-ins."""

import os
import pathlib
import re
import subprocess
import sys
import types

import numpy as np
import pytest

from keras_video.cli import commands as main
from keras_video.cli.command_line import Option, as_options
from keras_video.cli.recipe import Recipe, find_recipe
from tests.cli.helpers import fails, run

SHARED = pathlib.Path(__file__).parents[2].parent / "shared" / "video"
PACKAGE = pathlib.Path(main.__file__).parents[1]
LABELS = ["dark", "middle_grey", "bright"]


# Help and errors


@pytest.mark.parametrize("flag", ["--help", "-h", "help"])
def test_help_lists_every_command(capsys, flag):
    code, out, err = run(capsys, flag)
    assert code == 0 and err == ""
    for name in ("classify", "stream", "models", "demo"):
        assert re.search(rf"^  {name} +\w", out, re.MULTILINE)


@pytest.mark.parametrize("name", list(main.COMMANDS))
def test_help_of_a_command_explains_every_option_and_gives_examples(capsys, name):
    code, out, _ = run(capsys, name, "--help")
    assert code == 0 and run(capsys, "help", name)[1] == out
    assert f"keras-video {name}" in out and "example" in out
    for option in main.COMMANDS[name].options:
        assert re.search(rf"^  --{option.name}\b.* \w+", out, re.MULTILINE)
    assert max(map(len, out.splitlines())) <= 100


def test_no_command_shows_the_help_as_an_error(capsys):
    code, out, err = run(capsys)
    assert code == 2 and out == "" and "commands:" in err


def test_wrong_words_are_named(capsys, tmp_path):
    assert "Did you mean 'classify'" in fails(capsys, "clasify", "a.mp4")
    assert "--help" in fails(capsys, "paint")
    assert "one VIDEO" in fails(capsys, "classify")
    assert "one VIDEO" in fails(capsys, "classify", "a.mp4", "b.mp4")
    assert "no arguments" in fails(capsys, "models", "A2")
    assert "--top" in fails(capsys, "classify", "a.mp4", "--top=0")
    assert "--top" in fails(capsys, "classify", "--top=many", "a.mp4")
    assert "colour" in fails(capsys, "classify", "a.mp4", "--colour=red")


@pytest.mark.parametrize(
    "said, shown",
    [
        ("frames: expected 4, got 20.", "--frames: expected 4, got 20."),
        ("num_frames: expected 4.", "--frames: expected 4."),
        (
            "a.mp4: cut. Pass partial=True or nopartial=True.",
            "a.mp4: cut. Pass --partial or nopartial=True.",
        ),
        ("protocol='streaming' needs clips=3.", "--protocol=streaming needs --clips=3."),
        ("partial=False, clips=2, other=1", "--nopartial, --clips=2, other=1"),
        ("--frames: expected /a/clips=3.", "--frames: expected /a/clips=3."),
    ],
)
def test_errors_of_the_library_name_options(said, shown):
    names = {"frames": 0, "partial": False, "protocol": "", "clips": 0}
    options = tuple(Option(name, default, "") for name, default in names.items())
    assert as_options(said, options) == shown


def test_missing_extras_are_told_at_the_start(capsys, monkeypatch, tmp_path):
    """Before videos are read, and before Keras is loaded."""
    monkeypatch.setattr("keras_video.checks._is_installed", lambda module: module == "av")
    for extra, words in {
        "tuner": ["search", tmp_path],
        "plot": ["evaluate", tmp_path, "--plots=plots"],
        "mobile": ["export", "A0"],
        "litert": ["bench-mobile", tmp_path / "a.tflite"],
        "datasets": ["demo"],
    }.items():
        assert f"pip install '.[{extra}]'" in fails(capsys, *words)
    monkeypatch.setattr("keras_video.checks._is_installed", lambda module: False)
    for command in ("train", "evaluate", "search", "bench-data"):
        assert "pip install '.[video]'" in fails(capsys, command, tmp_path)


def test_wrong_files_are_named(capsys, tmp_path):
    missing, empty, text = (str(tmp_path / name) for name in ("no.mp4", "empty.mp4", "text.mp4"))
    pathlib.Path(empty).touch()
    pathlib.Path(text).write_text("no video\n" * 99)
    for command in ("classify", "stream"):
        assert "no such video file" in fails(capsys, command, missing)
        assert "empty" in fails(capsys, command, empty)
        assert "not a video" in fails(capsys, command, text)


def test_no_traceback_unless_asked_for(capsys, monkeypatch):
    def broken(options):
        raise KeyError("something\nunexpected")

    commands = {**main.COMMANDS, "models": main.COMMANDS["models"]._replace(run=broken)}
    monkeypatch.setattr(main, "COMMAND_LINE", main.COMMAND_LINE._replace(commands=commands))
    assert "KERAS_VIDEO_DEBUG" in fails(capsys, "models")
    monkeypatch.setenv("KERAS_VIDEO_DEBUG", "1")
    with pytest.raises(KeyError):
        main.main(["models"])


def test_help_and_models_load_no_backend():
    """Run in another process, because this one has already imported Keras."""
    code = (
        "import sys; from keras_video.cli.commands import main; codes = [main([w]) for w in "
        "('--help', 'models')]; heavy = {'keras', 'tensorflow', 'jax', 'torch', 'av'}; "
        "print(codes, heavy & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=PACKAGE.parent,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
    )
    assert done.stdout.splitlines()[-1] == "[0, 0] set()", done.stderr


def test_models_prints_the_known_numbers(capsys):
    code, out, _ = run(capsys, "models")
    assert code == 0
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("MoViNet-")}
    assert list(rows) == [f"MoViNet-{n}" for n in ("T0", "A0", "A1", "A2", "A3", "A4", "A5")]
    assert "Model Garden" in out
    for part in ("3.13 / 3.77", "2.63 / 2.43", "50 x 172 x 172", "72.28 / 72.05", "moving_digits"):
        assert part in rows["MoViNet-A0"]
    assert "18.76 / 31.64" in rows["MoViNet-A5"] and "84.27 / 82.37" in rows["MoViNet-A5"]


def test_version(capsys):
    import keras_video

    assert run(capsys, "--version")[1] == f"keras-video {keras_video.__version__}\n"


# Commands with a stand-in for the model, which tells dark frames from bright ones


@pytest.fixture
def stand_ins(monkeypatch):
    """Replace records, models and streams; return a list of their inputs."""
    seen = []

    def record(name, weights, streaming=False):
        if weights != "kinetics600":
            raise ValueError(f"there are no weights {weights!r}")
        return types.SimpleNamespace(
            name=weights, frames=8, size=(32, 48), frame_rate=5.0, resize_side=50, classes=3,
            labels="labels.txt", top1=70.0, source="the paper",
        )  # fmt: skip

    def probabilities(pixels):
        brightness = float(np.median(pixels)) / 255
        scores = np.exp(-30 * (np.array([0.1, 0.5, 0.9]) - brightness) ** 2)
        return scores / scores.sum()

    class Rolling:
        state_bytes = 1_234_567

        def step(self, frame):
            seen.append(frame)
            return probabilities(frame)

    def build(recipe):
        seen.append(recipe)
        return lambda clip: seen.append(clip) or probabilities(clip)[None]

    from keras_video.applications import movinet

    monkeypatch.setattr(movinet, "weights_record", record, raising=False)
    monkeypatch.setattr(movinet, "labels", lambda record: LABELS, raising=False)
    monkeypatch.setattr(Recipe, "build", build)
    monkeypatch.setattr(Recipe, "rolling_stream", lambda recipe, window: Rolling())
    monkeypatch.setattr(main, "_numpy", np.asarray)
    return seen


@pytest.fixture
def video(tmp_path):
    """Write 3 seconds at 10 frames per second: dark, then bright, 64 wide and 48 high."""
    av = pytest.importorskip("av")
    path = tmp_path / "dark_bright.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for k in range(30):
            pixels = np.full((48, 64, 3), 25 if k < 10 else 230, "uint8")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    return str(path)


def test_classify_shows_the_middle_clip_and_prints_the_best(capsys, stand_ins, video):
    code, out, err = run(capsys, "classify", video, "--top=2", "--model=MoViNetA1")
    assert code == 0 and err == ""
    recipe, clip = stand_ins
    assert clip.shape == (1, 8, 32, 48, 3) and clip.dtype == np.uint8
    assert (recipe.name, recipe.weights, recipe.streaming) == ("movinet_a1", "kinetics600", False)
    lines = out.splitlines()
    assert "3.0 s, 64 x 48 at 10 frames/s" in lines[0]
    assert "MoViNet-A1 (kinetics600): 8 frames of 48 x 32 at 5 frames/s" in lines[1]
    assert re.match(r"  1\. bright +\d+\.\d %  #+$", lines[-2]) and "  2. middle grey" in lines[-1]
    assert "repeated" not in out


def test_classify_says_when_a_video_is_repeated(capsys, stand_ins, video):
    code, out, _ = run(capsys, "classify", video, "--frames=40", "--size=64", "--frame_rate=2.5")
    assert code == 0 and "shorter than the clip of 16.0 s" in out
    assert stand_ins[-1].shape == (1, 40, 64, 64, 3)


def test_stream_prints_answers_as_they_come(capsys, stand_ins, video):
    code, out, err = run(capsys, "stream", video, "--every=5")
    assert code == 0 and err == ""
    frames = [entry for entry in stand_ins if isinstance(entry, np.ndarray)]
    assert len(frames) == 15  # 3 s at 5 Hz
    lines = out.splitlines()
    assert "remembers 4 to 8 frames" in lines[0]
    answers = [line.split()[2] for line in lines[1:-1]]
    assert answers == ["dark", "bright", "bright"]
    assert all("frames/s" in line and "1.23 MB" in line for line in lines[1:-1])
    assert re.search(r"15 frames in .* frames/s; state 1\.23 MB from the first", lines[-1])


def test_stream_ends_with_an_answer(capsys, stand_ins, video):
    lines = run(capsys, "stream", video, "--every=10")[1].splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["2.0", "3.0"]
    assert "bright" in run(capsys, "stream", video, "--every=1000")[1]


def test_stream_options(capsys, stand_ins, video, tmp_path):
    picture = tmp_path / "answers.png"
    code, out, _ = run(
        capsys, "stream", video, "--window=0", "--max_frames=4", "--every=1", f"--plot={picture}"
    )
    assert code == 0 and "remembers all frames" in out and "4 frames in" in out
    assert out.count("dark") == 4 and picture.read_bytes()[:4] == b"\x89PNG"


def lower_left(path):
    """Return the lower left corner of every frame of an annotated video."""
    from keras_video.data import VideoReader

    return [frame[-80:, :200].astype(int) for frame in VideoReader(path).frames()]


def test_classify_annotates_the_whole_video(capsys, stand_ins, video, tmp_path):
    pytest.importorskip("PIL")
    out_file = tmp_path / "out.mp4"
    code, out, err = run(capsys, "classify", video, f"--annotate={out_file}")
    assert code == 0 and err == "" and f"annotated video: {out_file}" in out
    corners = lower_left(out_file)
    assert len(corners) == 30
    assert all(corner.max() - corner.min() > 100 for corner in corners)  # letters on the panel


def test_stream_annotates_a_file_with_the_answer_of_each_moment(capsys, stand_ins, video, tmp_path):
    pytest.importorskip("PIL")
    out_file = tmp_path / "out.mp4"
    words = ("stream", video, "--top=1", f"--annotate={out_file}")
    code, out, _ = run(capsys, *words)
    assert code == 0 and f"annotated video: {out_file}" in out
    corners = lower_left(out_file)
    assert len(corners) == 30  # all frames of the file, of which the model saw half
    changes = [np.abs(b - a).max() > 60 for a, b in zip(corners, corners[1:], strict=False)]
    assert changes[9] and sum(changes) == 1  # from dark to bright
    run(capsys, *words, "--max_frames=4")
    assert len(lower_left(out_file)) == 8  # 4 frames at 5 frames/s of a video of 10


def test_stream_annotates_what_a_camera_shows(capsys, stand_ins, monkeypatch, tmp_path):
    """In the size of the camera, and not in that of the model."""
    pytest.importorskip("PIL")
    from keras_video import data
    from keras_video.data import VideoReader

    class Camera(data.Camera):
        def frames(self, frame_rate=None, size=None, crop=True, resize_side=None):
            assert size is None
            for level in (25, 25, 230, 230):
                yield np.full((300, 400, 3), level, "uint8")

    monkeypatch.setattr(data, "open_video", lambda source, partial=False: Camera(int(source)))
    out_file = tmp_path / "out.mp4"
    code, out, _ = run(capsys, "stream", "0", "--every=1", f"--annotate={out_file}")
    assert code == 0 and f"annotated video: {out_file}" in out
    assert [line.split()[2] for line in out.splitlines()[1:5]] == ["dark"] * 2 + ["bright"] * 2
    seen = [entry for entry in stand_ins if isinstance(entry, np.ndarray)]
    assert {frame.shape for frame in seen} == {(32, 48, 3)}
    reader = VideoReader(out_file)
    assert reader.size == (300, 400) and len(reader) == 4


@pytest.mark.parametrize(
    "words, missing, extra",
    [
        (("classify", "--annotate=a.mp4"), "PIL", "video,plot"),
        (("stream", "--annotate=a.mp4"), "PIL", "video,plot"),
        (("stream", "--plot=a.png"), "matplotlib.figure", "plot"),
        (("demo",), "PIL", "plot"),
    ],
)
def test_missing_extras_are_named_before_the_work(
    capsys, monkeypatch, video, tmp_path, words, missing, extra
):
    def work(*args, **kwargs):
        raise AssertionError("loaded a model")

    monkeypatch.setattr(Recipe, "build", work)
    monkeypatch.setattr(Recipe, "rolling_stream", work)
    monkeypatch.setitem(sys.modules, missing, None)
    monkeypatch.chdir(tmp_path)
    name, *options = words
    arguments = [] if name == "demo" else [video]
    assert f".[{extra}]'" in fails(capsys, name, *arguments, *options)


def test_pictures_that_cannot_be_written_are_named_before_the_work(capsys, video):
    assert "--annotate: " in fails(capsys, "classify", video, "--annotate=a.avi")
    assert "--annotate: expected another" in fails(capsys, "stream", video, f"--annotate={video}")
    assert "--plot: " in fails(capsys, "stream", video, "--plot=a.nonsense")


def test_stream_keeps_few_frames_for_the_picture(monkeypatch):
    recipe = types.SimpleNamespace(labels=LABELS, frame_rate=5)
    rolling = types.SimpleNamespace(state_bytes=1)
    log = main._StreamLog(recipe, rolling, top=1, every=10**9, keep=True)
    for k in range(1000):
        log.add(k, [1, 0, 0])
    assert log.shots == list(range(0, 1000, log.apart)) and 32 <= len(log.shots) <= 64


def test_camera_that_is_missing(capsys, stand_ins, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert "no camera 97" in fails(capsys, "stream", "97")


def test_wrong_models_weights_and_labels(capsys, stand_ins, video, tmp_path):
    assert "expected one of T0, A0" in fails(capsys, "classify", video, "--model=A9")
    assert "no weights 'imagenet'" in fails(capsys, "classify", video, "--weights=imagenet")
    weights = tmp_path / "mine.weights.h5"
    weights.touch()
    assert "--labels" in fails(capsys, "classify", video, f"--weights={weights}")
    names = tmp_path / "names.txt"
    names.write_text("low\nmid\n\nhigh\n")
    code, out, _ = run(capsys, "classify", video, f"--weights={weights}", f"--labels={names}")
    assert code == 0 and "(mine.weights.h5)" in out and "1. high" in out
    assert "No such file" in fails(capsys, "classify", video, "--labels=/nowhere/names.txt")


@pytest.mark.parametrize(
    "model, weights",
    [
        ("A0", "kinetics600"),
        ("TVN1", "charades"),
        ("X3DS", "kinetics400"),
        ("TVNMovingDigits", "moving_digits"),
        ("TinyVideoNetMovingDigits", "moving_digits"),
    ],
)
def test_a_model_has_weights_of_its_own(tmp_path, model, weights):
    names = tmp_path / "names.txt"
    names.write_text("one\ntwo\n")
    assert find_recipe(model, "", labels=str(names)).weights == weights


def test_a_model_without_published_weights_needs_a_path(capsys, video):
    err = fails(capsys, "classify", video, "--model=TVN4")
    assert "--weights: expected a path for TVN-4" in err


def test_damaged_video_is_an_error_or_with_partial_a_warning(capsys, stand_ins, tmp_path):
    av = pytest.importorskip("av")
    path = tmp_path / "cut.mkv"
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(60):
            pixels = rng.integers(0, 255, (48, 64, 3), dtype="uint8")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, "rgb24")))
        container.mux(stream.encode())
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    err = fails(capsys, "classify", str(path))
    assert "cut short" in err and "Pass --partial to use" in err and "partial=True" not in err
    code, out, err = run(capsys, "classify", str(path), "--partial")
    assert code == 0 and "1. " in out
    assert err.startswith("keras-video: warning: ") and err.count("\n") == 1


@pytest.mark.parametrize("name, seconds", [("172", 4.4), ("360", 6.7)])
def test_real_clips(capsys, stand_ins, name, seconds):
    path = SHARED / f"carving_ice_{name}.mp4"
    if not path.exists():
        pytest.skip("the shared videos are not here")
    code, out, _ = run(capsys, "classify", str(path))
    assert code == 0 and f"{seconds} s, {name} x {name}" in out
    code, out, _ = run(capsys, "stream", str(path))
    assert code == 0 and f"{round(5 * seconds + 0.4)} frames in" in out


@pytest.mark.parametrize("wrong", [None, "clip", "stream"])
def test_demo_prints_both_answers_beside_the_truth(capsys, tmp_path, monkeypatch, wrong):
    from keras_video.cli import demo
    from keras_video.datasets import moving_digits

    pytest.importorskip("sklearn")
    truth = [moving_digits.CLASS_NAMES.index(motion) for motion in demo.MOTIONS]
    clips = np.eye(16)[truth] * 0.9
    stream = np.repeat(clips, 8, axis=0)
    if wrong:
        answers = clips if wrong == "clip" else stream
        answers[-1] = np.roll(answers[-1], 1)
    monkeypatch.setattr(demo, "_probabilities_of_clips", lambda video: clips)
    monkeypatch.setattr(demo, "_probabilities_of_stream", lambda video: (stream, 99.0, ["1.00"]))
    code, out, err = run(capsys, "demo", f"--output={tmp_path}")
    assert code == (1 if wrong else 0) and err == ""
    assert out.count("% ok") == 12 - bool(wrong) and out.count("WRONG") == bool(wrong)
    assert " frames of 128 x 128" in out
    for line, motion in zip(out.splitlines()[3:], demo.MOTIONS, strict=False):
        assert line.startswith(motion.replace("_", " "))
    for name in ("moving_digits.mp4", "annotated.mp4", "moving_digits.png"):
        assert (tmp_path / name).is_file() and str(tmp_path / name) in out


def test_recipe_takes_short_and_long_names():
    for model in ("A0", "a0", "MoViNetA0", "movinet_a0", "MoViNet-A0"):
        recipe = find_recipe(model, "kinetics600")
        assert (recipe.name, recipe.title) == ("movinet_a0", "MoViNet-A0 (kinetics600)")
    assert (recipe.frames, recipe.size, recipe.resize_side) == (50, (172, 172), 192)
    assert len(recipe.labels) == 600 and recipe.labels[0] == "abseiling"


# With the real weights


needs_weights = pytest.mark.skipif(
    not list(PACKAGE.rglob("*moving_digits.npz")), reason="the weights are not here yet"
)


@needs_weights
@pytest.mark.slow
def test_demo_answers_are_right(capsys, tmp_path):
    code, out, _ = run(capsys, "demo", f"--output={tmp_path}")
    assert code == 0 and "WRONG" not in out, out
    assert (tmp_path / "moving_digits.png").stat().st_size > 20_000
    assert (tmp_path / "moving_digits.mp4").stat().st_size > 20_000


@needs_weights
def test_classify_and_stream_with_the_real_weights(capsys, tmp_path):
    from keras_video.datasets import moving_digits

    path = str(tmp_path / "zoom.mp4")
    label = moving_digits.CLASS_NAMES.index("zoom_in")
    moving_digits.write_video(path, moving_digits.make_video([label]))
    options = ("--model=A0", "--weights=moving_digits")
    code, out, _ = run(capsys, "classify", path, *options)
    assert code == 0 and "1. zoom in" in out
    code, out, _ = run(capsys, "stream", path, *options, "--top=1", "--every=24")
    assert code == 0 and "zoom in" in out and "MB" in out


def test_the_entry_point_is_a_function_of_the_package(capsys):
    from keras_video import cli

    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("keras-video ")
