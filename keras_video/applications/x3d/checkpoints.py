"""X3D weights in PyTorch files of pytorchvideo (`models/x3d.py`, Apache-2.0).

`load(path, config)` brings them to the names and layouts of this library.
"""

from keras_video.checkpoints.torch import read_state_dict
from keras_video.checkpoints.weight_map import check_network, shorten

NORM = {
    "gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
    "moving_variance": "running_var",
}  # fmt: skip


def published_names(config):
    """Return `{our name: name in the published code}` of all weights of a model.

    Args:
        config: `X3DConfig`.
    """
    plan = config.plan(1)
    # The published stem has the names of its two convolutions swapped.
    names = {
        "stem/kernel": "blocks.0.conv.conv_t.weight",
        "stem_temporal/kernel": "blocks.0.conv.conv_xy.weight",
    } | _norm("stem_temporal", "blocks.0.norm")
    for block in plan.blocks:
        stage, number = block.name.removeprefix("stage").split("_block")
        names |= _block(block, f"blocks.{stage}.res_blocks.{number}")
    head = f"blocks.{len(config.stages) + 1}"
    return {
        **names,
        "head/kernel": f"{head}.pool.pre_conv.weight",
        **_norm("head", f"{head}.pool.pre_norm"),
        "classifier_hidden/kernel": f"{head}.pool.post_conv.weight",
        "classifier/kernel": f"{head}.proj.weight",
        "classifier/bias": f"{head}.proj.bias",
    }


def _block(block, prefix):
    names = {}
    if block.shortcut:
        names[f"{block.shortcut.name}/kernel"] = f"{prefix}.branch1_conv.weight"
        if block.shortcut.norm:
            names |= _norm(block.shortcut.name, f"{prefix}.branch1_norm")
    inner = f"{prefix}.branch2"
    for row, letter in ((block.expansion, "a"), (block.feature, "b"), (block.projection, "c")):
        names[f"{row.name}/kernel"] = f"{inner}.conv_{letter}.weight"
        names |= _norm(row.name, f"{inner}.norm_{letter}" + (".0" if letter == "b" else ""))
    if block.squeeze_excite:
        for part, number in (("reduce", 0), ("expand", 2)):
            ours, theirs = f"{block.squeeze_excite.name}/{part}", f"{inner}.norm_b.1.block.{number}"
            names |= {f"{ours}_kernel": f"{theirs}.weight", f"{ours}_bias": f"{theirs}.bias"}
    return names


def _norm(layer, prefix):
    return {f"{layer}/{ours}": f"{prefix}.{theirs}" for ours, theirs in NORM.items()}


def to_ours(name, array):
    """Transpose kernels from `(out, in, ...)` to our layout; return other arrays unchanged."""
    owner, leaf = name.split("/")
    if not leaf.endswith("kernel") or array.ndim not in (2, 5):
        return array
    array = array.transpose(*range(2, array.ndim), 1, 0)
    dense = leaf != "kernel" or owner.startswith("classifier")
    # In the published code gates and the hidden layer are 1x1x1 convolutions.
    return array.reshape(array.shape[-2:]) if dense and set(array.shape[:-2]) == {1} else array


def load(path, config):
    """Read a PyTorch file for an X3D.

    Args:
        path: string, a `.pyth` or `.pth` file.
        config: `X3DConfig` of the model to fill.

    Returns:
        `(named, classes)`: a dict of our names to arrays that fit `config`, and the number of
        classes in the file, or `None` without a classifier.

    Raises:
        ValueError: if the file contains another network; lists all differences.
    """
    return from_torch(read_state_dict(path), config, path)


def from_torch(state, config, path="the state dict"):
    """Like `load`, from a state dict of NumPy arrays."""
    names = {theirs: ours for ours, theirs in published_names(config).items()}
    if not set(names) & set(state):
        raise ValueError(
            f"weights: expected the names of pytorchvideo, such as blocks.0.conv.conv_t.weight, "
            f"got {shorten(state)} from {path}."
        )
    named = {}
    for theirs, array in state.items():
        name = names.get(theirs)  # unknown names are reported by check_network
        named[name or theirs] = to_ours(name, array) if name else array
    return named, check_network(named, config, path)
