"""Names and layouts of the official MoViNet checkpoints (TensorFlow Model Garden, Hub, Kaggle).

A checkpoint is read by walking its object graph by child names, so it does not matter under which
root (`model/`, `backbone/`) a variable is stored, nor what lies beside it. Where no object of the
graph looks like a MoViNet backbone, or there is no graph, the names that TensorFlow gave the
variables are used (`b0/l0/bneck/expansion/conv3d/kernel`).

Checked against the names and shapes of every variable of the official A0 base and stream models. No
published file could be read here: the form of Hub and Kaggle files is inferred from public threads
and from the key translation in Atze00/MoViNet-pytorch.
"""

import re

from keras_video.converters.weight_map import shorten

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
CLASSIFIER = {**_dense("classifier_hidden", "_head"), **_dense("classifier", "_classifier")}


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
    tables["model/layer_with_weights-1"] = CLASSIFIER
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
        found |= _find_all(graph, owners[1], CLASSIFIER)
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
