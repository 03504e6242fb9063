import numpy as np

from keras_video.layers import ReZero
from tests.helpers import assert_near, gradients, random_array, run, run_layer_test, to_numpy


def test_layer():
    run_layer_test(ReZero, {}, (2, 3, 4, 5, 6), (2, 3, 4, 5, 6))
    run_layer_test(ReZero, {"scale_initializer": "ones"}, (2, 3), (2, 3))


def test_one_scalar_that_starts_at_zero():
    layer = ReZero()
    x = random_array((2, 3, 4, 5, 6))
    layer.build(x.shape)
    assert not to_numpy(run(layer, x)).any()
    assert [tuple(v.shape) for v in layer.weights] == [()]
    layer.scale.assign(0.25)
    np.testing.assert_array_equal(to_numpy(run(layer, x)), 0.25 * x)


def test_gradients():
    layer = ReZero()
    x, r = random_array((2, 3, 4)), random_array((2, 3, 4), 1)
    layer.build(x.shape)
    layer.scale.assign(0.5)
    (gx,), (gs,) = gradients(layer, x, weight=r)
    assert_near(gx, 0.5 * r)
    assert_near(gs, (r.astype("float64") * x).sum())


def test_initializer_is_used():
    layer = ReZero("ones")
    layer.build((1, 2))
    assert float(to_numpy(layer.scale.value)) == 1.0
