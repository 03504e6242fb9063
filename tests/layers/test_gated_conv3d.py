import keras
import numpy as np
import pytest

from keras_video.layers import ContextGate, GatedConv3D, SqueezeExcite, VideoConv3D
from tests.helpers import (
    assert_differs,
    assert_near,
    gradients,
    random_array,
    randomize_weights,
    run,
    run_layer_test,
    to_numpy,
)
from tests.layers.reference import activate, batch_norm

SHAPE = (2, 3, 5, 4, 6)
FORMS = {
    "plain": {},
    "squeeze": {"hidden": 5},
    "gate": {"context_gate": True},
    "both": {"hidden": 5, "context_gate": True, "activation": "relu"},
    "inputs": {"hidden": 5, "context_gate": True, "gated": "inputs", "activation": "hard_swish"},
    "no_norm": {"hidden": 5, "batch_norm": False},
    "no_bias": {"hidden": 5, "batch_norm": False, "use_bias": False},
}


def built(form, residual=None, filters=7, **more):
    layer = GatedConv3D(filters, **FORMS[form], **more)
    layer(keras.KerasTensor(SHAPE))
    return randomize_weights(layer)


def expected_of(layer, x, residual=0.0, batch_statistics=False):
    """The layer step by step, in float64."""
    w = {v.name: to_numpy(v).astype("float64") for v in layer.weights}

    def gated(video):
        if layer.hidden:
            y = video.mean((1, 2, 3)) @ w["reduce_kernel"] + w["reduce_bias"]
            y = np.maximum(y, 0) @ w["expand_kernel"] + w["expand_bias"]
            video = video * activate("sigmoid", y)[:, None, None, None]
        if layer.context_gate is not None:
            y = video.mean((1, 2, 3)) @ w["gate_kernel"] + w["gate_bias"]
            video = video * activate("sigmoid", y)[:, None, None, None]
        return video

    x = gated(x) if layer.gated == "inputs" else x
    y = x @ w["kernel"][0, 0, 0] + w.get("bias", 0.0)
    if "gamma" in w:
        used = w["moving_mean"], w["moving_variance"]
        if batch_statistics:
            used = y.mean((0, 1, 2, 3)), y.var((0, 1, 2, 3))
        y = batch_norm(y, w["gamma"], w["beta"], *used, layer.conv.epsilon)
    y = gated(y) if layer.gated == "outputs" else y
    return activate(layer.activation, y + residual)


@pytest.mark.parametrize("form", ["plain", "both", "inputs", "no_bias"])
def test_layer(form):
    run_layer_test(GatedConv3D, {"filters": 7, **FORMS[form]}, SHAPE, (*SHAPE[:-1], 7))


@pytest.mark.parametrize("clips", [1, 2])
@pytest.mark.parametrize("form", FORMS)
def test_against_numpy(form, clips):
    layer = built(form, epsilon=1e-5)
    x, residual = random_array(SHAPE, 1)[:clips], random_array((*SHAPE[:-1], 7), 2)[:clips]
    if clips > 1:
        assert_near(to_numpy(run(layer, x)), expected_of(layer, x))
    assert_near(to_numpy(run(layer, x, residual)), expected_of(layer, x, residual))
    assert_differs(expected_of(layer, x, residual), expected_of(layer, x))


@pytest.mark.parametrize("form", ["plain", "both", "inputs"])
def test_training_uses_the_statistics_of_the_batch(form):
    layer = built(form, momentum=0.9)
    x = random_array(SHAPE, 1)
    before = to_numpy(layer.norm.moving_mean)
    expected = expected_of(layer, x, batch_statistics=True)
    assert_near(to_numpy(run(layer, x, training=True)), expected)
    assert_differs(to_numpy(layer.norm.moving_mean), before, 1e-2)
    assert_differs(expected, expected_of(layer, x))


@pytest.mark.parametrize("form", ["both", "inputs"])
def test_it_is_the_layers_one_after_the_other(form):
    """The same weights in VideoConv3D, SqueezeExcite and ContextGate: outputs and gradients."""
    layer = built(form)
    conv = VideoConv3D(7, 1, batch_norm=True)
    gates = [SqueezeExcite(5, activation="relu"), ContextGate()]
    order = [conv, *gates] if layer.gated == "outputs" else [*gates, conv]
    inputs = y = keras.Input(SHAPE[1:])
    for step in order:
        y = step(y)
    chain = keras.Model(inputs, keras.layers.Activation(layer.activation)(y))
    for ours, theirs in zip((layer.conv, layer.squeeze_excite, layer.context_gate),
                            (conv, *gates), strict=True):  # fmt: skip
        theirs.set_weights(ours.get_weights())
    x, r = random_array(SHAPE, 1), random_array((*SHAPE[:-1], 7), 2)
    assert_near(to_numpy(run(layer, x)), to_numpy(run(chain, x)))
    for clips in (1, 2):
        (ours,), (theirs,) = (
            gradients(part, x[:clips], weight=r[:clips])[0] for part in (layer, chain)
        )
        assert_near(ours, theirs, 1e-4)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(filters=0), "filters: expected an int of at least 1, got 0"),
        (dict(hidden=-1), "hidden: expected an int of at least 0, got -1"),
        (dict(hidden=2.0), r"hidden: expected an int of at least 0, got 2\.0"),
        (dict(gated="both"), r"gated: expected one of 'outputs', 'inputs', got 'both'"),
        (dict(activation="elu"), "activation: expected one of .*, got 'elu'"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        GatedConv3D(**{"filters": 4, **kwargs})


def test_bad_inputs():
    with pytest.raises(ValueError, match=r"expected inputs of shape .* got \(2, 8, 8, 3\)"):
        GatedConv3D(3)(keras.KerasTensor((2, 8, 8, 3)))
