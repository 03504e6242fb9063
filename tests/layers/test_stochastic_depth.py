import json

import keras
import numpy as np
import pytest

from keras_video.layers import StochasticDepth
from tests.helpers import random_array, run, run_layer_test, to_numpy


def test_layer():
    run_layer_test(StochasticDepth, {"rate": 0.25, "seed": 1}, (8, 3, 4, 5, 6), (8, 3, 4, 5, 6))
    run_layer_test(StochasticDepth, {"rate": 0.0}, (2, 3), (2, 3))


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_nothing_happens_at_inference(rate):
    x = random_array((4, 3, 2))
    np.testing.assert_array_equal(to_numpy(run(StochasticDepth(rate), x)), x)


def test_no_rate_no_draws():
    x = random_array((4, 3, 2))
    layer = StochasticDepth(0.0)
    np.testing.assert_array_equal(to_numpy(run(layer, x, training=True)), x)
    assert not layer.variables


@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_one_draw_per_sample(rate):
    """Whole samples are dropped, the others divided by the keep probability."""
    x = np.ones((2000, 2, 3, 2), "float32")
    layer = StochasticDepth(rate, seed=3)
    draws = to_numpy(run(layer, x, training=True))
    first = draws[:, :1, :1, :1]
    np.testing.assert_array_equal(draws, np.broadcast_to(first, draws.shape))
    np.testing.assert_allclose(np.unique(first), [0, 1 / (1 - rate)], rtol=1e-6)
    # Four standard deviations of the mean of 2000 draws.
    deviation = np.sqrt(rate / (1 - rate) / 2000)
    assert abs(draws.mean() - 1) < 4 * deviation


def test_draws_differ_between_calls_and_follow_the_seed():
    x = np.ones((64, 1), "float32")
    layer, twin, other = StochasticDepth(0.5, 1), StochasticDepth(0.5, 1), StochasticDepth(0.5, 2)
    first, second = (to_numpy(run(layer, x, training=True)) for _ in range(2))
    assert (first != second).any()
    np.testing.assert_array_equal(to_numpy(run(twin, x, training=True)), first)
    assert (to_numpy(run(other, x, training=True)) != first).any()


def test_config_is_plain():
    config = StochasticDepth(0.5, seed=7).get_config()
    assert (config["rate"], config["seed"]) == (0.5, 7)
    json.dumps(config)


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5, "0.5", None, True])
def test_bad_arguments(rate):
    with pytest.raises(
        ValueError, match=r"rate: expected a finite number of at least 0 and below 1, got "
    ):
        StochasticDepth(rate)


def test_symbolic_batch_may_be_open():
    shape = (None, None, 8, 8, 3)
    assert StochasticDepth(0.5)(keras.KerasTensor(shape), training=True).shape == shape
