"""How each layer is written in the mobile form: the registry of rules, one per layer class.

A rule is a function of the `Rewriter`, the layer and the `Features` it is applied to, and returns
`Features`. A subclass without a rule of its own follows that of its base.
"""

from typing import NamedTuple

import keras

from keras_video.mobile.primitives import HardSwish, ShiftedRelu6

RULES = {}


class Features(NamedTuple):
    """A tensor on its way through the network.

    Args:
        tensor: Keras tensor `(batch * frames, height, width, channels)`.
        frames: int, the frames folded into the batch; 1 where they are averaged.
        factor: float above 0 that still is to be multiplied; the next kernel takes it.
        conv: the layer whose plain output this is, if nobody else uses it: its weights can still
            be scaled.
    """

    tensor: object
    frames: int
    factor: float = 1.0
    conv: object = None

    @property
    def shape(self):
        return tuple(self.tensor.shape)


def rule(*classes):
    """Registers the decorated function as the rule of these layer classes."""

    def register(function):
        RULES.update(dict.fromkeys(classes, function))
        return function

    return register


def rule_for(layer):
    """The rule of a layer, or one error that names it."""
    for base in type(layer).__mro__:
        if base in RULES:
            return RULES[base]
    raise ValueError(
        f"model: expected layers with a mobile form, got {layer.name} of class "
        f"{type(layer).__name__}. Give it one with keras_video.mobile.rules.rule."
    )


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


@rule(keras.layers.Dropout, keras.layers.Identity)
def nothing(rewriter, layer, features):
    """Layers that do nothing at inference."""
    return features
