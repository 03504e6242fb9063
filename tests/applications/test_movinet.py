"""MoViNet compared with the official implementation: counts, logits, end points, states."""

import hashlib
from functools import cache

import keras
import numpy as np
import pytest
from keras import ops

from keras_video.applications import movinet
from keras_video.applications.movinet import CONFIGS, MoViNet
from keras_video.checkpoints import weight_map
from keras_video.utils import macs, params
from tests.golden_weights import (
    ATTRIBUTE,
    CASES,
    NETWORKS,
    load_reference,
    official_weights,
    our_weights,
    pack,
    shared_reference,
    summary,
    video,
)
from tests.helpers import assert_differs, run, to_numpy

# JAX compiles every shape again, which takes seconds for a whole network. There two clips suffice
# for the base network and one for the streams; the tests of layers cover other sizes.
JAX = keras.backend.backend() == "jax"
BASE_CASES = ("sq", "odd") if JAX else tuple(CASES)
STREAM_CASES = ("odd",) if JAX else tuple(CASES)
PIECES = [(network, length) for network in NETWORKS[1:] for length in (1, 2, 3)]
PIECES = [("a0_stream", 2), ("a0_stream_keras2gate", 1)] if JAX else PIECES

# All parameters, trainable ones, 10^9 multiply-adds of the published clip (movinet.md 6.2).
COUNTS = {
    "t0": ((1_740_502, 1_727_414, 0.871), (2_385_118, 2_368_958, 0.835)),
    "a0": ((3_126_071, 3_111_799, 2.63), (3_765_983, 3_748_031, 2.43)),
    "a1": ((4_717_912, 4_690_296, 5.87), (6_481_560, 6_447_352, 5.54)),
    "a2": ((5_280_922, 5_249_562, 11.56), (7_366_050, 7_326_962, 10.70)),
    "a3": ((7_443_289, 7_397_545, 55.6), (11_043_146, 10_986_618, 52.1)),
    "a4": ((11_422_727, 11_349_463, 103.3), (18_228_326, 18_136_182, 96.7)),
    "a5": ((18_763_355, 18_650_523, 276.3), (31_636_734, 31_495_934, 261.7)),
}


def config_of(size, streaming):
    config = CONFIGS[f"movinet_{size}"]
    return config.streaming() if streaming else config


@pytest.mark.parametrize("streaming", [False, True], ids=["base", "stream"])
@pytest.mark.parametrize("size", COUNTS)
def test_parameters_and_multiply_adds(size, streaming):
    config = config_of(size, streaming)
    total, trainable, giga = COUNTS[size][streaming]
    assert (params(config), params(config, trainable=True)) == (total, trainable)
    assert macs(config) / 1e9 == pytest.approx(giga, rel=0.005)


def test_other_numbers_of_classes():
    assert params(CONFIGS["movinet_a0"], classes=400) == 3_126_071 - 409_800
    assert params(CONFIGS["movinet_t0"], classes=599) == 1_740_502 - 1025


def test_every_config_is_counted():
    assert set(CONFIGS) == {f"movinet_{size}" for size in COUNTS}


@pytest.mark.parametrize("streaming", [False, True], ids=["base", "stream"])
@pytest.mark.parametrize("size", ["t0", "a0"])
def test_built_models_have_the_weights_of_the_plan(size, streaming):
    model = getattr(movinet, f"MoViNet{size.upper()}")(streaming=streaming)
    total, trainable, _ = COUNTS[size][streaming]
    assert model.count_params() == total
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == trainable
    shapes = {f"{layer.name}/{v.name}": tuple(v.shape) for layer in model.layers
              for v in layer.weights}  # fmt: skip
    assert shapes == config_of(size, streaming).weight_shapes()


# The reference data


def test_recipe_of_the_weights():
    """Hashes that came with the reference data."""
    for network, expected in [
        ("a0_base", "682477082c27fd9d5b07f52c0ffd5164113d2d22b83cde6dcacfd82afd6b7fbc"),
        ("a0_stream", "2f29ff61a2ffd6df9806cdf500493b868bb659a3cd62651d97890a3b24e757e7"),
    ]:
        arrays = official_weights(network)
        assert all(key.endswith(ATTRIBUTE) for key in arrays)
        digest = hashlib.sha256(b"".join(arrays[key].tobytes() for key in sorted(arrays)))
        assert digest.hexdigest() == expected


@pytest.mark.parametrize("network", NETWORKS)
def test_our_copy_is_the_shared_one(shared, network):
    expected = pack(shared_reference(network))
    found = load_reference(network)
    assert set(found) == set(expected)
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value)


@cache
def reference(network):
    return load_reference(network)


@cache
def built(network):
    """The model, and one that also returns its end points."""
    gate = "hard_sigmoid_keras2" if "keras2" in network else "hard_sigmoid_tf_models"
    streaming = network != "a0_base"
    config = config_of("a0", streaming).with_options(**{"gate": gate} if streaming else {})
    model = MoViNet(config, classes=16, include_preprocessing=False, streaming=streaming)
    weight_map.assign(model, our_weights(network, config))
    names = reference(network)["endpoint_names"]
    names = ["head_pool" if name == "head" else str(name) for name in names]
    points = [model.get_layer(name).output for name in names]
    points = [p[0] if isinstance(p, (list, tuple)) else p for p in points]
    return model, keras.Model(model.input, [points, model.output])


def clip_of(case):
    return video(case).astype("float32") / 255


def assert_golden(found, expected):
    """Tolerance 1e-4 of the largest value (README of the reference data); NaN means missing."""
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    assert found.shape == expected.shape
    missing = np.isnan(expected)
    np.testing.assert_array_equal(np.isnan(found), missing)
    tolerance = 1e-4 * max(1.0, np.abs(expected[~missing]).max())
    assert np.abs(found - expected)[~missing].max() <= tolerance


def assert_points(points, network, case):
    """Mean, deviation, first and last values of every end point."""
    table = reference(network)[f"{case}/endpoint"]
    for point, expected in zip(points, table, strict=True):
        assert_golden(summary(to_numpy(point)), expected)


def official_states(state):
    """Our state in the official form: sums instead of means, one count for the batch."""
    states = {}
    for name, value in to_numpy(state).items():
        owner = "state_" + name.removesuffix("_feature_temporal").removesuffix("_squeeze_excite")
        if not isinstance(value, tuple):
            states[f"{owner}_stream_buffer"] = value
            continue
        mean, count = value
        assert (count == count[0]).all() and count.dtype == np.int32
        owner = owner.removesuffix("_pool") + "_pool"
        states[f"{owner}_buffer"] = mean * count[:, None]
        states[f"{owner}_frame_count"] = count[:1]
    return states


@pytest.mark.parametrize("case", BASE_CASES)
def test_base(case):
    points, logits = run(built("a0_base")[1], clip_of(case))
    assert_golden(to_numpy(logits), reference("a0_base")[f"{case}/logits"])
    assert_points(points, "a0_base", case)


@pytest.mark.parametrize(
    "network, case",
    [("a0_stream", case) for case in STREAM_CASES]
    # The reference has no "pub" for this one. JAX computes it in pieces below.
    + [("a0_stream_keras2gate", case) for case in STREAM_CASES if case != "pub" and not JAX],
)
def test_stream_on_whole_clips(network, case):
    golden = reference(network)
    model, inner = built(network)
    clip = clip_of(case)
    state = model.init_state(clip.shape[0], *clip.shape[2:4])
    points, (logits, state) = run(inner, [clip, state])
    assert_golden(to_numpy(logits), golden[f"{case}/logits"])
    assert_points(points, network, case)

    states = official_states(state)
    assert set(states) == set(golden["state_names"].tolist())
    for name, expected in zip(golden["state_names"], golden[f"{case}/state"], strict=True):
        assert_golden(summary(states[name]), expected)


@pytest.mark.parametrize("network, length", PIECES)
def test_stream_in_pieces(network, length):
    """The logits after every piece, with the state passed on."""
    golden, (model, _) = reference(network), built(network)
    cases = [case for case in STREAM_CASES if f"{case}/stream{length}/logits" in golden]
    assert cases
    for case in cases:
        clip = clip_of(case)
        state = model.init_state(clip.shape[0], *clip.shape[2:4])
        answers = []
        for start in range(0, clip.shape[1], length):
            logits, state = run(model, clip[:, start : start + length], state)
            answers.append(to_numpy(logits))
        assert_golden(answers, golden[f"{case}/stream{length}/logits"])


def test_gates_can_be_told_apart():
    """The comparison above can fail."""
    a, b = (reference(network)["odd/logits"] for network in NETWORKS[1:])
    assert_differs(a, b, 100 * 1e-4)


def test_clip_form_of_the_stream():
    """`causal=True` without streaming, on the stream's weights."""
    config = config_of("a0", True).with_options(gate="hard_sigmoid_tf_models")
    model = MoViNet(config, classes=16)
    weight_map.assign(model, our_weights("a0_stream", config))
    logits = to_numpy(run(model, video("odd").astype("float32")))
    assert_golden(logits, reference("a0_stream")["odd/logits"])


def test_official_name_of_the_factorized_form():
    config = CONFIGS["movinet_a0"].with_options(conv="3d_2plus1d")
    assert config.weight_shapes() == config.with_options(conv="2plus1d").weight_shapes()


# Training


def test_stochastic_depth_grows_with_depth():
    model = movinet.MoViNetT0(classes=5, stochastic_depth=0.28)
    rates = [model.get_layer(f"{block.name}_drop").rate
             for block in CONFIGS["movinet_t0"].plan().blocks]  # fmt: skip
    np.testing.assert_allclose(rates, [0.28 * (i + 1) / 14 for i in range(14)])
    names = [layer.name for layer in movinet.MoViNetT0(stochastic_depth=0.0).layers]
    assert [name for name in names if "drop" in name] == ["classifier_dropout"]


def test_initial_weights():
    """He normal kernels, branches times 0, small kernel of the last layer (movinet.md 2.2, 5)."""
    keras.utils.set_random_seed(0)
    model = movinet.MoViNetT0()
    kernel = ops.convert_to_numpy(model.get_layer("head").kernel)
    assert kernel.std() == pytest.approx(np.sqrt(2 / 104), rel=0.03)
    kernel = ops.convert_to_numpy(model.get_layer("classifier").kernel)
    assert kernel.std() == pytest.approx(0.01, rel=0.02)
    for block in CONFIGS["movinet_t0"].plan().blocks:
        assert float(ops.convert_to_numpy(model.get_layer(block.rezero.name).scale)) == 0.0


@pytest.mark.parametrize("size", ["a1", "a4"])
def test_options_of_the_published_variants(size):
    """movinet.md 2.3."""
    base, stream = (config_of(size, s).variant for s in (False, True))
    assert (base.causal, base.conv, base.squeeze) == (False, "3d", "3d")
    assert (base.activation, base.gate, base.head_activation) == ("swish", "sigmoid", "swish")
    assert (stream.causal, stream.conv, stream.squeeze) == (True, "2plus1d", "2plus3d")
    assert (stream.activation, stream.head_activation) == ("hard_swish", "swish")
    assert stream.gate == "hard_sigmoid_keras2"
    assert stream.positional_encoding == (size == "a4") and not base.positional_encoding
    assert base.stochastic_depth == stream.stochastic_depth == 0.2


@pytest.mark.parametrize("size, frames", [("t0", 22), ("a0", 28), ("a3", 52), ("a5", 94)])
def test_receptive_field(size, frames):
    """Number of past frames that a stream depends on (movinet.md 3)."""
    rows = [block.feature_temporal for block in config_of(size, True).plan().blocks]
    assert sum(row.kernel[0] - 1 for row in rows if row) == frames


# Arguments


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(classes=0), "classes: expected an int of at least 1, got 0"),
        (dict(classes=2.0), r"classes: expected an int of at least 1, got 2\.0"),
        (dict(pooling="sum"), "pooling: expected one of None, 'avg', 'max', got 'sum'"),
        (dict(pooling="max", streaming=True, include_top=False), "pooling: .* streaming=True"),
        (dict(input_shape=(8, 64, 64)), r"input_shape: expected \(frames, height, width, 3\)"),
        (dict(input_shape=(3, 8, 64, 64)), "input_shape: .* Channels come last"),
        (dict(input_shape=(8, 64, 64, 1)), r"input_shape: .* got \(8, 64, 64, 1\)"),
        (dict(input_shape=(8, -64, 64, 3)), "input_shape: .* positive ints"),
        (dict(input_shape=(None, 31, None, 3)), "input_shape: .* at least 32"),
        (dict(gate="soft"), "gate: expected one of .*, got 'soft'"),
        (dict(conv="2d"), "conv: expected one of .*, got '2d'"),
        (dict(squeeze="1d"), "squeeze: expected one of .*, got '1d'"),
        (dict(activation="elu"), "activation: expected one of .*, got 'elu'"),
        (dict(head_activation="elu"), "head_activation: expected one of .*, got 'elu'"),
        (
            dict(dropout=1.0),
            r"dropout: expected a finite number of at least 0 and below 1, got 1\.0",
        ),
        (
            dict(stochastic_depth="x"),
            r"stochastic_depth: expected a finite number of at least 0 and below 1, got 'x'",
        ),
        (dict(color="red"), r"options: expected one of .*, got 'color'"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        movinet.MoViNetA0(**kwargs)


def test_streaming_needs_a_causal_variant():
    with pytest.raises(ValueError, match="streaming: expected a causal variant"):
        MoViNet(CONFIGS["movinet_a0"], streaming=True)


def test_config_survives_json():
    import json

    for streaming in (False, True):
        config = config_of("a3", streaming)
        assert type(config).from_dict(json.loads(json.dumps(config.to_dict()))) == config
