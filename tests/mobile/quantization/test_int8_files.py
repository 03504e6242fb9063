"""int8 files: which operations compute in which type, and how near the float model they are."""

import keras
import numpy as np
import pytest

from keras_video.mobile import LiteRTModel, export_litert, inspect, quantize_aware
from keras_video.mobile.bench import bench
from keras_video.mobile.conversion import compact, convert
from keras_video.mobile.quantization.after_training import deployed_int8
from tests.helpers import STREAM, assert_differs, assert_near, random_video, tiny_model
from tests.mobile.test_rewriting import roll
from tests.tiny_families import tiny_family

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("the converter is TensorFlow's", allow_module_level=True)
pytestmark = pytest.mark.usefixtures("without_graphs")
CLIPS = random_video((4, 6, 40, 32, 3))
NOISE = 0.06  # of rounding, relative to the largest prediction


@pytest.fixture(scope="module")
def model():
    return tiny_model(streaming=True, input_shape=(None, 40, 32, 3), **STREAM)


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    path = str(tmp_path_factory.mktemp("int8") / "stream.tflite")
    export_litert(model, path, "int8", CLIPS)
    return path


@pytest.fixture(scope="module")
def step(model):
    """The stream form in int8 that the file is made from."""
    return deployed_int8(model, CLIPS, stream=True)[0]


def follow(model, frames, state=None):
    """Return the predictions for each frame, and the last state."""
    state, answers = state or model.init_state(1), []
    for frame in frames:
        answer, state = model(frame[None, None], state)
        answers.append(np.array(answer)[0])
    return np.stack(answers), state


def test_only_running_means_compute_in_float(path):
    found = inspect(path)
    floats = found.float_operations
    assert {op.name for op in floats} <= {"ADD", "SUB", "MUL", "CONCATENATION"}
    # Four operations for each of four means, three of them with a concatenation in attention.
    assert len(floats) <= 4 * 4 + 4
    kernels = [op for op in found.operations if op.name in ("CONV_2D", "DEPTHWISE_CONV_2D")]
    assert len(kernels) > 15 and all("FLOAT32" not in op.types for op in kernels)
    assert bench(path, calls=1).delegated == 1


def test_files_compute_what_training_computes(model, step, path):
    """int8 kernels and fake quantization agree, except for values that round to the next one."""
    lite = LiteRTModel(path)
    for clip in CLIPS[:2]:
        received = np.stack(list(lite.stream(clip)))
        assert_near(received, roll(step, clip), 0.04)
        assert_near(received, follow(model, clip)[0], NOISE)
        assert_differs(received, received[::-1], 0.01)


def test_long_streams_do_not_drift(model, path):
    """The stream is a hundred times longer than the clips of the calibration.

    A running mean in int8 would stop: its steps would be rounded to zero.
    """
    lite = LiteRTModel(path)
    frames = np.concatenate([clip for clip in CLIPS] * 25)
    received = np.stack(list(lite.stream(frames)))
    # One round of the video is compared at each end. The frames between pass in one call.
    once = 24
    first, state = follow(model, frames[:once])
    _, state = model(frames[None, once:-once], state)
    last, _ = follow(model, frames[-once:], state)
    scale = max(np.abs(first).max(), np.abs(last).max())
    early, late = (np.abs(a - b).max() / scale for a, b in (
        (received[:once], first), (received[-once:], last)
    ))  # fmt: skip
    assert late < max(NOISE, 1.5 * early)
    bright = np.ones_like(frames[:200])
    later = np.stack([lite.step(frame) for frame in bright])
    assert_differs(later[-1], received[-1], 0.02)  # the stream still follows its frames


def test_kept_layers_stay_in_float(model, tmp_path):
    path = str(tmp_path / "mixed.tflite")
    export_litert(model, path, "int8", CLIPS, keep_float=["block0_layer1_projection", "stem"])
    floats = [op for op in inspect(path).float_operations if op.name == "CONV_2D"]
    assert len(floats) == 2
    lite = LiteRTModel(path)
    assert_near(np.stack(list(lite.stream(CLIPS[0]))), follow(model, CLIPS[0])[0], NOISE)


def test_networks_trained_for_int8(model, tmp_path):
    network = quantize_aware(model, CLIPS)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(3e-3), loss)
    network.fit(CLIPS, np.arange(4), 4, epochs=2, verbose=0)
    path = str(tmp_path / "trained.tflite")
    export_litert(network, path, "int8")
    lite = LiteRTModel(path)
    assert lite.streaming
    expected = np.asarray(network.predict_on_batch(CLIPS))
    assert_near(lite.predict(CLIPS), expected, 0.04)
    assert_differs(expected, follow(model, CLIPS[0])[0][-1:], 0.05)


def test_clips(tmp_path):
    model = tiny_model(input_shape=(6, 40, 32, 3), squeeze="2plus3d", activation="hard_swish")
    path = str(tmp_path / "clip.tflite")
    export_litert(model, path, "int8", CLIPS)
    assert_near(LiteRTModel(path).predict(CLIPS), np.asarray(model(CLIPS)), NOISE)


@pytest.mark.parametrize("case", ["blvnet_tam", "x3d"])
def test_other_families(tmp_path, case):
    """Two branches joined by nearest pixels, pooling that counts zeros; mobile blocks in 3D."""
    model, clips = tiny_family(case)
    noise = np.random.default_rng(0).random((4, *clips.shape[1:]), "float32")
    noise *= model.info["pixels"]
    path = str(tmp_path / f"{case}.tflite")
    result = export_litert(model, path, "int8", noise)
    assert result.predictions == 4 and result.difference < 0.1
    inspection = inspect(path)
    assert inspection.rank <= 4
    floats = inspection.float_operations  # mean and deviation of the pixels
    assert [op.name for op in floats] == ["MUL", "ADD"]
    assert all(op.output.startswith("normalize") for op in floats)


def test_compaction(step):
    from ai_edge_litert import schema_py_generated as schema

    content = convert(step, "int8")
    assert compact(content) == content or len(compact(content)) <= len(content)
    file = schema.Model.GetRootAs(content)
    begin = np.frombuffer(content, "uint8").__array_interface__["data"][0]
    constants = [file.Buffers(i).DataAsNumpy() for i in range(file.BuffersLength())]
    starts = [c.__array_interface__["data"][0] - begin for c in constants if np.size(c) > 1]
    assert len(starts) > 20 and all(start % 16 == 0 for start in starts)
