import dataclasses

import keras
import numpy as np
import pytest

from keras_video.applications.tiny_video_net import (
    TinyVideoBlock,
    TinyVideoNet,
    TinyVideoNetConfig,
)
from keras_video.layers import CausalConv3D, DepthwiseConv3D, VideoConv3D
from keras_video.models import VideoClassifier, copy_weights, fold_batch_norm
from tests.helpers import (
    STREAM,
    assert_differs,
    assert_near,
    random_video,
    randomize_weights,
    run,
    tiny_model,
    to_numpy,
)

FRAMES = random_video()


@pytest.fixture(scope="module")
def base():
    return tiny_model()


@pytest.fixture(scope="module")
def stream():
    return tiny_model(streaming=True, **STREAM)


@pytest.fixture(scope="module")
def folded_base(base):
    return fold_batch_norm(base)


@pytest.mark.parametrize("fixture", ["base", "stream"])
def test_same_outputs_without_batch_norm(request, fixture, folded_base):
    model = request.getfixturevalue(fixture)
    folded = folded_base if fixture == "base" else fold_batch_norm(model)
    assert type(folded) is VideoClassifier
    assert folded.info == model.info and folded.streaming == model.streaming
    frames = FRAMES[:, :3]
    outputs, expected = (to_numpy(run(m, frames)) for m in (folded, model))
    keras.tree.assert_same_structure(outputs, expected)
    assert_near(outputs, expected)
    names = {v.name for v in folded.weights}
    assert not names & {"gamma", "beta", "moving_mean", "moving_variance"}
    convs = [layer for layer in model.layers if isinstance(layer, VideoConv3D)]
    saved = 3 * sum(layer.filters for layer in convs)  # four vectors become one bias
    assert folded.count_params() == model.count_params() - saved


@pytest.mark.parametrize("inverted", [False, True])
def test_gated_and_non_local_layers(inverted):
    """Their gates and projections are copied, the batch norm inside is folded."""
    block = TinyVideoBlock(
        filters=4, expand=2, repeats=2, skip=True, squeeze=0.5, context_gate=True, non_local=3,
        inverted=inverted, temporal="1d", temporal_kernel=2,
    )  # fmt: skip
    plain = dataclasses.replace(block, non_local=0)
    config = TinyVideoNetConfig("tiny", 2, 16, 1, (block, plain), dropout=0.0)
    model = randomize_weights(TinyVideoNet(config, classes=3, include_preprocessing=False))
    folded = fold_batch_norm(model)
    frames = random_video((2, 2, 12, 12, 3))
    assert_near(to_numpy(run(folded, frames)), to_numpy(run(model, frames)))
    names = {v.name for v in folded.weights}
    assert {"reduce_kernel", "gate_kernel", "theta_kernel"} <= names
    assert not names & {"gamma", "beta", "moving_mean", "moving_variance"}


def test_it_is_a_snapshot(base, folded_base):
    assert not folded_base.trainable_weights
    frames, weights = FRAMES[:, :3], base.get_weights()
    before = to_numpy(run(folded_base, frames))
    base.set_weights([w + 0.1 for w in weights])
    assert_near(to_numpy(run(folded_base, frames)), before, 0.0)
    assert_differs(to_numpy(run(base, frames)), before)
    assert base.trainable_weights
    base.set_weights(weights)


def test_any_functional_model():
    """A bias in front of the norm, a shared layer, plain Keras layers."""
    inputs = keras.Input((None, 8, 8, 4))
    shared = VideoConv3D(4, 1, use_bias=True, batch_norm=True, activation="swish")
    x = shared(shared(inputs))
    x = DepthwiseConv3D(3, batch_norm=True)(x)
    x = CausalConv3D(4, 3, batch_norm=True)(x)
    x = keras.layers.Dense(3)(keras.layers.BatchNormalization()(x))
    model = randomize_weights(keras.Model(inputs, x))
    folded = fold_batch_norm(model)
    frames = random_video((2, 3, 8, 8, 4))
    assert_near(to_numpy(run(folded, frames)), to_numpy(run(model, frames)))
    assert type(folded) is type(model)
    assert sum(v.name == "gamma" for v in folded.weights) == 1  # that of Keras' own layer


def test_folding_twice_changes_nothing(folded_base):
    twice = fold_batch_norm(folded_base)
    frames = FRAMES[:, :3]
    assert_near(to_numpy(run(twice, frames)), to_numpy(run(folded_base, frames)), 1e-6)


def test_copy_weights_between_clip_and_stream(stream):
    clip = tiny_model(seed=1, **STREAM)
    frames = FRAMES[:, :3]
    outputs = to_numpy(run(stream, frames)[0])
    assert_differs(to_numpy(run(clip, frames)), outputs)
    copy_weights(stream, clip)
    assert_near(to_numpy(run(clip, frames)), outputs)


def test_copy_weights_is_all_or_nothing(base):
    source = base
    for options, message in [
        (STREAM, "block0_layer1_feature_temporal/kernel"),
        ({"classes": 6}, r"classifier/kernel: expected \(16, 6\), got \(16, 5\)"),
    ]:
        target = tiny_model(seed=1, **options)
        before = target.get_weights()
        with pytest.raises(ValueError, match=message):
            copy_weights(source, target)
        for a, b in zip(before, target.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
