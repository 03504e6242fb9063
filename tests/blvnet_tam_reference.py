"""The recipe of the reference data of bLVNet-TAM: weights and clips from names, with NumPy."""

import json
import zlib
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "golden" / "blvnet_tam"


def read(name):
    """A JSON file of the reference data."""
    return json.loads((GOLDEN / f"{name}.json").read_text())


def _random(name):
    return np.random.default_rng(zlib.crc32(name.encode()))


def recipe_weight(key, shape):
    """The array of a key of a PyTorch state dict."""
    if key.endswith("num_batches_tracked"):
        return np.zeros((), "int64")
    n = _random(key).standard_normal(tuple(shape))
    if "tam" in key.split("."):
        value = 0.3 + 0.5 * n
    elif key.endswith(("running_mean", "bias")):
        value = 0.1 * n
    elif key.endswith("running_var"):
        value = 1.0 + 0.1 * np.abs(n)
    elif len(shape) == 1:
        value = 1.0 + 0.1 * n
    else:
        value = 1.25 * n / np.sqrt(np.prod(shape[1:]))
    return value.astype("float32")


def recipe_video(name, shape):
    """A clip `(..., height, width, channels)`, smooth and noisy, around zero."""
    height, width, channels = shape[-3:]
    random, lead = _random(f"input:{name}"), (*shape[:-3], 1, 1, channels)
    level, down, across = (random.standard_normal(lead) for _ in range(3))
    noise = random.standard_normal(tuple(shape))
    y = np.linspace(-1.0, 1.0, height).reshape(height, 1, 1)
    x = np.linspace(-1.0, 1.0, width).reshape(1, width, 1)
    return (level + down * y + across * x + noise).astype("float32")


def recipe_state(shapes):
    """A state dict of arrays for `{key: shape}`."""
    return {key: recipe_weight(key, shape) for key, shape in shapes.items()}
