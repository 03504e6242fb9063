"""Loads Tiny Video Networks from TensorFlow checkpoints with the published variable names.

TF1 Hub modules and SavedModels keep their variables as a checkpoint below `variables/`. None of
the published ones could be read here: whether a scope stands before the names, and what lies
beside them, is found out from the file, and names and shapes decide whether it fits.
"""

import re

import numpy as np

from keras_video.checkpoints.tensorflow import Checkpoint
from keras_video.checkpoints.weight_map import check
from keras_video.specs import Depthwise, Pool

BOTH = ("kernel", "bias")
NORM = ("gamma", "beta", "moving_mean", "moving_variance")
LEAVES = "kernel|depthwise_kernel|bias|" + "|".join(NORM)
# A scope, then a name as the published code gives them. Optimizer slots and averages have more
# behind it.
NAME = re.compile(rf"(|.*/)((?:Block-\d+-\d+/(?:[^/]+/)*|dense/)(?:{LEAVES}))")
CLASSIFIER = "classifier/kernel"


def published_names(config, frames=None):
    """`{our name: name in the published code}` of all variables of a network.

    Non-local layers, which the published code does not have, are named in its manner.

    Args:
        config: `TinyVideoNetConfig`.
        frames: int; the variables depend on it. Default: the network's own.
    """
    names = {}
    for application in config.plan(1, frames).applications:
        names |= _application_names(application)
    return names | {f"classifier/{w}": f"dense/{w}" for w in BOTH}


def _application_names(rows):
    """The names of one application: TensorFlow numbers what is alike within a scope."""
    _, block, repeat = re.split("block|_repeat", rows.name)
    prefix = f"Block-{block}-{repeat}"
    names = {}
    if rows.widening:
        names |= _conv(rows.widening, f"{prefix}/STConvs/Expand")
    convolutions = norms = 0
    for row in (rows.pointwise, rows.spatial, rows.temporal):
        if row is None or isinstance(row, Pool):
            continue
        if isinstance(row, Depthwise):  # a variable without a layer, which takes no number
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
    """Brings an array of the published code to our layout.

    Args:
        name, theirs: its name here, such as `"block0_repeat0_spatial/kernel"`, and there.
        array: array. One of a rank that is not expected passes as it is.
    """
    owner, leaf = name.split("/")
    if array.ndim != 4:
        return array
    if leaf != "kernel":  # of a gate: a 1x1 convolution of the mean
        return array.reshape(array.shape[2:]) if array.shape[:2] == (1, 1) else array
    if owner.endswith("_temporal"):
        return array[:, :, None]  # [k, 1, in, out] -> [k, 1, 1, in, out]
    if theirs.endswith("/depthwise_kernel"):
        return array.swapaxes(2, 3)[None]  # [k, k, channels, 1] -> [1, k, k, 1, channels]
    return array[None]


def load(path, config, frames=None):
    """Reads a checkpoint for a Tiny Video Network.

    Args:
        path: prefix of a checkpoint, such as `module/variables/variables`.
        config: `TinyVideoNetConfig` of the model to fill.
        frames: int, frames that the model is built for. Default: the network's own.

    Returns:
        `(named, classes)`: a dict of our names to arrays that fit `config`, and the number of
        classes in the file, or `None` where it has no classifier.

    Raises:
        ValueError: if the file holds another network; lists every difference.
    """
    names = published_names(config, frames)
    checkpoint = Checkpoint(path)
    graph = checkpoint.graph
    keys = graph.names() if graph else {key: key for key in checkpoint.keys()}
    keys = _without_scope(keys, set(names.values()))
    if not keys:
        raise ValueError(
            f"weights: {path} holds no Tiny Video Network. Expected variables called "
            f"Block-0-0/... and dense/kernel, got {checkpoint.keys()[:6]}."
        )
    ours = {theirs: name for name, theirs in names.items()}
    named = {}
    for theirs, key in keys.items():
        name = ours.get(theirs, theirs)  # what is not ours goes by its name into the error
        array = np.asarray(checkpoint.read(key))
        named[name] = to_ours(name, theirs, array) if theirs in ours else array
    return named, check_contents(named, config, path, frames)


def _without_scope(keys, wanted):
    """`{published name: key}` below the scope that holds most of the wanted names.

    Among equals the shortest scope wins: copies, such as averages, lie deeper.
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
    """Raises unless weights by our names fit `config` in all but the class count.

    Args:
        named: dict of our names to arrays.
        config: `TinyVideoNetConfig` of the model to fill.
        path: where they come from, for the error.
        frames: int, frames that the model is built for. Default: the network's own.

    Returns:
        The number of classes, or `None` without a classifier.
    """
    frames = config.frames if frames is None else frames
    shape = np.shape(named.get(CLASSIFIER, ()))
    classes = shape[-1] if len(shape) == 2 else None
    include_top = any(name.startswith("classifier/") for name in named)
    try:
        check(named, config.weight_shapes(classes or 1, include_top, frames))
    except ValueError as error:
        text = str(error).removeprefix("weights: ")
        raise ValueError(
            f"weights: {path} does not fit {config.name} for {frames} frames: {text}\n  The "
            "variables depend on the number of frames, on the options and on the network."
        ) from None
    return classes
