import numpy as np
import pytest
from keras import ops

from keras_video.layers import ACTIVATIONS, GATES
from keras_video.layers.activations import lookup
from tests.helpers import assert_near, to_numpy
from tests.layers.reference import activate

POINTS = np.array([-8, -3.5, -3, -2.5, -1, -0.5, 0, 0.5, 1, 2, 2.5, 3, 3.5, 6, 8], "float32")

# Written out, so that a mistake in the formulas above and below shows.
KNOWN = {
    "relu": {-1: 0, 2: 2, 8: 8},
    "relu6": {-1: 0, 2: 2, 8: 6},
    "swish": {0: 0, 1: 0.7310586, -1: -0.2689414, 8: 7.9973173},
    "hard_swish": {-3: 0, -1: -1 / 3, 0: 0, 1: 2 / 3, 3: 3, 8: 8},
    "sigmoid": {0: 0.5, 1: 0.7310586, -1: 0.2689414},
    "hard_sigmoid": {-3: 0, -1: 1 / 3, 0: 0.5, 2.5: 5.5 / 6, 3: 1, 8: 1},
    "hard_sigmoid_keras2": {-3: 0, -2.5: 0, -1: 0.3, 0: 0.5, 2: 0.9, 2.5: 1, 8: 1},
    "hard_sigmoid_tf_models": {-3: 0, -1: 0.33334, 0: 0.50001, 2: 0.83335, 3: 1.00002, 8: 1.00002},
}
FUNCTIONS = {**{k: v for k, v in ACTIVATIONS.items() if k}, **GATES}


def test_all_names_are_known_here():
    assert set(FUNCTIONS) == set(KNOWN)
    assert ACTIVATIONS[None] is None


@pytest.mark.parametrize("name", KNOWN)
def test_formulas(name):
    outputs = to_numpy(FUNCTIONS[name](ops.convert_to_tensor(POINTS)))
    assert_near(outputs, activate(name, POINTS.astype("float64")), 1e-6)
    values = dict(zip(POINTS.tolist(), outputs.tolist(), strict=True))
    for point, value in KNOWN[name].items():
        assert values[point] == pytest.approx(value, abs=2e-6)


@pytest.mark.parametrize("name", KNOWN)
def test_dtype_stays(name):
    x = ops.cast(ops.convert_to_tensor(POINTS), "bfloat16")
    outputs = FUNCTIONS[name](x)
    assert outputs.dtype == x.dtype
    assert_near(to_numpy(outputs), activate(name, POINTS.astype("float64")), 0.01)


def test_lookup_names_the_argument():
    with pytest.raises(ValueError, match=r"gate: expected one of 'hard_sigmoid', .*, got 'x'"):
        lookup(GATES, "gate", "x")
