"""The space of Auto-TSNet: choices, conversion of values and networks, exact cost tables."""

import math
import random

import numpy as np
import pytest

keras_tuner = pytest.importorskip("keras_tuner")

from keras_video.applications.auto_tsnet import CONFIGS  # noqa: E402
from keras_video.tuner.spaces import TwoStreamSpace  # noqa: E402
from keras_video.tuner.spaces.choices import active_values, one_hot  # noqa: E402
from keras_video.utils import complexity  # noqa: E402
from tests.helpers import to_numpy, to_tensors  # noqa: E402

SMALL = {
    "size": 32, "frames": 4, "stride": 2, "width": 0.25, "repeats": (1, 2, 1, 2),
    "stages": (1, 1, 2, 2), "expansions": [1.5, 2.25], "hidden": 16, "frame_stride": 1,
}  # fmt: skip


def draw(space, seed):
    """Return uniformly drawn values."""
    rng = random.Random(seed)
    return active_values(space.choices, [rng.randrange(len(c.values)) for c in space.choices])


@pytest.fixture(scope="module")
def paper():
    return TwoStreamSpace(400)


@pytest.fixture(scope="module")
def small():
    return TwoStreamSpace(7, **SMALL)


def size_of(space, *beginnings):
    """Return the number of combinations of the choices with these names."""
    return math.prod(len(c.values) for c in space.choices if c.name.startswith(beginnings))


def test_the_papers_space(paper):
    """Sizes by Table 1 as printed; the paper gives numbers of the same order of magnitude."""
    assert size_of(paper, "sparse/") == pytest.approx(3.3e24, rel=0.02)
    assert size_of(paper, "dense/") == pytest.approx(6.7e22, rel=0.02)
    assert size_of(paper, "attention/") == 4096
    assert size_of(paper, "fusion/") == 4**10
    names = [c.name for c in paper.choices]
    assert names[0] == "dense_stream" and len(set(names)) == len(names)
    by_name = {c.name: c for c in paper.choices}
    assert by_name["sparse/group8/filters"].values == (128, 144, 160, 176)
    assert by_name["sparse/group8/filters"].tag == "filters"
    assert by_name["dense/group1/filters"].values == (8,)
    assert by_name["dense/group9/filters"].values == (32, 40, 48, 56)
    assert by_name["dense/group9/expansion"].values == (1.5, 2.25, 3.0, 3.75, 4.5, 5.25, 6.0)
    assert by_name["attention/dense_group4"].when == (("dense_stream", (True,)),)


@pytest.mark.parametrize("name", ["auto_tsnet_s", "auto_tsnet_s_dagger"])
def test_published_networks_are_points_of_the_space(paper, name):
    config = CONFIGS[name]
    values = paper.to_values(config)
    assert paper.invalid(values) is None
    found = paper.to_config(values)
    assert found.with_options(name=name, resize_side=config.resize_side) == config
    assert paper.costs(values) == {
        "macs": complexity.macs(config, classes=400),
        "params": complexity.params(config, 400),
        "memory": complexity.peak_activation_memory(config, classes=400),
    }


def test_networks_outside_say_where(paper):
    with pytest.raises(ValueError, match="sparse_stem: expected 24"):
        paper.to_values(CONFIGS["manual_tsnet_70"])
    with pytest.raises(ValueError, match="size: expected 160"):
        paper.to_values(CONFIGS["auto_tsnet_m"])
    config = CONFIGS["auto_tsnet_s"]
    with pytest.raises(ValueError, match=r"attention_sparse: expected groups among .* \[7\]"):
        paper.to_values(config.with_options(attention_sparse=(7,)))
    fused = ("none",) * 10 + ("time_to_channel",)
    with pytest.raises(ValueError, match=r"fusion: expected groups among .* \[11\]"):
        paper.to_values(config.with_options(fusion=fused))


@pytest.mark.parametrize("seed", range(20))
def test_random_values_make_the_round_trip(paper, small, seed):
    for space in (paper, small):
        values = draw(space, seed)
        assert space.to_values(space.to_config(values)) == values


@pytest.mark.parametrize("name", ["macs", "params"])
def test_tables_are_exact(paper, small, name):
    """Compare with the costs counted from specs, which other tests compare with built networks."""
    for space, draws in ((paper, 25), (small, 100)):
        table = space.cost_table(name)
        seen = set()
        for seed in range(draws):
            values = draw(space, seed)
            assert table.of(values) == space.cost(values, name)
            seen.add(values["dense_stream"])
        assert seen == {False, True}
    values = paper.to_values(CONFIGS["auto_tsnet_s"])
    assert paper.cost_table("macs").of(values) == 2_457_982_856


def test_what_is_not_active_costs_nothing(small):
    """Values of a dense stream that does not exist have no effect."""
    values = draw(small, 1) | {"dense_stream": False}
    active = {c.name: values[c.name] for c in small.choices if not c.when}
    for name in ("macs", "params"):
        table = small.cost_table(name)
        expected = small.cost(active, name)
        for seed in range(10):
            others = {c.name: random.Random(seed).choice(c.values) for c in small.choices if c.when}
            assert table.of(active | others) == expected


def test_tables_inside_a_step(small):
    table = small.cost_table("macs")
    values = draw(small, 3)
    selection = to_tensors(one_hot(small.choices, values))
    assert float(to_numpy(table(selection))) == pytest.approx(table.of(values), rel=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 5])
def test_built_networks(small, seed):
    values = draw(small, seed)
    model = small.build(values)
    assert sum(int(np.prod(v.shape)) for v in model.variables if "seed" not in v.name) == (
        small.cost(values, "params")
    )
    assert model.input_shape == (None, 4, 32, 32, 3) and model.output_shape == (None, 7)
    assert small.clip(values) == (4, 32, 32, 1)
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3)).astype("uint8")
    assert np.isfinite(to_numpy(model(clips))).all()


def test_declared_for_kerastuner(small):
    hp = keras_tuner.HyperParameters()
    small.declare(hp)
    assert {p.name for p in hp.space} == {c.name for c in small.choices}
    assert hp.values["dense_stream"] is False and "dense/group1/filters" not in hp.values
    assert small.build(hp).output_shape == (None, 7)


def test_features_tell_networks_apart(small):
    features = [small.features(draw(small, seed)) for seed in range(4)]
    assert len({f.shape for f in features}) == 1
    assert len({tuple(f) for f in features}) == 4


@pytest.mark.parametrize(
    "options, message",
    [
        ({"width": 0}, "width: expected a finite number above 0"),
        ({"size": 16}, "size: expected at least 32 pixels"),
        ({"frames": 30}, "frames: expected a multiple of the stride"),
        ({"temporal_kernels": [1, 2]}, "temporal_kernels: expected odd ints"),
        ({"fusions": ("none", "sum")}, "fusions: expected one or several of"),
        ({"fusion_slots": (0,)}, "fusion_slots: expected one or several of .*got \\(0,\\)"),
        ({"attention_slots": (3, 3)}, "attention_slots: .*no value twice"),
        ({"sparse_filters": [(8, 16, 8)]}, "sparse_filters: expected 11 ranges"),
        ({"dense_filters": [0] * 11}, "dense_filters: expected a pair"),
        ({"expansions": [0.0]}, "expansions: expected a triple"),
        ({"stages": (1, 3), "repeats": (1, 1)}, "stages: expected 1, 1, 2"),
        ({"sparse_positions": "first"}, "sparse_positions: expected one of"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        TwoStreamSpace(5, **options)


def test_values_that_make_no_network(small):
    values = draw(small, 0)
    missing = {k: v for k, v in values.items() if k != "sparse/group1/filters"}
    assert "sparse/group1/filters: expected one of" in small.invalid(missing)
    assert "['depth']" in small.invalid(values | {"depth": 2})
    assert "sparse/group1/filters: expected one of" in small.invalid(
        values | {"sparse/group1/filters": 9}
    )
