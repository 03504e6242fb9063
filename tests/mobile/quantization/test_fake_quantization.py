"""Rounding, ranges and their choice, against NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_video.layers import SpatialAvgPool
from keras_video.mobile.primitives import FrameAvgPool
from keras_video.mobile.quantization.calibration import best_range, hard_swish
from keras_video.mobile.quantization.fake_quantization import (
    FakeQuantize,
    QuantizedConv2D,
    QuantizedDepthwiseConv2D,
    fake_quantize_array,
    round_kernel,
    usual_scale,
)
from keras_video.mobile.quantization.insertion import pool_by_kernel
from tests.helpers import assert_differs, assert_near, gradients, random_array, run, to_numpy

X = 3 * random_array((4, 5, 6, 3))


def quantized(x, smallest, largest):
    """What int8 makes of numbers: scale and zero point as LiteRT has them."""
    scale = (largest - smallest) / 255
    zero = np.round(-128 - smallest / scale)
    stored = np.clip(np.round(x / scale) + zero, -128, 127)
    return (stored - zero) * scale


@pytest.mark.parametrize("limits", [(-2.0, 5.0), (0.0, 6.0), (-4.0, 0.0)])
def test_activations_take_the_256_values_of_their_range(limits):
    layer = FakeQuantize(limits)
    outputs = to_numpy(run(layer, X))
    assert_near(outputs, quantized(X, *limits))
    assert_near(fake_quantize_array(X, *limits), quantized(X, *limits))
    assert len(np.unique(outputs)) <= 256
    twin = FakeQuantize.from_config(layer.get_config())
    assert twin.get_limits() == limits


def test_ranges_hold_zero():
    assert FakeQuantize((2.0, 5.0)).get_limits() == (0.0, 5.0)
    for limits in [(0.0, 0.0), (-1.0, float("inf")), (float("nan"), 1.0)]:
        with pytest.raises(ValueError, match="limits: expected"):
            FakeQuantize(limits)
    with pytest.raises(ValueError, match="momentum: expected"):
        FakeQuantize(momentum=1.0)


def test_learned_ranges_follow_the_batches():
    layer = FakeQuantize(momentum=0.75)
    assert_near(to_numpy(run(layer, X)), X)  # nothing is known yet
    run(layer, X, training=True)
    assert_near(layer.get_limits(), (X.min(), X.max()))
    run(layer, 2 * X, training=True)
    assert_near(layer.get_limits(), (1.25 * X.min(), 1.25 * X.max()))
    known = layer.get_limits()
    assert_near(to_numpy(run(layer, X)), quantized(X, *known))
    layer.trainable = False
    layer(ops.convert_to_tensor(9 * X), training=True)
    assert layer.get_limits() == known


def test_ranges_are_learned_in_training():
    """As `fit` computes: in a graph on TensorFlow, compiled on JAX."""
    inputs = keras.Input(X.shape[1:])
    layer = FakeQuantize(momentum=0.75)
    model = keras.Model(inputs, layer(keras.layers.Dense(3, kernel_initializer="identity")(inputs)))
    model.compile(keras.optimizers.SGD(0.0), "mse", jit_compile=keras.backend.backend() == "jax")
    model.fit(X, X, batch_size=4, epochs=2, verbose=0)
    assert_near(layer.get_limits(), (X.min(), X.max()))
    model.fit(2 * X, X, batch_size=4, verbose=0)
    assert_near(layer.get_limits(), (1.25 * X.min(), 1.25 * X.max()))


def test_gradients_pass_the_rounding():
    (found,), _ = gradients(FakeQuantize((-2.0, 5.0)), X, weight=np.ones_like(X))
    step = 7 / 255
    clipped = (X < -2 - step) | (X > 5 + step)
    inside = (X > -2 + step) & (X < 5 - step)
    assert (found[inside] == 1).all() and (found[clipped] == 0).all()
    assert clipped.any()


@pytest.mark.parametrize("axis", [2, 3])
def test_kernels_are_rounded_by_channel(axis):
    kernel = random_array((3, 3, 4, 5)) * np.arange(1, 6)
    others = tuple(i for i in range(4) if i != axis)
    largest = np.abs(kernel).max(others, keepdims=True)
    expected = np.round(kernel * 127 / largest) * largest / 127
    rounded = to_numpy(round_kernel(kernel, axis))
    assert_near(rounded, expected)
    assert_near(to_numpy(round_kernel(rounded, axis)), expected)  # once is enough
    assert_differs(rounded, kernel)


@pytest.mark.parametrize(
    "cls, plain",
    [
        (QuantizedConv2D, keras.layers.Conv2D),
        (QuantizedDepthwiseConv2D, keras.layers.DepthwiseConv2D),
    ],
)
def test_convolutions_with_rounded_kernels(cls, plain):
    arguments = (7, 3) if plain is keras.layers.Conv2D else (3,)
    options = {"strides": 2, "padding": "same", "activation": "relu"}
    exact = plain(*arguments, **options)
    run(exact, X)
    kernel = random_array(exact.weights[0].shape) / 255
    axis = 3 if plain is keras.layers.Conv2D else 2
    bias = random_array(exact.weights[1].shape, 1)
    exact.set_weights([to_numpy(round_kernel(kernel, axis)), bias])
    scale = usual_scale(kernel, plain is keras.layers.DepthwiseConv2D)
    assert 0.2 < scale * 255 * np.sqrt(2 / np.prod(kernel.shape[:2])) < 5
    layer = cls(*arguments, **options, kernel_scale=scale)
    run(layer, X)
    layer.set_plain_weights([kernel, bias])
    assert np.array_equal(layer.get_plain_weights()[0], kernel)
    assert_near(to_numpy(run(layer, X)), to_numpy(run(exact, X)))
    twin = cls.from_config(layer.get_config())
    assert twin.kernel_scale == scale
    weight = np.ones(run(layer, X).shape, "float32")
    _, (of_kernel, of_bias) = gradients(layer, X, weight=weight)
    _, (expected, _) = gradients(exact, X, weight=weight)
    assert_near(of_kernel, scale * expected)  # as if nothing had been rounded
    assert np.abs(of_bias).max() > 0


def test_ranges_are_those_of_the_smallest_error():
    values = np.concatenate([random_array(100_000), [-60.0, 80.0]])
    counts, edges = np.histogram(values, 2048, (-60, 80))
    found = best_range(counts, edges[0], edges[-1])

    def error(limits):
        return np.square(fake_quantize_array(values, *limits) - values).mean()

    assert error(found) < 0.9 * error((-60, 80))
    wider, narrower = ([1.3 * x for x in found], [0.7 * x for x in found])
    assert error(found) < min(error(wider), error(narrower))


def test_what_a_hard_swish_drops_takes_no_levels():
    values = 4 * random_array(100_000)
    counts, edges = np.histogram(values, 2048, (values.min(), values.max()))
    plain = best_range(counts, edges[0], edges[-1])
    found = best_range(counts, edges[0], edges[-1], hard_swish)
    assert plain[0] < -8 and -3.5 < found[0] <= -2.9

    def error(limits):
        return np.square(hard_swish(fake_quantize_array(values, *limits)) - hard_swish(values))

    assert error(found).mean() < 0.7 * error(plain).mean()


@pytest.mark.parametrize("shape, strides", [((9, 8), 2), ((6, 7), 1)])
def test_average_pooling_by_a_kernel(shape, strides):
    x = random_array((2, *shape, 3))
    inputs = keras.Input(batch_shape=x.shape)
    layer = FrameAvgPool(3, strides, name="pool")
    names = []
    outputs = pool_by_kernel(layer, inputs, lambda y, name: names.append(name) or y)
    expected = to_numpy(run(SpatialAvgPool(3, strides), x[:, None]))[:, 0]
    assert_near(to_numpy(run(keras.Model(inputs, outputs), x)), expected)
    assert names == ["pool_sums", "pool"]
