import keras
import numpy as np
import pytest

from keras_video.layers import NonLocal
from tests.helpers import assert_differs, assert_near, random_array, run, run_layer_test, to_numpy
from tests.layers.reference import batch_norm

SHAPE = (2, 3, 4, 3, 6)


def expected_of(layer, x):
    """Compute the attention of one position at a time."""
    w = {v.name: to_numpy(v).astype("float64") for v in layer.weights}
    flat = x.astype("float64").reshape(len(x), -1, x.shape[-1])
    y = np.zeros((*flat.shape[:2], layer.filters))
    for b, clip in enumerate(flat):
        for i, asking in enumerate(clip):
            scores = clip @ w["phi_kernel"] @ (asking @ w["theta_kernel"])
            scores = np.exp(scores - scores.max())
            y[b, i] = scores / scores.sum() @ (clip @ w["g_kernel"])
    y = y @ w["kernel"][0, 0, 0]
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    y = batch_norm(y, *(w[name] for name in names), layer.epsilon)
    return x + y.reshape(x.shape)


def test_layer():
    run_layer_test(NonLocal, {"filters": 3}, SHAPE, SHAPE)
    run_layer_test(NonLocal, {"filters": 3, "batch_norm": False}, SHAPE, SHAPE)
    run_layer_test(NonLocal, {"filters": 8, "momentum": 0.9, "epsilon": 1e-5}, SHAPE, SHAPE)


@pytest.mark.parametrize("filters", [1, 4])
def test_against_loops(filters):
    layer = run_layer_test(NonLocal, {"filters": filters, "epsilon": 1e-5}, SHAPE)
    x = random_array(SHAPE, 1)
    expected = expected_of(layer, x)
    assert_near(to_numpy(run(layer, x)), expected)
    assert_differs(expected, x)


def test_it_starts_as_the_identity():
    layer, x = NonLocal(3), random_array(SHAPE)
    assert_near(to_numpy(run(layer, x)), x, 0.0)


def test_every_position_sees_every_other_one_of_its_clip():
    layer = run_layer_test(NonLocal, {"filters": 3}, SHAPE)
    x = random_array(SHAPE, 1)
    before = to_numpy(run(layer, x))
    x[1, 2, 3, 2] += 3.0
    after = to_numpy(run(layer, x))
    assert_near(after[0], before[0], 1e-6)
    moved = np.abs(after[1] - before[1]).max(-1)
    assert (moved > 0).mean() > 0.9


@pytest.mark.parametrize("value", [0, 1.5, True, None])
def test_bad_arguments(value):
    with pytest.raises(ValueError, match="filters: expected an int of at least 1, got "):
        NonLocal(value)


def test_bad_inputs():
    with pytest.raises(ValueError, match=r"expected inputs of shape .* got \(2, 8, 8, 3\)"):
        NonLocal(3)(keras.KerasTensor((2, 8, 8, 3)))
