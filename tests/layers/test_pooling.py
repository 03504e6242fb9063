"""`SpatialMaxPool`, `TemporalPool`, `FrameMeans` and `FrameVote`."""

import keras
import numpy as np
import pytest

from keras_video.layers import FrameMeans, FrameVote, SpatialMaxPool, TemporalPool
from tests.helpers import (
    assert_differs,
    assert_near,
    gradients,
    random_array,
    run,
    run_layer_test,
    to_numpy,
)
from tests.layers.reference import same_padding

SIZES = [(7, 8), (8, 7), (1, 2), (3, 3)]
WINDOWS = [(3, 2), (2, 2), (3, 1), (2, 3), (4, 5), (5, 2)]
FORMS = {"max": np.max, "avg": np.mean}


def windows(size, window, stride):
    """The real cells that each window holds."""
    before, _, count = same_padding(size, window, stride)
    starts = [i * stride - before for i in range(count)]
    return [slice(max(start, 0), start + window) for start in starts]


def max_pool(x, window, stride):
    rows, columns = (windows(n, window, stride) for n in x.shape[2:4])
    return np.stack([np.stack([x[:, :, r, c].max((2, 3)) for c in columns], 2) for r in rows], 2)


def test_spatial_max_pool_layer():
    shapes = (2, 3, 7, 6, 4), (2, 3, 4, 3, 4)
    run_layer_test(SpatialMaxPool, {"pool_size": 3, "strides": 2}, *shapes)
    run_layer_test(SpatialMaxPool, {"pool_size": 2}, shapes[0], shapes[0])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window, stride", WINDOWS)
def test_spatial_max_pool_against_loops(size, window, stride):
    x = random_array((2, 2, *size, 3)) - 5.0  # zeros in the padding would win
    assert_near(to_numpy(run(SpatialMaxPool(window, stride), x)), max_pool(x, window, stride), 0)


@pytest.mark.parametrize("size", [(7, 8), (1, 2)])
def test_spatial_max_pool_with_symmetric_padding(size):
    x = random_array((2, 2, *size, 3)) - 5.0
    ends = [(0, 0), (0, 0), (1, 1), (1, 1), (0, 0)]
    padded = np.pad(x, ends, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))[:, :, ::2, ::2]
    outputs = to_numpy(run(SpatialMaxPool(3, 2, padding="symmetric"), x))
    assert_near(outputs, windows.max((-2, -1)), 0)
    if size[0] > 1:
        assert_differs(outputs, max_pool(x, 3, 2))


def test_spatial_max_pool_gradients():
    """The gradient goes to the largest pixel of every window."""
    x, dx = random_array((2, 2, 7, 6, 3), 1), random_array((2, 2, 7, 6, 3), 2)
    r = random_array((2, 2, 4, 3, 3), 3)
    layer = SpatialMaxPool(3, 2)
    layer(keras.KerasTensor(x.shape))
    (gx,), _ = gradients(layer, x, weight=r)
    x, dx = x.astype("float64"), 1e-6 * dx.astype("float64")
    losses = [(r * max_pool(x + sign * dx, 3, 2)).sum() for sign in (1, -1)]
    assert_near(1e6 * (gx * dx).sum(), (losses[0] - losses[1]) / 2e-6, 1e-4)


@pytest.mark.parametrize("mode", FORMS)
def test_temporal_pool_layer(mode):
    shapes = (2, 5, 4, 3, 4), (2, 3, 4, 3, 4)
    with_unknown = {"pool_size": 2, "strides": 2, "mode": mode}
    run_layer_test(TemporalPool, with_unknown, *shapes)


@pytest.mark.parametrize("mode", FORMS)
@pytest.mark.parametrize("frames", [1, 2, 5, 8])
@pytest.mark.parametrize("window, stride", WINDOWS)
def test_temporal_pool_against_loops(frames, window, stride, mode):
    x = random_array((2, frames, 2, 3, 4)) - 5.0
    expected = np.stack([FORMS[mode](x[:, w], 1) for w in windows(frames, window, stride)], 1)
    assert_near(to_numpy(run(TemporalPool(window, stride, mode), x)), expected, 1e-6)


@pytest.mark.parametrize("argument", ["pool_size", "strides"])
@pytest.mark.parametrize("value", [0, 1.5, (3, 3), True, None])
@pytest.mark.parametrize("layer", [SpatialMaxPool, TemporalPool])
def test_bad_sizes(layer, argument, value):
    with pytest.raises(ValueError, match=f"{argument}: expected an int of at least 1, got "):
        layer(**{"pool_size": 3, argument: value})


def test_bad_mode():
    with pytest.raises(ValueError, match=r"mode: expected one of 'max', 'avg', got 'min'"):
        TemporalPool(2, mode="min")


def test_frame_means():
    x = random_array((2, 3, 5, 4, 6))
    layer = run_layer_test(FrameMeans, {}, x.shape, (2, 3, 6))
    assert_near(to_numpy(run(layer, x)), x.mean((2, 3)))


def test_frame_vote():
    x = 3 * random_array((2, 5, 4))
    layer = run_layer_test(FrameVote, {}, x.shape, (2, 4))
    weights = np.exp(x / np.sqrt(5))
    expected = (x * weights).sum(1) / weights.sum(1)
    assert_near(to_numpy(run(layer, x)), expected)
    assert_differs(expected, x.mean(1))
    assert_near(to_numpy(run(layer, x[:, :1])), x[:, 0])


@pytest.mark.parametrize("layer", [SpatialMaxPool(2), TemporalPool(2), FrameMeans(), FrameVote()])
def test_bad_inputs(layer):
    with pytest.raises(ValueError, match=r"expected inputs of shape .* got \(2, 8, 8, 3\)"):
        layer(keras.KerasTensor((2, 8, 8, 3)))
