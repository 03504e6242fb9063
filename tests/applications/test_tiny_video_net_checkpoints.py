"""Names of the published code, and checkpoints in the form of TF1 Hub modules."""

import json
from pathlib import Path

import numpy as np
import pytest

from keras_video.applications.tiny_video_net.checkpoints import load, published_names
from keras_video.applications.tiny_video_net.config import CONFIGS, TinyVideoNetConfig
from tests.tf_checkpoint_writer import write_checkpoint
from tests.tiny_video_reference import Reference, recipe_weight
from tests.tiny_video_specs import random_spec

GOLDEN = Path(__file__).parents[1] / "golden" / "tvn"
SPEC = json.loads((GOLDEN / "tvn1_thin" / "cases.json").read_text())["config"]
SHAPES = json.loads((GOLDEN / "tvn1_thin" / "manifest.json").read_text())
CONFIG = TinyVideoNetConfig.from_dict(SPEC)
WEIGHTS = {name: recipe_weight(name, shape) for name, shape in SHAPES.items()}


def write(folder, weights, graph=False):
    prefix = folder / "module" / "variables" / "variables"
    write_checkpoint(prefix, weights, graph=graph)
    return str(prefix)


def assert_all_there(named):
    """Check that shapes fit and that no value is missing or repeated."""
    expected = CONFIG.weight_shapes(16)
    assert {name: array.shape for name, array in named.items()} == expected
    names = published_names(CONFIG)
    for ours, theirs in names.items():
        assert sorted(named[ours].ravel()) == sorted(WEIGHTS[theirs].ravel()), ours


@pytest.mark.parametrize("name", CONFIGS)
def test_a_name_for_every_variable(name):
    names = published_names(CONFIGS[name])
    assert set(names) == set(CONFIGS[name].weight_shapes())
    assert len(set(names.values())) == len(names)


def test_numbers_of_layers_that_are_alike():
    """After std the temporal convolution is the third, after depth the second, else the first."""
    spec = {"num_frames": 2, "image_size": 32, "frame_stride": 1, "blocks": []}
    for kind in ("std", "depth", "maxpool", "1std"):
        spec["blocks"].append(
            {
                "spatial_type": kind,
                "spatial_kernel": 3,
                "spatial_stride": 1,
                "temporal_type": "1d",
                "temporal_kernel": 2,
                "temporal_stride": 1,
                "filters": 4,
                "expand": 1,
                "repeats": 1,
                "skip": 0,
                "squeeze": 0.0,
                "context_gate": 0,
            }  # fmt: skip
        )
    names = published_names(TinyVideoNetConfig.from_dict(spec))
    found = [(names[f"block{b}_repeat0_temporal/kernel"], names[f"block{b}_repeat0_temporal/beta"])
             for b in range(4)]  # fmt: skip
    conv, norm = (
        "Block-{}-0/STConvs/conv2d{}/kernel",
        "Block-{}-0/STConvs/batch_normalization{}/beta",
    )
    numbers = [("_2", "_2"), ("_1", "_2"), ("", ""), ("_1", "_1")]
    assert found == [(conv.format(b, c), norm.format(b, n)) for b, (c, n) in enumerate(numbers)]
    assert names["block1_repeat0_spatial/kernel"] == "Block-1-0/STConvs/depthwise_kernel"


@pytest.mark.parametrize("scope", ["", "module/", "TinyVideoNet/net/"])
@pytest.mark.parametrize("graph", [False, True])
def test_scopes_and_extras(tmp_path, scope, graph):
    """A file with counters, slots and averages; all names with a scope."""
    weights = {scope + name: array for name, array in WEIGHTS.items()}
    if graph:  # TensorFlow 2 wrote the file: the names stand in its graph
        path = tmp_path / "variables"
        keys = {name: f"v/{i}/.ATTRIBUTES/VARIABLE_VALUE" for i, name in enumerate(weights)}
        write_checkpoint(
            path,
            {keys[name]: array for name, array in weights.items()},
            names={key: f"{name}" for name, key in keys.items()},
        )
        named, classes = load(str(path), CONFIG)
    else:
        extras = {"global_step": np.int64(7)}
        if scope:  # a layer of something else that is called the same
            extras["dense/kernel"] = np.zeros((3, 3), "float32")
        for name, array in weights.items():
            extras[f"{name}/Momentum"] = 9 + array
            extras[f"{name}/ExponentialMovingAverage"] = 9 + array
            extras[f"copies/{name}"] = 9 + array
        named, classes = load(write(tmp_path, weights | extras), CONFIG)
    assert classes == 16
    assert_all_there(named)


@pytest.mark.parametrize("seed", range(8))
def test_random_networks(tmp_path, seed):
    """The names are those of an independent implementation."""
    spec, size, _ = random_spec(seed)
    reference = Reference(spec, recipe_weight)
    reference(np.zeros((1, spec["num_frames"], size, size, 3)), 5)
    weights = {name: recipe_weight(name, shape) for name, shape in reference.shapes.items()}
    named, classes = load(write(tmp_path, weights), TinyVideoNetConfig.from_dict(spec))
    assert classes == 5 and len(named) == len(weights)


def test_no_classifier(tmp_path):
    weights = {name: array for name, array in WEIGHTS.items() if not name.startswith("dense/")}
    named, classes = load(write(tmp_path, weights), CONFIG)
    assert classes is None and len(named) == len(WEIGHTS) - 2


def without(name):
    return {k: v for k, v in WEIGHTS.items() if k != name}


KERNEL = "Block-0-0/STConvs/conv2d_1/kernel"
BAD = {
    "missing": (without(KERNEL), r"1 missing\.\n  missing: block0_repeat0_spatial/kernel"),
    "shape": (
        WEIGHTS | {KERNEL: np.zeros((3, 3, 4, 4), "float32")},
        r"of another shape: block0_repeat0_spatial/kernel: expected \(1, 4, 4, 4, 4\), "
        r"got \(1, 3, 3, 4, 4\)",
    ),
    "rank": (WEIGHTS | {KERNEL: np.zeros((4, 4), "float32")}, r"got \(4, 4\)"),
    "repeat": (
        WEIGHTS | {"Block-1-1/Expand/conv2d/kernel": np.zeros((1, 1, 4, 4), "float32")},
        "unexpected: Block-1-1/Expand/conv2d/kernel",
    ),
    "half a classifier": (without("dense/bias"), "missing: classifier/bias"),
    "another network": (
        {"stem/kernel": np.zeros(3, "float32")},
        r"expected variables called Block-0-0/\.\.\.",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_named(tmp_path, case):
    weights, message = BAD[case]
    with pytest.raises(ValueError, match=f"(?s)^weights: .*{message}"):
        load(write(tmp_path, weights), CONFIG)


def test_other_frames_are_another_network(tmp_path):
    spec = {**SPEC, "blocks": [{**SPEC["blocks"][0], "temporal_type": "1d"}, *SPEC["blocks"][1:]]}
    config = TinyVideoNetConfig.from_dict(spec)
    names = published_names(config, 2).items()
    shapes = config.weight_shapes(16)
    assert len(names) > len(published_names(config, 1))
    weights = {theirs: np.zeros(published(shapes[ours], ours)) for ours, theirs in names}
    path = write(tmp_path, {k: v.astype("float32") for k, v in weights.items()})
    assert load(path, config)[1] == 16
    with pytest.raises(ValueError, match=r"(?s)for 1 frames: .*unexpected.*number of frames"):
        load(path, config, frames=1)


def published(shape, ours):
    """One of our shapes in the published layout (this network has std and depth kernels)."""
    if len(shape) == 5 and ours.startswith("block2") and "_spatial/" in ours:
        return (*shape[1:3], shape[4], 1)
    if len(shape) == 5:
        return (shape[0], 1, *shape[3:]) if "_temporal/" in ours else shape[1:]
    return (1, 1, *shape) if len(shape) == 2 and not ours.startswith("classifier") else shape


def test_stored_bundle(shared):
    """The bundle of the reference data, written by TensorFlow itself."""
    path = shared / "reference" / "tvn" / "tvn1_thin" / "variables" / "variables"
    named, classes = load(str(path), CONFIG)
    assert classes == 16
    assert_all_there(named)
