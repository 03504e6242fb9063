"""Rules for Keras layers without kernels: inner models, sums, activations."""

import keras
import numpy as np

from keras_video.mobile.rules.registry import (
    FLOAT,
    activate,
    add,
    keras_activation,
    rule,
    rule_for,
)


@rule(keras.Model)
def inner_model(rewriter, layer, features):
    """Rewrite a model that is used as a layer, in its place."""
    if not isinstance(layer, keras.Sequential):
        return rewriter.inline(layer, features)
    for part in layer.layers:
        features = rule_for(part)(rewriter, part, features)
    return features


@rule(keras.layers.Rescaling)
def rescaling(rewriter, layer, features):
    """Leave the scale to the next kernel. Borders padded with zeros stay zero."""
    scale = layer.scale
    if np.any(layer.offset) or not isinstance(scale, (int, float)) or scale <= 0:
        twin = keras.layers.Rescaling(scale, layer.offset, name=layer.name, **FLOAT)
        tensor = twin(rewriter.plain(features, layer.name))
        return features._replace(tensor=tensor, factor=1.0, conv=None)
    return features._replace(factor=features.factor * scale, conv=None)


@rule(keras.layers.Add)
def sum_of_terms(rewriter, layer, *terms):
    """Add the terms without their factors."""
    return add(rewriter, terms, layer.name)


@rule(keras.layers.Concatenate)
def concatenate(rewriter, layer, *parts):
    """Join channels."""
    if layer.axis not in (-1, 4):
        raise ValueError(
            f"model: expected {layer.name} to join channels, axis=-1, got axis={layer.axis}."
        )
    tensors = [rewriter.plain(part, f"{layer.name}_{i}") for i, part in enumerate(parts)]
    tensor = keras.layers.Concatenate(name=layer.name, **FLOAT)(tensors)
    return parts[0]._replace(tensor=tensor, factor=1.0, conv=None)


@rule(keras.layers.Activation, keras.layers.ReLU)
def activation(rewriter, layer, features):
    """Apply an activation that is a layer of its own."""
    return activate(rewriter, features, keras_activation(layer), layer.name)
