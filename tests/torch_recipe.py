"""Weights and inputs of the X3D and GloRe reference data, computed from their recipe.

The recipe stands in the manifests: every weight follows from its published name and its shape,
every input from the name of its case.
"""

import zlib

import numpy as np


def normal(name, shape):
    """Normal numbers, seeded by a name, in float64."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(tuple(shape))


def weight(name, shapes):
    """Value of one weight in the published layout.

    Args:
        name: string.
        shapes: `{name: {"shape": .., "kind": ..}}` of all weights.
    """
    shape, kind = shapes[name]["shape"], shapes[name]["kind"]
    draws = normal(name, shape)
    if kind.startswith("bn."):
        value = {
            "bn.weight": 1 + 0.1 * draws,
            "bn.bias": 0.1 * draws,
            "bn.running_mean": 0.1 * draws,
            "bn.running_var": 1 + 0.1 * np.abs(draws),
        }[kind]
    else:  # a bias takes the fan in of its layer's weight
        owner = shapes[name.rsplit(".", 1)[0] + ".weight"]["shape"]
        value = draws / np.sqrt(np.prod(owner[1:]))
    return value.astype("float32")


def weights(shapes):
    """All weights `{published name: array}`."""
    return {name: weight(name, shapes) for name in shapes}


def clips(tag, shape):
    """Input of a case, channels last; `shape` is `(batch, channels, frames, height, width)`."""
    return normal(f"input.{tag}", shape).astype("float32").transpose(0, 2, 3, 4, 1)
