import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops, tree

from keras_video import evaluate
from keras_video.layers import VideoConv3D
from keras_video.models import VideoClassifier, copy_weights
from tests.helpers import (
    HALF_TOLERANCE,
    STREAM,
    assert_differs,
    assert_near,
    random_array,
    random_video,
    restart_second,
    run,
    tiny_model,
    to_numpy,
    to_tensors,
)

BACKEND = keras.backend.backend()
ROOT = Path(__file__).parents[2]
FRAMES = random_video()
# Every form of convolution with every squeeze, and most of them with and without positions;
# `3d_2plus1d` is the same network as `2plus1d`.
OPTIONS = [
    dict(causal=True, conv=conv, squeeze=squeeze, positional_encoding=positions)
    for conv, squeeze, positions in (
        ("3d", "3d", False),
        ("3d", "2d", True),
        ("3d", "2plus3d", False),
        ("3d", "none", False),
        ("2plus1d", "3d", True),
        ("2plus1d", "2d", False),
        ("2plus1d", "2plus3d", True),
        ("2plus1d", "none", False),
    )
]


@pytest.fixture(scope="module")
def stream_model():
    return tiny_model(streaming=True, **STREAM)


@pytest.fixture(scope="module")
def clip_model():
    return tiny_model(causal=False)


def feed(model, frames, lengths, state=None):
    """Logits after every piece, and the last state."""
    if state is None:
        state = model.init_state(frames.shape[0], *frames.shape[2:4])
    logits = []
    for piece in np.split(frames, np.cumsum(lengths)[:-1], axis=1):
        outputs, state = run(model, piece, state)
        logits.append(to_numpy(outputs))
    return logits, state


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: "-".join(map(str, o.values())))
def test_stream_equals_clip(options):
    """The last outputs of a stream are those of the whole clip, for chunks of any length."""
    clip = tiny_model(**options)
    stream = tiny_model(streaming=True, seed=1, **options)
    copy_weights(clip, stream)
    expected = to_numpy(run(clip, FRAMES))
    zeros = to_numpy(stream.init_state(*(FRAMES.shape[i] for i in (0, 2, 3))))
    for lengths in [(1,) * 6, (3, 3), (1, 3, 1, 1)]:
        logits, state = feed(stream, FRAMES, lengths)
        assert_near(logits[-1], expected)
        tree.assert_same_structure(to_numpy(state), zeros)
        forms = [[(s.shape, s.dtype) for s in tree.flatten(x)] for x in (to_numpy(state), zeros)]
        assert forms[0] == forms[1]
    logits, _ = feed(stream, FRAMES[:, [4, 1, 2, 3, 0, 5]], (3, 3))
    assert_differs(logits[-1], expected)


def test_whole_clip_as_one_chunk(stream_model):
    clip = tiny_model(**STREAM)
    copy_weights(stream_model, clip)
    expected = to_numpy(run(clip, FRAMES))
    assert_near(feed(stream_model, FRAMES, (6,))[0][0], expected)
    outputs, state = run(stream_model, FRAMES)  # without a state a stream begins
    assert_near(to_numpy(outputs), expected)
    assert_near(to_numpy(state), to_numpy(feed(stream_model, FRAMES, (3, 3))[1]))


def test_answers_on_the_way_are_those_to_shorter_clips(stream_model):
    logits, _ = feed(stream_model, FRAMES, (1, 1, 1, 3))
    for answer, frames in zip(logits[2:], (3, 6), strict=True):
        assert_near(answer, feed(stream_model, FRAMES[:, :frames], (frames,))[0][0])


def test_one_slot_restarts_while_the_other_goes_on(stream_model):
    _, state = feed(stream_model, FRAMES, (3, 3))
    masked = to_tensors(tree.map_structure(restart_second, to_numpy(state)))
    more = random_video((2, 3, 40, 32, 3), seed=1)
    going_on = feed(stream_model, more, (3,), state)[0][0]
    afresh = feed(stream_model, more, (3,))[0][0]
    outputs, after = feed(stream_model, more, (3,), masked)
    assert_near(outputs[0][0], going_on[0], 1e-6)
    assert_near(outputs[0][1], afresh[1], 1e-6)
    assert_differs(going_on[1], afresh[1])
    assert to_numpy(after["head_pool"][1]).tolist() == [9, 3]


def test_conv_forms_are_the_same_network():
    names = ("2plus1d", "3d_2plus1d")
    a, b = (tiny_model(**{**STREAM, "conv": conv}) for conv in names)
    assert_near(to_numpy(run(b, FRAMES)), to_numpy(run(a, FRAMES)), 1e-6)
    assert_differs(to_numpy(run(tiny_model(causal=True), FRAMES)), to_numpy(run(a, FRAMES)))


# State


def test_state_spec_is_the_state(stream_model):
    spec = stream_model.state_spec(2, 40, 32)
    state = stream_model.init_state(2, 40, 32)
    _, after = run(stream_model, FRAMES[:, :1], state)
    assert set(spec) == set(state) == set(after)
    for s, zeros, new in zip(*map(tree.flatten, (spec, state, after)), strict=True):
        assert tuple(s.shape) == tuple(zeros.shape) == tuple(new.shape)
        assert zeros.dtype == new.dtype
        assert keras.backend.standardize_dtype(zeros.dtype) == s.dtype in ("float32", "int32")
        assert not to_numpy(zeros).any()
    shapes = {k: [tuple(s.shape) for s in tree.flatten(v)] for k, v in spec.items()}
    assert shapes["block0_layer1_feature_temporal"] == [(2, 2, 10, 8, 24)]
    assert shapes["block1_layer0_feature_temporal"] == [(2, 4, 10, 8, 24)]
    assert shapes["block0_layer0_squeeze_excite"] == [(2, 16), (2,)]
    assert shapes["head_pool"] == [(2, 24), (2,)]
    assert len(shapes) == 6


def test_3d_buffers_are_before_the_convolution():
    model = tiny_model(streaming=True, causal=True)
    spec = model.state_spec(1, 33, 47)  # 17 x 24 after the stem, 9 x 12 after block 0
    assert spec["block0_layer1_feature"].shape == (1, 2, 9, 12, 24)


def test_init_state_defaults(stream_model):
    shape = stream_model.init_state()["block0_layer1_feature_temporal"].shape
    assert tuple(shape) == (1, 2, 10, 8, 24)  # the published clip is 40 x 32
    assert tuple(stream_model.init_state(3)["head_pool"][0].shape) == (3, 24)
    wide = stream_model.init_state(width=64)
    assert tuple(wide["block0_layer1_feature_temporal"].shape) == (1, 2, 10, 16, 24)
    fixed = tiny_model(streaming=True, input_shape=(None, 36, 36, 3), **STREAM)
    assert tuple(fixed.init_state()["block0_layer1_feature_temporal"].shape) == (1, 2, 9, 9, 24)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((0,), "batch_size: expected an int of at least 1, got 0"),
        ((1.0,), r"batch_size: expected an int of at least 1, got 1\.0"),
        ((None,), "batch_size: expected an int of at least 1, got None"),
        ((1, -4), "height: expected an int of at least 1, got -4"),
        ((1, 40, "32"), "width: expected an int of at least 1, got '32'"),
    ],
)
def test_init_state_errors(stream_model, arguments, message):
    with pytest.raises(ValueError, match=message):
        stream_model.init_state(*arguments)


def test_clip_models_have_no_state(clip_model):
    for call in (clip_model.state_spec, clip_model.init_state):
        with pytest.raises(
            ValueError, match="expected a streaming model, got one for clips.*streaming=True"
        ):
            call()
    with pytest.raises(ValueError, match="state: expected None for .*streaming=True"):
        clip_model(FRAMES, {})
    assert not clip_model.streaming


def foreign_states(model):
    state = model.init_state(2, 40, 32)
    missing = {k: v for k, v in state.items() if k != "head_pool"}
    return {
        "batch": (model.init_state(3, 40, 32), "state: expected shapes .* got .*init_state"),
        "resolution": (model.init_state(2, 48, 32), "state: expected shapes .* got"),
        "missing": (missing, "state: expected a dict with the keys .*head_pool.*, got"),
        "extra": ({**state, "more": state["head_pool"]}, "state: .* keys .* got .*more"),
        "list": (list(state.values()), "state: expected a dict with the keys .*, got list"),
    }


@pytest.mark.parametrize("kind", ["batch", "resolution", "missing", "extra", "list"])
def test_foreign_states_are_refused(stream_model, kind):
    state, message = foreign_states(stream_model)[kind]
    with pytest.raises(ValueError, match=message):
        stream_model(FRAMES, state)


# Frames


BAD_FRAMES = [
    ((6, 40, 32, 3), "float32", r"frames of shape \(batch, .*got rank 4 .*\(6, 40, 32, 3\)"),
    ((2, 6, 3, 40, 32), "float32", r"got \(2, 6, 3, 40, 32\)\. Channels come last"),
    ((2, 3, 6, 40, 32), "float32", r"got \(2, 3, 6, 40, 32\)\. Channels come last"),
    ((2, 6, 40, 32, 1), "float32", r"got \(2, 6, 40, 32, 1\)\.$"),
    ((2, 6, 40, 32, 3), "<U3", "holding numbers, got dtype <U3"),
    ((2, 6, 40, 32, 3), "bool", "holding numbers, got dtype bool"),
    ((2, 6, 31, 32, 3), "float32", r"height and width of at least 32.* got \(2, 6, 31, 32, 3\)"),
    ((2, 6, 32, 8, 3), "uint8", r"height and width of at least 32.* got \(2, 6, 32, 8, 3\)"),
    ((2, 0, 40, 32, 3), "float32", r"at least one frame, got \(2, 0, 40, 32, 3\)"),
]


@pytest.mark.parametrize("shape, dtype, message", BAD_FRAMES)
@pytest.mark.parametrize("fixture", ["clip_model", "stream_model"])
def test_bad_frames(request, fixture, shape, dtype, message):
    model = request.getfixturevalue(fixture)
    with pytest.raises(ValueError, match=f"{model.name}: .*{message}"):
        model(np.zeros(shape, dtype))


@pytest.mark.parametrize("method", ["predict", "fit"])
def test_bad_frames_in_predict_and_fit(clip_model, method):
    for shape, dtype, message in BAD_FRAMES[:5]:
        with pytest.raises(ValueError, match=message):
            getattr(clip_model, method)(np.zeros(shape, dtype))


def test_kinds_of_frames_that_are_taken(clip_model):
    video = (255 * FRAMES[:, :2]).astype("uint8")
    expected = to_numpy(run(clip_model, video.astype("float32")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        outputs = [clip_model.predict(video, verbose=0)]
        if BACKEND != "jax":  # there it would compile every operation
            outputs.append(clip_model(video))
        outputs += [run(clip_model, video), run(clip_model, video.astype("float64"))]
    for y in outputs:
        assert_near(to_numpy(ops.convert_to_tensor(y)), expected)


@pytest.mark.parametrize(
    "preprocessing, dtype, factor, message",
    [
        (False, "float32", 255, r"pixels in \[0, 1\] .*largest value is 255.*Divide by 255"),
        (False, "uint8", 255, r"expects pixels in \[0, 1\] .*largest value is 255"),
        (True, "float32", 1, r"expects pixels in 0\.\.255 .*largest value is 1\. Multiply by 255"),
        (True, "float32", 255, None),
        (True, "uint8", 1, None),
        (True, "float32", 0, None),
        (False, "float32", 1, None),
    ],
)
@pytest.mark.parametrize("method", ["__call__", "predict"])
def test_pixel_ranges(monkeypatch, method, preprocessing, dtype, factor, message):
    model = tiny_model(include_preprocessing=preprocessing)
    monkeypatch.setattr(keras.Model, method, lambda *args, **kwargs: None)  # checked before it runs
    frames = np.zeros((1, 2, 32, 32, 3), dtype)
    frames[0, 0, 0, 0] = factor
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        getattr(model, method)(frames)
        getattr(model, method)(frames)
    caught = [str(w.message) for w in caught if "pixels" in str(w.message)]
    assert len(caught) == (message is not None)  # once, not for every batch
    if message:
        assert re.search(message, caught[0])


def test_preprocessing_divides_by_255(clip_model):
    other = tiny_model(include_preprocessing=True, causal=False)
    assert_near(to_numpy(run(other, 255 * FRAMES)), to_numpy(run(clip_model, FRAMES)))


# Keras' own ways


def test_predict(clip_model, stream_model):
    expected = to_numpy(run(clip_model, FRAMES))
    assert_near(clip_model.predict(FRAMES, batch_size=1, verbose=0), expected)
    state = to_numpy(feed(stream_model, FRAMES[:, :3], (3,))[1])
    outputs, after = stream_model.predict([FRAMES[:, 3:], state], verbose=0)
    expected, expected_state = feed(stream_model, FRAMES, (3, 3))
    assert_near(outputs, expected[-1])
    assert_near(after, to_numpy(expected_state))


def test_fit():
    """Two classes differ in brightness: the loss falls and every weight changes."""
    model = tiny_model(classes=2, **STREAM)
    frames = random_video((8, 2, 32, 32, 3)) * np.linspace(0.2, 1, 8).reshape(8, 1, 1, 1, 1)
    labels = np.arange(8) // 4
    before = model.get_weights()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    compiled = BACKEND == "jax"  # XLA takes its time on TensorFlow, torch wants a C++ compiler
    model.compile(keras.optimizers.Adam(0.01), loss, jit_compile=compiled)
    history = model.fit(frames, labels, batch_size=8, epochs=4, verbose=0, shuffle=False).history
    assert history["loss"][-1] < history["loss"][0]
    moved = [(a != b).any() for a, b in zip(before, model.get_weights(), strict=True)]
    still = [v.path for v, m in zip(model.weights, moved, strict=True) if not m]
    assert not still


def test_training_differs_from_inference():
    model = tiny_model(stochastic_depth=0.5, dropout=0.5)
    inference = to_numpy(run(model, FRAMES))
    training = [to_numpy(run(model, FRAMES, training=True)) for _ in range(2)]
    assert_differs(training[0], inference)
    assert_differs(training[0], training[1])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="JAX compiles in test_predict; torch needs C++")
def test_jit_compile():
    """XLA uses other forms of convolution; the numbers are the same."""
    whole = tiny_model(**STREAM)
    model = keras.Model(whole.input, whole.get_layer("block0_layer1").output)
    expected = to_numpy(run(model, FRAMES))
    model.compile(jit_compile=True)
    assert_near(model.predict(FRAMES, verbose=0), expected)


def test_mixed_bfloat16(stream_model):
    half = tiny_model(streaming=True, dtype="mixed_bfloat16", **STREAM)
    assert {v.dtype for v in half.weights} == {"float32"}
    logits, state = feed(half, FRAMES, (3, 3))
    kinds = {keras.backend.standardize_dtype(s.dtype) for s in tree.flatten(state)}
    assert kinds == {"float32", "int32"}
    assert half.outputs[0].dtype == "float32"
    assert half.get_layer("block0_layer0_expansion").compute_dtype == "bfloat16"
    assert half.get_layer("block0_layer0").output.dtype == "bfloat16"
    expected, _ = feed(stream_model, FRAMES, (3, 3))
    assert_near(logits[-1], expected[-1], 2 * HALF_TOLERANCE)
    assert to_numpy(state["head_pool"][1]).tolist() == [6, 6]


def test_summary(clip_model, stream_model):
    for model in (clip_model, stream_model):
        lines = []
        model.summary(print_fn=lambda line, **kwargs: lines.append(line))  # noqa: B023
        text = "\n".join(lines)
        assert f"{model.count_params():,}" in text
        assert "block0_layer0_exp" in text  # names are cut off


# Files


@pytest.mark.parametrize("fixture", ["clip_model", "stream_model"])
def test_save_and_load(request, tmp_path, fixture):
    model = request.getfixturevalue(fixture)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert type(loaded) is type(model)
    assert json.dumps(loaded.info) == json.dumps(model.info)
    assert loaded.info["family"] == "movinet"
    assert loaded.streaming == model.streaming and loaded.name == model.name
    if not model.streaming:
        assert_near(*(to_numpy(run(m, FRAMES)) for m in (loaded, model)), 1e-6)
        return
    (logits, state), (expected, expected_state) = (feed(m, FRAMES, (3, 3)) for m in (loaded, model))
    assert_near(logits, expected, 1e-6)
    assert_near(to_numpy(state), to_numpy(expected_state), 1e-6)


def test_clone_and_weights_file(tmp_path, clip_model):
    clip_model.save_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(clip_model)
    assert type(clone) is type(clip_model)  # Keras clones the graph, `info` stays behind
    clone.load_weights(tmp_path / "model.weights.h5")
    assert_near(to_numpy(run(clone, FRAMES)), to_numpy(run(clip_model, FRAMES)), 1e-6)


LOAD = """
import sys
import numpy as np
{imports}
folder = sys.argv[1]
frames = np.load(folder + "/inputs.npz")["frames"]
clip = keras.saving.load_model(folder + "/clip.keras")
stream = keras.saving.load_model(folder + "/stream.keras")
assert stream.streaming and not clip.streaming
if {compute}:
    predict = type(clip).predict if keras.backend.backend() == "jax" else type(clip).__call__
    logits = predict(clip, frames)
    streamed, _ = predict(stream, [frames[:, :1], stream.init_state(2)])
    outputs = keras.tree.map_structure(keras.ops.convert_to_tensor, [logits, streamed])
    logits, streamed = map(keras.ops.convert_to_numpy, outputs)
    np.savez(folder + "/outputs.npz", clip=logits, stream=streamed)
"""


@pytest.mark.parametrize("imports", ["keras, keras_video", "keras_video, keras"])
def test_load_in_a_fresh_process(tmp_path, clip_model, stream_model, imports):
    """`import keras_video` is enough, before Keras or after; no custom_objects."""
    compute = imports.startswith("keras_video")  # in one of the two
    clip_model.save(tmp_path / "clip.keras")
    stream_model.save(tmp_path / "stream.keras")
    np.savez(tmp_path / "inputs.npz", frames=FRAMES)
    lines = "\n".join(f"import {name}" for name in imports.split(", "))
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "KERAS_BACKEND": BACKEND, "PYTHONPATH": path}
    command = [sys.executable, "-c", LOAD.format(imports=lines, compute=compute), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)
    assert not done.returncode, done.stderr[-2000:]
    if not compute:
        return
    outputs = np.load(tmp_path / "outputs.npz")
    assert_near(outputs["clip"], to_numpy(run(clip_model, FRAMES)))
    assert_near(outputs["stream"], feed(stream_model, FRAMES[:, :1], (1,))[0][0])


# Parts


@pytest.mark.parametrize("streaming", [False, True])
def test_features(streaming):
    """`include_top=False`: the features of the last convolution, or their mean or maximum."""
    options = {**STREAM, "streaming": streaming} if streaming else {}
    models = {p: tiny_model(include_top=False, pooling=p, **options) for p in (None, "avg", "max")
              if not (streaming and p == "max")}  # fmt: skip
    outputs = {p: run(model, FRAMES) for p, model in models.items()}
    outputs = {p: to_numpy(y[0] if streaming else y) for p, y in outputs.items()}
    assert outputs[None].shape == (2, 6, 10, 8, 24)
    assert_near(outputs["avg"], outputs[None].mean((1, 2, 3)))
    if not streaming:
        assert_near(outputs["max"], outputs[None].max((1, 2, 3)))


def test_input_tensor():
    from keras_video.applications.movinet import MoViNet
    from tests.helpers import tiny_config

    frames = keras.Input((None, 40, 32, 3), name="camera")
    darker = keras.layers.Rescaling(0.5)(frames)
    model = MoViNet(tiny_config(), classes=5, input_tensor=darker)
    plain = MoViNet(tiny_config(), classes=5)
    plain.set_weights(model.get_weights())
    x = 255 * FRAMES
    assert_near(to_numpy(run(model, x)), to_numpy(run(plain, x / 2)))


def test_layers_can_be_cut_out(clip_model):
    inner = keras.Model(clip_model.input, clip_model.get_layer("block0_layer1").output)
    assert tuple(run(inner, FRAMES).shape) == (2, 6, 10, 8, 8)


def test_rezero_start_is_the_skip_path():
    """New residual branches give zeros, whatever their kernels."""
    from keras_video.applications.movinet import MoViNet
    from tests.helpers import tiny_config

    model = MoViNet(tiny_config(), classes=5, include_preprocessing=False)
    before = to_numpy(run(model, FRAMES))
    kernel = model.get_layer("block0_layer1_feature").kernel
    kernel.assign(random_array(kernel.shape))
    assert_near(to_numpy(run(model, FRAMES)), before, 1e-7)


# Frames are checked on every path to the layers


class Batches(keras.utils.PyDataset):
    """Batches of zeros of the given numbers of frames."""

    def __init__(self, *lengths):
        super().__init__()
        self.lengths = lengths

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, index):
        return np.zeros((2, self.lengths[index], 16, 16, 3), "float32"), np.zeros(2, "int32")


@pytest.fixture(scope="module")
def four_frames():
    """A compiled model of 4 frames, which computes something for any number."""
    frames = keras.Input((4, 16, 16, 3))
    x = VideoConv3D(4, (1, 3, 3))(frames)
    outputs = keras.layers.Dense(3)(keras.layers.GlobalAveragePooling3D()(x))
    model = VideoClassifier(frames, outputs)
    model._set_info({"frames": 4})
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return model


CALLS = {
    "call": lambda model, x, y: model(x),
    "fit": lambda model, x, y: model.fit(x, y, verbose=0),
    "evaluate": lambda model, x, y: model.evaluate(x, y, verbose=0),
    "predict": lambda model, x, y: model.predict(x, verbose=0),
    "train_on_batch": lambda model, x, y: model.train_on_batch(x, y),
    "test_on_batch": lambda model, x, y: model.test_on_batch(x, y),
    "predict_on_batch": lambda model, x, y: model.predict_on_batch(x),
    "keras_video.evaluate": lambda model, x, y: evaluate(model, (x, y), verbose=False),
    "data set, fit": lambda model, x, y: model.fit(Batches(20), verbose=0),
    "data set, evaluate": lambda model, x, y: model.evaluate(Batches(20), verbose=0),
    "data set, predict": lambda model, x, y: model.predict(Batches(20), verbose=0),
    "data set, validation": lambda model, x, y: model.fit(
        Batches(4), validation_data=Batches(20), verbose=0
    ),
}


@pytest.mark.parametrize("call", CALLS)
def test_clips_of_another_length_are_an_error_on_every_path(four_frames, call):
    clips, labels = np.zeros((2, 20, 16, 16, 3), "float32"), np.zeros(2, "int32")
    weights = four_frames.get_weights()
    with pytest.raises(ValueError, match=r"with 4 frames, .* got \(\w+, 20, 16, 16, 3\)"):
        CALLS[call](four_frames, clips, labels)
    if call != "data set, validation":  # which trains first
        for before, after in zip(weights, four_frames.get_weights(), strict=True):
            np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("method", ["fit", "evaluate", "predict"])
def test_a_later_batch_of_another_length_is_an_error_too(four_frames, method):
    """The weights are then those after the batches before: JAX takes them out while it runs."""
    four_frames.set_weights([np.full(w.shape, 0.5) for w in four_frames.get_weights()])
    data, message, options = Batches(4, 4, 20), "with 4 frames", {}
    if method == "fit":
        options["shuffle"] = False
    if BACKEND == "tensorflow":  # compiled once, for batches of unknown shape
        import tensorflow as tf

        spec = (tf.TensorSpec((None, None, None, None, 3)), tf.TensorSpec((None,), "int32"))
        data = tf.data.Dataset.from_generator(
            lambda: iter(Batches(4, 4, 20)), output_signature=spec
        )
        message = "not compatible with expected shape|imcompatible"
    with pytest.raises(Exception, match=message) as caught:
        getattr(four_frames, method)(data, verbose=0, **options)
    assert isinstance(caught.value, ValueError) or BACKEND == "tensorflow"
    moved = max(np.abs(w - 0.5).max() for w in four_frames.get_weights())
    assert 0 < moved < 0.4 if method == "fit" else moved == 0
