import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from keras_video.applications.movinet import checkpoints
from keras_video.applications.movinet.checkpoints import describe, find_by_name, load
from keras_video.applications.movinet.config import A0, A1, A2, A3, CONFIGS
from tests import tf_checkpoint_writer as writer
from tests.golden_weights import official_key

REFERENCE = Path(__file__).parents[2].parent / "shared" / "reference" / "movinet"
GOLDEN = Path(__file__).parents[1] / "golden" / "movinet_a0_official_keys.json"
END = writer.ATTRIBUTE
CLASSES = 16


def shrink(config):
    """The same layers with a quarter of the channels, for small files."""
    stages = tuple(
        tuple(replace(row, filters=row.filters // 4, expand=row.expand // 4) for row in stage)
        for stage in config.stages
    )
    return replace(config, stages=stages, hidden=16)


BASE = shrink(A0)
STREAM = BASE.streaming()


def manifest(name):
    """`{official checkpoint key: shape}`, from the reference data or our copy of it."""
    if (REFERENCE / f"{name}.manifest.json").is_file():
        return json.loads((REFERENCE / f"{name}.manifest.json").read_text())
    name = name.removesuffix("_keras2gate")
    return {k + END: v for k, v in json.loads(GOLDEN.read_text())[name].items()}


def filled(shapes, seed=0):
    r = np.random.default_rng(seed)
    return {name: r.random(shape, "float32") for name, shape in shapes.items()}


def block_names(config):
    return [block.name for block in config.plan().blocks]


def save_official(prefix, config, conv, root="model", classes=CLASSES, extra=None, **options):
    """Write an official file with random weights, and return them in our layout."""
    named = filled(config.weight_shapes(classes))
    names = block_names(config)
    keys = {name: official_key(name, names, conv, root) for name in named}
    arrays = {keys[name]: theirs(name, value, conv) for name, value in named.items()}
    arrays |= extra or {}
    writer.write_checkpoint(prefix, arrays, **options)
    return named


def theirs(name, value, conv):
    """Convert our layout to the official one, independently of the library."""
    if name.endswith("kernel") and value.ndim == 2:
        return value[(None,) * (2 if conv == "2plus1d" else 3)]
    if name.endswith("kernel") and conv == "2plus1d":
        if "_feature_temporal" in name:
            kt, _, _, _, channels = value.shape
            return value.reshape(kt, 1, channels, 1)
        return np.moveaxis(value[0], 3, 2) if "_feature" in name else value[0]
    return value


def assert_same(got, expected):
    assert set(got) == set(expected)
    for name in expected:
        np.testing.assert_array_equal(got[name], expected[name], err_msg=name)


@pytest.mark.parametrize(
    "name, config, conv",
    [
        ("a0_base", A0, "3d"),
        ("a0_stream", A0.streaming(), "2plus1d"),
        ("a0_stream_keras2gate", A0.streaming(), "2plus1d"),
    ],
)
def test_every_official_key_maps_to_one_name_and_back(tmp_path, name, config, conv):
    expected = {key: tuple(shape) for key, shape in manifest(name).items()}
    names = block_names(config)
    shapes = config.weight_shapes(CLASSES)
    assert sorted(official_key(ours, names, conv) for ours in shapes) == sorted(expected)

    numbered = {key: np.full(expected[key], i, "float32") for i, key in enumerate(sorted(expected))}
    writer.write_checkpoint(tmp_path / "ckpt-1", numbered)
    named, contents = load(tmp_path / "ckpt-1", config)
    assert contents.classes == CLASSES
    assert {k: v.shape for k, v in named.items()} == shapes
    for ours, value in named.items():
        assert value.flat[0] == numbered[official_key(ours, names, conv)].flat[0]


def test_golden_keys_are_those_of_the_shared_manifests():
    if not REFERENCE.is_dir():
        pytest.skip("reference data is not here")
    for name, keys in json.loads(GOLDEN.read_text()).items():
        assert {k + END: v for k, v in keys.items()} == manifest(name)


@pytest.mark.parametrize("root", ["model", "backbone"])
@pytest.mark.parametrize(
    "config, conv", [(BASE, "3d"), (STREAM, "2plus1d"), (STREAM, "3d_2plus1d")]
)
def test_values_arrive_in_our_layout(tmp_path, config, conv, root):
    expected = save_official(tmp_path / "c", config, conv, root)
    named, contents = load(tmp_path / "c", config)
    assert_same(named, expected)
    assert contents.variant == ("base" if config is BASE else "stream")


def test_both_roots_in_one_file(tmp_path):
    """As saved by `Checkpoint(model=..., backbone=...)`: one object under two names."""
    links = {"model/layer_with_weights-0": "backbone"}
    expected = save_official(tmp_path / "c", BASE, "3d", "backbone", links=links)
    assert_same(load(tmp_path / "c", BASE)[0], expected)


def test_training_checkpoints_and_averages(tmp_path):
    blocks = block_names(BASE)
    kernel = official_key("stem/kernel", blocks).removesuffix(END)
    extra = {
        f"{kernel}/.OPTIMIZER_SLOT/optimizer/{slot}{END}": np.zeros(BASE.stem, "float32")
        for slot in ("rms", "momentum", "average")
    }
    for name, shape in BASE.weight_shapes(CLASSES).items():  # a copy next to the model
        shadow = official_key(name, blocks).replace("model/", "a_copy/", 1)
        extra[shadow] = np.zeros(shape, "float32")
    extra |= {f"optimizer/learning_rate{END}": np.float32(1.0)}
    for name in ("save_counter", "global_step", "optimizer/iter"):
        extra[f"{name}{END}"] = np.int64(3)
    expected = save_official(tmp_path / "c", BASE, "3d", extra=extra)
    assert_same(load(tmp_path / "c", BASE)[0], expected)


def test_saved_model_with_flat_variable_lists(tmp_path):
    """In a SavedModel variables also have shorter paths, and the backbone can have any name."""
    named = filled(BASE.weight_shapes(CLASSES))
    names = block_names(BASE)
    keys = {n: official_key(n, names).replace("model/", "keras_api/inner/") for n in named}
    paths = {n: key.removesuffix(END) for n, key in keys.items()}
    links = {f"variables/{i}": path for i, path in enumerate(paths.values())}
    backbone = "keras_api/inner/layer_with_weights-0"
    links |= {f"{backbone}/layer-7": f"{backbone}/layer_with_weights-7"}
    links |= {f"{backbone}/layer_with_weights-1/variables/0": paths["block0_layer0_rezero/scale"]}
    arrays = {keys[name]: theirs(name, value, "3d") for name, value in named.items()}
    writer.write_checkpoint(tmp_path / "variables" / "variables", arrays, links=links)
    assert_same(load(tmp_path / "variables" / "variables", BASE)[0], named)


def test_without_backbone_the_old_variable_names_are_used(tmp_path):
    """`b0/l0/...`, as quoted in public threads about the Hub models."""
    named = filled(STREAM.weight_shapes(CLASSES))
    old = {name: old_name(name) for name in named}
    assert len(set(old.values())) == len(named)
    keys = {name: f"variables/{i}{END}" for i, name in enumerate(named)}
    arrays = {keys[name]: theirs(name, value, "2plus1d") for name, value in named.items()}
    names = {keys[name]: old[name] for name in named}
    writer.write_checkpoint(tmp_path / "c", arrays, names=names)
    assert_same(load(tmp_path / "c", STREAM)[0], named)
    slots = {f"{old['stem/kernel']}/RMSprop": "a", "global_step": "b"}
    assert find_by_name(slots) == {}


PARTS = re.compile(
    r"(?:block(\d+)_layer(\d+)_)?"
    r"(stem|head|expansion|feature|projection|skip|squeeze_excite|rezero|classifier(?:_hidden)?)"
    r"(_temporal)?/(?:(reduce|expand)_)?(\w+)"
)
NORMS = {"gamma": "weight", "beta": "bias"}
NORMS |= {"moving_mean": "running_mean", "moving_variance": "running_var"}


def old_name(name):
    block, layer, unit, temporal, part, leaf = PARTS.fullmatch(name).groups("")
    if unit == "rezero":
        return f"b{block}/l{layer}/bneck/{leaf}"
    if part:
        number = 1 if part == "reduce" else 2
        return f"b{block}/l{layer}/se/se_{part}/conv2d/conv2d_{number}/{leaf}"
    unit = {
        "stem": "stem/stem",
        "head": "head/project",
        "classifier_hidden": "classifier_head/head",
        "classifier": "classifier_head/classifier",
        "skip": "skip/skip_project",
    }.get(unit, unit)
    owner = f"b{block}/l{layer}/bneck/{unit}" if block else unit
    if leaf in NORMS:
        return f"{owner}/bn{temporal}/{leaf}"
    depthwise = "depthwise_" if unit == "feature" else ""
    return f"{owner}/conv2d{temporal}/{depthwise}conv2d_3/{depthwise}{leaf}"


@pytest.mark.parametrize("config", CONFIGS.values(), ids=lambda c: c.name)
def test_contents_of_all_published_networks(config):
    base, stream = describe(config.weight_shapes(400)), describe(config.streaming().weight_shapes())
    size = config.name.removeprefix("movinet_").upper()
    assert str(base) == f"MoViNet-{size} base (conv 3d)" and base.classes == 400
    assert str(stream) == f"MoViNet-{size} stream (conv 2plus1d)" and stream.classes == 600
    assert stream.positional_encoding == (size in ("A3", "A4", "A5"))


def test_positional_encoding_is_read_where_it_is(tmp_path):
    config = shrink(A3).streaming()
    expected = save_official(tmp_path / "c", config, "2plus1d")
    named, contents = load(tmp_path / "c", config)
    assert contents.positional_encoding
    assert_same(named, expected)


def test_the_wrong_network_is_one_helpful_error(tmp_path):
    save_official(tmp_path / "base", BASE, "3d")
    save_official(tmp_path / "stream", STREAM, "2plus1d")
    legacy = BASE.with_options(causal=True, positional_encoding=True)
    save_official(tmp_path / "legacy", legacy, "3d")
    for file, config, message in [
        ("base", STREAM, r"expected MoViNet-A0 stream \(conv 2plus1d\), got MoViNet-A0 base "
         r"\(conv 3d\) from .*base. Use MoViNetA0 with causal=False, streaming=False\.$"),
        ("stream", BASE, "expected MoViNet-A0 base .*, got MoViNet-A0 stream .*. Use "
         "MoViNetA0 with causal=True or streaming=True"),
        ("base", A2, "expected MoViNet-A2 base .*, got MoViNet-A0 base .*. Use MoViNetA0"),
        ("legacy", BASE, "squeeze 3d, with positional encoding.*positional_encoding=True"),
        ("stream", A3.streaming(), "expected MoViNet-A3 stream .* got MoViNet-A0 stream"),
    ]:  # fmt: skip
        with pytest.raises(ValueError, match="^weights: .*" + message):
            load(tmp_path / file, config)


def test_a_file_of_something_else_says_what_it_holds(tmp_path):
    writer.write_checkpoint(tmp_path / "c", {f"net/dense/kernel{END}": np.ones((2, 2), "float32")})
    with pytest.raises(ValueError, match=r"expected a MoViNet.*\['net'\].*net/dense/kernel"):
        load(tmp_path / "c", BASE)
    with pytest.raises(ValueError, match="weights: expected a checkpoint prefix or a PyTorch file"):
        load(tmp_path / "nothing", BASE)


def test_missing_and_foreign_variables_are_errors(tmp_path):
    blocks = block_names(BASE)
    foreign = official_key("stem/kernel", blocks).replace("kernel", "strange")
    save_official(tmp_path / "a", BASE, "3d", extra={foreign: np.zeros(3, "float32")})
    with pytest.raises(ValueError, match="got 1 unknown ones: .*_stem/_conv/strange"):
        load(tmp_path / "a", BASE)

    named = filled(BASE.weight_shapes(CLASSES))
    del named["block2_layer1_projection/gamma"]
    named["head/beta"] = np.zeros(3, "float32")
    writer.write_checkpoint(
        tmp_path / "b", {official_key(n, blocks): theirs(n, v, "3d") for n, v in named.items()}
    )
    with pytest.raises(ValueError, match="1 missing, 1 of another shape") as error:
        load(tmp_path / "b", BASE)
    assert "block2_layer1_projection/gamma" in str(error.value)
    assert "head/beta: expected (480,), got (3,)" in str(error.value)


def test_files_without_classifier(tmp_path):
    shapes = BASE.weight_shapes(include_top=False)
    blocks = block_names(BASE)
    arrays = {official_key(n, blocks, root="backbone"): v for n, v in filled(shapes).items()}
    arrays = {
        k: v[None, None, None] if "_se_" in k and v.ndim == 2 else v for k, v in arrays.items()
    }
    writer.write_checkpoint(tmp_path / "c", arrays)
    named, contents = load(tmp_path / "c", BASE)
    assert contents.classes is None
    assert {k: v.shape for k, v in named.items()} == shapes


def torch_state(named, config):
    """A state dict as Atze00/MoViNet-pytorch would save it, from our names."""
    factorized = config.variant.factorized
    pooled = {block.name for block in config.plan().blocks if block.skip_pool}
    suffixes = {"kernel": "weight", "bias": "bias"}
    state = {}

    def kernel(value):
        value = value if value.ndim == 5 else value[None, None, None]
        value = value.transpose(4, 3, 0, 1, 2)
        if not factorized:
            return value
        return value[..., 0] if value.shape[2] > 1 else value[:, :, 0]

    conv = "conv2d" if factorized else "conv3d"
    modules = {"stem": "conv1", "head": "conv7", "rezero": "alpha"}
    modules |= {"expansion": "expand", "feature": "deep", "projection": "project"}
    modules |= {"classifier_hidden": "classifier.0", "classifier": "classifier.3"}
    for name, value in named.items():
        block, layer, unit, temporal, part, leaf = PARTS.fullmatch(name).groups("")
        modules["skip"] = f"res.{int(f'block{block}_layer{layer}' in pooled)}"
        modules["squeeze_excite"] = f"se.fc{1 if part == 'reduce' else 2}"
        key = (f"blocks.b{block}_l{layer}." if block else "") + modules[unit]
        if unit != "rezero":
            key += f".conv_{2 if temporal else 1}."
            key += f"norm.{NORMS[leaf]}" if leaf in NORMS else f"{conv}.{suffixes[leaf]}"
        state[key] = kernel(value) if leaf == "kernel" else value
        if leaf == "gamma":
            state[key.replace("weight", "num_batches_tracked")] = np.int64(5)
    return state


@pytest.mark.parametrize(
    "config", [BASE, STREAM, shrink(A1).streaming(), shrink(A3)], ids=lambda c: c.name
)
def test_state_dicts_of_the_pytorch_port(config):
    named = filled(config.weight_shapes(CLASSES))
    state = torch_state(named, config)
    assert_same(checkpoints.from_torch(state), named)


def test_shapes_of_the_pytorch_port():
    """Shapes from its source: `(out, in / groups, time, height, width)`, 2D if causal."""
    base = torch_state(filled(A0.weight_shapes(600)), A0)
    stream = torch_state(filled(A0.streaming().weight_shapes(600)), A0.streaming())
    assert base["conv1.conv_1.conv3d.weight"].shape == (8, 3, 1, 3, 3)
    assert base["blocks.b1_l0.deep.conv_1.conv3d.weight"].shape == (80, 1, 3, 3, 3)
    assert stream["blocks.b1_l0.deep.conv_1.conv2d.weight"].shape == (80, 1, 3, 3)
    assert stream["blocks.b1_l0.deep.conv_2.conv2d.weight"].shape == (80, 1, 3, 1)
    assert stream["blocks.b1_l0.se.fc1.conv_1.conv2d.weight"].shape == (40, 160, 1, 1)
    assert base["blocks.b1_l0.res.1.conv_1.conv3d.weight"].shape == (32, 8, 1, 1, 1)
    assert base["classifier.3.conv_1.conv3d.weight"].shape == (600, 2048, 1, 1, 1)


def test_pytorch_files(tmp_path):
    torch = pytest.importorskip("torch")
    named = filled(STREAM.weight_shapes(CLASSES))
    state = {k: torch.tensor(v) for k, v in torch_state(named, STREAM).items()}
    torch.save(state, tmp_path / "modelA0_stream_statedict_v3")
    loaded, contents = load(tmp_path / "modelA0_stream_statedict_v3", STREAM)
    assert contents.variant == "stream" and contents.classes == CLASSES
    assert_same(loaded, named)

    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "b.pt")
    assert_same(load(tmp_path / "b.pt", STREAM)[0], named)
    with pytest.raises(ValueError, match="expected MoViNet-A0 base .* got MoViNet-A0 stream"):
        load(tmp_path / "b.pt", BASE)

    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(ValueError, match="got 1 others: features.0.weight"):
        load(tmp_path / "other.pt", BASE)


class Evil:
    def __reduce__(self):
        return (print, ("executed",))


def test_pickles_are_not_executed(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    torch.save({"x": Evil()}, tmp_path / "evil.pt")
    (tmp_path / "text.pt").write_text("no weights")
    for name in ("evil.pt", "text.pt"):
        with pytest.raises(ValueError, match=f"weights: expected a PyTorch file.* got .*{name}"):
            load(tmp_path / name, BASE)
    assert "executed" not in capsys.readouterr().out
