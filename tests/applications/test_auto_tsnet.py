"""Two-stream models: the published budget to the last digit, the graph, the inputs."""

import json
from itertools import product

import keras
import numpy as np
import pytest

from keras_video import applications
from keras_video.applications.auto_tsnet import CONFIGS, AutoTSNet, Group, TwoStreamSpec
from keras_video.applications.auto_tsnet.config import PAPER_TOP1, fused_after
from keras_video.checkpoints import weight_map
from keras_video.models import TwoStreamClassifier, fold_batch_norm
from keras_video.utils import macs, params, peak_activation_memory
from tests.helpers import assert_differs, assert_near, few_steps, randomize_weights, run, to_numpy

# Parameters, and multiply-adds for frames of some sizes, at 400 classes.
COUNTS = {
    "auto_tsnet_s": (8_570_754, {160: 2_457_982_856, 182: 3_367_251_688}),
    "auto_tsnet_s_dagger": (7_633_762, {160: 2_000_168_840, 182: 2_761_428_712}),
    "auto_tsnet_m": (8_570_754, {256: 6_098_572_640}),
    "auto_tsnet_m_dagger": (7_633_762, {256: 5_115_999_584}),
    "auto_tsnet_l": (13_149_700, {356: 20_286_673_360}),
    "auto_tsnet_l_dagger": (12_212_708, {356: 18_385_771_984}),
    "manual_tsnet_85": (8_521_330, {160: 2_058_700_584}),
    "manual_tsnet_70": (7_561_542, {160: 2_039_525_832}),
    "manual_tsnet_55": (6_938_662, {160: 2_063_528_904}),
}
# Published numbers, in 10^6 and 10^9.
PAPER = {
    "auto_tsnet_s": (8.6, {160: 2.46, 182: 3.4}),
    "auto_tsnet_s_dagger": (7.7, {160: 2.05, 182: 2.8}),
    "auto_tsnet_m": (8.6, {256: 6.1}),
    "auto_tsnet_m_dagger": (7.7, {256: 5.2}),
    "auto_tsnet_l": (13.2, {356: 19.9}),
    "auto_tsnet_l_dagger": (12.2, {356: 18.1}),
    "manual_tsnet_70": (7.71, {160: 2.03}),
}
S = CONFIGS["auto_tsnet_s"]
DENSE = (Group(8, 1.5, 1, 5), Group(8, 1.5, 3, 3), Group(16, 1.5, 5, 3), Group(8, 3.0, 1, 3))
SPARSE = (Group(8, 2.25, 3, 3), Group(16, 1.5, 1, 3), Group(16, 1.5, 1, 5), Group(24, 1.5, 3, 3))
TINY = TwoStreamSpec(
    "tiny", SPARSE, DENSE, ("none", "time_strided_conv", "none", "time_strided_conv"), (2, 4), (3,),
    sparse_stem=8, repeats=(1, 2, 1, 1), stages=(1, 1, 2, 2), frames=4, stride=2, size=32,
    hidden=16, dropout=0.0,
)  # fmt: skip
CLIPS = np.random.default_rng(0).integers(0, 256, (2, 4, 40, 34, 3)).astype("uint8")


def count(spec, size):
    return macs(spec, (spec.clip[0], size, size, 3), 400)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_without_building(name):
    trainable, multiply_adds = COUNTS[name]
    assert params(CONFIGS[name], 400, trainable=True) == trainable
    assert {size: count(CONFIGS[name], size) for size in multiply_adds} == multiply_adds


@pytest.mark.parametrize("name", PAPER)
def test_the_published_budget_is_met(name):
    """Within 2.5 %, as the docstrings say."""
    published, giga = PAPER[name]
    assert params(CONFIGS[name], 400, trainable=True) / 1e6 == pytest.approx(published, rel=0.025)
    for size, value in giga.items():
        assert count(CONFIGS[name], size) / 1e9 == pytest.approx(value, rel=0.025)


@pytest.mark.parametrize(
    "kind, expected",
    [
        ("time_strided_sampling", (7_572_818, 1_954_447_240)),
        ("time_to_channel", (7_898_818, 2_202_818_440)),
    ],
)
def test_other_fusions(kind, expected):
    spec = CONFIGS["auto_tsnet_s_dagger"].with_options(fusion=fused_after(2, 4, 6, 8, kind=kind))
    assert (params(spec, 400, trainable=True), count(spec, 160)) == expected


def test_names_and_docs():
    assert set(COUNTS) == set(CONFIGS) == set(PAPER_TOP1)
    for name, spec in CONFIGS.items():
        parts = name.replace("auto_tsnet", "").replace("manual_tsnet", "").split("_")[1:]
        family = "ManualTSNet" if name.startswith("manual") else "AutoTSNet"
        builder = getattr(applications, family + "".join(part.capitalize() for part in parts))
        text = " ".join(builder.__doc__.split())
        assert f"{spec.size}x{spec.size}" in text
        assert f"The paper reports {PAPER_TOP1[name]} % top-1" in text
        assert ("This is a reconstruction" in text) == (family[0] == "A")


@pytest.mark.parametrize("name", ["auto_tsnet_s", "manual_tsnet_85"])
def test_counts_of_the_built_graph(name):
    spec = CONFIGS[name]
    trainable, multiply_adds = COUNTS[name]
    (size, expected), *_ = multiply_adds.items()
    model = AutoTSNet(spec, input_shape=(32, size, size, 3))
    assert sum(int(np.prod(v.shape)) for v in model.trainable_variables) == trainable
    assert macs_of(model) == expected


@pytest.mark.parametrize("kind", ["time_strided_conv", "time_to_channel", "time_strided_sampling"])
def test_plan_is_the_built_graph(kind):
    spec = TINY.with_options(fusion=("none", kind, kind, kind), depth=2)
    clip = (6, 33, 48, 3)
    model = AutoTSNet(spec, input_shape=clip, classes=7)
    shapes = {f"{layer.name}/{v.name}": tuple(v.shape) for layer in model.layers
              for v in layer.weights}  # fmt: skip
    assert shapes == spec.weight_shapes(7)
    assert macs_of(model) == macs(spec, clip, 7)
    assert peak_activation_memory(spec, clip, 7) >= 4 * 2 * np.prod(clip)


def macs_of(model):
    """Multiply-adds counted over the layers' kernels and the shapes of their outputs."""
    total = 0
    for layer in model.layers:
        shapes = {v.name: v.shape for v in layer.weights}
        if "mix_nodes_kernel" in shapes:
            total += _macs_of_reasoning(layer, shapes)
            continue
        for name, shape in shapes.items():
            if name.endswith("kernel"):  # gates: once for the clip
                positions = np.prod(layer.output.shape[1:-1], dtype=int) if name == "kernel" else 1
                total += int(positions * np.prod(shape, dtype=int))
    return total


def _macs_of_reasoning(layer, shapes):
    """Multiply-adds of each matrix product in the formula of the paper."""
    positions = int(np.prod(layer.output.shape[1:-1]))
    channels, states = shapes["state_kernel"]
    nodes = shapes["node_kernel"][1]
    products = [
        (positions, channels, states), (positions, channels, nodes), (states, positions, nodes),
        (states, nodes, nodes), (states, states, nodes), (states, nodes, positions),
        (positions, states, channels),
    ]  # fmt: skip
    return sum(a * b * c for a, b, c in products)


def test_places_of_squeeze_excite_shortcuts_and_strides():
    """Every second block of a stage has squeeze-excite; the first block has the stride."""
    groups = S.plan().sparse.groups
    attends = [[bool(b.squeeze_excite) for b in group.blocks] for group in groups]
    assert attends[:4] == [[True], [False, True], [True], [False, True, False, True]]
    assert sum(attends[4:8], []) == [i % 2 == 0 for i in range(11)]
    strides = [b.feature.strides[1] for group in groups for b in group.blocks]
    assert [i for i, s in enumerate(strides) if s == 2] == [0, 3, 8, 19]
    doubled = CONFIGS["auto_tsnet_l"].plan().sparse.groups
    assert [len(g.blocks) for g in doubled] == [2 * len(g.blocks) for g in groups]
    first, *_ = groups[2].blocks  # behind a fusion: 48 and 2 * 8 channels
    assert (first.shortcut.in_channels, first.shortcut.norm) == (64, True)
    assert groups[6].blocks[0].shortcut.in_channels == 208
    assert [g.attention and g.attention.channels for g in groups[5:8]] == [208, None, 224]
    assert S.plan().hidden.in_channels == 822


def test_work_of_the_streams():
    """Multiply-adds of the sparse stream alone; the paper says 1.39 and 1.40 billion."""
    assert count(S.sparse_alone(), 160) == 1_358_549_032
    assert count(CONFIGS["manual_tsnet_70"].sparse_alone(), 160) == 1_349_593_032
    model = AutoTSNet(TINY.sparse_alone(), classes=3)
    assert model.input_shape == (None, 2, None, None, 3) and model.info["frame_stride"] == 4
    assert not [layer.name for layer in model.layers if "dense" in layer.name.split("_")[0]]


def test_spec_is_plain_data():
    for spec in (*CONFIGS.values(), TINY, TINY.sparse_alone()):
        assert TwoStreamSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
        assert hash(spec) is not None
    assert AutoTSNet(TINY.to_dict(), classes=3).info["config"] == TINY.to_dict()


# Inputs


@pytest.fixture(scope="module")
def tiny():
    """A model with one input, and one with two inputs and the same weights."""
    one = randomize_weights(AutoTSNet(TINY, classes=3))
    two = AutoTSNet(TINY, classes=3, two_inputs=True)
    weight_map.assign(two, weight_map.export(one))
    return one, two


def test_two_inputs_or_one(tiny):
    one, two = tiny
    assert isinstance(two, TwoStreamClassifier) and two.input_shape[0] == (None, 2, None, None, 3)
    expected = to_numpy(run(one, CLIPS))
    pair = (CLIPS[:, ::2], CLIPS)
    assert_near(to_numpy(run(two, pair)), expected)
    assert_near(to_numpy(run(two, {"dense": pair[1], "sparse": pair[0]})), expected)
    assert_differs(to_numpy(run(two, (CLIPS[:, 1::2], CLIPS))), expected)
    other = CLIPS.copy()
    other[:, 3] = 255 - other[:, 3]  # a frame that only the dense stream sees
    assert_differs(to_numpy(run(one, other)), expected)


def test_frames_spread_evenly(tiny):
    model = AutoTSNet(TINY, classes=3, sparse_positions="spread")
    model.set_weights(tiny[0].get_weights())
    expected = to_numpy(run(tiny[1], (CLIPS[:, [0, 3]], CLIPS)))
    assert_near(to_numpy(run(model, CLIPS)), expected)


def clips(*counts, size=(40, 34), batch=2):
    return [np.zeros((batch, frames, *size, 3), "uint8") for frames in counts]


BAD_PAIRS = [
    (
        clips(4, 2),
        "expected a sparse clip of 2 frames and a dense one of 4, got 4 and 2: they are swapped",
    ),
    (clips(2, 6), r"expected dense frames of shape .* with 4 frames, .* got \(2, 6, 40, 34, 3\)"),
    (clips(4, 4), r"expected sparse frames of shape .* with 2 frames, .* got \(2, 4, 40, 34, 3\)"),
    (clips(4)[0], r"expected two clips \(sparse, dense\), got one of shape \(2, 4, 40, 34, 3\)"),
    (clips(2, 4, 4), r"expected two clips \(sparse, dense\), got 3 clips"),
    ({"slow": 1, "fast": 2}, r"expected two clips \(sparse, dense\), got \['fast', 'slow'\]"),
    ([*clips(2), *clips(4, batch=3)], "expected as many clips of the sparse and of the dense"),
    ([*clips(2), *clips(4, size=(34, 34))], "expected the same height of the sparse and"),
    ([*clips(2), *clips(4, size=(40, 40))], "expected the same width of the sparse and"),
    (clips(2, 4, size=(40, 7)), "expected sparse frames .* height and width of at least 8"),
]


@pytest.mark.parametrize("pair, message", BAD_PAIRS, ids=range(len(BAD_PAIRS)))
def test_bad_pairs(tiny, pair, message):
    for use in (tiny[1], tiny[1].predict):
        with pytest.raises(ValueError, match=f"tiny: {message}"):
            use(pair)


def test_wrong_frame_count_of_one_clip(tiny):
    with pytest.raises(ValueError, match="with 4 frames, the clip length of its layers, got"):
        tiny[0](CLIPS[:, :2])


BAD = [
    (dict(input_shape=(2, 64, 64, 3), stride=4), "input_shape: expected at least . frames"),
    (
        dict(input_shape=(7, 64, 64, 3)),
        r"input_shape: expected a multiple of 2 frames, .* got \(7, ",
    ),
    (dict(input_shape=(None, 64, 64, 3)), "input_shape: expected a fixed number of frames"),
    (dict(input_shape=(4, 64, 7, 3)), "input_shape: expected height and width of at least 8"),
    (dict(sparse_positions="middle"), "sparse_positions: expected one of .*, got 'middle'"),
    (dict(pooling="sum"), "pooling: expected one of None, 'avg', 'max', got 'sum'"),
    (dict(classes=0), "classes: expected an int of at least 1, got 0"),
    (dict(frames=5), "frames: expected a multiple of the stride, 2, got 5"),
    (dict(fusion=("all",) * 4), r"fusion: expected 4 of \('none', .*\), got"),
    (dict(fusion=("none",)), "fusion: expected 4 of"),
    (dict(sparse=DENSE[:3]), "sparse: expected 4 of Group, got"),
    (dict(stages=(1, 1, 3, 3)), r"stages: expected 1, 1, 2, .* got \(1, 1, 3, 3\)"),
    (dict(repeats=(1, 1)), r"repeats: expected 4 ints, got \(1, 1\)"),
    (dict(dense=()), "dense: expected groups for fusion or attention_dense, got none"),
    (dict(attention_sparse=(0,)), r"attention_sparse: expected groups among 1\.\.4, got \(0,\)"),
    (dict(dropout=1), r"dropout: expected a finite number of at least 0 and below 1, got 1"),
    (dict(depth=0), "depth: expected an int of at least 1, got 0"),
    (dict(color="red"), r"options: expected one of .*, got 'color'"),
    (
        dict(weights="kinetics400"),
        "weights: expected an existing path for tiny, .* No weights are publ",
    ),
]


@pytest.mark.parametrize("kwargs, message", BAD, ids=lambda case: str(case)[:40])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        AutoTSNet(TINY, **{"input_shape": None, **kwargs})


def test_more_bad_arguments():
    with pytest.raises(ValueError, match="spec: expected a TwoStreamSpec or a dict, got 3"):
        AutoTSNet(3)
    with pytest.raises(ValueError, match=r"spec: expected the fields .*, got \['colour'\]"):
        AutoTSNet({**TINY.to_dict(), "colour": 1})
    with pytest.raises(ValueError, match="two_inputs: expected False for a model without a dens"):
        AutoTSNet(TINY.sparse_alone(), two_inputs=True)
    with pytest.raises(ValueError, match="input_tensor: expected None for two_inputs=True"):
        AutoTSNet(TINY, two_inputs=True, input_tensor=keras.Input((4, 40, 34, 3)))
    for kwargs, message in (
        ({"filters": 0}, "filters: expected an int of at least 1, got 0"),
        ({"temporal_kernel": 2}, "temporal_kernel: expected an odd int, got 2"),
        ({"expansion": 0}, "expansion: expected a finite number above 0, got 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Group(**{"filters": 8, **kwargs})


# As models


# Every kind of block, one fusion and one attention: gradients of a larger network take JAX half a
# minute to compile.
TRAINED = TwoStreamSpec(
    "trained",
    sparse=(Group(8), Group(16, 1.5, 1, 5)),
    dense=(Group(8, 1.5, 3, 3), Group(8, 1.5)),
    fusion=("time_strided_conv", "none"),
    attention_sparse=(2,),
    sparse_stem=8,
    repeats=(1, 2),
    stages=(1, 2),
    frames=4,
    stride=2,
    hidden=16,
    dropout=0.0,
)


def test_training_and_saving(tmp_path):
    keras.utils.set_random_seed(0)
    model = AutoTSNet(TRAINED, classes=2, two_inputs=True)
    videos = np.concatenate([CLIPS // 4, 255 - CLIPS // 4])
    pair, labels = [videos[:, ::2], videos], np.array([0, 0, 1, 1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss, **few_steps())
    losses = model.fit(pair, labels, epochs=6, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]
    expected = to_numpy(run(model, pair))
    path = str(tmp_path / "model.keras")
    model.save(path)
    again = keras.models.load_model(path)
    assert type(again) is TwoStreamClassifier and again.info == model.info
    assert_near(to_numpy(run(again, pair)), expected)
    one = AutoTSNet(TRAINED, weights=path, two_inputs=True)
    assert one.output_shape == (None, 2)
    assert_near(one.get_weights(), model.get_weights(), 0.0)


def test_own_weights_of_another_network(tmp_path, tiny):
    path = str(tmp_path / "tiny.npz")
    weight_map.save(path, weight_map.export(tiny[0]), half=False)
    model = AutoTSNet(TINY, weights=path)
    assert_near(to_numpy(run(model, CLIPS)), to_numpy(run(tiny[0], CLIPS)))
    with pytest.raises(ValueError, match="(?s)does not fit tiny: .*dense_group3_attention"):
        AutoTSNet(TINY, weights=path, attention_dense=())
    (tmp_path / "tiny.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"expected a .weights.h5, .keras or .npz file"):
        AutoTSNet(TINY, weights=tmp_path / "tiny.pth")


def test_folded_batch_norm(tiny):
    folded = fold_batch_norm(tiny[0])
    assert not any(v.name == "gamma" for v in folded.weights)
    assert_near(to_numpy(run(folded, CLIPS)), to_numpy(run(tiny[0], CLIPS)), 1e-4)


def test_mixed_precision_stays_near(tiny):
    half = AutoTSNet(TINY, classes=3, dtype="mixed_bfloat16")
    half.set_weights(tiny[0].get_weights())
    expected = to_numpy(run(tiny[0], CLIPS))
    outputs = run(half, CLIPS)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    assert np.abs(to_numpy(outputs) - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize("pooling, stream", product((None, "avg", "max"), ("both", "sparse")))
def test_without_top(pooling, stream):
    spec = TINY if stream == "both" else TINY.sparse_alone()
    model = AutoTSNet(spec, include_top=False, pooling=pooling, attention_sparse=())
    shapes = model.compute_output_spec(keras.KerasTensor((2, spec.clip[0], 64, 64, 3)))
    shapes = [tuple(s.shape) for s in keras.tree.flatten(shapes)]
    widths = [s.head.filters for s in spec.plan().streams]
    if pooling:
        assert shapes == [(2, sum(widths))]
    else:
        counts = (2, 4)[: len(widths)]
        assert shapes == [(2, n, 8, 8, w) for n, w in zip(counts, widths, strict=True)]


def test_freezing(tiny):
    model = AutoTSNet(TINY, classes=3)
    left = model.freeze(until="classifier")
    assert left == 16 * 3 + 3 + TINY.plan().hidden.in_channels * 16
    assert tiny[0].count_params() == params(TINY, 3)
