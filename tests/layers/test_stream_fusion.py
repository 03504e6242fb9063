"""The layers that bring a dense stream's video to the frames of a sparse one."""

import keras
import numpy as np
import pytest

from keras_video.layers import TimeStridedConvFusion, TimeStridedSampling, TimeToChannelFusion
from keras_video.models import fold_batch_norm
from keras_video.specs import FUSIONS
from tests.helpers import assert_near, random_array, run, run_layer_test, to_numpy
from tests.layers.reference import batch_norm

SHAPE = (2, 6, 3, 2, 4)


def test_time_strided_conv():
    kwargs = {"stride": 3, "kernel_size": 5, "ratio": 2}
    layer = run_layer_test(TimeStridedConvFusion, kwargs, SHAPE, (2, 2, 3, 2, 8))
    w = {v.name: to_numpy(v).astype("float64") for v in layer.weights}
    assert "bias" not in w and layer.state_spec(SHAPE) is None
    x = random_array(SHAPE, 1)
    padded = np.pad(x, ((0, 0), (2, 2)) + ((0, 0),) * 3)
    expected = np.stack(
        [
            sum(padded[:, start + t] @ w["kernel"][t, 0, 0] for t in range(5))
            for start in (0, 3)  # centred at frames 0 and 3
        ],
        axis=1,
    )
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    expected = np.maximum(batch_norm(expected, *(w[n] for n in names)), 0)
    assert_near(to_numpy(run(layer, x)), expected)

    inputs = keras.Input(SHAPE[1:])
    model = keras.Model(inputs, layer(inputs))
    folded = fold_batch_norm(model)
    assert sorted(v.name for v in folded.weights) == ["bias", "kernel"]
    assert_near(to_numpy(run(folded, x)), expected)


def test_time_to_channel():
    layer = run_layer_test(TimeToChannelFusion, {"stride": 2}, SHAPE, (2, 3, 3, 2, 8))
    x = random_array(SHAPE, 1)
    expected = np.stack([np.concatenate([x[:, i], x[:, i + 1]], -1) for i in (0, 2, 4)], axis=1)
    assert_near(to_numpy(run(layer, x)), expected, 0.0)


@pytest.mark.parametrize("positions, frames", [("stride", (0, 3)), ("spread", (0, 5))])
def test_time_strided_sampling(positions, frames):
    layer = TimeStridedSampling(3, positions)
    x = random_array(SHAPE, 1)
    assert_near(to_numpy(run(layer, x)), x[:, frames], 0.0)
    again = TimeStridedSampling.from_config(layer.get_config())
    assert_near(to_numpy(run(again, x)), x[:, frames], 0.0)


def test_sampling_layer():
    run_layer_test(TimeStridedSampling, {"stride": 3}, SHAPE, (2, 2, 3, 2, 4))


def test_frames_of_slowfast():
    """4 of 32 frames: 0, 8, 16, 24, where the fusions look; or 0, 10, 20, 31."""
    x = np.arange(32, dtype="float32").reshape(1, 32, 1, 1, 1)
    for positions, expected in (("stride", [0, 8, 16, 24]), ("spread", [0, 10, 20, 31])):
        found = to_numpy(run(TimeStridedSampling(8, positions), x)).ravel()
        assert found.tolist() == expected
    assert to_numpy(run(TimeStridedSampling(8, "spread"), x[:, :8])).ravel().tolist() == [0]


@pytest.mark.parametrize("kind", [k for k, row in FUSIONS.items() if row is not None])
def test_rows_are_the_layers(kind):
    """Names, shapes, weights and multiply-adds of a spec's rows."""
    layers = {
        "time_strided_conv": TimeStridedConvFusion,
        "time_to_channel": TimeToChannelFusion,
        "time_strided_sampling": TimeStridedSampling,
    }
    row, layer = FUSIONS[kind].make("fusion", 4, 3), layers[kind](3)
    outputs = layer(keras.KerasTensor(SHAPE))
    assert row.output_shape(SHAPE[1:]) == tuple(outputs.shape[1:])
    assert row.filters == outputs.shape[-1]
    assert row.weight_shapes() == {f"fusion/{v.name}": tuple(v.shape) for v in layer.weights}
    kernels = [int(np.prod(v.shape)) for v in layer.weights if v.name == "kernel"]
    assert row.macs(SHAPE[1:]) == sum(kernels) * int(np.prod(outputs.shape[1:4]))


@pytest.mark.parametrize("layer", [TimeStridedConvFusion, TimeToChannelFusion, TimeStridedSampling])
def test_bad_clips_and_arguments(layer):
    for frames in (1, 7, 0):
        with pytest.raises(ValueError, match=rf"multiple of the stride, 4, got \(2, {frames}, "):
            layer(4)(keras.KerasTensor((2, frames, 3, 2, 4)))
    with pytest.raises(ValueError, match=r"expected inputs of shape .* got \(2, 8, 8, 3\)"):
        layer(4)(keras.KerasTensor((2, 8, 8, 3)))
    for stride in (0, 2.0, True):
        with pytest.raises(ValueError, match="stride: expected an int of at least 1, got "):
            layer(stride)


def test_bad_details():
    with pytest.raises(ValueError, match="ratio: expected an int of at least 1, got 0"):
        TimeStridedConvFusion(4, ratio=0)
    with pytest.raises(ValueError, match="kernel_size: expected odd extents"):
        TimeStridedConvFusion(4, kernel_size=4)
    with pytest.raises(ValueError, match="positions: expected one of .*, got 'middle'"):
        TimeStridedSampling(4, "middle")
    with pytest.raises(ValueError, match="known number of frames for positions='spread'"):
        TimeStridedSampling(4, "spread")(keras.KerasTensor((2, None, 3, 2, 4)))
