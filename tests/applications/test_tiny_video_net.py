"""Tiny Video Networks compared with the published code, and with an implementation in NumPy."""

import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_video.applications import tiny_video_net
from keras_video.applications.tiny_video_net import CONFIGS, TinyVideoNet, TinyVideoNetConfig
from keras_video.applications.tiny_video_net.checkpoints import published_names, to_ours
from keras_video.checkpoints import weight_map
from keras_video.utils import macs, params
from tests.helpers import assert_differs, run, to_numpy
from tests.tiny_video_reference import Reference, recipe_clips, recipe_weight
from tests.tiny_video_specs import random_spec

GOLDEN = Path(__file__).parents[1] / "golden" / "tvn"
TOLERANCE = 1e-3  # of the standard deviation of what is compared
THOROUGH = keras.backend.backend() == "tensorflow"  # others test fewer random networks

# Variables, all values at 16, 157 and 339 classes, trainable ones at 339, 10^9 FLOPs.
COUNTS = {
    "1": (131, (25_770_814, 26_059_723, 26_432_641), 26_414_721, 8.652),
    "2": (433, (108_871_852, 109_166_401, 109_546_599), 109_438_487, 69.228),
    "3": (288, (66_947_938, 67_309_039, 67_775_141), 67_709_221, 107.278),
    "4": (284, (43_050_314, 43_339_223, 43_712_141), 43_669_005, 51.836),
    "mobile_1": (184, (7_331_804, 7_349_993, 7_373_471), 7_352_607, 10.699),
    "mobile_2": (160, (5_502_793, 5_520_982, 5_544_460), 5_528_460, 10.066),
}


def read(network, name):
    return json.loads((GOLDEN / network / f"{name}.json").read_text())


def spec_of(network):
    if network == "tvn1":
        return read("tvn1", "config")
    return read(network, "cases")["config"]


def cases():
    for network in ("tvn1_thin", "tvn1"):
        chosen = read(network, "cases")["cases"]
        if keras.backend.backend() == "jax" and network == "tvn1":  # compiles every case again
            chosen = [case for case in chosen if case["case"] in ("odd", "hswish_small")]
        for case in chosen:
            yield pytest.param(network, case, id=f"{network}-{case['case']}")


@pytest.mark.parametrize("name", COUNTS)
def test_published_counts(name):
    config = CONFIGS[f"tiny_video_net_{name}"]
    variables, values, trainable, giga = COUNTS[name]
    assert len(config.weight_shapes()) == variables
    assert tuple(params(config, classes) for classes in (16, 157, 339)) == values
    assert params(config, 339, trainable=True) == trainable
    assert round(2 * macs(config, classes=339) / 1e9, 3) == giga


def test_every_config_is_counted_or_was_not_published():
    counted = {f"tiny_video_net_{name}" for name in COUNTS}
    assert {name for name in CONFIGS if name not in counted} == {
        "tiny_video_net_5_reconstruction",
        "tiny_video_net_6_reconstruction",
        "tiny_video_net_moving_digits",
    }


def test_the_network_of_our_own_is_the_one_that_was_found():
    """Counts of its row in benchmarks/results/search_tvn_table.csv."""
    config = CONFIGS["tiny_video_net_moving_digits"]
    assert (params(config, 16), macs(config, classes=16)) == (21040, 2421248)


@pytest.mark.parametrize("number, giga", [("5", 52.04), ("6", 92.95)])
def test_reconstructions_meet_what_is_known(number, giga):
    """52 and 93 GFLOPs in the paper; the docstrings call them reconstructions."""
    config = CONFIGS[f"tiny_video_net_{number}_reconstruction"]
    assert round(2 * macs(config, classes=339) / 1e9, 2) == giga
    builder = getattr(tiny_video_net, f"TinyVideoNet{number}Reconstruction")
    assert "not the authors' network" in builder.__doc__


def test_specification_as_published_is_our_table():
    config = TinyVideoNetConfig.from_dict({**spec_of("tvn1"), "name": "tiny_video_net_1"})
    assert config == CONFIGS["tiny_video_net_1"]


def test_our_copy_is_the_shared_one(shared):
    folder = shared / "reference" / "tvn"
    for path in GOLDEN.rglob("*.json"):
        assert json.loads(path.read_text()) == json.loads(
            (folder / path.relative_to(GOLDEN)).read_text()
        )


def test_recipe_of_the_weights():
    """Sum, sum of squares, first and last value of every variable are those of the reference."""
    check, shapes = read("tvn1", "weights_check"), read("tvn1", "manifest")
    for name, expected in check["variables"].items():
        value = recipe_weight(name, shapes[name], check["kernel_gain"]).astype("float64")
        found = value.sum(), (value**2).sum(), value.flat[0], value.flat[-1]
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def assert_golden(found, expected, scale=None):
    found, expected = np.asarray(found, "float64"), np.asarray(expected, "float64")
    assert found.shape == expected.shape and np.isfinite(found).all()
    scale = expected.std() if scale is None else scale
    assert np.abs(found - expected).max() <= TOLERANCE * scale


def build(spec, frames, gain, classes=16, **options):
    """A model with the weights of the recipe, and one that also returns outputs of blocks."""
    config = TinyVideoNetConfig.from_dict(spec).with_options(**options)
    model = TinyVideoNet(
        config, input_shape=(frames, None, None, 3), classes=classes, include_preprocessing=False
    )
    named = {}
    for ours, theirs in published_names(config, frames).items():
        shape = published_shape(theirs, model, ours)
        named[ours] = to_ours(ours, theirs, recipe_weight(theirs, shape, gain))
    weight_map.assign(model, named)
    points = [model.get_layer(a.output).output for a in config.plan(16, frames).applications]
    return model, keras.Model(model.input, [points, model.output])


def published_shape(theirs, model, ours):
    """Shape of one of our variables in the published layout."""
    layer, name = ours.split("/")
    shape = next(tuple(v.shape) for v in model.get_layer(layer).weights if v.name == name)
    if theirs.endswith("/depthwise_kernel"):
        return (*shape[1:3], shape[4], 1)
    if name == "kernel" and len(shape) == 5:
        height, width = (shape[0], 1) if layer.endswith("_temporal") else shape[1:3]
        return (height, width, *shape[3:])
    return (1, 1, *shape) if len(shape) == 2 and layer != "classifier" else shape


@pytest.mark.parametrize("network, case", list(cases()))
def test_published_network(network, case):
    options = {"head": "per_frame"} if case["head"].startswith("per_frame") else {}
    if case.get("activations_forced_to"):
        options["activation"] = "hard_swish"
    clips = recipe_clips(case["clips"], case["frames"], case["size"], case["seed"])
    if "input_check" in case:
        np.testing.assert_allclose(clips.astype("float64").sum(), case["input_check"]["sum"])
    model, inner = build(spec_of(network), case["frames"], case["kernel_gain"], **options)
    names = published_names(TinyVideoNetConfig.from_dict(spec_of(network)), case["frames"])
    shapes = {theirs: list(published_shape(theirs, model, ours)) for ours, theirs in names.items()}
    assert shapes == read(network, "manifest")
    points, logits = run(inner, clips)
    assert_golden(to_numpy(logits), case["logits"])
    expected = case.get("blocks", [])
    assert not expected or len(points) == len(expected)
    for point, block in zip(points, expected, strict=False):
        assert_block(to_numpy(point), block)


def assert_block(video, block):
    """Frames, shape, and 48 samples of one block."""
    assert video.shape[1] == block["frames"]
    assert [video.shape[0] * video.shape[1], *video.shape[2:]] == block["shape"]
    flat = video.ravel()
    samples = [flat[(i * flat.size) // 48] for i in range(48)]
    assert_golden(samples, block["sample"], block["std"])
    assert_golden([flat.mean(), flat.std()], [block["mean"], block["std"]], block["std"])


@pytest.mark.parametrize("seed", range(24 if THOROUGH else 5))
def test_random_networks_against_numpy(seed):
    """Every kind of layer, in many combinations: names, shapes, blocks, logits, counts."""
    spec, size, per_frame = random_spec(seed)
    frames = spec["num_frames"]
    clips = recipe_clips(2 - seed % 2, frames, size, seed)
    reference = Reference(spec, lambda name, shape: recipe_weight(name, shape, 3.0))
    expected = reference(clips, 5, per_frame)
    options = {"head": "per_frame"} if per_frame else {}
    model, inner = build(spec, frames, 3.0, classes=5, **options)

    config = TinyVideoNetConfig.from_dict(spec).with_options(**options)
    names = published_names(config)
    found = {theirs: list(published_shape(theirs, model, ours)) for ours, theirs in names.items()}
    assert found == reference.shapes
    points, logits = run(inner, clips)
    for point, (name, (count, block)) in zip(points, reference.blocks.items(), strict=True):
        point = to_numpy(point)
        assert point.shape == (len(clips), count, *block.shape[1:]), name
        assert_golden(point.reshape(block.shape), block, max(block.std(), 1e-3))
    assert_golden(to_numpy(logits), expected)


def test_random_networks_hold_every_kind_of_layer():
    """The test above covers every kind of layer."""
    blocks = [block for seed in range(24) for block in random_spec(seed)[0]["blocks"]]
    for key, values in {
        "spatial_type": {"std", "depth", "maxpool", "avgpool", "1std"},
        "temporal_type": {"1d", "maxpool", "avgpool"},
        "spatial_kernel": {1, 2, 3, 4, 5},
        "inv-bottle": {False, True},
        "expand": {0, 1, 2, 3},
        "non_local": {0, 3},
        "skip": {0, 1},
        "context_gate": {0, 1},
        "act": {"relu", "hswish", "linear"},
    }.items():
        assert {block[key] for block in blocks} >= values, key


@pytest.mark.parametrize("seed", range(6 if THOROUGH else 1))
def test_one_clip_is_the_first_of_two(seed):
    """For a batch of one the gates are computed in another way."""
    spec, size, _ = random_spec(seed)
    model, _ = build(spec, spec["num_frames"], 3.0, classes=5)
    clips = recipe_clips(2, spec["num_frames"], size, seed)
    both = to_numpy(run(model, clips))
    assert_golden(to_numpy(run(model, clips[:1])), both[:1], max(both.std(), 1e-3))
    assert_differs(both[0], both[1], 1e-4)


@pytest.mark.parametrize("seed", range(40 if THOROUGH else 4))
def test_plan_is_the_built_graph(seed):
    """Weights from the plan alone, and multiply-adds from a walk over the graph."""
    spec, size, per_frame = random_spec(100 + seed)
    head = "per_frame" if per_frame else "average"
    config = TinyVideoNetConfig.from_dict(spec).with_options(head=head)
    clip = (spec["num_frames"], size, size + 3, 3)
    model = TinyVideoNet(config, input_shape=clip, classes=7)
    assert model.count_params() == params(config, 7)
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert trainable == params(config, 7, trainable=True)
    shapes = {f"{layer.name}/{v.name}": tuple(v.shape) for layer in model.layers
              for v in layer.weights}  # fmt: skip
    assert shapes == config.weight_shapes(7)
    assert macs_of(model) == macs(config, clip, 7)


def macs_of(model):
    """Multiply-adds counted over the layers' kernels and the shapes of their outputs."""
    total = 0
    for layer in model.layers:
        for variable in layer.weights:
            if not variable.name.endswith("kernel"):
                continue
            positions = 1  # gates: once for the clip
            if variable.name == "kernel":
                positions = np.prod(layer.output.shape[1:-1], dtype=int)
            elif variable.name.split("_")[0] in ("theta", "phi", "g"):
                positions = np.prod(layer.input.shape[1:-1], dtype=int)
            total += int(positions * np.prod(variable.shape, dtype=int))
        if hasattr(layer, "projections"):  # non-local: scores and weighted sum
            total += int(2 * np.prod(layer.input.shape[1:-1], dtype=int) ** 2 * layer.filters)
    return total
