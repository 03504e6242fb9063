"""Weights and videos of the reference data, made again from their written recipe.

The recipe stands in the README of the reference data: every variable depends on its official
checkpoint key and shape alone, every video on its shape and seed.
"""

import json
import zlib
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"
CASES = {
    "sq": ((1, 6, 64, 64, 3), 11),
    "odd": ((2, 5, 50, 66, 3), 12),
    "tiny": ((1, 3, 33, 47, 3), 13),
    "one": ((1, 1, 32, 32, 3), 14),
    "pub": ((1, 2, 172, 172, 3), 15),
}


def weight(key, shape):
    """Value of one variable: normal numbers seeded by its key, scaled by its kind."""
    draws = np.random.default_rng(zlib.crc32(key.encode())).standard_normal(tuple(shape))
    kind = key.removesuffix(ATTRIBUTE).rsplit("/", 1)[-1]
    if kind == "kernel":
        value = draws * np.sqrt(2.0 / np.prod(shape[:-1]))
    elif kind == "depthwise_kernel":
        value = draws * np.sqrt(2.0 / (shape[0] * shape[1]))
    elif kind == "scale":
        value = 0.5 + 0.1 * draws
    elif kind == "gamma":
        value = 1.0 + 0.1 * draws
    elif kind == "moving_variance":
        value = 1.0 + 0.1 * np.abs(draws)
    else:
        assert kind in ("beta", "bias", "moving_mean"), key
        value = 0.1 * draws
    return value.astype("float32")


def official_weights(network):
    """`{checkpoint key: array}` of `"a0_base"` or `"a0_stream"`, 16 classes."""
    shapes = json.loads((GOLDEN / "movinet_a0_official_keys.json").read_text())[network]
    return {key + ATTRIBUTE: weight(key + ATTRIBUTE, shape) for key, shape in shapes.items()}


def video(case):
    """uint8 frames of 7x7 pixel tiles of random colour."""
    (batch, frames, height, width, channels), seed = CASES[case]
    shape = (batch, frames, -(-height // 7), -(-width // 7), channels)
    tiles = np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)
    return tiles.repeat(7, axis=2).repeat(7, axis=3)[:, :, :height, :width]
