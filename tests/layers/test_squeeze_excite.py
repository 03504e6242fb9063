from itertools import product

import keras
import numpy as np
import pytest

from keras_video.layers import GATES, SqueezeExcite
from tests.helpers import (
    assert_differs,
    assert_near,
    random_array,
    randomize_weights,
    run,
    run_layer_test,
    run_streaming_test,
    to_numpy,
)
from tests.layers.reference import activate

SHAPE = (2, 6, 3, 4, 4)
SQUEEZES = ("3d", "2d", "2plus3d")
MODES = [
    (squeeze, causal, positions)
    for squeeze, causal, positions in product(SQUEEZES, (False, True), (False, True))
    if causal or not positions
]


def positions_of(frames, channels):
    """All sines, then all cosines."""
    rows = []
    for p in range(frames):
        angles = [p / 10000 ** (2 * (i // 2) / channels) for i in range(channels)]
        sines = [np.sin(a) for i, a in enumerate(angles) if i % 2 == 0]
        rows.append(sines + [np.cos(a) for i, a in enumerate(angles) if i % 2 == 1])
    return np.array(rows)


def expected_of(layer, x):
    """One sample and one frame at a time."""
    w = {v.name: to_numpy(v.value).astype("float64") for v in layer.weights}
    x = x.astype("float64")
    y = np.zeros_like(x)
    for b in range(x.shape[0]):
        for t in range(x.shape[1]):
            over_time = x[b, : t + 1] if layer.causal else x[b]
            over_time, of_frame = over_time.mean((0, 1, 2)), x[b, t].mean((0, 1))
            pooled = {
                "3d": over_time,
                "2d": of_frame,
                "2plus3d": np.concatenate([over_time, of_frame]),
            }[layer.squeeze]
            if layer.positional_encoding:
                pooled = pooled + w["position_scale"] * positions_of(t + 1, len(pooled))[t]
            hidden = activate(layer.activation, pooled @ w["reduce_kernel"] + w["reduce_bias"])
            gates = activate(layer.gate, hidden @ w["expand_kernel"] + w["expand_bias"])
            y[b, t] = activate(layer.output_activation, x[b, t] * gates)
    return y


def built(*args, **kwargs):
    layer = SqueezeExcite(3, *args, **kwargs)
    layer.build(SHAPE)
    return randomize_weights(layer)


@pytest.mark.parametrize(
    "kwargs",
    [
        dict(hidden=3),
        dict(hidden=3, squeeze="2plus3d", gate="hard_sigmoid_keras2", activation="hard_swish"),
        dict(hidden=3, squeeze="2plus3d", causal=True, positional_encoding=True),
        dict(hidden=3, activation="relu", output_activation="swish"),
    ],
)
def test_layer(kwargs):
    run_layer_test(SqueezeExcite, kwargs, SHAPE, SHAPE)


@pytest.mark.parametrize("squeeze, causal, positions", MODES)
def test_against_loops(squeeze, causal, positions):
    layer = built(squeeze, causal, positional_encoding=positions)
    x = 2 * random_array(SHAPE)
    assert_near(to_numpy(run(layer, x)), expected_of(layer, x))


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize("activation", ["swish", "hard_swish", "relu", None])
def test_gates(gate, activation):
    layer = built(gate=gate, activation=activation)
    x = 4 * random_array((2, 2, 3, 4, 4))
    assert_near(to_numpy(run(layer, x)), expected_of(layer, x))


def test_output_activation():
    layer = built(activation="relu", output_activation="swish")
    x = 4 * random_array(SHAPE)
    assert_near(to_numpy(run(layer, x)), expected_of(layer, x))


@pytest.mark.parametrize(
    "squeeze, positions", [("3d", False), ("2plus3d", False), ("2plus3d", True), ("2d", True)]
)
def test_streaming(squeeze, positions):
    layer = SqueezeExcite(3, squeeze, causal=True, positional_encoding=positions)
    run_streaming_test(layer, SHAPE)


@pytest.mark.parametrize("squeeze, causal, positions", MODES)
def test_state_spec(squeeze, causal, positions):
    layer = SqueezeExcite(3, squeeze, causal, positional_encoding=positions)
    spec = layer.state_spec((None, None, 8, 8, 4))
    shapes = [(s.shape, s.dtype) for s in keras.tree.flatten(spec) if s is not None]
    mean, count = ((None, 4), "float32"), ((None,), "int32")
    if causal and squeeze != "2d":
        assert shapes == [mean, count]
    else:
        assert shapes == ([count] if positions else [])


def test_causal_gates_do_not_see_the_future():
    x = random_array(SHAPE)
    changed = x.copy()
    changed[:, 3:] += 1.0
    for causal in (True, False):
        layer = built("2plus3d", causal)
        before, after = (to_numpy(run(layer, v))[:, :3] for v in (x, changed))
        if causal:
            assert_near(after, before, 1e-7)
        else:
            assert_differs(after, before)


def test_positions_count():
    """With a scale of zero, as at the start of training, they do not; then they do."""
    layer = built("3d", True, positional_encoding=True)
    x = random_array(SHAPE)
    outputs = to_numpy(run(layer, x))
    layer.position_scale.assign(0.0)
    without = built("3d", True)
    without.set_weights(layer.get_weights()[:4])
    silent = to_numpy(run(layer, x))
    assert_near(silent, to_numpy(run(without, x)), 1e-6)
    assert_differs(silent, outputs)


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(hidden=0), "hidden: expected an int of at least 1, got 0"),
        (dict(hidden=2.0), r"hidden: expected an int of at least 1, got 2\.0"),
        (dict(hidden=True), "hidden: expected an int of at least 1, got True"),
        (dict(squeeze="4d"), r"squeeze: expected one of '3d', '2d', '2plus3d', got '4d'"),
        (dict(gate="swish"), r"gate: expected one of .*'sigmoid', got 'swish'"),
        (dict(activation="elu"), r"activation: expected one of .*, got 'elu'"),
        (dict(positional_encoding=True), "positional_encoding: requires causal=True"),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        SqueezeExcite(**{"hidden": 3, **kwargs})


def test_bad_inputs():
    with pytest.raises(ValueError, match=r"expected inputs of shape .* got \(2, 6, 4\)"):
        SqueezeExcite(3)(keras.KerasTensor((2, 6, 4)))
