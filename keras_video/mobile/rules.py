"""How each layer is written in the mobile form: one rule per class.

A rule is a function of the `Rewriter`, the layer and the `Features` it is applied to, and returns
`Features`. A subclass without a rule of its own follows that of its base.
"""

import keras
import numpy as np

RULES = {}


def rule(*classes):
    """Registers the decorated function as the rule of these layer classes."""

    def register(function):
        RULES.update(dict.fromkeys(classes, function))
        return function

    return register


def rule_for(layer):
    """The rule of a layer, or one error that names it."""
    rules = load_rules()
    for base in type(layer).__mro__:
        if base in rules:
            return rules[base]
    raise ValueError(
        f"model: expected layers with a mobile form, got {layer.name} of class "
        f"{type(layer).__name__}. Give it one with keras_video.mobile.rules.rule."
    )


@rule(keras.Model)
def inner_model(rewriter, layer, features):
    """A model used as a layer is rewritten where it stands."""
    if not isinstance(layer, keras.Sequential):
        return rewriter.inline(layer, features)
    for part in layer.layers:
        features = rule_for(part)(rewriter, part, features)
    return features


@rule(keras.layers.Dropout, keras.layers.Identity)
def nothing(rewriter, layer, features):
    """Layers that do nothing at inference."""
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


# Names of Keras' functions, as its configs have them, to those of `keras_video.layers.ACTIVATIONS`.
KERAS_ACTIVATIONS = {
    "linear": None,
    "silu": "swish",
    "swish": "swish",
    "hard_silu": "hard_swish",
    "hard_swish": "hard_swish",
    "relu": "relu",
    "relu6": "relu6",
    "sigmoid": "sigmoid",
    "softmax": "softmax",
}


def keras_activation(layer):
    """The activation of a layer of Keras by our name, or an error."""
    if isinstance(layer, keras.layers.ReLU):
        plain = layer.negative_slope == 0 and layer.threshold == 0
        name = {None: "relu", 6: "relu6"}.get(layer.max_value) if plain else "ReLU"
    else:
        name = layer.get_config()["activation"]
    if not isinstance(name, str) or name not in KERAS_ACTIVATIONS:
        known = ", ".join(sorted(KERAS_ACTIVATIONS))
        raise ValueError(f"model: {layer.name} expected an activation among {known}, got {name!r}.")
    return KERAS_ACTIVATIONS[name]


def activate(rewriter, features, name, prefix):
    """Applies an activation; its layers are called `<prefix>_...`."""
    from keras_video.mobile.primitives import HardSwish, ShiftedRelu6

    if name is None:
        return features
    result = features._replace(factor=1.0, conv=None)
    options = {"dtype": "float32"}
    x = rewriter.plain(features, f"{prefix}_input")
    if name in ("relu", "relu6", "sigmoid", "softmax"):
        layer = keras.layers.Activation(name, name=f"{prefix}_{name}", **options)
        return result._replace(tensor=layer(x))
    if name == "hard_swish" and rewriter.hard_swish == "fused":
        return result._replace(tensor=HardSwish(name=f"{prefix}_active", **options)(x))
    if name == "hard_swish":
        gate = ShiftedRelu6(name=f"{prefix}_relu6", **options)(x)
        factor = 1 / 6
        if rewriter.hard_swish == "divided":
            x = keras.layers.Rescaling(1 / 6, name=f"{prefix}_sixth", **options)(x)
            factor = 1.0
    else:
        gate = keras.layers.Activation("sigmoid", name=f"{prefix}_sigmoid", **options)(x)
        factor = 1.0
    tensor = keras.layers.Multiply(name=f"{prefix}_active", **options)([x, gate])
    return result._replace(tensor=tensor, factor=factor)


def load_rules():
    """Imports the modules that register the rules of our layers, and returns all rules."""
    from keras_video.mobile import (  # noqa: F401
        rules_attention,
        rules_big_little,
        rules_convolution,
        rules_pooling,
        rules_two_streams,
    )

    return RULES
