"""Loads MoViNet weights from other projects into our names and layouts.

The way in is `load(path, config)`. Two sources are understood: official TensorFlow checkpoints and
SavedModels (`movinet_official.py`) and the PyTorch port of Atze00 (`movinet_torch.py`).

Names and layouts of the official MoViNet checkpoints (TensorFlow Model Garden, Hub, Kaggle).

A checkpoint is read by walking its object graph by child names, so it does not matter under which
root (`model/`, `backbone/`) a variable is stored, nor what lies beside it. Where no object of the
graph looks like a MoViNet backbone, or there is no graph, the names that TensorFlow gave the
variables are used (`b0/l0/bneck/expansion/conv3d/kernel`).

Checked against the names and shapes of every variable of the official A0 base and stream models. No
published file could be read here: the form of Hub and Kaggle files is inferred from public threads
and from the key translation in Atze00/MoViNet-pytorch.

Names and layouts of the PyTorch port Atze00/MoViNet-pytorch (MIT), files `..._statedict_v3`.

The port has A0-A5 base and A0-A2 stream. Its names and shapes were read from its source; none of
its weights files could be opened here. Its tests claim equality with TensorFlow Hub to 1e-4 in the
`tf_like` mode of its pretrained models, which pads as TensorFlow does. Weights trained with
`tf_like=False` load as well, but were made with symmetric padding: outputs differ at even sizes.

Streaming states under the names and in the form of the official MoViNet models.
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
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def _conv(ours, theirs, temporal=""):
    """Kernel and batch norm of a conv unit: our name to the path below the object."""
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


def read_official(checkpoint, blocks):
    """All MoViNet weights of a checkpoint under our names.

    Args:
        checkpoint: `tf_bundle.Checkpoint`.
        blocks: our names of the bottleneck layers, in order.

    Returns:
        dict, our name to array. Optimizer slots, averages and counters are left out.
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
            f"weights: {checkpoint.prefix} holds no MoViNet. Expected objects or variables called "
            f"stem, block layers and head; found the objects {objects} and the tensors "
            f"{shorten(checkpoint.keys())}."
        )
    return {name: to_ours(name, checkpoint.read(key)) for name, key in keys.items()}


def official_key(name, blocks, conv="3d", root="model"):
    """Checkpoint key of one of our names, as the official code would save it.

    Args:
        name: for example `"block0_layer0_expansion/kernel"`.
        blocks: our names of the bottleneck layers, in order.
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
            return f"{owner}/{path}{SUFFIX}"
    raise ValueError(f"weights: {name!r} is not the name of a MoViNet weight.")


def to_ours(name, array):
    """Brings a kernel to our layout; other arrays, and shapes that are not understood, pass."""
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
    """`{our name: checkpoint key}` by child names, or `None` if nothing looks like a MoViNet."""
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
    if len(layers) - 2 != len(blocks):  # another network: any names will do to describe it
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
            f"weights: expected a MoViNet, but {len(unknown)} of its variables are not known: "
            f"{shorten(unknown)}."
        )
    return found


def _preference(candidate):
    """Sorts shadow copies, such as averages kept beside the model, to the end."""
    return candidate[0].split("/")[0] not in ("", "model", "backbone")


def _backbone_layers(graph, node):
    """The stem, bottleneck and head objects below a node in order, if it is a backbone."""
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
    """Looks up the paths of a table; a kernel may sit one object deeper, in the 2D forms."""
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
    """`{our name: checkpoint key}` from TensorFlow variable names.

    Args:
        names: dict, variable name to checkpoint key. Names that belong to no MoViNet are ignored.
    """
    found = {}
    for name, key in names.items():
        ours = _ours_from_name(name.removesuffix(":0"))
        if ours and found.setdefault(ours, key) != key:
            raise ValueError(f"weights: both {found[ours]} and {key} are called {ours}.")
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
        name = torch_name(key)
        if name is None or name in named:
            unknown.append(key)
        else:
            named[name] = torch_layout(name, array)
    if unknown:
        raise ValueError(
            "weights: expected the names of Atze00/MoViNet-pytorch, such as "
            f"conv1.conv_1.conv3d.weight; got {len(unknown)} others: {shorten(unknown)}."
        )
    return named


def torch_name(key):
    """Our name of one parameter of the port, or `None`."""
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


_BUFFERS = ("feature", "feature_temporal")


def official_states(state):
    """Translates a state of ours, for comparison with official models and LiteRT files.

    Official pools carry the sum over frames, ours the mean. Official counts are shared by the
    batch, ours belong to each sample: all samples must be at the same frame.

    Args:
        state: `{layer name: array or tuple of arrays}`, as a streaming MoViNet returns it.

    Returns:
        dict, for example `state_block1_layer0_stream_buffer` `(batch, frames, h, w, channels)`,
        `state_block1_layer0_pool_buffer` `(batch, 1, 1, 1, channels)` and
        `state_block1_layer0_pool_frame_count` `(1,)`. Counts of the positional encoding, which ours
        shares with the pool, are given beside it as `pos_enc_frame_count`.
    """
    from keras import ops, tree

    states = {}
    for layer, value in state.items():
        value = tree.map_structure(ops.convert_to_numpy, value)
        if layer == "head_pool":
            states |= _pool("state_head_pool", value)
            continue
        block, number, part = layer.split("_", 2)  # block1, layer0, squeeze_excite
        name = f"state_{block}_{number}"
        if part in _BUFFERS:
            states[f"{name}_stream_buffer"] = value
        elif isinstance(value, (tuple, list)):
            states |= _pool(f"{name}_pool", value)
            states[f"{name}_pos_enc_frame_count"] = states[f"{name}_pool_frame_count"]
        else:
            states[f"{name}_pos_enc_frame_count"] = _count(value)
    return states


def _pool(name, value):
    mean, count = value
    sums = mean * count[:, None]
    return {
        f"{name}_buffer": sums[:, None, None, None, :].astype("float32"),
        f"{name}_frame_count": _count(count),
    }


def _count(count):
    if (count != count[0]).any():
        raise ValueError(
            f"state: expected all samples at the same frame, got counts {count.tolist()}."
        )
    return count[:1].astype("int32")
