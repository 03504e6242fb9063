import keras
import numpy as np
import pytest

from keras_video.layers.initializers import (
    FanInNormal,
    FanOutNormal,
    HeNormal,
    TemporalShift,
    get_initializer,
)
from tests.helpers import to_numpy

SHAPE = (3, 3, 3, 40, 100)
LIMIT = 2 * np.sqrt(2 / (27 * 40)) / 0.87962566103423978


def test_standard_deviation_and_truncation():
    draws = to_numpy(HeNormal(seed=1)(SHAPE)).astype("float64")
    assert draws.std() == pytest.approx(np.sqrt(2 / (27 * 40)), rel=0.01)
    assert abs(draws.mean()) < 4 * draws.std() / np.sqrt(draws.size)
    # Cut off at two deviations of the uncut normal, redrawn rather than clipped.
    assert 0.99 * LIMIT < np.abs(draws).max() <= LIMIT * (1 + 1e-6)
    assert (np.abs(draws) > 0.9999 * LIMIT).mean() < 1e-3


def test_same_distribution_as_keras():
    ours = to_numpy(HeNormal(seed=1)(SHAPE))
    theirs = to_numpy(keras.initializers.HeNormal(seed=1)(SHAPE))
    quantiles = np.linspace(0.01, 0.99, 21)
    difference = np.quantile(ours, quantiles) - np.quantile(theirs, quantiles)
    assert np.abs(difference).max() < 0.03 * theirs.std()


def test_depthwise_fan_is_the_kernel_extent():
    draws = to_numpy(HeNormal(seed=1)((3, 3, 3, 1, 4000)))
    assert draws.std() == pytest.approx(np.sqrt(2 / 27), rel=0.02)


def test_follows_the_global_seed():
    def draw():
        keras.utils.set_random_seed(5)
        return [to_numpy(HeNormal()((4, 5))) for _ in range(2)]

    first, second = draw()
    assert (first != second).any()
    np.testing.assert_array_equal(draw(), [first, second])
    keras.utils.set_random_seed(6)
    assert (to_numpy(HeNormal()((4, 5))) != first).any()


def test_own_seed():
    first = to_numpy(HeNormal(seed=3)((4, 5)))
    np.testing.assert_array_equal(to_numpy(HeNormal(seed=3)((4, 5))), first)
    assert (to_numpy(HeNormal(seed=4)((4, 5))) != first).any()


def test_dtype_and_config():
    assert keras.backend.standardize_dtype(HeNormal()((2, 2)).dtype) == "float32"
    assert keras.backend.standardize_dtype(HeNormal()((2, 2), "bfloat16").dtype) == "bfloat16"
    for seed in (None, 7):
        serialized = keras.initializers.serialize(HeNormal(seed))
        twin = keras.initializers.deserialize(serialized)
        assert type(twin) is HeNormal and twin.get_config() == {"seed": seed}


def test_he_normal_by_name():
    assert type(get_initializer("he_normal")) is HeNormal
    assert type(get_initializer("zeros")) is keras.initializers.Zeros
    twin = get_initializer(keras.initializers.serialize(HeNormal(7)))
    assert type(twin) is HeNormal and twin.seed == 7


def test_fan_in_normal_has_its_deviation_before_the_cut():
    draws = to_numpy(FanInNormal(2.6, seed=1)(SHAPE)).astype("float64")
    deviation = np.sqrt(2.6 / (27 * 40))
    assert draws.std() == pytest.approx(0.87962566 * deviation, rel=0.01)
    assert 1.98 * deviation < np.abs(draws).max() <= 2 * deviation * (1 + 1e-6)


@pytest.mark.parametrize("scale", [0, -1.0, "2", None, True])
def test_bad_scale(scale):
    with pytest.raises(ValueError, match="scale: expected a finite number above 0, got"):
        FanInNormal(scale)


def test_config_of_fan_in_normal():
    twin = get_initializer(keras.initializers.serialize(FanInNormal(2.6, 7)))
    assert type(twin) is FanInNormal and twin.get_config() == {"scale": 2.6, "seed": 7}


@pytest.mark.parametrize(
    "shape, fan_out", [(SHAPE, 27 * 100), ((1, 3, 3, 64, 200), 9 * 200), ((3, 9000), 9000)]
)
def test_fan_out_normal_is_not_cut(shape, fan_out):
    draws = to_numpy(FanOutNormal(seed=1)(shape)).astype("float64")
    deviation = np.sqrt(2 / fan_out)
    assert draws.std() == pytest.approx(deviation, rel=0.02)
    assert np.abs(draws).max() > 3 * deviation
    twin = get_initializer(keras.initializers.serialize(FanOutNormal(7)))
    assert type(twin) is FanOutNormal and twin.get_config() == {"seed": 7}
    assert type(get_initializer("fan_out_normal")) is FanOutNormal


def test_temporal_shift():
    """Rows are the last frame, this one and the next one."""
    kernel = to_numpy(TemporalShift(4)((3, 9)))
    np.testing.assert_array_equal(
        kernel, [[0, 0, 1, 1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1, 1], [1, 1] + [0] * 7]
    )
    online = to_numpy(TemporalShift(4)((2, 9)))
    np.testing.assert_array_equal(online, [[1, 1] + [0] * 7, [0, 0] + [1] * 7])
    twin = get_initializer(keras.initializers.serialize(TemporalShift(4)))
    assert type(twin) is TemporalShift and twin.divisor == 4
    assert get_initializer("temporal_shift").divisor == 8


@pytest.mark.parametrize("divisor", [0, 1, 2.0, None, True])
def test_bad_shifts(divisor):
    with pytest.raises(ValueError, match="divisor: expected an int of at least 2, got"):
        TemporalShift(divisor)
    with pytest.raises(ValueError, match="kernel_size: expected 2 or 3 frames for a shift, got 5"):
        TemporalShift()((5, 16))
