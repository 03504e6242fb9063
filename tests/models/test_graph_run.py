"""Values of a Functional graph are dropped after their last use."""

import weakref

import keras
import pytest

from keras_video.layers import backend
from keras_video.models import video_classifier
from keras_video.models.video_classifier import run_graph
from tests.helpers import assert_near, random_array, run, tiny_model, to_numpy


def residual_chain():
    inputs = x = keras.Input((3,))
    for i in range(6):
        y = keras.layers.Dense(3, name=f"a{i}")(x)
        x = keras.layers.Add(name=f"sum{i}")([x, keras.layers.Dense(3, name=f"b{i}")(y)])
    return keras.Model(inputs, [x, y])


class Value:
    """Stands for a tensor."""


def test_few_values_live_at_once():
    alive, most = weakref.WeakSet(), []

    def make(operation):
        def call(*args, **kwargs):
            most.append(len(alive))
            value = Value()
            alive.add(value)
            return value

        return call

    model = residual_chain()
    outputs = run_graph(model, [Value()], make)
    assert len(most) == 18 and max(most) <= 3
    assert len(alive) == 2 and all(isinstance(value, Value) for value in outputs)


def test_same_outputs_as_keras():
    model, x = residual_chain(), random_array((2, 3))
    expected = to_numpy(run(model, x))
    found = run_graph(model, [keras.ops.convert_to_tensor(x)], lambda operation: operation)
    keras.tree.assert_same_structure(found, expected)
    assert_near(to_numpy([keras.ops.stop_gradient(y) for y in found]), expected, 1e-6)


@pytest.mark.parametrize("streaming", [False, True])
def test_networks_run_with_it_on_torch(streaming, monkeypatch):
    if keras.backend.backend() != "torch":
        pytest.skip("other backends compile the graph")
    model = tiny_model(streaming=streaming, causal=streaming)
    frames = random_array((1, 2, 40, 32, 3))
    calls = []

    def spy(*args):
        calls.append(args[0])
        return run_graph(*args)

    monkeypatch.setattr(video_classifier, "run_graph", spy)
    found = to_numpy(run(model, frames))
    assert model in calls
    monkeypatch.setattr(backend, "RUNS_EAGERLY", False)
    expected = to_numpy(run(model, frames))  # by Keras
    assert calls.count(model) == 1
    assert_near(found, expected, 1e-6)
