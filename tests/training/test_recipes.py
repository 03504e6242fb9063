"""The published settings: schedule, optimizer, weight decay, loss."""

import keras
import numpy as np
import pytest

from keras_video import applications
from keras_video.training import RECIPES, WarmupCosine, regularize
from tests.helpers import STREAM, small_model, to_numpy


def test_schedule_is_the_official_one():
    schedule = WarmupCosine(1.8, 100, 10)

    def cosine(step):
        return 0.9 * (1 + np.cos(np.pi * step / 100))

    for step in (0, 1, 5, 9):
        assert float(schedule(step)) == pytest.approx(cosine(10) * step / 10, abs=1e-6)
    for step in (10, 11, 50, 99, 100):
        assert float(schedule(step)) == pytest.approx(cosine(step), abs=1e-6)
    assert float(schedule(150)) == pytest.approx(0, abs=1e-6)
    assert WarmupCosine.from_config(schedule.get_config()).get_config() == schedule.get_config()


def test_optimizer_updates_as_tensorflow_does():
    """`epsilon` stands under the root, and momentum gathers steps, not gradients."""
    variable = keras.Variable([1.0, -2.0])
    optimizer = RECIPES["a0_base"].optimizer(steps=1000)
    value, square, speed = np.array([1.0, -2.0]), 0.0, 0.0
    for step, gradient in enumerate(np.array([[0.3, 0.1], [0.2, -0.5], [0.1, 0.4]])):
        optimizer.apply([keras.ops.convert_to_tensor(gradient, "float32")], [variable])
        rate = float(WarmupCosine(1.8, 1000, 2145 / 85785 * 1000)(step))
        square = 0.9 * square + 0.1 * gradient**2
        speed = 0.9 * speed + rate * gradient / np.sqrt(square + 1.0)
        value = value - speed
    np.testing.assert_allclose(to_numpy(variable.value), value, rtol=1e-5)


def test_gradients_are_clipped_together():
    assert RECIPES["a0_base"].optimizer().global_clipnorm == 1.0


def test_weight_decay_is_half_the_sum_of_squares_of_the_kernels():
    model = regularize(small_model(), 0.01)
    total = 0.0
    for layer in model.layers[:-1]:
        for weight in layer.trainable_weights:
            if "kernel" in weight.name:
                total += 0.5 * 0.01 * float((to_numpy(weight.value) ** 2).sum())
    assert float(sum(model.losses)) == pytest.approx(total, rel=1e-5)
    regularized = [w.path for w in model.trainable_weights if w.regularizer is not None]
    assert any("squeeze_excite" in path for path in regularized)
    assert not any(path.startswith("classifier/") for path in regularized)
    with pytest.raises(ValueError, match="weight_decay"):
        regularize(model, -1)


def test_published_rows():
    assert sorted({recipe.model for recipe in RECIPES.values()}) == [
        "a0", "a1", "a2", "a3", "a4", "a5", "t0"
    ]  # fmt: skip
    frames = {name: recipe.frames for name, recipe in RECIPES.items() if not recipe.causal}
    assert frames["a0_base"] == 50 and frames["a3_base"] == 64 and frames["a5_base"] == 32
    dropouts = {name: recipe.config.variant.dropout for name, recipe in RECIPES.items()}
    low = {name for name, dropout in dropouts.items() if dropout == 0.2}
    assert low == {"t0_base", "t0_stream", "a0_base", "a0_stream", "a1_stream"}
    augmented = {name for name, recipe in RECIPES.items() if recipe.auto_augment}
    assert augmented == {f"a{i}_base" for i in range(6)} | {"a5_stream"}


def test_network_of_a_recipe(monkeypatch):
    """With a small network for MoViNet-A0; the builders of all recipes exist."""
    assert all(hasattr(applications, f"MoViNet{r.model.upper()}") for r in RECIPES.values())
    asked = []

    def build(**options):
        asked.append(options)
        return small_model(**STREAM)

    monkeypatch.setattr(applications, "MoViNetA0", build)
    model = RECIPES["a0_stream"].build(classes=3, dtype="float32")
    assert asked == [{"classes": 3, "causal": True, "dtype": "float32"}]
    assert model.losses
    RECIPES["a0_base"].build()
    assert asked[1] == {"classes": 600, "causal": False}
    labels, logits = np.array([0, 2]), np.zeros((2, 3), "float32")
    assert float(RECIPES["a0_stream"].loss()(labels, logits)) == pytest.approx(np.log(3), rel=1e-5)
