import numpy as np
import pytest

from keras_video.layers import CausalConv3D
from tests.helpers import (
    assert_near,
    random_array,
    randomize_weights,
    run,
    run_layer_test,
    run_streaming_test,
    to_numpy,
)
from tests.layers.reference import activate, batch_norm, convolve

SHAPE = (2, 6, 5, 4, 4)
FORMS = {
    "dense": dict(filters=3, kernel_size=(3, 3, 3)),
    "long": dict(filters=3, kernel_size=(5, 1, 1)),
    "even": dict(filters=3, kernel_size=(2, 2, 3)),
    "depthwise": dict(filters=4, kernel_size=(3, 3, 3), groups=4, use_bias=True),
    "strided": dict(filters=3, kernel_size=(3, 3, 5), strides=(1, 2, 2)),
    "normed": dict(filters=3, kernel_size=3, batch_norm=True, activation="hard_swish"),
    "all": dict(filters=4, kernel_size=(4, 3, 2), strides=(1, 2, 2), groups=4, batch_norm=True,
                activation="swish"),
}  # fmt: skip


@pytest.mark.parametrize("form", ["dense", "all"])
def test_layer(form):
    shapes = {"dense": (2, 6, 5, 4, 3), "all": (2, 6, 3, 2, 4)}
    run_layer_test(CausalConv3D, FORMS[form], SHAPE, shapes[form])


@pytest.mark.parametrize("form", FORMS)
def test_against_loops(form):
    layer = CausalConv3D(**FORMS[form])
    layer.build(SHAPE)
    randomize_weights(layer)
    x = random_array(SHAPE)
    w = {v.name: to_numpy(v.value) for v in layer.weights}
    y = convolve(x, w["kernel"], layer.strides[1:], True, layer.groups, w.get("bias"))
    if layer.batch_norm:
        y = batch_norm(y, w["gamma"], w["beta"], w["moving_mean"], w["moving_variance"])
    assert_near(to_numpy(run(layer, x)), activate(layer.activation, y))


@pytest.mark.parametrize("form", FORMS)
def test_streaming(form):
    run_streaming_test(CausalConv3D(**FORMS[form]), SHAPE)


def test_the_future_does_not_matter():
    layer = CausalConv3D(3, 3)
    layer.build(SHAPE)
    randomize_weights(layer)
    x = random_array(SHAPE)
    outputs = to_numpy(run(layer, x))
    x[:, 4:] += 1.0
    changed = to_numpy(run(layer, x)) != outputs
    assert not changed[:, :4].any()
    assert changed[:, 4:].any(axis=(0, 2, 3, 4)).all()


def test_the_state_is_the_last_frames():
    layer = CausalConv3D(3, (3, 1, 1))
    x = random_array(SHAPE)
    layer.build(SHAPE)
    _, state = run(layer, x[:, :1], layer.init_state(SHAPE))
    np.testing.assert_array_equal(to_numpy(state), np.stack([0 * x[:, 0], x[:, 0]], axis=1))
    _, state = run(layer, x[:, 1:], state)
    np.testing.assert_array_equal(to_numpy(state), x[:, -2:])


def test_bad_arguments():
    with pytest.raises(ValueError, match="padding: .*'causal'"):
        CausalConv3D(3, 3, padding="same")
    with pytest.raises(ValueError, match="strides: expected a frame stride of 1 .*, got 2"):
        CausalConv3D(3, 3, strides=2)
