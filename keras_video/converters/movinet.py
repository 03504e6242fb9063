"""Loads MoViNet weights from other projects into our names and layouts.

The way in is `load(path, config)`. Two sources are understood: official TensorFlow checkpoints and
SavedModels (`movinet_official.py`) and the PyTorch port of Atze00 (`movinet_torch.py`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_video.applications.movinet.config import CONFIGS
from keras_video.converters.movinet_official import read_official
from keras_video.converters.movinet_torch import read_torch
from keras_video.converters.tf_bundle import Checkpoint
from keras_video.converters.weight_map import check

CLASSIFIER = "classifier/*"


@dataclass(frozen=True)
class Contents:
    """What a set of weights is, as far as names and shapes tell.

    A causal network with plain 3D convolutions has the same weights as the base network and is
    reported as base.

    Attributes:
        size: for example `"A0"`, or `None` for an architecture that is not in our table.
        layers: int, number of bottleneck layers.
        conv: `"3d"` or `"2plus1d"`.
        squeeze: `"3d"`, `"2plus3d"` or `"none"`.
        positional_encoding: bool.
        classes: int, outputs of the classifier, or `None` without one.
    """

    size: str | None
    layers: int
    conv: str
    squeeze: str
    positional_encoding: bool
    classes: int | None

    @property
    def network(self):
        """All but the class count: what must agree between a file and a model."""
        return (self.size, self.layers, self.conv, self.squeeze, self.positional_encoding)

    @property
    def variant(self):
        """`"base"`, `"stream"`, or `None` for a mixture that was not published."""
        if (self.conv, self.squeeze, self.positional_encoding) == ("3d", "3d", False):
            return "base"
        published = self.size is None or self.positional_encoding == (
            self.size in ("A3", "A4", "A5")
        )
        if (self.conv, self.squeeze) == ("2plus1d", "2plus3d") and published:
            return "stream"
        return None

    def __str__(self):
        name = f"MoViNet-{self.size}" if self.size else f"a MoViNet of {self.layers} layers"
        if self.variant:
            return f"{name} {self.variant} (conv {self.conv})"
        positions = "with" if self.positional_encoding else "without"
        return f"{name} (conv {self.conv}, squeeze {self.squeeze}, {positions} positional encoding)"


def describe(shapes):
    """`Contents` of a dict of our names to arrays or shapes."""
    shapes = {k: v if isinstance(v, tuple) else np.shape(v) for k, v in shapes.items()}
    layers = sum(name.endswith("_expansion/kernel") for name in shapes)
    reduce = [s for n, s in shapes.items() if n.endswith("/reduce_kernel") and len(s) == 2]
    expand = [s for n, s in shapes.items() if n.endswith("/expand_kernel") and len(s) == 2]
    doubled = any(r[0] == 2 * e[1] for r, e in zip(reduce, expand, strict=False))
    return Contents(
        size=_sizes().get((layers, _last(shapes.get("head/kernel")))),
        layers=layers,
        conv="2plus1d" if any("_feature_temporal/" in name for name in shapes) else "3d",
        squeeze="none" if not reduce else "2plus3d" if doubled else "3d",
        positional_encoding=any(name.endswith("/position_scale") for name in shapes),
        classes=_last(shapes.get("classifier/kernel")),
    )


def _last(shape):
    return shape[-1] if shape else None


def load(path, config):
    """Reads a weights file for a MoViNet.

    Args:
        path: prefix of an official checkpoint or of a SavedModel's variables (see
            `applications.pretrained.resolve_checkpoint`), or a `.pt` file of the PyTorch port.
        config: `MoViNetConfig` of the model to fill.

    Returns:
        `(named, contents)`: a dict of our names to arrays that fit `config` and the file's own
        number of classes, which is `contents.classes`. Where the model has another number, load
        with `weight_map.assign(model, named, skip=(CLASSIFIER,))`.

    Raises:
        ValueError: if the file holds another network; says which, and how to build it.
    """
    if Path(f"{path}.index").is_file():
        blocks = [block.name for block in config.plan().blocks]
        named = read_official(Checkpoint(path), blocks)
    elif Path(path).is_file():
        named = read_torch(path)
    else:
        raise ValueError(
            f"weights: expected a checkpoint prefix or a PyTorch file, got {path}, "
            "which does not exist."
        )
    return named, check_contents(named, config, path)


def check_contents(named, config, path):
    """Raises unless weights by our names fit `config` in all but the class count.

    Args:
        named: dict of our names to arrays.
        config: `MoViNetConfig` of the model to fill.
        path: where they come from, for the error.

    Returns:
        `Contents`.
    """
    contents = describe(named)
    wanted = describe(config.weight_shapes())
    if contents.network != wanted.network:
        raise ValueError(
            f"weights: {path} holds {contents}, the model is {wanted}; {_hint(contents)}."
        )
    expected = config.weight_shapes(contents.classes or 1, include_top=contents.classes is not None)
    check(named, expected)
    return contents


def _sizes():
    """`{(number of layers, head filters): name}`: enough to tell the published networks apart."""
    return {
        (sum(map(len, config.stages)), config.project): name.removeprefix("movinet_").upper()
        for name, config in CONFIGS.items()
    }


def _hint(contents):
    model = f"use MoViNet{contents.size}" if contents.size else "use its own architecture"
    if contents.variant == "base":
        return f"{model} with causal=False, streaming=False"
    if contents.variant == "stream":
        return f"{model} with causal=True or streaming=True"
    return (
        f"{model} with causal=True, conv={contents.conv!r}, squeeze={contents.squeeze!r}, "
        f"positional_encoding={contents.positional_encoding}"
    )
