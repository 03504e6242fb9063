"""Tiny Video Network weights in TensorFlow checkpoints with the published variable names.

`load(path, config)` brings them to the names and layouts of this library. TF1 Hub modules and
SavedModels have their variables in a checkpoint `variables/variables`. None of the published files
was available: the scope in front of the names is found from the file, and a file is accepted if
names and shapes fit.
"""

import re

import numpy as np

from keras_video.checkpoints.tensorflow import Checkpoint
from keras_video.checkpoints.weight_map import check_network
from keras_video.specs import Depthwise, Pool

BOTH = ("kernel", "bias")
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
LEAVES = "kernel|depthwise_kernel|bias|" + "|".join(NORM)
# A scope, then a name of the published code. Names of optimizer slots and averages are longer.
NAME = re.compile(rf"(|.*/)((?:Block-\d+-\d+/(?:[^/]+/)*|dense/)(?:{LEAVES}))")


def published_names(config, frames=None):
    """Return `{our name: name in the published code}` of all variables of a model.

    The published code has no non-local layers; their names follow its style.

    Args:
        config: `TinyVideoNetConfig`.
        frames: int, number of frames of the model. Default: that of the config.
    """
    names = {}
    for application in config.plan(1, frames).applications:
        names |= _application_names(application)
    return names | {f"classifier/{w}": f"dense/{w}" for w in BOTH}


def _application_names(rows):
    """Return the names of one repeat of a block. TensorFlow numbers equal names in a scope."""
    _, block, repeat = re.split("block|_repeat", rows.name)
    prefix = f"Block-{block}-{repeat}"
    names = {}
    if rows.widening:
        names |= _conv(rows.widening, f"{prefix}/STConvs/Expand")
    convolutions = norms = 0
    for row in (rows.pointwise, rows.spatial, rows.temporal):
        if row is None or isinstance(row, Pool):
            continue
        if isinstance(row, Depthwise):  # a variable outside of a layer has no number
            kernel = "depthwise_kernel"
        else:
            kernel, convolutions = f"{_numbered('conv2d', convolutions)}/kernel", convolutions + 1
        names[f"{row.name}/kernel"] = f"{prefix}/STConvs/{kernel}"
        norm, norms = f"{prefix}/STConvs/{_numbered('batch_normalization', norms)}", norms + 1
        names |= {f"{row.name}/{w}": f"{norm}/{w}" for w in NORM}
    if rows.expansion:
        names |= _conv(rows.expansion, f"{prefix}/Expand")
    if rows.squeeze_excite:
        for number, ours in enumerate(("reduce", "expand")):
            scope = f"{prefix}/SqueezeExcite/{_numbered('conv2d', number)}"
            names |= {f"{rows.squeeze_excite.name}/{ours}_{w}": f"{scope}/{w}" for w in BOTH}
    if rows.context_gate:
        scope = f"{prefix}/ContextGate/conv2d"
        names |= {f"{rows.context_gate.name}/gate_{w}": f"{scope}/{w}" for w in BOTH}
    if rows.non_local:
        for number, ours in enumerate(("theta", "phi", "g")):
            scope = f"{prefix}/NonLocal/{_numbered('conv2d', number)}"
            names[f"{rows.non_local.name}/{ours}_kernel"] = f"{scope}/kernel"
        names |= _conv(rows.non_local, f"{prefix}/NonLocal", number=3)
    if rows.projection:
        names |= _conv(rows.projection, prefix)
    if rows.skip:
        names |= _conv(rows.skip, f"{prefix}/Residual")
    return names


def _conv(row, scope, number=0):
    names = {f"{row.name}/kernel": f"{scope}/{_numbered('conv2d', number)}/kernel"}
    return names | {f"{row.name}/{w}": f"{scope}/batch_normalization/{w}" for w in NORM}


def _numbered(name, number):
    return f"{name}_{number}" if number else name


def to_ours(name, theirs, array):
    """Return an array of the published code in our layout.

    Args:
        name, theirs: strings, our name, such as `"block0_repeat0_spatial/kernel"`, and the
            published name.
        array: array. Arrays with an unexpected rank are returned unchanged.
    """
    owner, leaf = name.split("/")
    if array.ndim != 4:
        return array
    if leaf != "kernel":  # a gate: 1x1 convolution of the mean
        return array.reshape(array.shape[2:]) if array.shape[:2] == (1, 1) else array
    if owner.endswith("_temporal"):
        return array[:, :, None]  # [k, 1, in, out] -> [k, 1, 1, in, out]
    if theirs.endswith("/depthwise_kernel"):
        return array.swapaxes(2, 3)[None]  # [k, k, channels, 1] -> [1, k, k, 1, channels]
    return array[None]


def load(path, config, frames=None):
    """Read a checkpoint for a Tiny Video Network.

    Args:
        path: string, prefix of a checkpoint, such as `module/variables/variables`.
        config: `TinyVideoNetConfig` of the model to fill.
        frames: int, number of frames of the model. Default: that of the config.

    Returns:
        `(named, classes)`: a dict of our names to arrays that fit `config`, and the number of
        classes in the file, or `None` without a classifier.

    Raises:
        ValueError: if the file contains another network; lists all differences.
    """
    names = published_names(config, frames)
    checkpoint = Checkpoint(path)
    graph = checkpoint.graph
    keys = graph.names() if graph else {key: key for key in checkpoint.keys()}
    keys = _without_scope(keys, set(names.values()))
    if not keys:
        raise ValueError(
            f"weights: expected variables called Block-0-0/... and dense/kernel, got "
            f"{checkpoint.keys()[:6]} from {path}."
        )
    ours = {theirs: name for name, theirs in names.items()}
    named = {}
    for theirs, key in keys.items():
        name = ours.get(theirs, theirs)  # unknown names are reported by check_network
        array = np.asarray(checkpoint.read(key))
        named[name] = to_ours(name, theirs, array) if theirs in ours else array
    return named, check_contents(named, config, path, frames)


def _without_scope(keys, wanted):
    """Return `{published name: key}` in the scope with most of the wanted names.

    Of equal scopes the shortest is taken: copies, such as averages, have longer ones.
    """
    scopes = {}
    for name, key in keys.items():
        match = NAME.fullmatch(name.removesuffix(":0"))
        if match:
            scopes.setdefault(match[1], {})[match[2]] = key
    if not scopes:
        return {}
    best = min(scopes, key=lambda scope: (-len(wanted & set(scopes[scope])), len(scope), scope))
    return scopes[best]


def check_contents(named, config, path, frames=None):
    """Check that weights fit `config`, with any number of classes.

    Args:
        named: dict of our names to arrays.
        config: `TinyVideoNetConfig` of the model to fill.
        path: string, source of the weights, for the error.
        frames: int, number of frames of the model. Default: that of the config.

    Returns:
        The number of classes, or `None` without a classifier.
    """
    frames = config.frames if frames is None else frames
    return check_network(named, config, path, frames=frames)
