"""The space of MoViNets: choices, conversion of values and networks, costs, A0 to A5."""

import json
import random

import keras
import numpy as np
import pytest

keras_tuner = pytest.importorskip("keras_tuner")

from benchmarks.movinet_bases import median_macs_per_frame  # noqa: E402
from keras_video.applications.movinet import MoViNet  # noqa: E402
from keras_video.applications.movinet.config import A0, A2, Bottleneck, MoViNetConfig  # noqa: E402
from keras_video.tuner.spaces import CostTable, MoViNetSpace  # noqa: E402
from keras_video.tuner.spaces.choices import active_values, one_hot  # noqa: E402
from keras_video.tuner.spaces.movinet import published  # noqa: E402
from keras_video.tuner.spaces.movinet_bases import (  # noqa: E402
    BASES,
    COEFFICIENTS,
    TARGETS,
    MoViNetBase,
    scaled,
)
from keras_video.utils import complexity  # noqa: E402
from tests.helpers import assert_near, random_video, randomize_weights, to_numpy  # noqa: E402

TINY = {"base": MoViNetBase(8, (8, 16, 16, 24, 32), 32, 2, (4, 40, 32), 5.0), "num_classes": 5}


def sample(space, seed):
    """Return uniformly drawn values."""
    rng = random.Random(seed)
    return active_values(space.choices, [rng.randrange(len(c.values)) for c in space.choices])


def test_the_choices_are_those_of_the_paper():
    space = MoViNetSpace()
    choices = {choice.name: choice for choice in space.choices}
    assert choices["stem/filters"].values == (16, 24)
    assert [choices[f"block{b}/filters"].values for b in range(5)] == [
        (16, 24, 32), (40, 48, 64), (72, 96, 120), (72, 96, 120), (144, 192, 240)
    ]  # fmt: skip
    assert choices["block1/layer9/expand"].values == (72, 96, 120, 144, 168, 192)
    assert choices["block1/layers"].values == tuple(range(1, 11))
    assert choices["head/filters"].values == (384, 512, 640)
    assert choices["block4/layer0/kernel"].values == (
        "1x3x3", "1x5x5", "1x7x7", "5x1x1", "7x1x1", "3x3x3", "5x3x3"
    )  # fmt: skip
    assert choices["block4/layer0/squeeze"].values == (True, False)
    assert choices["block4/layer3/kernel"].when == (("block4/layers", tuple(range(4, 11))),)
    assert {choices[f"block0/layer1/{kind}"].tag for kind in ("kernel", "squeeze")} == {"op"}
    assert {choices[n].tag for n in ("block0/filters", "block0/layer1/expand")} == {"filters"}
    assert len(choices) == 2 + 5 * (2 + 10 * 3)


@pytest.mark.parametrize("causal", [False, True])
def test_random_values_make_the_round_trip_and_their_costs_are_exact(causal):
    space = MoViNetSpace("A2", 16, (6, 56, 40), causal, layers=(2, 4, 1, 3, 3), hidden=64)
    tables = {name: space.cost_table(name) for name in ("macs", "params")}
    seen = set()
    for seed in range(60):
        values = sample(space, seed)
        config = space.to_config(values)
        assert space.to_values(config) == values and space.invalid(values) is None
        assert MoViNetConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
        assert tables["macs"].of(values) == complexity.macs(config, classes=16)
        assert tables["params"].of(values) == complexity.params(config, 16)
        assert space.costs(values)["macs"] == complexity.macs(config, classes=16)
        seen |= {len(stage) for stage in config.stages}
        seen |= {row.squeeze for stage in config.stages for row in stage}
    assert seen == {1, 2, 3, 4, False}  # True is 1
    memory = complexity.peak_activation_memory(config, classes=16)
    assert space.cost(values, "memory") == memory == space.costs(values)["memory"]
    assert np.isfinite(space.features(values)).all()


def test_the_table_gives_the_same_number_inside_a_step():
    space = MoViNetSpace(**TINY)
    table = space.cost_table("macs")
    for seed in range(2):
        values = sample(space, seed)
        found = float(table(one_hot(space.choices, values)))
        assert abs(found / table.of(values) - 1) < 1e-6


def test_built_networks_have_the_parameters_and_multiply_adds_that_were_counted():
    from keras_video.layers import SqueezeExcite

    space = MoViNetSpace(**TINY)
    values = sample(space, 3) | {"block0/layer0/squeeze": False}
    model = space.build(values)
    assert model.count_params() == space.cost_table("params").of(values)
    assert model.output_shape == (None, 5) and model.input_shape == (None, 4, 40, 32, 3)
    attending = {layer.name for layer in model.layers if isinstance(layer, SqueezeExcite)}
    rows = {n: row for n, row in values.items() if n.endswith("squeeze")}
    assert attending == {
        n.replace("/", "_", 1).replace("/squeeze", "_squeeze_excite")
        for n, on in rows.items()
        if on
    }
    assert "block0_layer0_squeeze_excite" not in attending and attending


@pytest.mark.parametrize("seed", [1, 2])
def test_members_stream_and_are_exported(seed, tmp_path):
    """Also with the kernels 5x1x1 and 7x1x1, which no published network has."""
    mobile = pytest.importorskip("keras_video.mobile")
    pytest.importorskip("ai_edge_litert")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the converter is TensorFlow's")
    space = MoViNetSpace(**TINY, causal=True)
    values = sample(space, seed)
    assert "5x1x1" in values.values() and (seed == 1 or "7x1x1" in values.values())
    network = space.build(values)
    randomize_weights(network)
    config = space.to_config(values)
    stream = MoViNet(config, classes=5, streaming=True, input_shape=(None, 40, 32, 3))
    stream.set_weights(network.get_weights())
    path = str(tmp_path / "member.tflite")
    mobile.export_litert(stream, path)
    frames = 255 * random_video((1, 4, 40, 32, 3))
    expected = to_numpy(network(frames))
    for follower in (stream, mobile.LiteRTModel(path)):
        state = follower.init_state(1)
        for t in range(frames.shape[1]):
            answer, state = follower(frames[:, t : t + 1], state)
        assert_near(to_numpy(answer), expected, 2e-5)


def test_declared_as_hyperparameters():
    space = MoViNetSpace(**TINY)
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    assert [p.name for p in hp.space] == [choice.name for choice in space.choices]
    assert space.invalid(hp.values) is None
    assert [(s.count, s.prefix) for s in space.slots] == [
        (f"block{b}/layers", f"block{b}/layer") for b in range(5)
    ]
    assert space.clip(hp.values) == (4, 40, 32, 1)


def test_values_that_make_no_network_are_named():
    space = MoViNetSpace(**TINY)
    values = sample(space, 0)
    assert "block1/filters: expected one of" in space.invalid({**values, "block1/filters": 17})
    del values["block2/layer0/kernel"]
    assert "block2/layer0/kernel: expected one of" in space.invalid(values)
    with pytest.raises(ValueError, match="got no value"):
        space.build(values)


def test_which_published_networks_lie_in_the_space():
    """MoViNet-A2 differs from the paper's space by one width, the others by more."""
    space = MoViNetSpace("A2")
    assert space.leaves(A2) == [
        "block2/layer1/expand: expected one of (144, 192, 240, 288, 336, 384), got 160."
    ]
    with pytest.raises(ValueError, match="block2/layer1/expand"):
        space.to_values(A2)
    rows = list(A2.stages[2])
    rows[1] = Bottleneck(72, 144)
    near = MoViNetConfig(**{**vars(A2), "stages": (*A2.stages[:2], tuple(rows), *A2.stages[3:])})
    assert space.leaves(near) == []
    assert space.to_config(space.to_values(near)).stages == near.stages
    found = published()
    assert set(BASES) == {f"A{i}" for i in range(6)} and len(found) == 36
    assert all(reasons for reasons in found.values())  # none is completely in a space
    assert space.leaves(A0)[0].startswith("stem/filters: expected one of (16, 24), got 8")


def test_the_scaled_spaces_are_what_their_rule_gives():
    """With fewer samples than for the coefficients: near, not equal."""
    for name in ("A0", "A3"):
        target = TARGETS[name]
        median = median_macs_per_frame(BASES[name], samples=101)
        assert abs(median / target - 1) < 0.12
    base = BASES["A2"]
    assert base == MoViNetBase(16, (24, 48, 96, 96, 192), 512, 10, (50, 224, 224), 5.0)
    assert scaled("A2", 0.0) == base
    assert scaled("A0", COEFFICIENTS["A0"]) == BASES["A0"]


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("base", "A6"), ("num_classes", 0), ("clip", (8, 16, 16)), ("clip", 48), ("layers", 0),
        ("layers", (2, 2)), ("kernels", ("3x3",)), ("kernels", "2x3x3"), ("kernels", ()),
        ("multipliers", (1, 1)), ("expansions", (0,)), ("squeeze", "yes"), ("hidden", 0),
        ("positional_encoding", True), ("frame_stride", 0),
    ],
)  # fmt: skip
def test_bad_arguments_are_named(argument, value):
    options = {"causal": True} if argument == "positional_encoding" else {}
    with pytest.raises(ValueError, match=f"^{argument}: expected"):
        MoViNetSpace(**{**TINY, **options, argument: value})


def test_a_cost_that_is_no_sum():
    space = MoViNetSpace(**TINY)
    with pytest.raises(ValueError, match="memory.*is a maximum"):
        space.cost_table("memory")
    with pytest.raises(ValueError, match="expected 'macs' or 'params', got 'time'"):
        space.cost_table("time")
    assert isinstance(space.cost_table("params"), CostTable)
