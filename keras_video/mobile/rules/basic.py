"""Rules for layers of Keras that need no kernel: models, sums, activations."""

import keras
import numpy as np

from keras_video.mobile.rules.registry import activate, keras_activation, rule, rule_for


@rule(keras.Model)
def inner_model(rewriter, layer, features):
    """A model used as a layer is rewritten where it stands."""
    if not isinstance(layer, keras.Sequential):
        return rewriter.inline(layer, features)
    for part in layer.layers:
        features = rule_for(part)(rewriter, part, features)
    return features


@rule(keras.layers.Rescaling)
def rescaling(rewriter, layer, features):
    """The factor is left to the next kernel; borders padded with zeros stay zero."""
    scale = layer.scale
    if np.any(layer.offset) or not isinstance(scale, (int, float)) or scale <= 0:
        twin = keras.layers.Rescaling(scale, layer.offset, dtype="float32", name=layer.name)
        tensor = twin(rewriter.plain(features, layer.name))
        return features._replace(tensor=tensor, factor=1.0, conv=None)
    return features._replace(factor=features.factor * scale, conv=None)


@rule(keras.layers.Add)
def add(rewriter, layer, *terms):
    """A sum; residual and branch come without factors."""
    tensors = [rewriter.plain(term, f"{layer.name}_{i}") for i, term in enumerate(terms)]
    tensor = keras.layers.Add(dtype="float32", name=layer.name)(tensors)
    return terms[0]._replace(tensor=tensor, factor=1.0, conv=None)


@rule(keras.layers.Concatenate)
def concatenate(rewriter, layer, *parts):
    """Channels side by side."""
    if layer.axis not in (-1, 4):
        raise ValueError(f"model: {layer.name} expected to join channels, got axis={layer.axis}.")
    tensors = [rewriter.plain(part, f"{layer.name}_{i}") for i, part in enumerate(parts)]
    tensor = keras.layers.Concatenate(dtype="float32", name=layer.name)(tensors)
    return parts[0]._replace(tensor=tensor, factor=1.0, conv=None)


@rule(keras.layers.Activation, keras.layers.ReLU)
def activation(rewriter, layer, features):
    """An activation that is a layer of its own."""
    return activate(rewriter, features, keras_activation(layer), layer.name)
