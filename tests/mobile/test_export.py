"""Exported files: their contents, what they compute, and errors."""

import contextlib
import importlib.util
import os
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from keras_video.applications.tiny_video_net import TinyVideoNet
from keras_video.mobile import LiteRTModel, export_litert, inspect
from keras_video.mobile import export as export_module
from keras_video.mobile.bench import Bench, bench
from keras_video.mobile.file import Inspection, Operation
from tests.helpers import STREAM, assert_near, random_video, randomize_weights, tiny_model
from tests.tiny_families import tiny_family
from tests.tiny_video_specs import random_spec

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("the converter is TensorFlow's; see test_export_process", allow_module_level=True)
FRAMES = random_video()
SHAPE = FRAMES.shape[1:]
LABELS = ["up", "down", "left", "right", "no motion"]


def fixed(streaming=False, **options):
    shape = (None, *SHAPE[1:]) if streaming else SHAPE
    return tiny_model(streaming=streaming, input_shape=shape, **options)


@pytest.fixture(scope="module")
def model():
    return fixed(streaming=True, **STREAM)


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("export") / "stream.tflite")
    export_litert(model, path, labels=LABELS)
    return path


@pytest.fixture(scope="module")
def clip_path(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("export") / "clip.tflite")
    export_litert(fixed(squeeze="2plus3d"), path)
    return path


def follow(model, frames):
    """Return the predictions after every frame and the last state, of a Keras model or a file."""
    state, answers = model.init_state(1), []
    for t in range(frames.shape[1]):
        answer, state = model(frames[:, t : t + 1], state)
        answers.append(np.array(answer)[0])
    return np.stack(answers), state


def test_a_file_is_called_like_the_model(model, path):
    lite = LiteRTModel(path)
    frames = FRAMES[:1]
    expected, _ = follow(model, frames)
    received, state = follow(lite, frames)
    assert_near(received, expected)
    assert np.abs(expected - expected[-1]).max() > 1e-3  # the answers follow the frames
    assert int(state["frames_seen"][0]) == 6
    assert_near(np.stack(list(lite.stream(frames[0]))), expected)
    assert_near(lite.predict(FRAMES)[0], expected[-1])
    assert_near(lite.predict(FRAMES)[1], follow(model, FRAMES[1:])[0][-1])
    answer, _ = lite(frames[:, :2])
    answer, _ = lite(frames[:, 2:], _)
    assert_near(answer[0], expected[-1])


def test_two_streams_side_by_side(model, path):
    """The state is a value: with two states, one file follows two videos."""
    lite = LiteRTModel(path, threads=2)
    expected = [follow(model, FRAMES[i : i + 1])[0] for i in range(2)]
    states, answers = [lite.init_state(), None], [[], []]
    for t in range(6):
        for i in range(2):
            answer, states[i] = lite(FRAMES[i : i + 1, t : t + 1], states[i])
            answers[i].append(answer[0])
    assert_near(np.array(answers), np.array(expected))
    assert lite.state_bytes == sum(v.nbytes for v in states[0].values()) - 4


def test_a_model_tells_what_it_is(path, clip_path):
    lite = LiteRTModel(path)
    height, width = SHAPE[1:3]
    assert repr(lite) == (
        f"LiteRTModel({path!r}, stream, 1 x {height} x {width} in a step, 5 class names, float32, "
        f"state of {lite.state_bytes:,} bytes)"
    )
    clip = f"LiteRTModel({clip_path!r}, clip of {SHAPE[0]} x {height} x {width}, float32)"
    assert repr(LiteRTModel(clip_path)) == clip


def test_operations_in_float_are_counted_by_kind():
    names = ["MUL", *["ADD"] * 50, "SUB"]
    ops = [Operation(n, True, f"{n}_{i}", ("FLOAT32",), 2) for i, n in enumerate(names)]
    text = str(Bench("a.tflite", 1, 1, 1.0, 1.0, 1.0, 0.0, 1, Inspection(ops, 9), True))
    lines = text.partition("computed in float: ")[2].splitlines()
    assert lines[0] == "52" and len(lines) == 4
    assert [line.split() for line in lines[1:]] == [
        ["50", "ADD", "ADD_1,", "..."],
        ["1", "MUL", "MUL_0"],
        ["1", "SUB", "SUB_51"],
    ]


def test_what_a_file_is_made_of(path, clip_path):
    for name in (path, clip_path):
        found = inspect(name)
        found.check()
        assert found.rank <= 4 and "CONV_3D" not in found.counts
        assert all(op.builtin for op in found.operations)
        assert found.bytes == os.path.getsize(name)
        assert bench(name, calls=2).delegated == 1
    assert inspect(path).counts["HARD_SWISH"] == 13  # each one operation, not four
    assert "PAD" not in inspect(path).counts


def test_a_file_describes_itself(model, path):
    lite = LiteRTModel(path)
    assert lite.labels == LABELS and lite.streaming
    info = lite.info
    assert (info["kind"], info["frames"], info["height"], info["width"]) == ("stream", 1, 40, 32)
    assert (info["pixels"], info["frame_rate"], info["classes"]) == (1, 5.0, 5)
    assert info["quantization"] == "float32" and "keras_video" in info["library"]
    assert info["state"]["head_pool_mean"] == [1, 1, 1, 24]
    assert lite.input_shape == (1, 1, 40, 32, 3)
    with zipfile.ZipFile(path) as archive:
        assert archive.read("labels.txt").decode().split("\n")[:5] == LABELS
    names = sorted(lite.interpreter.get_signature_runner().get_output_details())
    assert names == sorted(["predictions", *info["state"]])


@pytest.mark.parametrize("quantization", ["float16", "dynamic", "int16x8"])
def test_smaller_files(model, tmp_path, quantization, path):
    smaller = str(tmp_path / "smaller.tflite")
    result = export_litert(model, smaller, quantization, representative_data=FRAMES, frames=1)
    assert result.difference < 0.03 and result.agreement == 1
    assert LiteRTModel(smaller).info["quantization"] == quantization
    inspect(smaller).check()


@pytest.mark.parametrize("seed", [0, 5])
def test_tiny_video_networks(tmp_path, seed):
    spec, size, _ = random_spec(seed)
    shape = (spec["num_frames"], size, size, 3)
    network = randomize_weights(TinyVideoNet(spec, classes=4, input_shape=shape, dropout=0.0))
    path = str(tmp_path / "tvn.tflite")
    assert export_litert(network, path).difference < 1e-4
    assert LiteRTModel(path).info["family"] == "tiny_video_net"


@pytest.mark.parametrize("case", ["auto_tsnet", "auto_tsnet_odd", "x3d_odd", "blvnet_tam_odd"])
def test_families_of_clips(tmp_path, case):
    network, clips = tiny_family(case)
    path = str(tmp_path / "clip.tflite")
    export_litert(network, path)
    found = inspect(path)
    assert found.rank <= 4 and all(op.builtin for op in found.operations)
    lite = LiteRTModel(path)
    assert lite.info["family"] == network.info["family"]
    assert_near(lite.predict(clips), np.array(network(clips)))


def test_frames_by_the_piece_and_positions(tmp_path):
    """A stream with two frames per step, from a clip model with a positional encoding."""
    clip = fixed(**STREAM, positional_encoding=True)
    path = str(tmp_path / "pairs.tflite")
    export_litert(clip, path, frames=2, stream=True)
    lite = LiteRTModel(path)
    assert_near(lite.predict(FRAMES), np.array(clip(FRAMES)))
    assert len(list(lite.stream(FRAMES[0]))) == 3
    with pytest.raises(ValueError, match=r"frames: expected shape \(1, a multiple of 2, 40"):
        lite(FRAMES[:1, :3])


def test_the_same_network_gives_the_same_bytes(model, path, tmp_path, monkeypatch):
    """And a terminal shows each stage."""
    again, stages = str(tmp_path / "again.tflite"), []

    def working(label):
        stages.append(label)
        return contextlib.nullcontext()

    monkeypatch.setattr(export_module, "working", working)
    export_litert(model, again, labels=LABELS)
    assert stages == ["rewriting for mobile", "converting", "comparing the file with the model"]
    with open(path, "rb") as first, open(again, "rb") as second:
        assert first.read() == second.read()


@pytest.mark.parametrize("step", ["inspect", "compare", "convert"])
def test_an_interrupted_export_leaves_nothing(model, tmp_path, monkeypatch, step):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(export_module, step, interrupt)
    target = tmp_path / "stream.tflite"
    target.write_bytes(b"older")
    with pytest.raises(KeyboardInterrupt):
        export_litert(model, target)
    assert [p.name for p in tmp_path.iterdir()] == ["stream.tflite"]
    assert target.read_bytes() == b"older"


def test_a_file_that_computes_something_else_is_not_written(model, tmp_path, monkeypatch):
    other = fixed(streaming=True, seed=1, **STREAM)
    monkeypatch.setattr(
        export_module, "mobile_form", lambda *a, **k: MOBILE_FORM(other, *a[1:], **k)
    )
    with pytest.raises(RuntimeError, match="differs from Keras by at most .* not written"):
        export_litert(model, tmp_path / "stream.tflite")
    assert not list(tmp_path.iterdir())


MOBILE_FORM = export_module.mobile_form


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"quantization": "int4"}, "quantization: expected one of .* got 'int4'"),
        ({"quantization": "int8"}, "representative_data: expected clips for .*'int8', got None"),
        ({"quantization": "int8", "representative_data": 3}, "expected an array or an iterable"),
        ({"quantization": "int8", "representative_data": []}, "expected clips, got none"),
        (
            {"quantization": "int8", "representative_data": np.zeros((2, 6, 8, 8, 3))},
            r"expected clips of shape \(clips, 1 or more, 40, 32, 3\), got \(2, 6, 8, 8, 3\)",
        ),
        (
            {"quantization": "int8", "representative_data": [np.zeros((6, 40, 32, 3))]},
            r"expected clips of shape .* got \(6, 40",
        ),
        (
            {"quantization": "int16x8", "representative_data": np.full((1, 2, 40, 32, 3), np.nan)},
            "expected finite pixels",
        ),
        (
            {"quantization": "int8", "representative_data": np.full((1, 2, 40, 32, 3), 255.0)},
            "expected pixels from 0 to 1, .* got at most 255",
        ),
        ({"labels": ["a", "b"]}, "labels: expected 5 class names, got 2"),
        ({"frames": 0}, "frames: expected an int of at least 1"),
    ],
)
def test_bad_arguments(model, tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        export_litert(model, tmp_path / "stream.tflite", **arguments)
    assert not list(tmp_path.iterdir())


def test_bad_paths(model, tmp_path):
    with pytest.raises(ValueError, match="path: expected the name of a file, got the folder"):
        export_litert(model, tmp_path)
    with pytest.raises(ValueError, match="path: expected a file in an existing folder"):
        export_litert(model, tmp_path / "none" / "a.tflite")
    if os.geteuid():  # root may write anywhere
        os.chmod(tmp_path, 0o500)
        with pytest.raises(ValueError, match="path: expected a folder with permission to write"):
            export_litert(model, tmp_path / "a.tflite")


def test_missing_packages_name_their_extra(model, path, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "tensorflow" else find(name)
    )
    with pytest.raises(ImportError, match=r"needs tensorflow\. .*\.\[mobile\]"):
        export_litert(model, tmp_path / "a.tflite")
    for name in ("ai_edge_litert", "ai_edge_litert.interpreter"):
        monkeypatch.setitem(sys.modules, name, None)
    for use in (inspect, LiteRTModel):
        with pytest.raises(ImportError, match=r"pip install '\.\[litert\]'"):
            use(path)


def test_unknown_shapes(tmp_path):
    with pytest.raises(ValueError, match="model: expected known height and width"):
        export_litert(tiny_model(), tmp_path / "a.tflite")
    with pytest.raises(ValueError, match="frames: expected the number of frames of a clip"):
        export_litert(tiny_model(input_shape=(None, 40, 32, 3)), tmp_path / "a.tflite")
    with pytest.raises(ValueError, match="causal network for a stream"):
        export_litert(fixed(), tmp_path / "a.tflite", stream=True)
    assert not list(tmp_path.iterdir())


def test_files_that_are_not_ours(path, tmp_path):
    foreign = tmp_path / "foreign.tflite"
    with open(path, "rb") as file:
        content = file.read()
    broken = {
        "nothing": b"",
        "a picture": b"\x89PNG" + bytes(1000),
        "no description": content[: content.rindex(b"PK\x03\x04", 0, content.rindex(b"labels"))],
        "half of it": content[: len(content) // 2],
    }
    for what, bytes_ in broken.items():
        foreign.write_bytes(bytes_)
        with pytest.raises(ValueError, match=r"path: expected a LiteRT file of .*, got .*foreign"):
            LiteRTModel(foreign)
            pytest.fail(what)
    with pytest.raises(ValueError, match="path: expected a LiteRT file, got no file"):
        LiteRTModel(tmp_path / "none.tflite")
    with zipfile.ZipFile(foreign, "w") as archive:  # a description without a network
        archive.writestr("keras_video.json", '{"format": 1, "kind": "clip"}')
    with pytest.raises(ValueError, match="path: expected a LiteRT file that can be loaded"):
        LiteRTModel(foreign)
    with pytest.raises(ValueError, match="path: expected a LiteRT file, got"):
        inspect(foreign)


def test_bad_calls(path, clip_path):
    lite, clip = LiteRTModel(path), LiteRTModel(clip_path)
    for frames in (FRAMES[0], FRAMES, FRAMES[:1, :0], FRAMES[:1, :, :30]):
        with pytest.raises(ValueError, match=r"frames: expected shape \(1, frames, 40, 32, 3\)"):
            lite(frames)
    with pytest.raises(ValueError, match=r"frames: expected shape \(batch, 6, 40, 32, 3\), got"):
        clip.predict(FRAMES[:, :5])
    with pytest.raises(ValueError, match="state: expected a dict with the keys .*, got list"):
        lite(FRAMES[:1], [])
    state = {**lite.init_state(), "head_pool_mean": np.zeros(3)}
    with pytest.raises(ValueError, match="state: expected head_pool_mean of shape .* got"):
        lite(FRAMES[:1], state)
    for call in (clip.init_state, lambda: next(clip.stream(FRAMES[0]))):
        with pytest.raises(
            ValueError, match="file: expected a file for streams, got one for clips"
        ):
            call()
    with pytest.raises(ValueError, match="state: expected None for a file that takes clips"):
        clip(FRAMES[:1], {})
    with pytest.raises(ValueError, match="threads: expected an int of at least 1, got 0"):
        LiteRTModel(path, threads=0)
    with pytest.raises(ValueError, match="batch_size: expected 1"):
        lite.init_state(2)
    with pytest.raises(ValueError, match="calls: expected an int of at least 1"):
        bench(path, calls=0)


def test_running_a_file_imports_neither_keras_nor_tensorflow(path):
    code = (
        "import sys, numpy, keras_video\n"
        "model = keras_video.mobile.LiteRTModel(sys.argv[1])\n"
        "model.step(numpy.zeros(model.input_shape[1:]))\n"
        "print([name for name in ('keras', 'tensorflow', 'jax', 'torch') if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.strip() == "[]"


def test_memory_is_that_of_the_process(path):
    """It does not include the memory of the large process that started it."""
    code = (
        "from keras_video.mobile.bench import bench as b; import sys; print(b(sys.argv[1]).memory)"
    )
    large = np.ones(40_000_000)
    found = subprocess.run(
        [sys.executable, "-c", code, path], capture_output=True, text=True, timeout=300, check=True
    )
    del large
    assert float(found.stdout.splitlines()[-1]) > 1
