"""MoViNet weights in files of other projects, brought to the names and layouts of this library.

`load(path, config)` reads official TensorFlow checkpoints and SavedModels, and state dicts of the
PyTorch port Atze00/MoViNet-pytorch. `describe` says which network a set of weights belongs to.
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_video.applications.movinet.config import CONFIGS
from keras_video.checkpoints.tensorflow import Checkpoint
from keras_video.checkpoints.torch import read_state_dict
from keras_video.checkpoints.weight_map import check, shorten

NORM = ("gamma", "beta", "moving_mean", "moving_variance")

# Official checkpoints (TensorFlow Model Garden, Hub, Kaggle).
#
# A checkpoint is read by walking its object graph by child names. The root (`model/`, `backbone/`)
# and other objects in the file do not matter. If there is no graph, or no object in it looks like a
# MoViNet backbone, the names of the TensorFlow variables are used, such as
# `b0/l0/bneck/expansion/conv3d/kernel`.
#
# The names and shapes of all variables of the official A0 base and stream models were checked. No
# published file was available: the format of Hub and Kaggle files is inferred from public threads
# and from the key translation in Atze00/MoViNet-pytorch.


def _conv(ours, theirs, temporal=""):
    """Return `{our name: path below the object}` of a convolution and its batch norm."""
    names = {f"{ours}/kernel": f"{theirs}/_conv{temporal}/kernel"}
    return names | {f"{ours}/{w}": f"{theirs}/_batch_norm{temporal}/{w}" for w in NORM}


def _dense(ours, theirs, prefix=""):
    return {f"{ours}/{prefix}{w}": f"{theirs}/_conv/{w}" for w in ("kernel", "bias")}


STEM = _conv("stem", "_stem")
LAYER = {
    **_conv("_expansion", "_expansion"),
    **_conv("_feature", "_feature"),
    **_conv("_feature_temporal", "_feature", "_temporal"),
    **_dense("_squeeze_excite", "_attention/_se_reduce", "reduce_"),
    **_dense("_squeeze_excite", "_attention/_se_expand", "expand_"),
    "_squeeze_excite/position_scale": "_attention/_pos_encoding/_rezero/scale",
    **_conv("_projection", "_projection"),
    "_rezero/scale": "_mobile_bottleneck/_rezero/scale",
    **_conv("_skip", "_skip/_projection"),
}
HEAD = _conv("head", "_project")
OFFICIAL_CLASSIFIER = {
    **_dense("classifier_hidden", "_head"),
    **_dense("classifier", "_classifier"),
}


def to_ours(name, array):
    """Return a kernel in the layout of this library; other arrays are returned unchanged."""
    owner, leaf = name.split("/")
    if leaf != "kernel" or owner.startswith("classifier"):
        if leaf.endswith("kernel") and array.ndim > 2 and set(array.shape[:-2]) == {1}:
            return array.reshape(array.shape[-2:])  # 1x1x1 convolution -> dense
        return array
    if array.ndim != 4:
        return array
    if owner.endswith("_feature_temporal"):
        return array.swapaxes(2, 3)[:, None]  # [kt, 1, c, 1] -> [kt, 1, 1, 1, c]
    if owner.endswith("_feature"):
        return array.swapaxes(2, 3)[None]  # [kh, kw, c, 1] -> [1, kh, kw, 1, c]
    return array[None]  # [kh, kw, in, out] -> [1, kh, kw, in, out]


def _find_in_graph(graph, blocks):
    """Return `{our name: checkpoint key}` by child names, or `None` if there is no MoViNet."""
    backbones, heads = [], []
    for path, node in graph.walk():
        layers = _backbone_layers(graph, node)
        if layers:
            backbones.append((path, node, layers))
        if {"_head", "_classifier"} <= set(graph.children(node)):
            heads.append((path, node))
    if not backbones:
        return None
    _, backbone, layers = min(backbones, key=_preference)
    if len(layers) - 2 != len(blocks):  # another network: only described in an error
        blocks = [f"block0_layer{n}" for n in range(len(layers) - 2)]
    tables = [STEM, *({b + k: v for k, v in LAYER.items()} for b in blocks), HEAD]
    found, owners = {}, [backbone]
    for node, table in zip(layers, tables, strict=True):
        found |= _find_all(graph, node, table)
    if heads:
        owners.append(min(heads, key=_preference)[1])
        found |= _find_all(graph, owners[1], OFFICIAL_CLASSIFIER)
    below = {key: path for node in owners for path, key in graph.variables(node).items()}
    unknown = sorted(below[key] for key in set(below) - set(found.values()))
    if unknown:
        raise ValueError(
            f"weights: expected the variables of a MoViNet, got {len(unknown)} unknown ones: "
            f"{shorten(unknown)}."
        )
    return found


def _preference(candidate):
    """Sort copies, such as averages of the weights, to the end."""
    return candidate[0].split("/")[0] not in ("", "model", "backbone")


def _backbone_layers(graph, node):
    """Return the stem, bottleneck and head objects below a node, if it is a backbone."""
    for prefix in ("layer_with_weights-", "layer-"):
        numbered = {
            int(name.removeprefix(prefix)): child
            for name, child in graph.children(node).items()
            if re.fullmatch(prefix + r"\d{1,6}", name)
        }
        layers = [(numbered[n], set(graph.children(numbered[n]))) for n in sorted(numbered)]
        stems = [n for n, names in layers if "_stem" in names]
        bottlenecks = [n for n, names in layers if {"_expansion", "_projection"} <= names]
        heads = [n for n, names in layers if "_project" in names]
        if len(stems) == len(heads) == 1 and bottlenecks:
            return [*stems, *bottlenecks, *heads]
    return None


def _find_all(graph, node, table):
    """Look up the paths of a table. Kernels of 2D convolutions can be one object deeper."""
    found = {}
    for name, path in table.items():
        *objects, variable = path.split("/")
        key = graph.find(*objects, variable, root=node)
        for alias in (variable, f"depthwise_{variable}"):
            key = key or graph.find(*objects, "_conv", alias, root=node)
        if key:
            found[name] = key
    return found


LAYER_NAME = re.compile(r"(?:^|/)(?:b(\d+)/l(\d+)|block(\d+)_layer(\d+))/(.*)$")
UNIT_NAMES = {
    "expansion": "_expansion", "feature": "_feature", "projection": "_projection",
    "skip_project": "_skip", "se_reduce": "_squeeze_excite/reduce_",
    "se_expand": "_squeeze_excite/expand_",
}  # fmt: skip
OUTER_NAMES = {
    ("stem", "stem"): "stem", ("head", "project"): "head",
    ("classifier_head", "head"): "classifier_hidden/",
    ("classifier_head", "classifier"): "classifier/",
}  # fmt: skip
LEAVES = {"kernel", "depthwise_kernel", "bias", "scale", *NORM}


def find_by_name(names):
    """Return `{our name: checkpoint key}` from the names of TensorFlow variables.

    Args:
        names: dict, variable name to checkpoint key. Names of other variables are ignored.
    """
    found = {}
    for name, key in names.items():
        ours = _ours_from_name(name.removesuffix(":0"))
        if ours and found.setdefault(ours, key) != key:
            raise ValueError(
                f"weights: expected one variable for {ours}, got {found[ours]} and {key}."
            )
    return found


def _ours_from_name(name):
    parts = name.split("/")
    leaf = parts[-1]
    if leaf not in LEAVES:
        return None
    match = LAYER_NAME.search(name)
    if match:
        b0, l0, b1, l1, rest = match.groups()
        block = f"block{int(b0 or b1 or 0)}_layer{int(l0 or l1 or 0)}"
        if leaf == "scale":
            positions = "pos_enc" in rest
            return block + ("_squeeze_excite/position_scale" if positions else "_rezero/scale")
        units = [UNIT_NAMES[part] for part in rest.split("/") if part in UNIT_NAMES]
        unit = block + units[-1] if units else None
    else:
        pairs = zip(parts, parts[1:], strict=False)
        units = [OUTER_NAMES[pair] for pair in pairs if pair in OUTER_NAMES]
        unit = units[-1] if units else None
    if unit is None:
        return None
    leaf = leaf.removeprefix("depthwise_")
    if unit.endswith(("/", "reduce_", "expand_")):
        return unit + leaf
    temporal = "_temporal" if any(part.endswith("_temporal") for part in parts) else ""
    return f"{unit}{temporal}/{leaf}"


def read_official(checkpoint, blocks):
    """Return all MoViNet weights of a checkpoint under the names of this library.

    Args:
        checkpoint: `checkpoints.tensorflow.Checkpoint`.
        blocks: names of the bottleneck layers in this library, in order.

    Returns:
        Dict, name to array, without optimizer slots, averages and counters.
    """
    keys = None
    if checkpoint.graph is not None:
        keys = _find_in_graph(checkpoint.graph, blocks)
    if keys is None:
        names = checkpoint.graph.names() if checkpoint.graph else {k: k for k in checkpoint.keys()}
        keys = find_by_name(names)
    if not keys:
        graph = checkpoint.graph
        objects = sorted(graph.children(0)) if graph else []
        raise ValueError(
            f"weights: expected a MoViNet with stem, block layers and head, got "
            f"{checkpoint.prefix} with the objects {objects} and the tensors "
            f"{shorten(checkpoint.keys())}."
        )
    return {name: to_ours(name, checkpoint.read(key)) for name, key in keys.items()}


# The PyTorch port Atze00/MoViNet-pytorch (MIT), files `..._statedict_v3`.
#
# The port has A0-A5 base and A0-A2 stream. Its names and shapes were read from its source; none of
# its weights files was available. Its tests claim equality with TensorFlow Hub to 1e-4 in the
# `tf_like` mode of its pretrained models, which pads like TensorFlow. Weights trained with
# `tf_like=False` can be loaded as well, but were trained with symmetric padding: outputs differ for
# even sizes.

TORCH_NORM = {
    "weight": "gamma", "bias": "beta", "running_mean": "moving_mean",
    "running_var": "moving_variance",
}  # fmt: skip
TORCH_UNITS = {
    "expand": "_expansion", "deep": "_feature", "project": "_projection", "res.0": "_skip",
    "res.1": "_skip",
}  # fmt: skip
TORCH_CONV = re.compile(
    r"(conv1|conv7|blocks\.b(\d+)_l(\d+)\.(expand|deep|project|res\.[01]))"
    r"\.conv_([12])\.(conv[23]d|norm)\.(\w+)"
)
TORCH_SQUEEZE = re.compile(r"blocks\.b(\d+)_l(\d+)\.se\.fc([12])\.conv_1\.conv[23]d\.(weight|bias)")
TORCH_ALPHA = re.compile(r"blocks\.b(\d+)_l(\d+)\.alpha")
TORCH_CLASSIFIER = re.compile(r"classifier\.([03])\.conv_1\.conv[23]d\.(weight|bias)")


def read_torch(path):
    """Return all weights of a state dict file under the names of this library.

    No code in the file is executed, see `checkpoints.torch.read_state_dict`.
    """
    return from_torch(read_state_dict(path))


def from_torch(state):
    """Rename and transpose the NumPy arrays of a state dict."""
    named, unknown = {}, []
    for key, array in state.items():
        key = key.removeprefix("module.")
        if key.endswith(".num_batches_tracked"):
            continue
        name = torch_name(key)
        if name is None or name in named:
            unknown.append(key)
        else:
            named[name] = torch_layout(name, array)
    if unknown:
        raise ValueError(
            "weights: expected the names of Atze00/MoViNet-pytorch, such as "
            f"conv1.conv_1.conv3d.weight, got {len(unknown)} others: {shorten(unknown)}."
        )
    return named


def torch_name(key):
    """Return our name of a parameter of the port, or `None`."""
    if match := TORCH_CONV.fullmatch(key):
        outer, b, layer, unit, part, kind, leaf = match.groups()
        name = {"conv1": "stem", "conv7": "head"}.get(outer)
        name = name or f"block{b}_layer{layer}{TORCH_UNITS[unit]}"
        if part == "2":
            name += "_temporal"
        leaf = TORCH_NORM.get(leaf) if kind == "norm" else {"weight": "kernel"}.get(leaf)
        return f"{name}/{leaf}" if leaf else None
    if match := TORCH_SQUEEZE.fullmatch(key):
        b, layer, number, leaf = match.groups()
        leaf = {"weight": "kernel", "bias": "bias"}[leaf]
        return (
            f"block{b}_layer{layer}_squeeze_excite/{'reduce' if number == '1' else 'expand'}_{leaf}"
        )
    if match := TORCH_ALPHA.fullmatch(key):
        return f"block{match[1]}_layer{match[2]}_rezero/scale"
    if match := TORCH_CLASSIFIER.fullmatch(key):
        layer = "classifier_hidden" if match[1] == "0" else "classifier"
        return f"{layer}/{'kernel' if match[2] == 'weight' else 'bias'}"
    return None


def torch_layout(name, array):
    """Transpose kernels from `(out, in, ...)` to our layout; return other arrays unchanged."""
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


# What a set of weights is.


@dataclass(frozen=True)
class Contents:
    """The network that a set of weights belongs to, according to their names and shapes.

    A causal network with plain 3D convolutions has the same weights as the base network and is
    reported as base.

    Attributes:
        size: for example `"A0"`, or `None` for an unpublished architecture.
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
        """All but the number of classes: must be the same for a file and a model."""
        return (self.size, self.layers, self.conv, self.squeeze, self.positional_encoding)

    @property
    def variant(self):
        """`"base"`, `"stream"`, or `None` for an unpublished combination of options."""
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
    """Return the `Contents` of a dict of names to arrays or shapes."""
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


def _sizes():
    """Return `{(number of layers, head filters): name}`, which identifies published networks."""
    return {
        (sum(map(len, config.stages)), config.project): name.removeprefix("movinet_").upper()
        for name, config in CONFIGS.items()
    }


def _last(shape):
    return shape[-1] if shape else None


def check_contents(named, config, path):
    """Check that weights fit `config`, with any number of classes.

    Args:
        named: dict of our names to arrays.
        config: `MoViNetConfig` of the model to fill.
        path: string, source of the weights, for the error.

    Returns:
        `Contents`.
    """
    contents = describe(named)
    wanted = describe(config.weight_shapes())
    if contents.network != wanted.network:
        raise ValueError(
            f"weights: expected {wanted}, got {contents} from {path}. {_hint(contents)}."
        )
    expected = config.weight_shapes(contents.classes or 1, include_top=contents.classes is not None)
    check(named, expected)
    return contents


def _hint(contents):
    model = f"Use MoViNet{contents.size}" if contents.size else "Use its own architecture"
    if contents.variant == "base":
        return f"{model} with causal=False, streaming=False"
    if contents.variant == "stream":
        return f"{model} with causal=True or streaming=True"
    return (
        f"{model} with causal=True, conv={contents.conv!r}, squeeze={contents.squeeze!r}, "
        f"positional_encoding={contents.positional_encoding}"
    )


def load(path, config):
    """Read a weights file for a MoViNet.

    Args:
        path: string, prefix of an official checkpoint or of the variables of a SavedModel (see
            `applications.pretrained.resolve_checkpoint`), or a `.pt` file of the PyTorch port.
        config: `MoViNetConfig` of the model to fill.

    Returns:
        `(named, contents)`: a dict of our names to arrays that fit `config` with the number of
        classes in the file, and the `Contents` of the file.

    Raises:
        ValueError: if the file contains another network; says which, and how to build it.
    """
    if Path(f"{path}.index").is_file():
        blocks = [block.name for block in config.plan().blocks]
        named = read_official(Checkpoint(path), blocks)
    elif Path(path).is_file():
        named = read_torch(path)
    else:
        raise ValueError(
            f"weights: expected a checkpoint prefix or a PyTorch file, got {path}, which does not "
            "exist."
        )
    return named, check_contents(named, config, path)
