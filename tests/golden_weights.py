"""Weights and videos of the MoViNet reference data, computed from their recipe.

The recipe is in the README of the reference data: each variable depends only on its official
checkpoint key and shape, each video only on its shape and seed.
"""

import json
import os
import re
import zlib
from pathlib import Path

import numpy as np

from keras_video.applications.movinet.checkpoints import (
    HEAD,
    LAYER,
    OFFICIAL_CLASSIFIER,
    STEM,
    to_ours,
)

GOLDEN = Path(__file__).parent / "golden"
ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"
CASES = {
    "sq": ((1, 6, 64, 64, 3), 11),
    "odd": ((2, 5, 50, 66, 3), 12),
    "tiny": ((1, 3, 33, 47, 3), 13),
    "one": ((1, 1, 32, 32, 3), 14),
    "pub": ((1, 2, 172, 172, 3), 15),
}


NETWORKS = ("a0_base", "a0_stream", "a0_stream_keras2gate")


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


def official_key(name, blocks, conv="3d", root="model"):
    """Return the checkpoint key that the official code uses for one of our names.

    Args:
        name: for example `"block0_layer0_expansion/kernel"`.
        blocks: names of the bottleneck layers in this library, in order.
        conv: `"3d"`, `"2plus1d"` or `"3d_2plus1d"`.
        root: `"model"`, or `"backbone"` for files saved with both roots.
    """
    backbone = "backbone" if root == "backbone" else f"{root}/layer_with_weights-0"
    tables = {f"{backbone}/layer_with_weights-0": STEM}
    for n, block in enumerate(blocks):
        tables[f"{backbone}/layer_with_weights-{n + 1}"] = {block + k: v for k, v in LAYER.items()}
    tables[f"{backbone}/layer_with_weights-{len(blocks) + 1}"] = HEAD
    tables["model/layer_with_weights-1"] = OFFICIAL_CLASSIFIER
    for owner, table in tables.items():
        if name in table:
            path = table[name]
            if conv == "2plus1d":
                path = re.sub(r"(_conv(_temporal)?)/(kernel|bias)$", r"\1/_conv/\3", path)
                if "_feature" in name:
                    path = re.sub("kernel$", "depthwise_kernel", path)
            return f"{owner}/{path}{ATTRIBUTE}"
    raise ValueError(f"weights: {name!r} is not the name of a MoViNet weight.")


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


def our_weights(network, config):
    """`{our name: array}` for a model of `config` with 16 classes; every official one is used."""
    theirs = official_weights(network.removesuffix("_keras2gate"))
    blocks = [block.name for block in config.plan().blocks]
    conv = "2plus1d" if config.variant.factorized else "3d"
    ours = {
        name: to_ours(name, theirs.pop(official_key(name, blocks, conv)))
        for name in config.weight_shapes(classes=16)
    }
    assert not theirs
    return ours


def summary(array):
    """18 numbers of an array: mean, deviation, the first 8 values and the last 8."""
    flat = np.asarray(array, "float64").ravel()
    numbers = np.full(18, np.nan)
    numbers[:2] = flat.mean(), flat.std()
    numbers[2 : 2 + min(8, flat.size)] = flat[:8]
    numbers[10 : 10 + min(8, flat.size)] = flat[-8:]
    return numbers


def load_reference(network):
    """Logits, end points and states of a model; `KERAS_VIDEO_ACCEPT=1` rewrites them."""
    path = GOLDEN / f"movinet_{network}.npz"
    if os.environ.get("KERAS_VIDEO_ACCEPT") == "1":
        np.savez_compressed(path, **pack(shared_reference(network)))
    with np.load(path) as file:
        return dict(file)


def shared_reference(network):
    """The numbers of the official code, from the folder `../shared`."""
    folder = GOLDEN.parents[2] / "shared" / "reference" / "movinet"
    return dict(np.load(folder / f"{network}.npz"))


def pack(reference):
    """The same numbers in fewer arrays: one table per case for end points, one for states."""
    packed = {}
    for case in CASES:
        for kind in ("logits", "stream1/logits", "stream2/logits", "stream3/logits"):
            if f"{case}/{kind}" in reference:
                packed[f"{case}/{kind}"] = reference[f"{case}/{kind}"]
        for kind in ("endpoint", "state"):
            prefix = f"{case}/{kind}/"
            names = [key.removeprefix(prefix) for key in reference if key.startswith(prefix)]
            if names:
                packed[f"{kind}_names"] = np.array(names)
                packed[f"{case}/{kind}"] = np.stack([reference[prefix + n] for n in names])
    return packed
