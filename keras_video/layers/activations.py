"""Activations and gates by name, in the forms that the official networks compute."""

from keras import ops

from keras_video.checks import check_choice
from keras_video.layers.backend import swish


def hard_sigmoid(x):
    """Compute `relu6(x + 3) / 6`, the hard sigmoid of Keras 3."""
    return ops.relu6(x + 3.0) * (1.0 / 6.0)


def hard_sigmoid_keras2(x):
    """Compute `clip(0.2 x + 0.5, 0, 1)`, the hard sigmoid of Keras 2."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def hard_sigmoid_tf_models(x):
    """Compute `relu6(x + 3) * 0.16667`, as the official MoViNet source (1.00002 at saturation)."""
    return ops.relu6(x + 3.0) * 0.16667


def hard_swish(x):
    """Compute `x * relu6(x + 3) / 6`."""
    return x * hard_sigmoid(x)


ACTIVATIONS = {
    None: None,
    "hard_swish": hard_swish,
    "relu": ops.relu,
    "relu6": ops.relu6,
    "swish": swish,
}

GATES = {
    "hard_sigmoid": hard_sigmoid,
    "hard_sigmoid_keras2": hard_sigmoid_keras2,
    "hard_sigmoid_tf_models": hard_sigmoid_tf_models,
    "sigmoid": ops.sigmoid,
}


def lookup(table, argument, name):
    """Return `table[name]`; raise `ValueError` for other names."""
    return table[check_choice(argument, name, table)]
