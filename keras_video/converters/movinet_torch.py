"""Names and layouts of the PyTorch port Atze00/MoViNet-pytorch (MIT), files `..._statedict_v3`.

The port has A0-A5 base and A0-A2 stream. Its names and shapes were read from its source; none of
its weights files could be opened here. Its tests claim equality with TensorFlow Hub to 1e-4 in the
`tf_like` mode of its pretrained models, which pads as TensorFlow does. Weights trained with
`tf_like=False` load as well, but were made with symmetric padding: outputs differ at even sizes.
"""

import re

from keras_video.converters.torch_file import read_state_dict
from keras_video.converters.weight_map import shorten

NORM = {
    "weight": "gamma", "bias": "beta", "running_mean": "moving_mean",
    "running_var": "moving_variance",
}  # fmt: skip
UNITS = {
    "expand": "_expansion", "deep": "_feature", "project": "_projection", "res.0": "_skip",
    "res.1": "_skip",
}  # fmt: skip
CONV = re.compile(
    r"(conv1|conv7|blocks\.b(\d+)_l(\d+)\.(expand|deep|project|res\.[01]))"
    r"\.conv_([12])\.(conv[23]d|norm)\.(\w+)"
)
SQUEEZE = re.compile(r"blocks\.b(\d+)_l(\d+)\.se\.fc([12])\.conv_1\.conv[23]d\.(weight|bias)")
ALPHA = re.compile(r"blocks\.b(\d+)_l(\d+)\.alpha")
CLASSIFIER = re.compile(r"classifier\.([03])\.conv_1\.conv[23]d\.(weight|bias)")


def read_torch(path):
    """All weights of a state dict file under our names, as NumPy arrays.

    See `torch_file.read_state_dict`: nothing in the file is executed.
    """
    return from_torch(read_state_dict(path))


def from_torch(state):
    """Renames and transposes the arrays of a state dict, given as NumPy arrays."""
    named, unknown = {}, []
    for key, array in state.items():
        key = key.removeprefix("module.")
        if key.endswith(".num_batches_tracked"):
            continue
        name = ours(key)
        if name is None or name in named:
            unknown.append(key)
        else:
            named[name] = to_ours(name, array)
    if unknown:
        raise ValueError(
            "weights: expected the names of Atze00/MoViNet-pytorch, such as "
            f"conv1.conv_1.conv3d.weight; got {len(unknown)} others: {shorten(unknown)}."
        )
    return named


def ours(key):
    """Our name of one parameter of the port, or `None`."""
    if match := CONV.fullmatch(key):
        outer, b, layer, unit, part, kind, leaf = match.groups()
        name = {"conv1": "stem", "conv7": "head"}.get(outer)
        name = name or f"block{b}_layer{layer}{UNITS[unit]}"
        if part == "2":
            name += "_temporal"
        leaf = NORM.get(leaf) if kind == "norm" else {"weight": "kernel"}.get(leaf)
        return f"{name}/{leaf}" if leaf else None
    if match := SQUEEZE.fullmatch(key):
        b, layer, number, leaf = match.groups()
        leaf = {"weight": "kernel", "bias": "bias"}[leaf]
        return (
            f"block{b}_layer{layer}_squeeze_excite/{'reduce' if number == '1' else 'expand'}_{leaf}"
        )
    if match := ALPHA.fullmatch(key):
        return f"block{match[1]}_layer{match[2]}_rezero/scale"
    if match := CLASSIFIER.fullmatch(key):
        layer = "classifier_hidden" if match[1] == "0" else "classifier"
        return f"{layer}/{'kernel' if match[2] == 'weight' else 'bias'}"
    return None


def to_ours(name, array):
    """Kernels from `(out, in, ...)` to our layout; other arrays pass."""
    owner, leaf = name.split("/")
    if not leaf.endswith("kernel") or array.ndim not in (4, 5):
        return array
    array = array.transpose(*range(2, array.ndim), 1, 0)  # (out, in, ...) -> (..., in, out)
    if leaf != "kernel" or owner.startswith("classifier"):
        return array.reshape(array.shape[-2:]) if set(array.shape[:-2]) == {1} else array
    if array.ndim == 5:
        return array
    if owner.endswith("_feature_temporal"):
        return array[:, None]  # (kt, 1, 1, c) -> (kt, 1, 1, 1, c)
    return array[None]
