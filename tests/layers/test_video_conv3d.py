import keras
import numpy as np
import pytest

from keras_video.layers import VideoConv3D
from tests.helpers import (
    assert_differs,
    assert_near,
    gradients,
    random_array,
    randomize_weights,
    run,
    run_layer_test,
    run_streaming_test,
    to_numpy,
)
from tests.layers.reference import activate, batch_norm, convolve

SHAPE = (2, 4, 7, 6, 4)
FORMS = {
    "dense": dict(filters=5, kernel_size=3),
    "strided": dict(filters=5, kernel_size=(1, 3, 5), strides=(1, 2, 2)),
    "unequal_strides": dict(filters=5, kernel_size=(3, 5, 2), strides=(1, 3, 2)),
    "pointwise": dict(filters=5, kernel_size=1),
    "pointwise_strided": dict(filters=5, kernel_size=1, strides=(1, 2, 2)),
    "temporal": dict(filters=5, kernel_size=(5, 1, 1)),
    "temporal_even": dict(filters=5, kernel_size=(2, 1, 1)),
    "temporal_strided": dict(filters=5, kernel_size=(4, 1, 1), strides=(3, 1, 1)),
    "temporal_sparse": dict(filters=5, kernel_size=(2, 1, 1), strides=(3, 1, 1)),
    "frame_strided": dict(filters=5, kernel_size=(2, 3, 3), strides=(2, 1, 2)),
    "sparse": dict(filters=5, kernel_size=(1, 2, 2), strides=(1, 3, 4)),
    "grouped": dict(filters=6, kernel_size=3, groups=2),
    "depthwise": dict(filters=4, kernel_size=3, groups=4, strides=(1, 2, 2)),
    "causal": dict(filters=5, kernel_size=(4, 3, 3), padding="causal"),
    "symmetric": dict(filters=5, kernel_size=(1, 3, 5), strides=(1, 2, 2), padding="symmetric"),
    "symmetric_temporal": dict(
        filters=5, kernel_size=(5, 1, 1), strides=(2, 1, 1), padding="symmetric"
    ),
    "symmetric_strided": dict(filters=5, kernel_size=3, strides=(2, 3, 2), padding="symmetric"),
    "symmetric_grouped": dict(
        filters=6, kernel_size=3, strides=(1, 2, 2), padding="symmetric", groups=2
    ),
    "symmetric_depthwise": dict(
        filters=4, kernel_size=3, groups=4, strides=(1, 2, 2), padding="symmetric"
    ),
    "symmetric_pointwise": dict(filters=5, kernel_size=1, strides=(1, 2, 2), padding="symmetric"),
}


def built(shape=SHAPE, **kwargs):
    layer = VideoConv3D(**kwargs)
    layer.build(shape)
    return randomize_weights(layer)


def weights_of(layer):
    """Weights by name, in float64."""
    return {v.name: keras.ops.convert_to_numpy(v).astype("float64") for v in layer.weights}


def expected_of(layer, x, batch_statistics=False):
    """The whole layer in float64; also mean and variance of what goes into the batch norm."""
    w = weights_of(layer)
    y = convolve(
        x,
        w["kernel"],
        layer.strides,
        layer.padding == "causal",
        layer.groups,
        w.get("bias"),
        layer.padding == "symmetric",
    )
    mean, variance = y.mean((0, 1, 2, 3)), y.var((0, 1, 2, 3))
    if layer.batch_norm:
        used = mean, variance
        if not batch_statistics:
            used = w["moving_mean"], w["moving_variance"]
        y = batch_norm(y, w["gamma"], w["beta"], *used)
    return activate(layer.activation, y), mean, variance


@pytest.mark.parametrize(
    "kwargs, shape",
    [
        (FORMS["dense"], (2, 4, 7, 6, 5)),
        ({**FORMS["unequal_strides"], "batch_norm": True}, (2, 4, 3, 3, 5)),
        ({**FORMS["temporal_strided"], "momentum": 0.9, "epsilon": 1e-5}, (2, 2, 7, 6, 5)),
        ({**FORMS["frame_strided"], "batch_norm": True}, (2, 2, 7, 3, 5)),
        ({**FORMS["causal"], "batch_norm": True, "activation": "swish"}, (2, 4, 7, 6, 5)),
        ({**FORMS["grouped"], "kernel_initializer": "glorot_uniform"}, (2, 4, 7, 6, 6)),
        (FORMS["symmetric_strided"], (2, 2, 3, 3, 5)),
        ({**FORMS["strided"], "padding": "symmetric", "batch_norm": True}, (2, 4, 4, 3, 5)),
    ],
)
def test_layer(kwargs, shape):
    run_layer_test(VideoConv3D, kwargs, SHAPE, shape)


@pytest.mark.parametrize("form", FORMS)
def test_against_loops(form):
    layer = built(**FORMS[form])
    x = random_array(SHAPE)
    assert_near(to_numpy(run(layer, x)), expected_of(layer, x)[0])


@pytest.mark.parametrize(
    "form", ["dense", "grouped", "temporal", "temporal_strided", "frame_strided", "causal"]
)
def test_one_video(form):
    """One video has a faster computation, because frames are its leading axis."""
    layer = built(**FORMS[form])
    x = random_array((1, *SHAPE[1:]))
    assert_near(to_numpy(run(layer, x)), expected_of(layer, x)[0])


@pytest.mark.parametrize("padding", ["same", "symmetric"])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (3, 4), (8, 9)])
def test_sizes_smaller_than_the_kernel(size, padding):
    layer = built(filters=2, kernel_size=5, strides=(1, 2, 2), padding=padding)
    x = random_array((1, 2, *size, 4))
    assert_near(to_numpy(run(layer, x)), expected_of(layer, x)[0])


@pytest.mark.parametrize("form", ["dense", "pointwise", "depthwise", "causal"])
@pytest.mark.parametrize("use_bias", [None, True])
def test_folded_batch_norm_is_batch_norm(form, use_bias):
    layer = built(**FORMS[form], batch_norm=True, use_bias=use_bias, activation="hard_swish")
    assert ("bias" in weights_of(layer)) == bool(use_bias)
    x = random_array(SHAPE)
    assert_near(to_numpy(run(layer, x)), expected_of(layer, x)[0])


def test_no_bias_where_batch_norm_has_one():
    assert "bias" in weights_of(built(filters=2, kernel_size=1))
    assert "bias" not in weights_of(built(filters=2, kernel_size=1, batch_norm=True))
    assert list(weights_of(built(filters=2, kernel_size=1, use_bias=False))) == ["kernel"]


@pytest.mark.parametrize("form, use_bias", [("dense", True), ("pointwise", None), ("causal", None)])
def test_training_uses_and_remembers_the_statistics_of_the_batch(form, use_bias):
    layer = built(**FORMS[form], batch_norm=True, use_bias=use_bias, activation="swish")
    x = random_array(SHAPE)
    before = weights_of(layer)
    expected, mean, variance = expected_of(layer, x, batch_statistics=True)
    assert_near(to_numpy(run(layer, x, training=True)), expected)

    after = weights_of(layer)
    assert_near(after["moving_mean"], 0.99 * before["moving_mean"] + 0.01 * mean, 1e-6)
    # The biased variance (movinet.md section 9).
    assert_near(after["moving_variance"], 0.99 * before["moving_variance"] + 0.01 * variance, 1e-6)
    for name in ("kernel", "gamma", "beta"):
        np.testing.assert_array_equal(after[name], before[name])


def test_momentum_and_epsilon():
    layer = built(**FORMS["dense"], batch_norm=True, momentum=0.9, epsilon=0.5)
    x, w = random_array(SHAPE), weights_of(layer)
    y = convolve(x, w["kernel"])
    expected = batch_norm(y, w["gamma"], w["beta"], w["moving_mean"], w["moving_variance"], 0.5)
    assert_near(to_numpy(run(layer, x)), expected)
    run(layer, x, training=True)
    after = weights_of(layer)["moving_mean"]
    assert_near(after, 0.9 * w["moving_mean"] + 0.1 * y.mean((0, 1, 2, 3)), 1e-6)


def test_statistics_stay_where_they_are():
    """At inference, and in training where the norm or the layer is frozen."""
    layer = built(**FORMS["dense"], batch_norm=True)
    x = random_array(SHAPE)
    before = weights_of(layer)
    inference = to_numpy(run(layer, x))
    layer.norm.trainable = False
    assert_near(to_numpy(run(layer, x, training=True)), inference, 1e-6)
    assert_near(weights_of(layer), before, 0.0)
    layer.norm.trainable = True
    assert_differs(to_numpy(layer(keras.ops.convert_to_tensor(x), training=True)), inference)
    assert_differs(weights_of(layer), before)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    "form", ["dense", "grouped", "pointwise", "temporal_strided", "frame_strided", "causal"]
)
def test_gradients(form, training):
    """A linear layer: the gradient times any direction is the output in that direction."""
    layer = built(**FORMS[form], use_bias=True)
    x, dx = random_array(SHAPE, 1), random_array(SHAPE, 2)
    w = weights_of(layer)
    dk, db = random_array(w["kernel"].shape, 3), random_array(w["bias"].shape, 4)
    r = random_array(layer.compute_output_shape(SHAPE), 5)
    (gx,), (gk, gb) = gradients(layer, x, weight=r, training=training)

    options = (layer.strides, layer.padding == "causal", layer.groups)
    assert_near((gx * dx).sum(), (r * convolve(dx, w["kernel"], *options)).sum(), 1e-4)
    assert_near((gk * dk).sum(), (r * convolve(x, dk, *options)).sum(), 1e-4)
    assert_near((gb * db).sum(), (r * db).sum(), 1e-4)


@pytest.mark.parametrize("training", [False, True])
def test_gradients_through_batch_norm(training):
    """Against differences: also through folded weights, and through the batch's statistics."""
    layer = built(**FORMS["dense"], batch_norm=True, activation="swish")
    x = random_array(SHAPE, 1)
    r = random_array(layer.compute_output_shape(SHAPE), 5)
    _, found = gradients(layer, x, weight=r, training=training)
    values = {v.path: v for v in layer.trainable_variables}
    assert len(found) == 3
    for variable, gradient in zip(values.values(), found, strict=True):
        old = keras.ops.convert_to_numpy(variable).astype("float64")
        direction = random_array(old.shape, 6)
        losses = []
        for sign in (1, -1):
            variable.assign((old + sign * 1e-3 * direction).astype("float32"))
            losses.append((r * expected_of(layer, x, training)[0]).sum())
        variable.assign(old.astype("float32"))
        slope = (losses[0] - losses[1]) / 2e-3
        assert_near((gradient * direction).sum(), slope, 3e-3)


@pytest.mark.parametrize("size", [(7, 6), (6, 7), (1, 2)])
@pytest.mark.parametrize("kernel, stride", [((1, 3, 3), 2), ((3, 7, 5), 2), ((1, 3, 1), 1)])
def test_symmetric_padding(size, kernel, stride):
    """Zeros put in front and behind by hand, then the windows that fit in."""
    x = random_array((2, 3, *size, 4), 1)
    layer = built(x.shape, filters=5, kernel_size=kernel, strides=(1, stride, stride),
                  padding="symmetric", activation="relu")  # fmt: skip
    w = weights_of(layer)
    padded = np.pad(x, [(0, 0), *((k // 2, k // 2) for k in kernel), (0, 0)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel, (1, 2, 3))
    windows = windows[:, :, ::stride, ::stride]
    y = np.einsum("bthwcijk,ijkcf->bthwf", windows, w["kernel"], dtype="float64") + w["bias"]
    assert_near(to_numpy(run(layer, x)), np.maximum(y, 0))
    twin = built(x.shape, **{**layer.get_config(), "padding": "same", "name": "same"})
    if stride > 1 and not all(n % 2 for n in size):
        assert_differs(to_numpy(run(twin, x)), to_numpy(run(layer, x)))


def test_initial_gamma():
    layer = VideoConv3D(3, 1, batch_norm=True, gamma_initializer="zeros", activation="relu")
    assert not to_numpy(run(layer, random_array(SHAPE))).any()


def test_streaming():
    layer = VideoConv3D(3, (3, 3, 3), (1, 2, 2), "causal", batch_norm=True, activation="swish")
    run_streaming_test(layer, (2, 6, 5, 4, 4))


def test_only_causal_kernels_with_a_past_have_a_state():
    for kwargs in (dict(kernel_size=3), dict(kernel_size=(1, 3, 3), padding="causal")):
        assert VideoConv3D(2, **kwargs).state_spec((None, None, 8, 8, 3)) is None
    spec = VideoConv3D(2, (4, 3, 3), padding="causal").state_spec((None, 5, 8, 7, 3))
    assert spec.shape == (None, 3, 8, 7, 3) and spec.dtype == "float32"
    layer = built(filters=2, kernel_size=3)
    assert layer.init_state(SHAPE) is None


def test_folded_weights_of_a_layer_without_norm_are_its_own():
    layer = built(filters=2, kernel_size=1)
    assert layer.folded_weights() == (layer.kernel, layer.bias)


BAD = [
    (dict(filters=0), "filters: expected an int of at least 1, got 0"),
    (dict(filters=None), "filters: expected an int of at least 1, got None"),
    (dict(filters="8"), "filters: expected an int of at least 1, got '8'"),
    (dict(filters=True), "filters: expected an int of at least 1, got True"),
    (dict(groups=0), "groups: expected an int of at least 1, got 0"),
    (dict(groups=1.0), r"groups: expected an int of at least 1, got 1\.0"),
    (dict(kernel_size=0), "kernel_size: expected an int or 3 ints .*, got 0"),
    (dict(kernel_size=(3, 3)), r"kernel_size: expected an int or 3 ints .*, got \(3, 3\)"),
    (dict(kernel_size=(3, 3, 3.0)), r"kernel_size: expected .*, got \(3, 3, 3\.0\)"),
    (dict(kernel_size=3.5), r"kernel_size: expected an int or 3 ints .*, got 3\.5"),
    (dict(kernel_size=True), "kernel_size: expected an int or 3 ints .*, got True"),
    (dict(strides=(1, 0, 1)), r"strides: expected an int or 3 ints .*, got \(1, 0, 1\)"),
    (dict(strides=None), "strides: expected an int or 3 ints .*, got None"),
    (dict(strides=2, padding="causal"), "strides: expected a frame stride of 1 .*, got 2"),
    (dict(strides=2, groups=4), "strides: expected a frame stride of 1 .*, got 2"),
    (dict(momentum=1.5), r"momentum: expected a finite .* below 1, got 1\.5"),
    (dict(epsilon=-1e-3), r"epsilon: expected a finite number above 0, got -0\.001"),
    (dict(padding="valid"), r"padding: expected one of 'same', 'causal', .*, got 'valid'"),
    (
        dict(kernel_size=(3, 2, 3), padding="symmetric"),
        r"kernel_size: expected odd extents .*, got \(3, 2, 3\)",
    ),
    (dict(activation="elu"), r"activation: expected one of .*'swish', got 'elu'"),
    (dict(implementation="fast"), r"implementation: expected one of 'auto', .*, got 'fast'"),
]


@pytest.mark.parametrize("kwargs, message", BAD, ids=lambda case: str(case)[:30])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        VideoConv3D(**{"filters": 4, "kernel_size": 3, **kwargs})


@pytest.mark.parametrize(
    "kwargs, shape, message",
    [
        (dict(groups=3, filters=6), SHAPE, "groups: expected a divisor of the 4 input .*, got 3"),
        (dict(groups=2, filters=3), SHAPE, "groups: expected a divisor of .* 3 filters, got 2"),
        (dict(), (2, 7, 6, 4), r"expected inputs of shape \(batch, frames, .* got \(2, 7, 6, 4\)"),
        (dict(), (2, 4, 7, 6, None), "expected inputs of shape .* known channels, got"),
    ],
)
def test_bad_inputs(kwargs, shape, message):
    with pytest.raises(ValueError, match=message):
        VideoConv3D(**{"filters": 4, "kernel_size": 3, **kwargs})(keras.KerasTensor(shape))
