import json
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_video.layers import GloRe
from keras_video.models import fold_batch_norm
from keras_video.specs import GloRe as GloReRow
from tests import torch_recipe
from tests.helpers import (
    assert_differs,
    assert_near,
    random_array,
    randomize_weights,
    run,
    run_layer_test,
    to_numpy,
)
from tests.layers.reference import batch_norm

GOLDEN = Path(__file__).parents[1] / "golden" / "glore"
MANIFEST = json.loads((GOLDEN / "manifest.json").read_text())
SHAPE = (2, 3, 4, 3, 6)
# Our names in the order of the published ones, and the axes of a published kernel in ours.
NAMES = {
    "state_kernel": "conv_state.weight",
    "state_bias": "conv_state.bias",
    "node_kernel": "conv_proj.weight",
    "node_bias": "conv_proj.bias",
    "mix_nodes_kernel": "gcn.conv1.weight",
    "mix_nodes_bias": "gcn.conv1.bias",
    "mix_states_kernel": "gcn.conv2.weight",
    "kernel": "conv_extend.weight",
    "gamma": "blocker.weight",
    "beta": "blocker.bias",
    "moving_mean": "blocker.running_mean",
    "moving_variance": "blocker.running_var",
}


def expected_of(layer, x):
    """Step by step as the paper writes it, one clip at a time."""
    w = {v.name: to_numpy(v).astype("float64") for v in layer.weights}
    outputs = []
    for clip in x.astype("float64"):
        flat = clip.reshape(-1, clip.shape[-1])
        states = flat @ w["state_kernel"] + w["state_bias"]
        weights = flat @ w["node_kernel"] + w["node_bias"]
        nodes = states.T @ weights  # (states, nodes)
        nodes = nodes / len(flat) if layer.normalize else nodes
        nodes = np.maximum(nodes + nodes @ w["mix_nodes_kernel"] + w["mix_nodes_bias"], 0)
        nodes = w["mix_states_kernel"].T @ nodes
        y = (nodes @ weights.T).T @ w["kernel"][0, 0, 0]
        if layer.batch_norm:
            statistics = (w[n] for n in ("gamma", "beta", "moving_mean", "moving_variance"))
            y = batch_norm(y, *statistics, layer.epsilon)
        outputs.append(clip + y.reshape(clip.shape))
    return np.stack(outputs)


def built(**kwargs):
    layer = GloRe(**kwargs)
    layer.build(SHAPE)
    return randomize_weights(layer)


def golden_layer(case):
    """A layer with the recipe's weights."""
    layer = GloRe(case["num_mid"], case["normalize"])
    batch, channels, *extents = case["input_shape_ncthw"]
    layer.build((batch, *extents, channels))
    values = torch_recipe.weights(case["parameters"])
    assert set(values) == set(NAMES.values())
    for variable in layer.weights:
        value = values[NAMES[variable.name]]
        if variable.name.endswith("kernel"):
            value = value.reshape(value.shape[:2]).T
        variable.assign(value.reshape(variable.shape))
    return layer


@pytest.mark.parametrize("case", MANIFEST["cases"], ids=lambda case: case["tag"])
def test_published_unit(case):
    layer = golden_layer(case)
    x = torch_recipe.clips(case["tag"], case["input_shape_ncthw"])
    assert x.astype("float64").sum() == pytest.approx(case["input_sum"], abs=1e-3)
    with np.load(GOLDEN / "glore_golden.npz") as file:
        expected = file[f"{case['tag']}/output"].transpose(0, 2, 3, 4, 1)
    error = np.abs(to_numpy(run(layer, x)) - expected).max()
    assert error <= 1e-5 * np.abs(expected).max()
    assert_differs(expected, x)
    assert_near(expected_of(layer, x), expected, 1e-6)  # the loops of this file are the unit too
    trainable = sum(int(np.prod(v.shape)) for v in layer.trainable_variables)
    row = GloReRow("unit", case["num_in"], case["num_mid"])
    assert trainable == row.trainable_params == case["n_params"]


def test_our_copy_is_the_shared_one(shared):
    for path in GOLDEN.iterdir():
        assert path.read_bytes() == (shared / "reference" / "glore" / path.name).read_bytes()


def test_layer():
    run_layer_test(GloRe, {"filters": 3, "momentum": 0.9}, SHAPE, SHAPE)
    run_layer_test(GloRe, {"normalize": False, "batch_norm": False}, SHAPE, SHAPE)


@pytest.mark.parametrize("filters", [None, 4])
def test_against_the_formula(filters):
    layer = built(filters=filters)
    x = random_array(SHAPE, 1)
    expected = expected_of(layer, x)
    assert_near(to_numpy(run(layer, x)), expected)
    assert_differs(expected, x)
    row = GloReRow("unit", 6, filters or 6)
    assert {f"unit/{v.name}": tuple(v.shape) for v in layer.weights} == row.weight_shapes()


def test_it_starts_as_the_identity():
    layer, x = GloRe(), random_array(SHAPE)
    assert_near(to_numpy(run(layer, x)), x, 0.0)


def test_multiply_adds_of_the_formula():
    """`L(2CS + CN) + 2LSN + N^2 S + S^2 N`."""
    nodes, states, channels, positions = 5, 10, 7, 24
    expected = positions * (2 * channels * states + channels * nodes + 2 * states * nodes)
    expected += nodes**2 * states + states**2 * nodes
    assert GloReRow("unit", channels, nodes).macs((2, 3, 4, channels)) == expected


def test_training_uses_and_remembers_the_statistics_of_the_batch():
    layer = built(filters=3, momentum=0.5)
    x = random_array(SHAPE, 1)
    norm = layer.norm
    before = to_numpy(norm.moving_mean.value)
    y = to_numpy(run(layer, x, training=True)) - x
    gamma, beta = to_numpy(norm.gamma.value), to_numpy(norm.beta.value)
    assert_near(y.mean((0, 1, 2, 3)), beta, 1e-4)
    assert_near(y.std((0, 1, 2, 3)), np.abs(gamma), 1e-2)
    assert_differs(to_numpy(norm.moving_mean.value), before)


def test_folded():
    layer = built(filters=3)
    inputs = keras.Input(SHAPE[1:])
    model = keras.Model(inputs, layer(inputs))
    folded = fold_batch_norm(model)
    assert not any(v.name == "gamma" for v in folded.weights)
    x = random_array(SHAPE, 1)
    assert_near(to_numpy(run(folded, x)), to_numpy(run(model, x)))


@pytest.mark.parametrize("value", [0, 1.5, True])
def test_bad_arguments(value):
    with pytest.raises(ValueError, match="filters: expected an int of at least 1, got "):
        GloRe(value)


def test_bad_inputs():
    with pytest.raises(ValueError, match=r"expected inputs of shape .* got \(2, 8, 8, 3\)"):
        GloRe(3)(keras.KerasTensor((2, 8, 8, 3)))
