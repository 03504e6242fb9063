"""bLVNet-TAM compared with the numbers of the published code, and with a direct form in torch."""

import hashlib
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_video.applications.blvnet_tam import CONFIGS, BLVNetTAM, BLVNetTAMConfig
from keras_video.applications.blvnet_tam import checkpoints as converter
from keras_video.applications.blvnet_tam.config import _residual, _stage
from keras_video.blocks import big_little, residual
from keras_video.checkpoints import weight_map
from keras_video.specs import TemporalBlend
from keras_video.utils import macs, params
from tests.blvnet_tam_reference import GOLDEN, read, recipe_state, recipe_video, recipe_weight
from tests.helpers import assert_differs, assert_near, randomize_weights, run, to_numpy

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

R50 = CONFIGS["blvnet_tam_50"]
TINY = BLVNetTAMConfig("tiny", (2, 3, 2, 2), num_frames=4, width=8, dropout=0.0)
TOLERANCE = 1e-4  # of the largest value, or of 1

# Trainable parameters at 174, 400, 339, 1000 and 16 classes, moving statistics, 10^9 multiply-adds
# of 16 frames of 224 and of 256 pixels, as measured from the published code.
COUNTS = {
    50: ((25_020_142, 25_483_216, 25_358_227, 26_712_616, 24_696_400), 60_160, 23.851, 31.152),
    101: ((40_177_134, 40_640_208, 40_515_219, 41_869_608, 39_853_392), 107_008, 32.149, 41.990),
    152: ((55_684_590, 56_147_664, 56_022_675, 57_377_064, 55_360_848), 156_160, None, None),
}


@pytest.mark.parametrize("depth", COUNTS)
def test_published_counts(depth):
    config = CONFIGS[f"blvnet_tam_{depth}"]
    trainable, statistics, small, large = COUNTS[depth]
    classes = (174, 400, 339, 1000, 16)
    assert tuple(params(config, n, trainable=True) for n in classes) == trainable
    assert params(config, 174) == trainable[0] + statistics
    rows = config.plan().rows()
    assert sum(row.params for row in rows if isinstance(row, TemporalBlend)) == 18_048
    if small is not None:
        assert round(macs(config, classes=174) / 1e9, 3) == small
        assert round(macs(config, (16, 256, 256, 3), 174) / 1e9, 3) == large


@pytest.mark.parametrize("depth, convolutions", [(50, 23_776_198_656), (101, 32_074_104_832)])
def test_published_multiply_adds(depth, convolutions):
    """Equal to the last digit, and proportional to the number of frames."""
    config = CONFIGS[f"blvnet_tam_{depth}"]
    steps = config.trace(config.clip, 174)
    temporal = sum(step.macs for step in steps if step.name.endswith("_temporal"))
    assert (temporal, steps[-1].macs) == (72_253_440, 2_850_816)
    assert sum(step.macs for step in steps) == convolutions + temporal + steps[-1].macs
    for pairs in (1, 16, 24, 32):
        clip = (2 * pairs, 224, 224, 3)
        assert 8 * macs(config, clip, 174) == pairs * macs(config, classes=174)


def test_keys_of_the_published_state_dict():
    entries = {key: tuple(shape) for key, shape, _ in read("state_dict_50")["keys"]}
    names = converter.published_names(R50)
    shapes = converter._published_shapes(names, R50, 174)
    ours = {k if k.startswith("new_fc") else f"baseline_model.{k}": s for k, s in shapes.items()}
    assert ours == {k: s for k, s in entries.items() if not k.endswith("num_batches_tracked")}
    assert len(entries) == read("state_dict_50")["entries"] == 449


def test_our_copy_is_the_shared_one(shared):
    for path in GOLDEN.iterdir():
        twin = shared / "reference" / "blvnet_tam" / path.name
        assert path.read_bytes() == twin.read_bytes()


def recipe_weights(config=R50, classes=16):
    """The weights of the reference data under our names."""
    names = converter.published_names(config)
    shapes = converter._published_shapes(names, config, classes)
    full = {k: k if k.startswith("new_fc") else f"baseline_model.{k}" for k in shapes}
    return converter._to_ours({k: recipe_weight(full[k], s) for k, s in shapes.items()}, names)


POINTS = {
    "stem_conv": "stem",
    "stem": "stem_fusion",
    "layer1_big": "stage1_big1_expand",
    "layer2_big": "stage2_big2_expand",
    "layer3_big": "stage3_big4_expand",
    **{f"layer{k}_merged": f"stage{k}_merge" for k in (1, 2, 3)},
    **{f"layer{k}": f"stage{k}_fusion_expand" for k in (1, 2, 3)},
    **{f"layer4_tam{k}": f"stage4_block{k}_temporal" for k in (0, 1, 2)},
    "layer4": "stage4_block2_expand",
    "features": "head_frames",
}


JAX = keras.backend.backend() == "jax"  # compiles every shape of the whole network again
GOLDEN_CASES = ("r50_2x4_75x53",) if JAX else tuple(read("golden_50"))


@pytest.mark.parametrize("case", GOLDEN_CASES)
def test_golden(case):
    """Logits, features and inner values of the published code."""
    record = read("golden_50")[case]
    clips = recipe_video(record["input_name"], record["input_shape"])
    assert hashlib.sha256(clips.tobytes()).hexdigest() == record["input_sha256"]
    model = BLVNetTAM(
        R50, classes=16, num_frames=record["frames"], include_preprocessing=False, dropout=0.0
    )
    weight_map.assign(model, recipe_weights())
    inner = keras.Model(
        model.input, [model.output] + [model.get_layer(name).output for name in POINTS.values()]
    )
    logits, *points = to_numpy(run(inner, clips))
    arrays = np.load(GOLDEN / "golden_50.npz")
    assert_near(logits, arrays[f"{case}/logits_float64"], TOLERANCE)
    points = {
        name: point.reshape(-1, *point.shape[2:])
        for name, point in zip(POINTS, points, strict=True)
    }
    assert_near(points["features"], arrays[f"{case}/features"], TOLERANCE)
    for name in ("stem", "layer1"):
        if f"{case}/{name}" in arrays:
            assert_near(points[name], arrays[f"{case}/{name}"], TOLERANCE)
    for name, point in points.items():
        expected = record["intermediates"][name]
        if name in ("stem", "layer1", "layer2", "layer3"):  # there once for each frame
            point = point.repeat(2, axis=0)
        assert list(point.shape) == expected["shape"], name
        found = point.mean(), point.std(), *point.ravel()[:8], *point.ravel()[-8:]
        wanted = expected["mean"], expected["std"], *expected["first8"], *expected["last8"]
        assert_near(np.array(found), np.array(wanted), TOLERANCE)


def test_golden_weights():
    """The recipe gives the weights that the reference was computed with."""
    record = read("golden_50")["r50_2x4_64x64"]["weights_sample"]
    for key, expected in record.items():
        shapes = {k: s for k, s, _ in read("state_dict_50")["keys"]} | {"new_fc.bias": (16,)}
        value = recipe_weight(key, shapes[key])
        assert hashlib.sha256(value.astype("<f4").tobytes()).hexdigest() == expected["sha256"]


UNITS = read("golden_units")


def assign_unit(model, names, case):
    """Fill a model of one block; `names` are those of `published_names` for it."""
    shapes = dict((k, tuple(s)) for k, s in case["keys"] if not k.endswith("tracked"))
    assert set(shapes) == set(names)
    state = {k: recipe_weight(case["key_prefix"] + k, s) for k, s in shapes.items()}
    weight_map.assign(model, converter._to_ours(state, names))


def unit_input(case):
    frames, shape = case["options"]["frames"], case["input_shape"]
    clips = recipe_video(case["input_name"], shape).reshape(-1, frames, *shape[1:])
    return keras.Input(clips.shape[1:]), clips


@pytest.mark.parametrize("name", [n for n in UNITS if n.startswith("bottleneck")])
def test_golden_bottleneck(name):
    case = UNITS[name]
    options, channels = case["options"], case["input_shape"][-1]
    temporal = TemporalBlend("unit_temporal", channels) if options["tam"] else None
    block = _residual("unit", channels, options["out"], options["stride"] == 2, temporal)
    inputs, clips = unit_input(case)
    model = keras.Model(inputs, residual(inputs, block))
    names = {k.removeprefix("."): v for k, v in converter._residual(block, "").items()}
    assign_unit(model, names, case)
    outputs = to_numpy(run(model, clips))
    expected = np.load(GOLDEN / "golden_units.npz")[f"{name}/output"]
    assert_near(outputs.reshape(expected.shape), expected, TOLERANCE)


def test_golden_stage():
    """A stage of two branches whose input has two different frames in each pair."""
    case = UNITS["blmodule_s2"]
    config = BLVNetTAMConfig("unit", (3, 2, 2, 1), width=8)
    stage = _stage("stage1", config, 8, 32, 3, True)
    inputs, clips = unit_input(case)
    model = keras.Model(inputs, big_little(inputs, stage, equal_pairs=False))
    names = converter.published_names(config).items()
    names = {k[7:]: v for k, v in names if k.startswith("layer1.")}
    assign_unit(model, names, case)
    outputs = to_numpy(run(model, clips))
    expected = np.load(GOLDEN / "golden_units.npz")["blmodule_s2/output"]
    outputs = outputs.reshape(-1, *outputs.shape[2:]).repeat(2, axis=0)
    assert_near(outputs, expected, TOLERANCE)


def direct_form(config, classes, shape):
    """The model without sharing: after each stage both frames of a pair are kept."""
    from keras_video.blocks import big_little_stem

    plan = config.plan(classes)
    inputs = keras.Input(shape)
    x = big_little_stem(inputs, plan.stem)
    for stage in plan.stages:
        x = big_little(ops.repeat(x, 2, axis=1), stage, equal_pairs=False)
    for block in plan.last:
        x = residual(x, block)
    x = keras.layers.Dense(classes, name="classifier")(ops.mean(x, axis=(2, 3)))
    return keras.Model(inputs, ops.mean(x, axis=1))


DIRECT = ({}, {"blending_frames": 5}, {"temporal": "shift"}, {"temporal": "none"})


@pytest.mark.parametrize("options", DIRECT[: 1 if JAX else None])
def test_one_map_for_each_pair_is_exact(options):
    config = TINY.with_options(num_frames=8, blocks=(2, 2, 2, 1), **options)
    model = BLVNetTAM(config, classes=5, include_preprocessing=False)
    temporal = {v.path: to_numpy(v) for v in model.non_trainable_variables if v.name == "kernel"}
    randomize_weights(model)
    for variable in model.non_trainable_variables:
        if variable.path in temporal:  # the fixed ones stay
            variable.assign(temporal[variable.path])
    direct = direct_form(config, 5, (8, 33, 26, 3))
    weight_map.assign(direct, weight_map.export(model))
    clips = recipe_video("direct", (2, 8, 33, 26, 3))
    expected = to_numpy(run(direct, clips))
    assert_near(to_numpy(run(model, clips)), expected)
    assert_differs(to_numpy(run(model, clips[:, ::-1])), expected)


VARIANTS = {
    "depth_101": ({"blocks": (4, 8, 18, 3)}, 4),
    "depth_152": ({"blocks": (5, 12, 30, 3)}, 2),
    "twelve_frames": ({}, 12),
    "two_frames": ({}, 2),
    "five_blending_frames": ({"blending_frames": 5}, 8),
    "four_blending_frames": ({"blending_frames": 4}, 6),
    "one_blending_frame": ({"blending_frames": 1}, 4),
    "seven_blending_frames": ({"blending_frames": 7}, 4),
    "alpha_4_beta_2": ({"alpha": 4, "beta": 2, "blocks": (3, 4, 6, 3)}, 4),
    "alpha_1_beta_1": ({"alpha": 1, "beta": 1, "blocks": (2, 3, 4, 2)}, 4),
    "no_dropout": ({"dropout": 0.0}, 4),
    "flow": ({"input_channels": 10}, 4),
    "none": ({"temporal": "none"}, 4),
}


# Other backends need more time to build than to compute, and the layers are the same.
PARTS = {
    "tensorflow": ("depth_101", "five_blending_frames", "alpha_4_beta_2", "flow"),
    "jax": ("five_blending_frames",),
}


@pytest.mark.parametrize("name", PARTS.get(keras.backend.backend(), VARIANTS))
def test_plain_torch_gives_our_logits(name, tmp_path):
    """A second implementation in torch gives the same logits, at odd sizes, through a file."""
    torch = pytest.importorskip("torch")
    from plain_blvnet_tam import PlainBLVNetTAM, channels_first

    options, frames = VARIANTS[name]
    config = TINY.with_options(**{"num_frames": frames, "dropout": 0.5, **options})
    plain = PlainBLVNetTAM(config, 5).eval()
    shapes = {k: tuple(v.shape) for k, v in plain.state_dict().items()}
    state = recipe_state(shapes)
    plain.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    torch.save(plain.state_dict(), tmp_path / "plain.pth.tar")
    clips = recipe_video(name, (2, frames, 45, 52, config.input_channels))
    with torch.inference_mode():
        expected = plain(channels_first(clips)).numpy()

    model = BLVNetTAM(config, weights=tmp_path / "plain.pth.tar", include_preprocessing=False)
    assert model.output_shape == (None, 5)
    assert expected.std() > 1e-2
    assert_near(to_numpy(run(model, clips)), expected, TOLERANCE)
    if options.get("temporal") != "none":
        assert_differs(to_numpy(run(model, clips[:, ::-1])), expected, 1e-2)


def test_plain_torch_is_the_published_network():
    """The second implementation has the published keys and gives the golden logits."""
    torch = pytest.importorskip("torch")
    from plain_blvnet_tam import PlainBLVNetTAM, channels_first, load_named

    record = read("golden_50")["r50_2x4_75x53"]
    config = R50.with_options(num_frames=record["frames"])
    plain = PlainBLVNetTAM(config, 16).eval()
    keys = [key for key, *_ in read("state_dict_50")["keys"]]
    assert set(plain.state_dict()) == set(keys)
    load_named(plain, config, recipe_weights())
    clips = recipe_video(record["input_name"], record["input_shape"])
    with torch.inference_mode():
        received = plain(channels_first(clips)).numpy()
    assert_near(received, np.load(GOLDEN / "golden_50.npz")["r50_2x4_75x53/logits_float64"], 1e-5)


@pytest.mark.parametrize("options", [{}, {"alpha": 4, "beta": 2}, {"temporal": "shift"},
                                     {"temporal": "none", "input_channels": 10}])  # fmt: skip
def test_plan_is_the_built_graph(options):
    config = TINY.with_options(**options)
    clip = (6, 45, 38, config.input_channels)
    model = BLVNetTAM(config, input_shape=clip, classes=7)
    shapes = {f"{layer.name}/{v.name}": tuple(v.shape) for layer in model.layers
              for v in layer.weights}  # fmt: skip
    assert shapes == config.weight_shapes(7)
    assert model.count_params() == params(config, 7)
    trainable = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    assert trainable == params(config, 7, trainable=True)
    steps = {step.name: step.macs for step in config.trace(clip, 7)}
    for layer in model.layers:
        kernels = [v for v in layer.weights if v.name == "kernel" and v.ndim == 5]
        if kernels:
            positions = np.prod(layer.output.shape[1:-1], dtype=int)
            assert steps[layer.name] == positions * np.prod(kernels[0].shape, dtype=int)
