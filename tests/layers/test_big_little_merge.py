import json

import keras
import numpy as np
import pytest

from keras_video.layers import BigLittleMerge, VideoConv3D
from keras_video.layers.big_little_merge import upsample_nearest
from tests.helpers import (
    assert_differs,
    assert_near,
    gradients,
    random_array,
    randomize_weights,
    run,
    run_layer_test,
    to_numpy,
)
from tests.layers.reference import batch_norm

LITTLE, BIG = (2, 3, 5, 4, 6), (2, 3, 3, 2, 7)
SIZES = [((3, 2), (5, 4)), ((3, 4), (6, 8)), ((3, 2), (7, 7)), ((5, 4), (3, 4)), ((1, 1), (2, 1))]


def enlarge(x, size):
    """Pixel `i` of the new image is pixel `floor(i * old / new)` of the old one."""
    rows, columns = (
        [int(np.floor(i * old / new)) for i in range(new)]
        for old, new in zip(x.shape[-3:-1], size, strict=True)
    )
    return x[..., rows, :, :][..., columns, :]


def expected_of(layer, little, big=None, batch_statistics=False):
    """Projection, sum, ReLU, in float64."""
    y = little.astype("float64")
    if layer.filters:
        w = {v.name: to_numpy(v).astype("float64") for v in layer.projection.weights}
        y = y @ w["kernel"][0, 0, 0] + w.get("bias", 0.0)
        if "gamma" in w:
            used = w["moving_mean"], w["moving_variance"]
            if batch_statistics:
                axes = tuple(range(y.ndim - 1))
                used = y.mean(axes), y.var(axes)
            y = batch_norm(y, w["gamma"], w["beta"], *used, layer.norm.epsilon)
    y = y if big is None else y + enlarge(big, y.shape[-3:-1])
    return np.maximum(y, 0) if layer.activation == "relu" else y


def built(little=LITTLE, big=BIG, **kwargs):
    layer = BigLittleMerge(**{"filters": 7, **kwargs})
    layer(*(keras.KerasTensor(shape) for shape in (little, big)))
    return randomize_weights(layer)


@pytest.mark.parametrize(
    "kwargs, channels",
    [
        ({"filters": 7}, 7),
        ({"filters": 7, "batch_norm": False, "use_bias": True, "activation": None}, 7),
        ({"momentum": 0.9, "epsilon": 1e-5}, 6),
    ],
)
def test_layer(kwargs, channels):
    run_layer_test(BigLittleMerge, kwargs, LITTLE, (*LITTLE[:-1], channels))


@pytest.mark.parametrize("kwargs", [{}, {"batch_norm": False}, {"activation": None}])
@pytest.mark.parametrize("is_video", [True, False])
def test_against_numpy(kwargs, is_video):
    """In video networks, and in 2D networks with the frames folded into the batch."""
    shapes = LITTLE, BIG
    if not is_video:
        shapes = tuple((shape[0] * shape[1], *shape[2:]) for shape in shapes)
    layer = built(*shapes, **kwargs)
    little, big = (random_array(shape, i) for i, shape in enumerate(shapes))
    outputs = to_numpy(run(layer, little, big))
    assert_near(outputs, expected_of(layer, little, big))
    assert_differs(outputs, expected_of(layer, little))


@pytest.mark.parametrize("old, new", SIZES)
def test_any_size(old, new):
    little, big = random_array((2, 3, *new, 4), 1), random_array((2, 3, *old, 4), 2)
    layer = BigLittleMerge()
    assert_near(to_numpy(run(layer, little, big)), expected_of(layer, little, big))
    assert_near(to_numpy(upsample_nearest(big[0], new)), enlarge(big[0], new), 0)


def test_half_pixel_rule_would_differ():
    """The control of the odd sizes: what resize operations usually do."""
    x = random_array((1, 2, 3, 1))
    rows = [int((i + 0.5) * 2 / 3) for i in range(3)]
    columns = [int((i + 0.5) * 3 / 5) for i in range(5)]
    assert_differs(x[:, rows][:, :, columns], enlarge(x, (3, 5)))


def test_unknown_sizes():
    """In a TensorFlow graph that is traced once for all sizes."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("other backends have known shapes when they compute")
    import tensorflow as tf

    specs = [tf.TensorSpec((None, None, None, None, 4)) for _ in range(2)]
    merge = tf.function(BigLittleMerge(), input_signature=specs)
    for old, new in SIZES:
        little, big = random_array((2, 3, *new, 4), 1), random_array((2, 3, *old, 4), 2)
        assert_near(to_numpy(merge(little, big)), expected_of(BigLittleMerge(), little, big))


@pytest.mark.parametrize("old, new", SIZES[:3])
def test_gradients(old, new):
    """Linear without ReLU: the gradient against the difference that a step makes."""
    little, big = (2, 1, *new, 3), (2, 1, *old, 4)
    layer = built(little, big, filters=4, activation=None)
    arrays = [random_array(shape, i) for i, shape in enumerate((little, big))]
    steps = [random_array(shape, i + 2) for i, shape in enumerate((little, big))]
    r = random_array((2, 1, *new, 4), 5)
    found, _ = gradients(layer, *arrays, weight=r)
    values = [
        (r * expected_of(layer, *(a + s * d for a, d in zip(arrays, steps, strict=True)))).sum()
        for s in (1, -1)
    ]
    slope = sum((g * d).sum() for g, d in zip(found, steps, strict=True))
    assert_near(slope, (values[0] - values[1]) / 2, 1e-4)


def test_training_uses_the_statistics_of_the_batch():
    layer = built(momentum=0.9)
    little, big = random_array(LITTLE), random_array(BIG, 1)
    expected = expected_of(layer, little, big, batch_statistics=True)
    before = to_numpy(layer.norm.moving_mean)
    assert_near(to_numpy(run(layer, little, big, training=True)), expected)
    assert_differs(to_numpy(layer.norm.moving_mean), before, 1e-2)


def test_fusion_is_a_layer_of_its_own(tmp_path):
    fusion = VideoConv3D(5, (1, 3, 3), (1, 2, 2), batch_norm=True, activation="relu")
    layer = built(fusion=fusion)
    little, big = random_array(LITTLE), random_array(BIG, 1)
    merged = expected_of(layer, little, big).astype("float32")
    expected = to_numpy(run(fusion, merged))
    assert_near(to_numpy(run(layer, little, big)), expected)

    serialized = json.loads(json.dumps(keras.saving.serialize_keras_object(layer)))
    twin = keras.saving.deserialize_keras_object(serialized)
    assert type(twin.fusion) is VideoConv3D
    assert json.dumps(twin.get_config()) == json.dumps(layer.get_config())
    inputs = [keras.Input(shape[1:]) for shape in (LITTLE, BIG)]
    model = keras.Model(inputs, layer(*inputs))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_near(to_numpy(run(again, [little, big])), expected)


def test_bad_arguments():
    with pytest.raises(ValueError, match="filters: expected an int of at least 1, got 0"):
        BigLittleMerge(0)
    with pytest.raises(ValueError, match="activation: expected one of .*, got 'elu'"):
        BigLittleMerge(activation="elu")
    with pytest.raises(ValueError, match="fusion: expected a Keras layer or None, got 'conv'"):
        BigLittleMerge(fusion="conv")


@pytest.mark.parametrize(
    "little, big, message",
    [
        ((2, 8, 3), None, r"expected inputs of shape .* got \(2, 8, 3\)"),
        (LITTLE, (2, 3, 3, 2, 6), r"expected big of shape .* 7\), got \(2, 3, 3, 2, 6\)"),
        (LITTLE, (2, 4, 3, 2, 7), r"expected big of shape \(2, 3, 'height', .*, got \(2, 4, 3"),
        (LITTLE, (6, 3, 2, 7), r"expected big of shape .* got \(6, 3, 2, 7\)"),
    ],
)
def test_bad_inputs(little, big, message):
    shapes = [little] if big is None else [little, big]
    with pytest.raises(ValueError, match=message):
        BigLittleMerge(7)(*map(keras.KerasTensor, shapes))
