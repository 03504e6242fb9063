import numpy as np
import pytest

from keras_video.checkpoints.weight_map import assign, check

keras = pytest.importorskip("keras")

SHAPES = {"first/kernel": (3, 4), "first/bias": (4,), "last/kernel": (4, 2), "last/bias": (2,)}


def make_model():
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(4, name="first")(inputs)
    hidden = keras.layers.Dropout(0.5, seed=1)(hidden)
    return keras.Model(inputs, keras.layers.Dense(2, name="last")(hidden))


def random_weights(shapes=SHAPES):
    r = np.random.default_rng(0)
    return {name: r.standard_normal(shape).astype("float32") for name, shape in shapes.items()}


def values(model):
    return [keras.ops.convert_to_numpy(w) for w in model.weights]


def test_assign_fills_every_variable():
    model, named = make_model(), random_weights()
    assign(model, dict(reversed(named.items())))
    for name, value in named.items():
        layer, variable = name.split("/")
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(getattr(model.get_layer(layer), variable)), value
        )
    x = np.random.default_rng(1).standard_normal((5, 3)).astype("float32")
    expected = (x @ named["first/kernel"] + named["first/bias"]) @ named["last/kernel"]
    got = keras.ops.convert_to_numpy(model(x))
    np.testing.assert_allclose(got, expected + named["last/bias"], atol=1e-5)


def test_skip_leaves_variables_alone():
    model, named = make_model(), random_weights()
    before = values(model)
    named["last/kernel"] = np.zeros((4, 600), "float32")
    del named["last/bias"]
    assign(model, named, skip=("last/*",))
    after = values(model)
    np.testing.assert_array_equal(after[0], named["first/kernel"])
    for old, new in zip(before[2:], after[2:], strict=True):
        np.testing.assert_array_equal(old, new)


def test_batch_norm_and_scalars():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.BatchNormalization(name="norm")(inputs))
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    named = {f"norm/{name}": np.full(3, i + 1, "float32") for i, name in enumerate(names)}
    assign(model, named)
    for name in names:
        value = keras.ops.convert_to_numpy(getattr(model.get_layer("norm"), name))
        np.testing.assert_array_equal(value, named[f"norm/{name}"])
    with pytest.raises(ValueError, match=r"norm/gamma: expected \(3,\), got \(\)"):
        assign(model, {**named, "norm/gamma": np.float32(1)})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"last/bias": None}, "missing: last/bias"),
        ({"more/kernel": np.zeros(1)}, "unexpected: more/kernel"),
        ({"first/kernel": np.zeros((4, 3))}, r"first/kernel: expected \(3, 4\), got \(4, 3\)"),
    ],
)
def test_nothing_is_written_unless_everything_fits(change, message):
    model = make_model()
    before = values(model)
    named = {k: v for k, v in {**random_weights(), **change}.items() if v is not None}
    with pytest.raises(ValueError, match="weights: .*") as error:
        assign(model, named)
    error.match(message)
    for old, new in zip(before, values(model), strict=True):
        np.testing.assert_array_equal(old, new)


def test_one_error_lists_everything_shortly():
    expected = {f"a{i}": (i,) for i in range(100)}
    named = {f"a{i}": np.zeros(i + (i < 10)) for i in range(60)} | {"b": np.zeros(1)}
    with pytest.raises(ValueError) as error:
        check(named, expected)
    text = str(error.value)
    assert "expected 100 arrays for this model, got 61" in text
    assert "40 missing, 1 unexpected, 10 of another shape" in text
    assert "a60, a61" in text and "and 34 more" in text and len(text) < 600
    assert "a3: expected (3,), got (4,)" in text


def test_two_variables_of_one_name_are_an_error():
    class Twice(keras.layers.Layer):
        def build(self, shape):
            for _ in range(2):
                self.add_weight(shape=(1,), name="scale")

        def call(self, x):
            return x

    inputs = keras.Input((3,))
    model = keras.Model(inputs, Twice(name="twice")(inputs))
    with pytest.raises(ValueError, match="expected one variable named twice/scale"):
        assign(model, {"twice/scale": np.zeros(1)})
