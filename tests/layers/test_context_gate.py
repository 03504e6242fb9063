import keras
import pytest

from keras_video.layers import ContextGate
from tests.helpers import assert_differs, assert_near, random_array, run, run_layer_test, to_numpy
from tests.layers.reference import activate

SHAPE = (2, 3, 5, 4, 6)


def test_layer():
    run_layer_test(ContextGate, {}, SHAPE, SHAPE)
    run_layer_test(ContextGate, {"kernel_initializer": "glorot_uniform"}, SHAPE, SHAPE)


def test_against_numpy():
    layer = run_layer_test(ContextGate, {}, SHAPE)
    x = random_array(SHAPE, 1)
    kernel, bias = (to_numpy(w) for w in layer.weights)
    gates = activate("sigmoid", x.mean((1, 2, 3)) @ kernel + bias)
    assert_near(to_numpy(run(layer, x)), x * gates[:, None, None, None])


def test_clips_do_not_see_each_other():
    layer = run_layer_test(ContextGate, {}, SHAPE)
    x = random_array(SHAPE, 1)
    before = to_numpy(run(layer, x))
    x[1] += 1.0
    after = to_numpy(run(layer, x))
    assert_near(after[0], before[0], 1e-6)
    assert_differs(after[1] / x[1], before[1] / (x[1] - 1.0))


def test_bad_inputs():
    with pytest.raises(ValueError, match=r"expected inputs of shape .* got \(2, 8, 8, 3\)"):
        ContextGate()(keras.KerasTensor((2, 8, 8, 3)))
