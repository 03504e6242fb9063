import keras
import numpy as np
import pytest

from keras_video.layers import TemporalAggregation
from tests.blvnet_tam_reference import GOLDEN, read, recipe_video, recipe_weight
from tests.helpers import (
    assert_differs,
    assert_near,
    gradients,
    random_array,
    randomize_weights,
    run,
    run_layer_test,
    run_streaming_test,
    to_numpy,
)

SHAPE = (2, 6, 4, 3, 5)
FORMS = {
    "paper": {},
    "even": {"kernel_size": 4},
    "five": {"kernel_size": 5, "activation": None},
    "one": {"kernel_size": 1},
    "max": {"blend": "max", "activation": None},
    "max_even": {"blend": "max", "kernel_size": 4},
    "longer_than_the_clip": {"kernel_size": 15, "activation": "hard_swish"},
    "causal": {"causal": True},
    "causal_max": {"kernel_size": 4, "causal": True, "blend": "max", "activation": None},
}


def built(shape=SHAPE, **kwargs):
    layer = TemporalAggregation(**kwargs)
    layer.build(shape)
    return randomize_weights(layer)


def blend(x, layer):
    """Frame by frame, weight by weight, in float64."""
    kernel = to_numpy(layer.kernel).astype("float64")
    size, (batch, frames) = layer.kernel_size, x.shape[:2]
    back = size - 1 if layer.causal else size // 2
    y = np.zeros(x.shape)
    for b in range(batch):
        for t in range(frames):
            terms = []
            for i in range(size):
                seen = t + i - back
                frame = x[b, seen] if 0 <= seen < frames else np.zeros(x.shape[2:])
                terms.append(kernel[i] * frame)
            y[b, t] = np.sum(terms, 0) if layer.blend == "sum" else np.max(terms, 0)
    if layer.activation == "hard_swish":
        return y * np.clip(y + 3, 0, 6) / 6
    return np.maximum(y, 0) if layer.activation == "relu" else y


@pytest.mark.parametrize(
    "kwargs, shape",
    [
        ({"kernel_size": 3}, SHAPE),
        ({"kernel_size": 4, "blend": "max", "activation": None}, SHAPE),
        ({"kernel_size": 2, "causal": True}, SHAPE),
        ({"kernel_size": 3, "equal_pairs": True}, (2, 12, 4, 3, 5)),
        ({"kernel_initializer": "temporal_shift", "fixed": True}, SHAPE),
    ],
)
def test_layer(kwargs, shape):
    run_layer_test(TemporalAggregation, kwargs, SHAPE, shape)


def test_layer_of_folded_frames():
    kwargs = {"kernel_size": 3, "num_frames": 6}
    layer = TemporalAggregation(**kwargs)
    twin = TemporalAggregation.from_config(layer.get_config())
    assert twin.get_config() == layer.get_config()
    folded = keras.KerasTensor((None, 4, 3, 5))
    assert layer(folded).shape == (None, 4, 3, 5)
    assert layer(folded, of_pair="second").shape == (None, 4, 3, 5)
    randomize_weights(layer)
    x = random_array(SHAPE)
    outputs = to_numpy(run(layer, x.reshape(12, *SHAPE[2:])))
    assert_near(outputs.reshape(SHAPE), blend(x, layer))
    second = to_numpy(run(layer, x.reshape(12, *SHAPE[2:]), of_pair="second"))
    assert_near(second.reshape(2, 3, *SHAPE[2:]), blend(x, layer)[:, 1::2])


@pytest.mark.parametrize("form", FORMS)
def test_against_loops(form):
    layer = built(**FORMS[form])
    x = random_array(SHAPE, 1)
    assert_near(to_numpy(run(layer, x)), blend(x, layer))
    assert_near(to_numpy(run(layer, x[:, :1])), blend(x[:, :1], layer))


def test_golden():
    """The published code's numbers."""
    case = read("golden_units")["tam_r3"]
    frames = case["options"]["frames"]
    x = recipe_video(case["input_name"], case["input_shape"])
    rows = [recipe_weight(f"unit.tam.{k}.weight", (6, 1, 1, 1)) for k in ("prev", "curr", "next")]
    layer = TemporalAggregation(3, num_frames=frames)
    layer.build(x.shape)
    layer.kernel.assign(np.stack(rows)[:, :, 0, 0, 0])
    expected = np.load(GOLDEN / "golden_units.npz")["tam_r3/output"]
    assert_near(to_numpy(run(layer, x)), expected)


@pytest.mark.parametrize("of_pair", ["first", "second"])
@pytest.mark.parametrize("form", [f for f in FORMS if not f.startswith("causal")])
def test_frames_of_pairs(form, of_pair):
    """Of two different frames, and of equal ones that are given once."""
    wanted = slice(0 if of_pair == "first" else 1, None, 2)
    layer = built(**FORMS[form])
    x = random_array(SHAPE, 1)
    assert_near(to_numpy(run(layer, x, of_pair=of_pair)), blend(x, layer)[:, wanted])

    once = built(**FORMS[form], equal_pairs=True)
    expected = blend(np.repeat(x, 2, axis=1), once)
    assert_near(to_numpy(run(once, x, of_pair=of_pair)), expected[:, wanted])
    assert_near(to_numpy(run(once, x)), expected)
    for one, frames in ((layer, x), (once, x)):
        both = to_numpy(run(one, frames, of_pair="both"))
        assert_near(both[wanted.start], to_numpy(run(one, frames, of_pair=of_pair)), 1e-6)
    if once.kernel_size > 1:  # the control: the two frames of a pair see different neighbours
        other = blend(np.repeat(x, 2, axis=1), once)[:, 1 - wanted.start :: 2]
        assert_differs(expected[:, wanted], other)


@pytest.mark.parametrize("of_pair", ["first", "second"])
def test_gradients_of_pairs(of_pair):
    """Against those of the direct form: repeat, aggregate, choose."""
    once, direct = built(equal_pairs=True), built()
    direct.set_weights(once.get_weights())
    x, r = random_array(SHAPE, 1), random_array(SHAPE, 2)
    chosen = np.zeros((2, 12, *SHAPE[2:]), "float32")
    chosen[:, 0 if of_pair == "first" else 1 :: 2] = r
    (gx,), (gk,) = gradients(once, x, weight=r, of_pair=of_pair)
    (all_x,), (expected_k,) = gradients(direct, np.repeat(x, 2, axis=1), weight=chosen)
    assert_near(gx, all_x[:, 0::2] + all_x[:, 1::2])
    assert_near(gk, expected_k)


def test_pairs_inside_a_saved_model(tmp_path):
    inputs = keras.Input((None, 4, 3, 5))
    layer = TemporalAggregation()
    first, second = layer(inputs, of_pair="both")
    outputs = first - 2.0 * second + layer(inputs, of_pair="second")
    model = randomize_weights(keras.Model(inputs, outputs))
    model.save(tmp_path / "model.keras")
    x = random_array(SHAPE)
    expected = blend(x, layer)
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert_near(to_numpy(run(again, x)), expected[:, 0::2] - expected[:, 1::2])


@pytest.mark.parametrize("blend", ["sum", "max"])
@pytest.mark.parametrize("size", [2, 3, 5])
def test_streaming(size, blend):
    layer = TemporalAggregation(size, blend, causal=True, activation=None)
    run_streaming_test(layer, (2, 6, 3, 4, 2))


def test_a_single_causal_frame_has_no_state():
    assert TemporalAggregation(1, causal=True).state_spec(SHAPE) is None
    assert TemporalAggregation(3).state_spec(SHAPE) is None


def test_temporal_shift_module():
    """TSM: an eighth of the channels from the next frame, an eighth from the last one."""
    layer = TemporalAggregation(3, kernel_initializer="temporal_shift", fixed=True, activation=None)
    x = random_array((2, 5, 2, 3, 19))
    expected = x.copy()
    expected[..., :2] = np.pad(x, [(0, 0), (0, 1)] + [(0, 0)] * 3)[:, 1:, ..., :2]
    expected[..., 2:4] = np.pad(x, [(0, 0), (1, 0)] + [(0, 0)] * 3)[:, :-1, ..., 2:4]
    np.testing.assert_array_equal(to_numpy(run(layer, x)), expected)
    layer.trainable = True
    assert not layer.trainable_weights and len(layer.weights) == 1

    online = TemporalAggregation(
        2, kernel_initializer="temporal_shift", fixed=True, activation=None, causal=True
    )
    past = x.copy()
    past[..., :2] = np.pad(x, [(0, 0), (1, 0)] + [(0, 0)] * 3)[:, :-1, ..., :2]
    np.testing.assert_array_equal(to_numpy(run(online, x)), past)
    _, state = run(online, x[:, :2], online.init_state(x.shape))
    np.testing.assert_array_equal(to_numpy(run(online, x[:, 2:], state)[0]), past[:, 2:])


@pytest.mark.parametrize(
    "kwargs, message",
    [
        (dict(kernel_size=0), "kernel_size: expected an int of at least 1, got 0"),
        (dict(kernel_size=3.0), r"kernel_size: expected an int of at least 1, got 3\.0"),
        (dict(num_frames=-2), "num_frames: expected an int of at least 1, got -2"),
        (dict(blend="mean"), r"blend: expected one of 'sum', 'max', got 'mean'"),
        (dict(activation="elu"), "activation: expected one of .*, got 'elu'"),
        (dict(causal=True, equal_pairs=True), "causal: cannot be combined with equal_pairs"),
        (dict(causal=True, num_frames=4), "causal: cannot be combined with equal_pairs"),
        (
            dict(causal=True, kernel_initializer="temporal_shift"),
            "kernel_size: expected 2 for a causal temporal shift, got 3",
        ),
    ],
)
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TemporalAggregation(**kwargs)


@pytest.mark.parametrize(
    "kwargs, shape, message",
    [
        ({}, (2, 8, 8, 3), r"expected inputs of shape .* got \(2, 8, 8, 3\)"),
        ({"num_frames": 4}, (2, 4, 8, 8, 3), r"expected inputs of shape \(batch \* 4, height"),
        ({"num_frames": 4}, (6, 8, 8, 3), "expected a multiple of num_frames=4 frames, got 6"),
    ],
)
def test_bad_inputs(kwargs, shape, message):
    with pytest.raises(ValueError, match=message):
        TemporalAggregation(**kwargs)(keras.KerasTensor(shape))


def test_bad_pairs():
    layer = built()
    with pytest.raises(ValueError, match="of_pair: expected one of .*, got 'third'"):
        layer(keras.KerasTensor(SHAPE), of_pair="third")
    for x in (keras.KerasTensor((2, 5, 4, 3, 5)), random_array((2, 5, 4, 3, 5))):
        with pytest.raises(ValueError, match="expected an even number of frames, got 5"):
            layer(x, of_pair="first")
    causal = built(causal=True)
    with pytest.raises(ValueError, match="of_pair: expected None if there is a state, got 'first'"):
        causal(random_array(SHAPE), causal.init_state(SHAPE), of_pair="first")
