"""The registry of rules: how each layer class is written in the mobile form.

A rule is a function of the `Rewriter`, the layer and its input `Features`. It returns `Features`. A
subclass without a rule of its own follows the rule of its base class.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_video.mobile.primitives import HardSwish, ShiftedRelu6

RULES = {}
FLOAT = {"dtype": "float32"}  # mobile forms compute in float32, whatever the policy of the model


class Features(NamedTuple):
    """A tensor of the form, with what its rules have not done yet.

    Args:
        tensor: Keras tensor `(batch * frames, height, width, channels)`.
        frames: int, number of frames folded into the batch; 1 after an average over frames.
        factor: float above 0. Pending scale, folded into the next kernel.
        conv: the convolution that makes the tensor, if nothing else uses its output. Its weights
            can still be scaled. `None` otherwise.
    """

    tensor: object
    frames: int
    factor: float = 1.0
    conv: object = None

    @property
    def shape(self):
        return tuple(self.tensor.shape)


def rule(*classes):
    """Register the decorated function as the rule of these layer classes."""

    def register(function):
        RULES.update(dict.fromkeys(classes, function))
        return function

    return register


def rule_for(layer):
    """Return the rule of a layer; raise a `ValueError` that names a layer without one."""
    for base in type(layer).__mro__:
        if base in RULES:
            return RULES[base]
    raise ValueError(
        f"model: expected layers with a mobile form, got {layer.name} of class "
        f"{type(layer).__name__}. Give it one with keras_video.mobile.rules.rule."
    )


# From names of activations in Keras' configs to the names in `keras_video.layers.ACTIVATIONS`.
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
    """Return our name of the activation of a Keras layer; raise a `ValueError` for unknown ones."""
    if isinstance(layer, keras.layers.ReLU):
        plain = layer.negative_slope == 0 and layer.threshold == 0
        name = {None: "relu", 6: "relu6"}.get(layer.max_value) if plain else "ReLU"
    else:
        name = layer.get_config()["activation"]
    if not isinstance(name, str) or name not in KERAS_ACTIVATIONS:
        known = ", ".join(sorted(KERAS_ACTIVATIONS))
        raise ValueError(
            f"model: expected activations among {known}, got {name!r} at {layer.name}."
        )
    return KERAS_ACTIVATIONS[name]


def activate(rewriter, features, name, prefix):
    """Apply an activation. The names of its layers begin with `<prefix>_`."""
    if name is None:
        return features
    result = features._replace(factor=1.0, conv=None)
    x = rewriter.plain(features, f"{prefix}_input")
    if name in ("relu", "relu6", "sigmoid", "softmax"):
        layer = keras.layers.Activation(name, name=f"{prefix}_{name}", **FLOAT)
        return result._replace(tensor=layer(x))
    if name == "hard_swish" and rewriter.hard_swish == "fused":
        return result._replace(tensor=HardSwish(name=f"{prefix}_active", **FLOAT)(x))
    if name == "hard_swish":
        gate = ShiftedRelu6(name=f"{prefix}_relu6", **FLOAT)(x)
        factor = 1 / 6
        if rewriter.hard_swish == "divided":
            x = keras.layers.Rescaling(1 / 6, name=f"{prefix}_sixth", **FLOAT)(x)
            factor = 1.0
    else:
        gate = keras.layers.Activation("sigmoid", name=f"{prefix}_sigmoid", **FLOAT)(x)
        factor = 1.0
    tensor = keras.layers.Multiply(name=f"{prefix}_active", **FLOAT)([x, gate])
    return result._replace(tensor=tensor, factor=factor)


@rule(keras.layers.Dropout, keras.layers.Identity)
def nothing(rewriter, layer, features):
    """Return the features of a layer that does nothing at inference."""
    return features


def array(weight):
    """Return a weight as a float32 array."""
    return np.asarray(ops.convert_to_numpy(weight), "float32")


def pointwise_kernel(matrix):
    """Return a matrix `(channels, filters)` as the array of a 1x1 kernel."""
    return array(matrix)[None, None]


def check_clips(rewriter, layer):
    """Raise a `ValueError` if a layer that needs the whole clip is part of a stream."""
    if rewriter.stream:
        raise ValueError(
            f"model: expected a causal network for a stream, got {layer.name}, which takes clips."
        )


def add(rewriter, terms, name, prefix=None):
    """Add features without factors; `prefix` begins the names of layers that multiply factors."""
    prefix = prefix or name
    tensors = [rewriter.plain(x, f"{prefix}_{i}") for i, x in enumerate(terms)]
    tensor = keras.layers.Add(name=name, **FLOAT)(tensors)
    return terms[0]._replace(tensor=tensor, factor=1.0, conv=None)
