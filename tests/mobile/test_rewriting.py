"""Mobile forms compute what the model computes, with tensors of rank 4, for clips and streams."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_video import layers
from keras_video.applications.tiny_video_net import TinyVideoNet
from keras_video.mobile import mobile_form
from keras_video.mobile.rewriting import Graph, state_of
from keras_video.mobile.rules.registry import RULES, rule
from tests.helpers import (
    STREAM,
    assert_differs,
    assert_near,
    few_steps,
    random_video,
    randomize_weights,
    run,
    tiny_model,
    to_numpy,
)
from tests.tiny_families import CASES, auto_tsnet, tiny_family
from tests.tiny_video_specs import random_spec

FRAMES = random_video()
SHAPE = FRAMES.shape[1:]


def fixed(streaming=False, **options):
    """Return the tiny model for frames of a known size."""
    shape = (None, *SHAPE[1:]) if streaming else SHAPE
    return tiny_model(streaming=streaming, input_shape=shape, **options)


def roll(form, frames):
    """Return the predictions after every step of a stream form, run as its docstring says."""
    sizes = {tensor.name: tensor.shape for tensor in form.inputs}
    state = {name: np.zeros(shape, "float32") for name, shape in state_of(form).items()}
    step, answers = sizes["frames"][0], []
    for first in range(0, len(frames), step):
        numbers = np.arange(first, first + step, dtype="float32").reshape(-1, 1, 1, 1)
        clocks = {"inverse_count": 1 / (numbers + 1), "position": numbers}
        inputs = {"frames": frames[first : first + step], **state}
        inputs |= {name: value for name, value in clocks.items() if name in sizes}
        outputs = to_numpy(run(form, inputs))
        answers.append(outputs.pop("predictions")[0])
        for name, new in outputs.items():
            kept = state[name].shape[1]
            state[name] = np.concatenate([state[name], new], axis=1)[:, -kept:]
    return np.stack(answers)


def ranks(form):
    """Return the ranks of all tensors of a form."""
    return {len(tensor.shape) for node in Graph(form).nodes for tensor in node.outputs}


def assert_same_form(form, expected):
    """Two forms have the same graph, layers and weights."""
    config, other = form.get_config(), expected.get_config()
    assert all(config[key] == other[key] for key in other if key != "name")
    for a, b in zip(form.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "hard_swish, options",
    [
        ("folded", {}),
        ("fused", STREAM),
        ("divided", STREAM),
        ("folded", {**STREAM, "positional_encoding": True}),
        ("divided", {"squeeze": "2plus3d", "activation": "hard_swish"}),
        ("fused", {"squeeze": "2d", "activation": "relu6", "gate": "hard_sigmoid"}),
        ("folded", {"squeeze": "none", "activation": "relu", "head_activation": "hard_swish"}),
        ("fused", {"causal": True, "gate": "hard_sigmoid_tf_models"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "-".join(map(str, value.values())),
)
def test_clips(options, hard_swish):
    model = fixed(**options)
    expected = to_numpy(run(model, FRAMES))
    form = mobile_form(model, hard_swish=hard_swish)
    assert_near(to_numpy(run(form, FRAMES)), expected)
    if options.get("causal"):
        assert_differs(to_numpy(run(form, FRAMES[:, [3, 1, 2, 0, 4, 5]])), expected)


def test_pixels_in_bytes():
    """The scale of the pixels is folded into the first kernel."""
    model = fixed(include_preprocessing=True)
    form = mobile_form(model)
    assert_near(to_numpy(run(form, 255 * FRAMES)), to_numpy(run(model, 255 * FRAMES)))
    assert not [layer for layer in form.layers if isinstance(layer, keras.layers.Rescaling)]


@pytest.mark.parametrize(
    "options, step, hard_swish",
    [
        (STREAM, 1, "fused"),
        (STREAM, 3, "folded"),
        ({**STREAM, "positional_encoding": True}, 1, "folded"),
        ({**STREAM, "positional_encoding": True}, 2, "fused"),
        ({"causal": True, "squeeze": "3d"}, 1, "fused"),
    ],
)
def test_streams(options, step, hard_swish):
    """Stream forms of a streaming model and of a causal clip model are the same."""
    form = mobile_form(fixed(streaming=True, **options), True, step, hard_swish=hard_swish)
    clip = tiny_model(input_shape=(None, *SHAPE[1:]), **options)
    answers = roll(form, FRAMES[0])
    assert_near(answers[-1], to_numpy(run(clip, FRAMES[:1]))[0])
    assert_near(answers[0], to_numpy(run(clip, FRAMES[:1, :step]))[0])
    assert_same_form(mobile_form(clip, True, step, hard_swish=hard_swish), form)
    assert ranks(form) <= {2, 4}


def test_a_stream_form_makes_a_clip_form():
    """Both have the same names and weights, so that a model trained on clips can stream."""
    model = fixed(streaming=True, **STREAM)
    clip, stream = mobile_form(model, frames=6), mobile_form(model, stream=True)
    assert_near(to_numpy(run(clip, FRAMES)), to_numpy(run(fixed(**STREAM), FRAMES)))
    weights = {v.path: ops.convert_to_numpy(v) for v in clip.weights}
    assert weights.keys() == {v.path for v in stream.weights}
    for variable in stream.weights:
        np.testing.assert_array_equal(ops.convert_to_numpy(variable), weights[variable.path])
    sources = {layer.name for layer in model.layers if layer.weights}
    names = {layer.name for layer in clip.layers if layer.weights}
    assert {n for n in sources if "squeeze" not in n and "rezero" not in n} <= names


def test_flat_clips_have_no_batch_and_no_rank_5():
    model = fixed()
    form = mobile_form(model, flat=True)
    assert form.input_shape == [(6, 40, 32, 3)] or form.input_shape == (6, 40, 32, 3)
    assert ranks(form) <= {2, 4}
    outputs = form({"frames": ops.convert_to_tensor(FRAMES[0])})
    assert_near(to_numpy(outputs["predictions"]), to_numpy(run(model, FRAMES[:1])))


def test_it_trains_like_any_model():
    form = mobile_form(fixed(**STREAM), hard_swish="folded")
    before = form.get_weights()
    form.compile(keras.optimizers.SGD(0.01), "mse", **few_steps())
    assert np.isfinite(form.train_on_batch(FRAMES, np.ones((2, 5), "float32")))
    for variable, old in zip(form.weights, before, strict=True):
        assert np.any(ops.convert_to_numpy(variable) != old), f"no gradient reaches {variable.path}"


@pytest.mark.parametrize("seed", [0, 2, 3, 5, 8])
def test_tiny_video_networks(seed):
    """Random networks, with every kind of layer and odd strides."""
    spec, size, per_frame = random_spec(seed)
    options = {"head": "per_frame" if per_frame else "average", "dropout": 0.0}
    shape = (spec["num_frames"], size, size + 3, 3)
    model = TinyVideoNet(spec, classes=4, input_shape=shape, **options)
    randomize_weights(model)
    clips = np.random.default_rng(seed).integers(0, 256, (2, *shape)).astype("float32")
    expected = to_numpy(run(model, clips))
    assert_near(to_numpy(run(mobile_form(model, hard_swish="folded"), clips)), expected, 3e-5)
    flat = mobile_form(model, flat=True)
    assert max(ranks(flat)) <= 4
    answer = flat({"frames": ops.convert_to_tensor(clips[0])})["predictions"]
    assert_near(to_numpy(answer), expected[:1], 3e-5)


@pytest.mark.parametrize("case", CASES)
def test_families_of_clips(case):
    model, clips = tiny_family(case)
    expected = to_numpy(run(model, clips))
    assert_differs(expected[:1], expected[1:])
    assert_near(to_numpy(run(mobile_form(model), clips)), expected)
    assert max(ranks(mobile_form(model, flat=True))) <= 4  # test_export runs flat forms


@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize(
    "layer",
    [
        layers.VideoConv3D(4, 3, (2, 2, 2), "symmetric"),
        layers.VideoConv3D(4, (5, 1, 1), (3, 1, 1), "symmetric", activation="relu"),
        layers.VideoConv3D(4, (1, 3, 5), (1, 4, 2), "symmetric", activation="swish"),
        layers.DepthwiseConv3D((3, 5, 5), (1, 2, 2), "symmetric"),
        layers.SpatialAvgPool(3, 2, "symmetric"),
        layers.SpatialMaxPool(5, 2, "symmetric"),
        layers.SqueezeExcite(2, output_activation="swish"),
        layers.GloRe(4),
        layers.GloRe(normalize=False, batch_norm=False, use_bias=True),
        layers.SqueezeExcite(2, "2d", gate="hard_sigmoid", output_activation="relu"),
    ],
    ids=lambda layer: getattr(layer, "name", str(layer)),
)
def test_layers_of_these_families(layer, size):
    assert_same_layer(type(layer).from_config(layer.get_config()), (size, size, 9, 6))


@pytest.mark.parametrize("of_pair", [None, "second"])
@pytest.mark.parametrize(
    "kernel_size, causal, equal_pairs",
    [(1, False, True), (3, False, True), (4, False, True), (4, False, False), (3, True, False)],
)
def test_temporal_aggregation(kernel_size, causal, equal_pairs, of_pair):
    layer = layers.TemporalAggregation(kernel_size, causal=causal, equal_pairs=equal_pairs)
    assert_same_layer(layer, (6, 3, 4, 5), of_pair=of_pair)


@pytest.mark.parametrize("strides", [None, 1, 2, 3])
@pytest.mark.parametrize("filters", [None, 7])
def test_big_little_merge(filters, strides):
    """Without a big branch, and with one of all, half or fewer of the pixels."""
    inputs = keras.Input((2, 5, 4, 6))
    big = None
    if strides is not None:
        big = layers.VideoConv3D(filters or 6, 3, (1, strides, strides))(inputs)
    fusion = layers.VideoConv3D(3, 3, name="fusion") if filters else None
    merge = layers.BigLittleMerge(filters, fusion=fusion)
    model = keras.Model(inputs, merge(inputs, big))
    randomize_weights(model)
    video = np.random.default_rng(0).standard_normal((2, *inputs.shape[1:])).astype("float32")
    assert_near(to_numpy(run(mobile_form(model), video)), to_numpy(run(model, video)))


@pytest.mark.parametrize(
    "layer",
    [
        layers.TimeStridedConvFusion(3, 5),
        layers.TimeStridedConvFusion(2, 1),
        layers.TimeToChannelFusion(3),
        layers.TimeStridedSampling(2),
        layers.TimeStridedSampling(2, "spread"),
        layers.TimeStridedSampling(6, "spread"),
    ],
)
def test_between_streams(layer):
    assert_same_layer(type(layer).from_config(layer.get_config()), (6, 3, 4, 5))


def test_what_would_be_dropped_is_refused():
    """Models with two clips or two outputs, and call options that a rule does not know."""
    two_clips, two_answers = auto_tsnet(two_inputs=True), auto_tsnet(include_top=False)
    for model, counts in ((two_clips, "2 inputs and 1 "), (two_answers, "1 inputs and 2 ")):
        with pytest.raises(ValueError, match=f"model: expected .* one clip .*, got {counts}"):
            mobile_form(model)
    inputs = keras.Input((4, 8, 8, 3))
    with pytest.raises(ValueError, match="expected tam with blend='sum' .* got 'max'"):
        mobile_form(
            keras.Model(inputs, layers.TemporalAggregation(blend="max", name="tam")(inputs))
        )
    output = WithOption(name="option")(inputs, factor=3.0)
    with pytest.raises(ValueError, match="got option called with factor=3.0"):
        mobile_form(keras.Model(inputs, output))


class WithOption(keras.layers.Identity):
    def compute_output_spec(self, inputs, factor=1.0):
        return keras.KerasTensor(inputs.shape, inputs.dtype)

    def call(self, inputs, factor=1.0):
        return inputs * factor


def assert_same_layer(layer, shape, **options):
    """Compare a model of one layer with its form, on numbers of both signs."""
    inputs = keras.Input(shape)
    model = keras.Model(inputs, layer(inputs, **options))
    randomize_weights(model)
    video = np.random.default_rng(0).standard_normal((2, *shape)).astype("float32")
    form = mobile_form(model)
    assert max(ranks(mobile_form(model, flat=True))) <= 4
    assert_near(to_numpy(run(form, video)), to_numpy(run(model, video)))


def test_features_and_inner_models():
    """A model without a classifier, as a layer of another model, with a Sequential on top."""
    body = fixed(include_top=False)
    features = to_numpy(run(body, FRAMES))
    assert_near(to_numpy(run(mobile_form(body), FRAMES)), features)
    flat = mobile_form(body, flat=True)({"frames": ops.convert_to_tensor(FRAMES[0])})
    assert_near(to_numpy(flat["predictions"]), features[0])
    inputs = keras.Input(SHAPE)
    x = layers.CumulativeAvgPool(keep_frames=False)(body(inputs))
    top = keras.Sequential([keras.layers.Dense(4, "relu"), keras.layers.Dense(3, "softmax")])
    model = keras.Model(inputs, top(x))
    randomize_weights(top)
    assert_near(to_numpy(run(mobile_form(model), FRAMES)), to_numpy(run(model, FRAMES)))


@pytest.mark.parametrize("stream", [False, True])
def test_forms_can_be_saved(tmp_path, stream):
    """The layers of a saved form are found again, with their settings."""
    options = {**STREAM, "positional_encoding": True, "squeeze": "2plus3d"}
    form = mobile_form(fixed(**options), stream, 2 if stream else None, hard_swish="folded")
    form.save(tmp_path / "form.keras")
    loaded = keras.models.load_model(tmp_path / "form.keras")
    answers = [roll(f, FRAMES[0]) if stream else to_numpy(run(f, FRAMES)) for f in (loaded, form)]
    assert_near(*answers, 1e-6)
    for layer in form.layers:
        twin = loaded.get_layer(layer.name)
        assert type(twin) is type(layer) and twin.get_config() == layer.get_config()


def test_a_convolution_used_twice_keeps_its_weights():
    """Folding a residual gate into it must not change its other use."""
    inputs = keras.Input((2, 8, 8, 3))
    x = layers.VideoConv3D(4, 1)(inputs)
    model = keras.Model(inputs, keras.layers.Add()([layers.ReZero()(x), x]))
    randomize_weights(model)
    frames = random_video((1, 2, 8, 8, 3))
    assert_near(to_numpy(run(mobile_form(model), frames)), to_numpy(run(model, frames)))


def test_every_public_layer_has_a_rule():
    without = {"StreamBuffer", "StreamingLayer"}  # parts of others
    for name in set(layers.__all__) - without:
        value = getattr(layers, name)
        if isinstance(value, type):
            assert any(base in RULES for base in value.__mro__), name


class Unknown(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 2.0


def test_a_layer_without_a_rule_and_with_one():
    inputs = keras.Input((2, 8, 8, 3))
    model = keras.Model(inputs, Unknown(name="mystery")(inputs))
    with pytest.raises(ValueError, match="model: expected layers .* got mystery of class Unknown"):
        mobile_form(model)
    try:
        rule(Unknown)(lambda rewriter, layer, features: rewriter.scaled(features, 2.0, layer.name))
        frames = random_video((1, 2, 8, 8, 3))
        assert_near(to_numpy(run(mobile_form(model), frames)), 2 * frames)
    finally:
        RULES.pop(Unknown, None)


@pytest.mark.parametrize(
    "options, arguments, message",
    [
        ({"input_shape": (6, None, 32, 3)}, {}, "known height and width.*input_shape"),
        ({"input_shape": (None, 40, 32, 3)}, {}, "frames: expected the number of frames"),
        ({"input_shape": SHAPE}, {"frames": 5}, "frames: expected 6.* got 5"),
        ({"input_shape": SHAPE}, {"frames": 0}, "frames: expected an int of at least 1, got 0"),
        ({"input_shape": SHAPE}, {"frames": True}, "frames: expected an int .* got True"),
        ({"input_shape": SHAPE}, {"stream": True}, "causal network for a stream.*looks ahead"),
        ({"input_shape": SHAPE}, {"hard_swish": "soft"}, "hard_swish: expected one of"),
    ],
)
def test_bad_arguments(options, arguments, message):
    with pytest.raises(ValueError, match=message):
        mobile_form(tiny_model(**options), **arguments)


def test_what_is_no_model_of_clips():
    inputs = keras.Input((8, 8, 3))
    for model in (keras.Model(inputs, keras.layers.Conv2D(2, 1)(inputs)), "a0"):
        with pytest.raises(ValueError, match="model: expected a Functional model of clips"):
            mobile_form(model)
