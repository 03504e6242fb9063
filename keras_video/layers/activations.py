"""Activations and gates by name, in the forms the official networks compute them."""

import keras
from keras import ops


def swish(x):
    """`x * sigmoid(x)`."""
    # On TensorFlow `tf.nn.silu` keeps its own gradient function, which the graph optimiser cannot
    # fuse: spelled out it is a fifth faster on the CPU.
    return x * ops.sigmoid(x) if keras.backend.backend() == "tensorflow" else ops.silu(x)


def hard_sigmoid(x):
    """`relu6(x + 3) / 6`, Keras 3's hard sigmoid."""
    return ops.relu6(x + 3.0) * (1.0 / 6.0)


def hard_sigmoid_keras2(x):
    """`clip(0.2 x + 0.5, 0, 1)`, the hard sigmoid of Keras 2."""
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def hard_sigmoid_tf_models(x):
    """`relu6(x + 3) * 0.16667`, as the official MoViNet source has it (1.00002 at saturation)."""
    return ops.relu6(x + 3.0) * 0.16667


def hard_swish(x):
    """`x * relu6(x + 3) / 6`."""
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
    """`table[name]`, or one clear error that names the argument."""
    if name not in table:
        names = sorted(str(n) for n in table)
        raise ValueError(f"{argument}: expected one of {names}, got {name!r}.")
    return table[name]
