import keras
import numpy as np
import pytest

from keras_video.layers import SpatialAvgPool
from tests.helpers import (
    assert_differs,
    assert_near,
    gradients,
    random_array,
    run,
    run_layer_test,
    to_numpy,
)
from tests.layers.reference import average_pool


def test_layer():
    shapes = (2, 3, 7, 6, 4), (2, 3, 4, 3, 4)
    run_layer_test(SpatialAvgPool, {"pool_size": 3, "strides": 2}, *shapes)
    run_layer_test(SpatialAvgPool, {"pool_size": 2}, shapes[0], shapes[0])
    symmetric = {"pool_size": 3, "strides": 2, "padding": "symmetric"}
    run_layer_test(SpatialAvgPool, symmetric, *shapes)


@pytest.mark.parametrize("size", [(7, 8), (8, 7), (1, 2), (3, 3)])
@pytest.mark.parametrize("window, stride", [(3, 2), (2, 2), (3, 1), (2, 3), (5, 2)])
def test_against_loops(size, window, stride):
    x = random_array((2, 2, *size, 3))
    outputs = to_numpy(run(SpatialAvgPool(window, stride), x))
    assert_near(outputs, average_pool(x, window, stride))


@pytest.mark.parametrize("size", [6, 7])
def test_padding_does_not_count(size):
    """The mean of ones is one, also at the border, where zeros would make it smaller."""
    x = np.ones((1, 1, size, size, 1), "float32")
    outputs = to_numpy(run(SpatialAvgPool(3, 2), x))
    np.testing.assert_allclose(outputs, 1.0, atol=1e-6)
    assert_differs(average_pool(np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)]), 3, 2), 1.0)


@pytest.mark.parametrize("size", [(7, 8), (1, 2), (3, 3)])
def test_symmetric_padding_counts(size):
    x = random_array((2, 2, *size, 3))
    padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
    outputs = to_numpy(run(SpatialAvgPool(3, 2, padding="symmetric"), x))
    assert_near(outputs, windows.mean((-2, -1)))
    assert_differs(outputs, average_pool(x, 3, 2))


def test_gradients():
    x, dx = random_array((2, 2, 7, 6, 3), 1), random_array((2, 2, 7, 6, 3), 2)
    r = random_array((2, 2, 4, 3, 3), 3)
    layer = SpatialAvgPool(3, 2)
    layer(keras.KerasTensor(x.shape))
    (gx,), _ = gradients(layer, x, weight=r)
    assert_near((gx * dx).sum(), (r * average_pool(dx, 3, 2)).sum(), 1e-4)


@pytest.mark.parametrize("argument", ["pool_size", "strides"])
@pytest.mark.parametrize("value", [0, 1.5, (3, 3), True, None])
def test_bad_arguments(argument, value):
    with pytest.raises(ValueError, match=f"{argument}: expected an int of at least 1, got "):
        SpatialAvgPool(**{"pool_size": 3, argument: value})


def test_bad_padding():
    with pytest.raises(
        ValueError, match=r"padding: expected one of 'same', 'symmetric', got 'valid'"
    ):
        SpatialAvgPool(3, padding="valid")
    with pytest.raises(
        ValueError, match="pool_size: expected an odd int for padding='symmetric', got 2"
    ):
        SpatialAvgPool(2, padding="symmetric")


def test_bad_inputs():
    with pytest.raises(ValueError, match=r"expected inputs of shape .* got \(2, 8, 8, 3\)"):
        SpatialAvgPool(3)(keras.KerasTensor((2, 8, 8, 3)))
