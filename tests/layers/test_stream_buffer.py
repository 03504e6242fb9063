import keras
import numpy as np
import pytest

from keras_video.layers import StreamBuffer
from tests.helpers import random_array, run, run_layer_test, run_streaming_test, to_numpy


def test_layer():
    run_layer_test(StreamBuffer, {"buffer_size": 2}, (2, 3, 4, 5, 3), (2, 5, 4, 5, 3))
    run_layer_test(StreamBuffer, {"buffer_size": 0}, (2, 3, 4), (2, 3, 4))


@pytest.mark.parametrize("shape", [(2, 6, 3, 4, 2), (2, 6, 5)])
@pytest.mark.parametrize("size", [1, 2, 4])
def test_streaming(size, shape):
    run_streaming_test(StreamBuffer(size), shape, frames_of=lambda y: y[:, :-size])


def test_the_past_stands_in_front():
    x = random_array((1, 5, 2))
    layer = StreamBuffer(2)
    padded = np.concatenate([np.zeros((1, 2, 2)), x], axis=1)
    np.testing.assert_array_equal(to_numpy(run(layer, x)), padded)

    state = layer.init_state(x.shape)
    for first, last in [(0, 1), (1, 2), (2, 5)]:
        outputs, state = run(layer, x[:, first:last], state)
        np.testing.assert_array_equal(to_numpy(outputs), padded[:, first : last + 2])
        np.testing.assert_array_equal(to_numpy(state), padded[:, last : last + 2])


def test_no_buffer_is_no_change():
    x = random_array((1, 3, 2))
    layer = StreamBuffer(0)
    outputs, state = run(layer, x, layer.init_state(x.shape))
    np.testing.assert_array_equal(to_numpy(outputs), x)
    assert tuple(state.shape) == (1, 0, 2)


@pytest.mark.parametrize("size", [-1, 1.5, None, True, "2"])
def test_bad_arguments(size):
    with pytest.raises(ValueError, match=f"buffer_size: expected an int .*0, got {size!r}"):
        StreamBuffer(size)


def test_state_spec_may_be_open():
    spec = StreamBuffer(2).state_spec((None, None, 8, None, 3))
    assert spec.shape == (None, 2, 8, None, 3) and spec.dtype == "float32"
    assert isinstance(spec, keras.KerasTensor)
