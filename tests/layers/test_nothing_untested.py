"""Every public layer passes through `run_layer_test`, and those that stream through the other."""

import ast
from pathlib import Path

import keras
import pytest

from keras_video import layers

LAYERS = {
    name: value
    for name, value in vars(layers).items()
    if name in layers.__all__ and isinstance(value, type) and issubclass(value, keras.layers.Layer)
}
BASES = {"StreamingLayer"}
STATELESS = {"TimeStridedConvFusion"}  # a convolution whose stride over frames forbids a stream


def calls():
    """`(function called, names in its first argument)`, from the sources: no test order matters."""
    for path in Path(__file__).parent.glob("test_*.py"):
        tree = ast.parse(path.read_text())
        made = {}  # names of layers that a variable of this file is made with
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                made.setdefault(node.targets[0].id, set()).update(_names(node.value))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.args:
                names = _names(node.args[0])
                yield node.func.id, names.union(*(made.get(name, ()) for name in names))


def _names(node):
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


@pytest.mark.parametrize("function", ["run_layer_test", "run_streaming_test"])
def test_every_layer_is_tested(function):
    wanted = set(LAYERS) - BASES
    if function == "run_streaming_test":
        wanted = {name for name in wanted if issubclass(LAYERS[name], layers.StreamingLayer)}
        wanted -= STATELESS
    tested = set().union(*(names for called, names in calls() if called == function))
    assert wanted and not wanted - tested


def test_every_public_name_exists_and_is_described():
    assert sorted(layers.__all__) == sorted(set(layers.__all__))
    for name in layers.__all__:
        assert hasattr(layers, name)
    for name, layer in LAYERS.items():
        assert layer.__doc__ and "Call arguments" in layer.__doc__ or name in BASES
        assert "Example:" in layer.__doc__ or name in BASES
