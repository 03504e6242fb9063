"""bLVNet-TAM weights in PyTorch files of the official project (IBM/bLVNet-TAM, `.pth.tar`).

`load(path, config)` brings them to the names and layouts of this library. Three kinds of files are
read: published video models; the ImageNet models that they were started from, with `fc` instead of
`new_fc` and no temporal aggregation; and training checkpoints with the prefix `module.` of all
names. Names and shapes were read from the code; none of the files was available.
"""

import numpy as np

from keras_video.checkpoints.torch import read_state_dict
from keras_video.checkpoints.weight_map import check_network

TEMPORAL = "*_temporal/*"  # our names of temporal aggregations
CLASSIFIER = "classifier/kernel"
NORM = {
    "gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
    "moving_variance": "running_var",
}  # fmt: skip
STEM = {
    "stem": ("conv1", "bn1"),
    "stem_big": ("b_conv0", "bn_b0"),
    "stem_little0": ("l_conv0", "bn_l0"),
    "stem_little1": ("l_conv1", "bn_l1"),
    "stem_merge": ("l_conv2", "bn_l2"),
    "stem_fusion": ("bl_init", "bn_bl_init"),
}


def published_names(config):
    """Return `{published name without "baseline_model.": (our name, row)}`.

    `row` is an int if the published array is one row of our array, else `None`. The classifier is
    called `new_fc`.
    """
    plan = config.plan(1)
    names = _temporal(plan.stem.temporal, "tam")
    for ours, (conv, norm) in STEM.items():
        names |= _conv(ours, conv, norm)
    for number, stage in enumerate(plan.stages, 1):
        prefix = f"layer{number}"
        names |= _temporal(stage.temporal, f"{prefix}.tam")
        for branch in ("big", "little"):
            for i, block in enumerate(getattr(stage, branch)):
                names |= _residual(block, f"{prefix}.{branch}.{i}")
        names |= _conv(stage.merge.name, f"{prefix}.little_e.0", f"{prefix}.little_e.1")
        names |= _residual(stage.fusion, f"{prefix}.fusion.0")
    for i, block in enumerate(plan.last):
        names |= _residual(block, f"layer4.{i}")
    classifier = {"new_fc.weight": CLASSIFIER, "new_fc.bias": "classifier/bias"}
    return names | {theirs: (ours, None) for theirs, ours in classifier.items()}


def _residual(block, prefix):
    names = _temporal(block.temporal, f"{prefix}.tam")
    for i, row in enumerate((block.reduce, block.spatial, block.expand), 1):
        names |= _conv(row.name, f"{prefix}.conv{i}", f"{prefix}.bn{i}")
    if block.shortcut is not None:
        first = 0 if block.pool is None else 1  # the pool is the first layer of the sequence
        sequence = (f"{prefix}.downsample.{first + i}" for i in (0, 1))
        names |= _conv(block.shortcut.name, *sequence)
    return names


def _conv(ours, conv, norm):
    names = {f"{conv}.weight": (f"{ours}/kernel", None)}
    return names | {f"{norm}.{theirs}": (f"{ours}/{leaf}", None) for leaf, theirs in NORM.items()}


def _temporal(row, prefix):
    if row is None or row.fixed:
        return {}
    parts = [f"blending_layers.{i}" for i in range(row.frames)]
    if row.frames == 3:
        parts = ["prev", "curr", "next"]
    return {f"{prefix}.{part}.weight": (f"{row.name}/kernel", i) for i, part in enumerate(parts)}


def load(path, config):
    """Read a PyTorch file for a bLVNet-TAM.

    Args:
        path: string.
        config: `BLVNetTAMConfig` of the network to fill.

    Returns:
        `(named, classes)`: a dict of our names to arrays that fit `config`, and the number of
        classes in the file, or `None` without a classifier. ImageNet files give neither a
        classifier nor temporal aggregations.

    Raises:
        ValueError: if the file contains another network; lists all differences.
    """
    state = {}
    for key, array in read_state_dict(path).items():
        short = key.removeprefix("module.").removeprefix("baseline_model.")
        if short.endswith(".num_batches_tracked"):
            continue
        if short.startswith("fc."):
            short = f"new_{short}"
        state[key if short in state else short] = array
    names = published_names(config)
    if _is_image_network(state, names):
        names = {theirs: ours for theirs, ours in names.items() if ".tam." not in f".{theirs}"}
        for leaf in ("weight", "bias"):
            names.pop(f"new_fc.{leaf}")
            state.pop(f"new_fc.{leaf}", None)
    if "conv1.weight" in state:
        state["conv1.weight"] = _match_channels(state["conv1.weight"], config.input_channels)
    classes = len(state["new_fc.weight"]) if "new_fc.weight" in state else None
    _check_state(state, names, config, classes, path)
    return _to_ours(state, names), classes


def _is_image_network(state, names):
    def has_temporal(keys):
        return any(".tam." in f".{key}" for key in keys)

    return has_temporal(names) and not has_temporal(state)


def _match_channels(kernel, channels):
    """Adapt the first kernel from RGB to optical flow: repeat the mean over the colours."""
    if kernel.ndim != 4 or kernel.shape[1] != 3 or channels == 3:
        return kernel
    return kernel.mean(axis=1, keepdims=True).repeat(channels, axis=1)


def _check_state(state, names, config, classes, path):
    """Raise one error that lists all missing, unexpected and wrongly shaped arrays."""
    shapes = _published_shapes(names, config, classes or 1)
    missing = [name for name in shapes if name not in state]
    superfluous = [name for name in state if name not in shapes]
    misshaped = [
        f"{name}: expected {shapes[name]}, got {state[name].shape}"
        for name in shapes
        if name in state and shapes[name] != state[name].shape
    ]
    problems = {"missing": missing, "unexpected": superfluous, "of another shape": misshaped}
    problems = {kind: found for kind, found in problems.items() if found}
    if problems:
        counts = ", ".join(f"{len(found)} {kind}" for kind, found in problems.items())
        lines = [f"\n  {kind}: {', '.join(found)}" for kind, found in problems.items()]
        raise ValueError(
            f"weights: {path} does not fit {config.name}: expected {len(shapes)} arrays, got "
            f"{len(state)}: {counts}.{''.join(lines)}\n  The arrays depend on the depth and on the "
            "options alpha, beta, blending_frames, input_channels and width."
        )


def _published_shapes(names, config, classes):
    """Return `{published name: published shape}`."""
    ours = config.weight_shapes(classes)
    shapes = {}
    for theirs, (name, row) in names.items():
        shape = ours[name]
        if row is not None:
            shape = (shape[1], 1, 1, 1)
        elif len(shape) > 1:  # (1, height, width, in, out) or (in, out)
            shape = (shape[-1], shape[-2], *shape[1:-2])
        shapes[theirs] = shape
    return shapes


def _to_ours(state, names):
    named, rows = {}, {}
    for theirs, (name, row) in names.items():
        array = state[theirs]
        if row is not None:
            rows.setdefault(name, []).append(array[:, 0, 0, 0])
        elif array.ndim == 4:
            named[name] = array.transpose(2, 3, 1, 0)[None]
        else:
            named[name] = array.T
    return named | {name: np.stack(parts) for name, parts in rows.items()}


def is_image_network(named, config):
    """Return whether weights lack the temporal aggregations of a model.

    Args:
        named: dict of our names to arrays, or `None`.
        config: `BLVNetTAMConfig`.
    """

    def has_temporal(names):
        return any(name.endswith("_temporal/kernel") for name in names)

    return named is not None and has_temporal(config.weight_shapes()) and not has_temporal(named)


def check_contents(named, config, path):
    """Check that weights fit `config`, with any number of classes.

    Args:
        named: dict of our names to arrays. Those of an image model may lack the aggregations.
        config: `BLVNetTAMConfig` of the model to fill.
        path: string, source of the weights, for the error.

    Returns:
        The number of classes, or `None` without a classifier.
    """
    skip = (TEMPORAL,) if is_image_network(named, config) else ()
    return check_network(named, config, path, skip)
