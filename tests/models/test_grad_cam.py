"""Saliency: the definition, the layers it takes, and that it finds what moves."""

import keras
import numpy as np
import pytest
from keras import ops

import keras_video
from keras_video.models import saliency
from keras_video.models.grad_cam import _last_videos, _nodes, _resize
from tests.helpers import randomize_weights
from tests.tiny_families import CASES, auto_tsnet, tiny_family

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="takes other backends long to compile"
)


def small(activation=None, seed=0):
    """A convolution with strides over time and space, mean, classifier."""
    x = frames = keras.Input((6, 12, 16, 3), name="frames")
    x = keras.layers.Conv3D(5, 3, (2, 2, 2), "same", activation="relu", name="first")(x)
    x = keras.layers.Conv3D(4, 3, (1, 2, 2), "same", activation="relu", name="last")(x)
    x = keras.layers.GlobalAveragePooling3D(name="pool")(x)
    x = keras.layers.Dense(3, activation=activation, name="classifier")(x)
    return randomize_weights(keras_video.models.VideoClassifier(frames, x, name="small"), seed)


def clip_of(model, seed=0):
    shape = [n or 64 for n in model.inputs[0].shape[1:]]
    return np.random.default_rng(seed).uniform(0, 1, shape).astype("float32")


def features_of(model, clip, name):
    inner = keras.Model(model.input, model.get_layer(name).output)
    return ops.convert_to_numpy(inner(clip[None]))[0]


@pytest.mark.parametrize("method", ["grad_cam", "layer_cam"])
@pytest.mark.parametrize("activation", [None, "softmax"])
def test_definition(activation, method):
    """After a mean and a dense layer, the gradient of a class is its kernel (CAM, Zhou 2016).

    That holds for the logit only, so that softmax must not change the map.
    """
    model = small(activation)
    clip = clip_of(model)
    features = features_of(model, clip, "last")
    kernel = ops.convert_to_numpy(model.get_layer("classifier").kernel)
    kernel = np.maximum(kernel, 0) if method == "layer_cam" else kernel
    maps = [np.maximum(features @ kernel[:, k], 0) for k in range(3)]
    chosen = [k for k in range(3) if maps[k].max() > 0]
    assert chosen
    for k in chosen:
        expected = _resize(maps[k], (6, 12, 16))
        np.testing.assert_allclose(
            saliency(model, clip, k, "last", method), expected / expected.max(), atol=1e-5
        )
    best = int(np.argmax(ops.convert_to_numpy(model(clip[None]))[0]))
    np.testing.assert_allclose(saliency(model, clip), saliency(model, clip, best), atol=1e-6)


def test_gradient_of_an_inner_layer():
    """The weights of `first` agree with finite differences, on every backend."""
    model = small()
    clip = clip_of(model)
    features = features_of(model, clip, "first")
    x = start = keras.Input(features.shape)
    for name in ("last", "pool", "classifier"):
        x = model.get_layer(name)(x)
    tail = keras.Model(start, x)
    # A bend of ReLU would disturb long steps: one step per channel, over all its places at once.
    step = 1e-3
    changes = np.eye(5, dtype="float32")[:, None, None, None] * step
    up, down = (ops.convert_to_numpy(tail(features[None] + s * changes)) for s in (1, -1))
    checked = 0
    for k in range(3):
        weights = (up - down)[:, k] / (2 * step)  # sums over places: means, up to a factor
        expected = _resize(np.maximum(features @ weights, 0), (6, 12, 16))
        found = saliency(model, clip, k, "first", "grad_cam")
        checked += expected.max() > 0
        np.testing.assert_allclose(found, expected / max(expected.max(), 1e-9), atol=5e-3)
    assert checked


# The means of some places in each frame, the same on all backends.
EXPECTED = {
    "auto_tsnet": [0.1701, 0.1658, 0.1565, 0.1516],
    "x3d": [0.0655, 0.1890, 0.2150, 0.1589],
    "blvnet_tam": [0.1009, 0.0940, 0.0803, 0.0735],
}


@pytest.mark.parametrize("case", EXPECTED)
def test_families(case):
    """A map of the frames and pixels of the clip, which depends on class and clip."""
    model, clips = tiny_family(case)
    found = saliency(model, clips[0])
    assert found.shape == clips[0].shape[:3] and found.dtype == np.float32
    assert found.min() >= 0 and found.max() == 1
    maps = [saliency(model, clips[0], class_index=k) for k in range(2)]
    assert np.abs(maps[0] - maps[1]).max() > 1e-3
    means = maps[1][:, 4::12, 4::24].mean(axis=(1, 2))
    np.testing.assert_allclose(means, EXPECTED[case], atol=2e-4)


@on_tensorflow
def test_default_layers():
    """Those before the pooling at the published sizes, finer ones for small clips."""

    def names(model, shape):
        frames = keras.KerasTensor((1, *shape), "float32")
        return sorted(_last_videos(model, _nodes(model), [frames]))

    families = {case: build for case, (build, _) in CASES.items()}
    two_streams = families["auto_tsnet"](input_shape=(4, 160, 160, 3))
    assert names(two_streams, (4, 160, 160, 3)) == ["dense_head", "sparse_head"]
    x3d = families["x3d"](input_shape=(4, None, None, 3))
    assert names(x3d, (4, 160, 160, 3)) == ["head"]
    (finer,) = names(x3d, (4, 64, 64, 3))
    assert finer != "head"
    movinet = keras_video.applications.MoViNetA0(causal=True, classes=4)
    assert names(movinet, (8, 172, 172, 3)) == ["head"]
    big_little = families["blvnet_tam"](input_shape=(4, 224, 224, 3))
    assert len(names(big_little, (4, 224, 224, 3))) == 1
    tiny = keras_video.applications.TinyVideoNetMovingDigits(classes=4)
    assert len(names(tiny, (4, 32, 32, 3))) == 1


def test_two_clips():
    model = randomize_weights(auto_tsnet(two_inputs=True))
    one = randomize_weights(auto_tsnet())
    clip = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3)).astype("float32")
    pair = clip[::2], clip
    assert saliency(model, pair).shape == (4, 32, 32)
    np.testing.assert_allclose(saliency(model, pair, 1), saliency(one, clip, 1), atol=1e-4)
    with pytest.raises(ValueError, match="clip: expected 2 clips"):
        saliency(model, clip)


def test_frozen_weights_and_a_batch_of_one():
    model = small()
    clip = clip_of(model)
    before = saliency(model, clip)
    model.trainable = False
    np.testing.assert_allclose(saliency(model, clip[None]), before, atol=1e-6)


@on_tensorflow
def test_the_map_lies_where_and_when_the_digit_moves():
    """It goes with the change from frame to frame, more than with that of the reversed clip."""
    from keras_video.datasets import moving_digits

    pytest.importorskip("sklearn")
    model = keras_video.applications.MoViNetA0(weights="moving_digits")
    right, control = [], []
    for label in range(0, 16, 2):
        clip = moving_digits.make_clip(label, index=1, num_frames=8, size=(48, 48), split="test")
        steps = np.abs(np.diff(clip.astype("float32").mean(axis=-1), axis=0))
        change = np.concatenate([steps[:1], (steps[1:] + steps[:-1]) / 2, steps[-1:]])
        # As coarse as the map: 6 x 6 places.
        found, change = (
            x.reshape(8, 6, 8, 6, 8).mean(axis=(2, 4))
            for x in (saliency(model, clip, label), change)
        )
        right.append(np.corrcoef(found.ravel(), change.ravel())[0, 1])
        control.append(np.corrcoef(found[::-1].ravel(), change.ravel())[0, 1])
    assert np.mean(right) > 0.35 and min(right) > 0
    assert np.mean(control) < np.mean(right) - 0.15


def test_errors():
    model = small()
    clip = clip_of(model)
    for arguments, match in (
        ({"class_index": 3}, "class_index: expected an int from 0 to 2"),
        ({"class_index": -1}, "class_index"),
        ({"layer": "pool"}, "layer: expected .*'last', got 'pool'"),
        ({"layer": []}, "layer: expected at least one"),
        ({"method": "magic"}, "method: expected one of 'layer_cam'"),
    ):
        with pytest.raises(ValueError, match=match):
            saliency(model, clip, **arguments)
    with pytest.raises(ValueError, match="clip: expected shape"):
        saliency(model, clip[0])
    with pytest.raises(ValueError, match="channels|shape"):
        saliency(model, clip[..., :2])
    stream = keras_video.applications.MoViNetA0(streaming=True, classes=4)
    with pytest.raises(ValueError, match="model: .*causal=True"):
        saliency(stream, clip)
    with pytest.raises(ValueError, match="model: expected one with a classifier"):
        saliency(keras.Model(model.input, model.get_layer("last").output), clip)
