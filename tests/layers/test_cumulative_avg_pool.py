import keras
import numpy as np
import pytest

from keras_video.layers import CumulativeAvgPool
from tests.helpers import (
    assert_near,
    random_array,
    run,
    run_layer_test,
    run_streaming_test,
    to_numpy,
)

SHAPE = (2, 6, 3, 4, 5)


def expected_of(x, first=0):
    """Mean of all pixels of the frames `0..t`, one after the other."""
    x = x.astype("float64")
    return np.stack([x[:, : t + 1].mean((1, 2, 3)) for t in range(first, x.shape[1])], axis=1)


def test_layer():
    run_layer_test(CumulativeAvgPool, {}, SHAPE, (2, 6, 5))
    run_layer_test(CumulativeAvgPool, {"keep_frames": False}, SHAPE, (2, 5))


def test_streaming():
    run_streaming_test(CumulativeAvgPool(), SHAPE)


def test_streaming_of_one_output_per_call():
    run_streaming_test(
        CumulativeAvgPool(keep_frames=False), SHAPE, frames_of=None, order_matters=False
    )


def test_against_loops():
    x = random_array(SHAPE)
    means = expected_of(x)
    assert_near(to_numpy(run(CumulativeAvgPool(), x)), means)
    assert_near(to_numpy(run(CumulativeAvgPool(keep_frames=False), x)), means[:, -1])


@pytest.mark.parametrize("keep_frames", [True, False])
def test_state_is_mean_and_count(keep_frames):
    x = random_array(SHAPE)
    layer = CumulativeAvgPool(keep_frames)
    state = layer.init_state(SHAPE)
    for first, last in [(0, 2), (2, 3), (3, 6)]:
        outputs, state = run(layer, x[:, first:last], state)
        expected = expected_of(x[:, :last], first)
        assert_near(to_numpy(outputs), expected if keep_frames else expected[:, -1])
        assert_near(to_numpy(state), (expected[:, -1], np.array([last, last])))


def test_samples_may_be_at_different_frames():
    x = random_array(SHAPE)
    layer = CumulativeAvgPool()
    state = (x[:, 0].mean((1, 2)), np.array([1, 3], "int32"))
    outputs, (_, count) = run(layer, x[:, :2], state)
    mean = x.astype("float64").mean((2, 3))
    expected = (mean[1, 0] * 3 + mean[1, :2].cumsum(0)) / np.array([[4], [5]])
    assert_near(to_numpy(outputs)[1], expected)
    assert to_numpy(count).tolist() == [3, 5]


def test_many_ones_in_bfloat16():
    """A running sum or a count in bfloat16 would stop growing at 256."""
    layer = CumulativeAvgPool(dtype="mixed_bfloat16")
    x = np.ones((1, 100, 1, 1, 2), "float32")
    state = layer.init_state(x.shape)
    for _ in range(6):
        outputs, state = run(layer, x, state)
        assert_near(to_numpy(outputs), np.ones((1, 100, 2)), 1e-6)
    assert to_numpy(state[1]).tolist() == [600]
    assert_near(to_numpy(run(layer, np.ones((1, 600, 1, 1, 2)))), np.ones((1, 600, 2)), 1e-6)


def test_bad_inputs():
    with pytest.raises(ValueError, match=r"expected inputs of shape .* got \(2, 6, 5\)"):
        CumulativeAvgPool()(keras.KerasTensor((2, 6, 5)))
