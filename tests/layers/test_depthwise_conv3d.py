import keras
import numpy as np
import pytest

from keras_video.layers import DepthwiseConv3D
from keras_video.layers.convolution import choose
from tests.helpers import (
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

BACKEND = keras.backend.backend()
KERNELS = [(1, 5, 5), (3, 3, 3), (5, 3, 3), (3, 1, 1)]
SHAPE = (2, 4, 7, 8, 3)  # an odd height and an even width
IMPLEMENTATIONS = ["auto", "taps", "shifted", "grouped"]
if BACKEND == "tensorflow":
    IMPLEMENTATIONS.remove("grouped")  # exists only under XLA, tested below


def built(*args, shape=SHAPE, **kwargs):
    layer = DepthwiseConv3D(*args, **kwargs)
    layer.build(shape)
    return randomize_weights(layer)


def expected_of(layer, x):
    w = {v.name: to_numpy(v.value) for v in layer.weights}
    causal = layer.padding == "causal"
    symmetric = layer.padding == "symmetric"
    y = convolve(x, w["kernel"], layer.strides[1:], causal, x.shape[-1], w.get("bias"), symmetric)
    if layer.batch_norm:
        y = batch_norm(y, w["gamma"], w["beta"], w["moving_mean"], w["moving_variance"])
    return activate(layer.activation, y)


def test_layer():
    run_layer_test(
        DepthwiseConv3D, {"kernel_size": (1, 3, 5), "strides": (1, 2, 2)}, SHAPE, (2, 4, 4, 4, 3)
    )
    kwargs = {"kernel_size": (2, 3, 3), "padding": "causal", "activation": "relu"}
    run_layer_test(DepthwiseConv3D, {**kwargs, "batch_norm": True, "use_bias": False}, SHAPE, SHAPE)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("strides", [1, (1, 2, 2)])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_against_loops(kernel, strides, implementation):
    layer = built(kernel, strides, implementation=implementation)
    x = random_array(SHAPE)
    assert_near(to_numpy(run(layer, x)), expected_of(layer, x))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("strides", [1, (1, 2, 2)])
@pytest.mark.parametrize("kernel", [(3, 3, 3), (3, 1, 1)], ids=str)
def test_one_video_and_one_frame(kernel, strides, implementation):
    """Some forms have a faster computation for these sizes."""
    layer = built(kernel, strides, "causal", implementation=implementation)
    x = random_array((1, 3, *SHAPE[2:]))
    expected = expected_of(layer, x)
    assert_near(to_numpy(run(layer, x)), expected)
    _, state = run(layer, x[:, :2], layer.init_state(x.shape))
    outputs, state = run(layer, x[:, 2:], state)
    assert_near(to_numpy(outputs), expected[:, 2:])
    np.testing.assert_array_equal(to_numpy(state), x[:, 1:])


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("padding", ["same", "causal", "symmetric"])
def test_with_batch_norm(padding, implementation):
    options = dict(batch_norm=True, activation="swish", implementation=implementation)
    layer = built((3, 3, 5), (1, 2, 2), padding, **options)
    x = random_array(SHAPE)  # the two rules differ along its even width
    assert_near(to_numpy(run(layer, x)), expected_of(layer, x))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("kernel, strides", [((3, 3, 3), (1, 2, 2)), ((3, 1, 1), 1)], ids=str)
def test_gradients(kernel, strides, implementation):
    """The layer is linear: the gradient times any direction is the output in that direction."""
    layer = built(kernel, strides, implementation=implementation, use_bias=False)
    x, dx = random_array(SHAPE, 1), random_array(SHAPE, 2)
    k = to_numpy(layer.kernel.value)
    dk = random_array(k.shape, 3)
    r = random_array(layer.compute_output_shape(SHAPE), 4)
    (gx,), (gk,) = gradients(layer, x, weight=r)
    options = dict(strides=layer.strides[1:], groups=3)
    assert_near((gx * dx).sum(), (r * convolve(dx, k, **options)).sum(), 1e-4)
    assert_near((gk * dk).sum(), (r * convolve(x, dk, **options)).sum(), 1e-4)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@pytest.mark.parametrize("kernel", [(3, 3, 3), (5, 1, 1)], ids=str)
def test_streaming(kernel, implementation):
    layer = DepthwiseConv3D(kernel, padding="causal", implementation=implementation)
    # Two lengths only: JAX compiles each.
    run_streaming_test(layer, (2, 6, 4, 3, 3), chunkings=[(1,) * 6, (3, 3)])


@pytest.mark.skipif(BACKEND != "tensorflow", reason="XLA inside TensorFlow")
@pytest.mark.parametrize("implementation", ["auto", "taps", "shifted", "grouped"])
@pytest.mark.parametrize("kernel", KERNELS, ids=str)
def test_tensorflow_xla(kernel, implementation):
    import tensorflow as tf

    layer = built(kernel, (1, 2, 2), implementation=implementation)
    x = random_array(SHAPE)
    outputs = tf.function(layer, jit_compile=True)(tf.constant(x))
    assert_near(to_numpy(outputs), expected_of(layer, x))


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the choice depends on the compiler here")
def test_tensorflow_knows_how_it_is_compiled():
    import tensorflow as tf

    seen = []

    def look():
        seen.append(choose("auto", (3, 3, 3, 1, 8)))
        return tf.zeros(())

    look()
    tf.function(look)()
    tf.function(look, jit_compile=True)()
    assert seen[:2] == ["taps", "taps"]
    if not tf.config.list_physical_devices("GPU"):
        assert seen[2] == "shifted"


def test_keras_jit_compile():
    """In a compiled Keras model, forwards and backwards."""
    if BACKEND == "torch":
        pytest.skip("torch.compile needs a C++ compiler")
    layer = built((3, 3, 3), (1, 2, 2))
    inputs = keras.Input(SHAPE[1:])
    model = keras.Model(inputs, layer(inputs))
    model.compile(keras.optimizers.SGD(0.01), "mse", jit_compile=True)
    x = random_array(SHAPE)
    expected = expected_of(layer, x)
    assert_near(model.predict(x, verbose=0), expected)
    target = random_array(expected.shape, 1)
    loss = float(model.train_on_batch(x, target))
    assert_near(loss, np.mean((expected - target) ** 2), 1e-5)
    assert np.mean((expected_of(layer, x) - target) ** 2) < loss


def test_layout_is_that_of_a_grouped_convolution():
    layer = built((3, 5, 7))
    assert tuple(layer.kernel.shape) == (3, 5, 7, 1, 3) and layer.depthwise
    assert "filters" not in layer.get_config() and "groups" not in layer.get_config()


def test_one_channel():
    layer = built((3, 3, 3), shape=(1, 3, 4, 4, 1))
    x = random_array((1, 3, 4, 4, 1))
    assert_near(to_numpy(run(layer, x)), expected_of(layer, x))


@pytest.mark.parametrize(
    "args, kwargs, message",
    [
        ((0,), {}, "kernel_size: expected an int or 3 ints .*, got 0"),
        ((3, 2), {}, "strides: expected a frame stride of 1 .*, got 2"),
        ((3, 1, "valid"), {}, "padding: expected one of .*, got 'valid'"),
        ((3,), {"implementation": "x"}, "implementation: expected one of .*, got 'x'"),
    ],
)
def test_bad_arguments(args, kwargs, message):
    with pytest.raises(ValueError, match=message):
        DepthwiseConv3D(*args, **kwargs)


def test_bad_inputs():
    with pytest.raises(ValueError, match=r"expected inputs of shape .* got \(2, 8, 8, 3\)"):
        DepthwiseConv3D(3)(keras.KerasTensor((2, 8, 8, 3)))
