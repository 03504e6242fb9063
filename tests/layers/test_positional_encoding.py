import keras
import numpy as np
import pytest

from keras_video.layers import PositionalEncoding
from keras_video.layers.squeeze_excite import sinusoids
from tests.helpers import (
    assert_near,
    random_array,
    randomize_weights,
    run,
    run_layer_test,
    run_streaming_test,
    to_numpy,
)


def expected_of(frames, channels):
    """The angle of channel `i` is `p / 10000 ** (2 * floor(i / 2) / channels)`."""
    encoding = np.zeros((frames, channels))
    for p in range(frames):
        angles = [p / 10000 ** (2 * (i // 2) / channels) for i in range(channels)]
        sines = [np.sin(a) for a in angles[0::2]]
        encoding[p] = sines + [np.cos(a) for a in angles[1::2]]
    return encoding


def test_layer():
    run_layer_test(PositionalEncoding, {}, (2, 6, 4), (2, 6, 4))


@pytest.mark.parametrize("channels", [4, 5])
def test_streaming(channels):
    run_streaming_test(PositionalEncoding(), (2, 6, channels))


@pytest.mark.parametrize("channels", [1, 4, 7, 80])
def test_against_loops(channels):
    layer = PositionalEncoding()
    x = random_array((2, 9, channels))
    layer.build(x.shape)
    np.testing.assert_array_equal(to_numpy(run(layer, x)), x)  # the scale starts at zero
    randomize_weights(layer)
    scale = float(to_numpy(layer.scale.value))
    assert_near(to_numpy(run(layer, x)), x + scale * expected_of(9, channels))


def test_layout_is_sines_then_cosines():
    encoding = to_numpy(sinusoids(keras.ops.zeros((1, 2, 6))))[0]
    np.testing.assert_allclose(encoding[0], [0, 0, 0, 1, 1, 1])
    rates = 10000.0 ** (-np.array([0, 2, 4]) / 6)
    np.testing.assert_allclose(encoding[1, :3], np.sin(rates), atol=1e-6)
    np.testing.assert_allclose(encoding[1, 3:], np.cos(rates), atol=1e-6)


def test_samples_may_be_at_different_frames():
    seen = keras.ops.convert_to_tensor(np.array([0, 1000], "int32"))
    encoding = to_numpy(sinusoids(keras.ops.zeros((2, 3, 6)), seen))
    expected = expected_of(1003, 6)
    assert_near(encoding, np.stack([expected[:3], expected[1000:]]), 1e-4)


def test_bad_inputs():
    for shape in [(2, 6, 4, 4, 3), (2, 6, None)]:
        with pytest.raises(ValueError, match=r"expected inputs of shape \(batch, frames, channels"):
            PositionalEncoding()(keras.KerasTensor(shape))
