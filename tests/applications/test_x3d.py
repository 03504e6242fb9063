"""X3D compared with the published numbers, and with a second implementation in PyTorch."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_video.applications import x3d
from keras_video.applications.x3d import CONFIGS, X3D
from keras_video.applications.x3d.checkpoints import from_torch, published_names
from keras_video.checkpoints import weight_map
from keras_video.models import fold_batch_norm
from keras_video.utils import macs, params
from tests import torch_recipe
from tests.helpers import assert_differs, assert_near, randomize_weights, run, to_numpy

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "x3d"
MANIFEST = json.loads((GOLDEN / "manifest.json").read_text())
SHAPES = MANIFEST["parameters"]["S"]
(CASE,) = MANIFEST["cases"]
UNIT = {"include_preprocessing": False}

# Depths, parameters at 400 classes, 10^9 multiply-adds at the training size and at the test size.
PUBLISHED = {
    "xs": ((3, 5, 11, 7), 3_794_274, "0.605", "0.839"),
    "s": ((3, 5, 11, 7), 3_794_274, "1.963", "2.722"),
    "m": ((3, 5, 11, 7), 3_794_274, "4.732", "6.181"),
    "l": ((5, 10, 25, 15), 6_153_384, "18.368", "24.764"),
    "xl": ((5, 10, 25, 15), 11_095_840, "35.838", "48.407"),
}


@pytest.mark.parametrize("size", PUBLISHED)
def test_published_counts(size):
    config = CONFIGS[f"x3d_{size}"]
    depths, trainable, training, testing = PUBLISHED[size]
    assert tuple(depth for _, depth in config.stages) == depths
    assert params(config, 400, trainable=True) == trainable
    assert f"{macs(config, classes=400) / 1e9:.3f}" == training
    side = config.resize_side
    assert f"{macs(config, (config.frames, side, side, 3), 400) / 1e9:.3f}" == testing


def test_every_config_is_counted():
    assert set(CONFIGS) == {f"x3d_{size}" for size in PUBLISHED}
    widths = [width for width, _ in CONFIGS["x3d_xl"].stages]
    assert (CONFIGS["x3d_xl"].stem, *widths) == (32, 32, 72, 136, 280)


def test_our_copy_is_the_shared_one(shared):
    for path in GOLDEN.iterdir():
        assert path.read_bytes() == (shared / "reference" / "x3d" / path.name).read_bytes()


def test_recipe_of_the_weights():
    for name, expected in SHAPES.items():
        found = np.abs(torch_recipe.weight(name, SHAPES).astype("float64")).sum()
        np.testing.assert_allclose(found, expected["abs_sum"], rtol=1e-5)


@pytest.fixture(scope="module")
def golden():
    """X3D-S with the weights of the recipe, which also returns the outputs of stem and stages."""
    named, classes = from_torch(torch_recipe.weights(SHAPES), CONFIGS["x3d_s"])
    assert classes == CASE["classes"]
    model = X3D(CONFIGS["x3d_s"], classes=classes, **UNIT)
    weight_map.assign(model, named)
    last = {b.name.split("_")[0]: b.projection.name for b in CONFIGS["x3d_s"].plan().blocks}
    names = ["stem_temporal", *last.values()]
    return keras.Model(model.input, [model.output, *(model.get_layer(n).output for n in names)])


def test_published_network(golden):
    clips = torch_recipe.clips(CASE["tag"], (2, 3, 13, 64, 64))
    assert clips.astype("float64").sum() == pytest.approx(CASE["input_sum"])
    logits, *points = to_numpy(run(golden, clips))
    with np.load(GOLDEN / "x3d_s.npz") as file:
        (expected,) = (file[name] for name in file.files)
    assert logits.shape == expected.shape == (2, 16)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(logits[0], CASE["logits_first_row"], rtol=0, atol=1e-5)
    assert_differs(logits[0], logits[1])  # the rows of the batch differ by 0.012
    for point, block in zip(points, CASE["blocks"], strict=True):
        batch, channels, *extents = block["shape_ncthw"]
        assert point.shape == (batch, *extents, channels)
        near = {"rtol": 0, "atol": 1e-5}
        means = point.mean((0, 1, 2, 3))[:8]
        np.testing.assert_allclose(means, block["channel_mean_first8"], **near)
        np.testing.assert_allclose(point[0, 0, 0, 0, :4], block["first_frame_corner"], **near)
        np.testing.assert_allclose(point[-1, -1, -1, -1, -4:], block["last_voxel"], **near)


def test_order_of_frames_matters(golden):
    clips = torch_recipe.clips(CASE["tag"], (2, 3, 13, 64, 64))
    assert_differs(run(golden, clips)[0], run(golden, clips[:, ::-1])[0])


def test_folded_batch_norm():
    model = randomize_weights(X3D(CONFIGS["x3d_xs"], classes=16, depth=0.4, **UNIT))
    clips = torch_recipe.clips("folded", (1, 3, 4, 40, 36))
    folded = fold_batch_norm(model)
    assert not any(v.name == "gamma" for v in folded.weights)
    assert_near(to_numpy(run(folded, clips)), to_numpy(run(model, clips)))


def test_plan_is_the_built_graph():
    """Weights from the plan alone, and multiply-adds from a walk over the graph."""
    config, clip = CONFIGS["x3d_s"].with_options(depth=1.0), (3, 45, 64, 3)
    model = X3D(config, input_shape=clip, classes=7)
    shapes = {f"{layer.name}/{v.name}": tuple(v.shape) for layer in model.layers
              for v in layer.weights}  # fmt: skip
    assert shapes == config.weight_shapes(7)
    total = 0
    for layer in model.layers:
        for variable in layer.weights:
            if variable.name.endswith("kernel"):
                gate = variable.name != "kernel"
                positions = 1 if gate else np.prod(layer.output.shape[1:-1], dtype=int)
                total += int(positions * np.prod(variable.shape, dtype=int))
    assert total == macs(config, clip, 7)


# Compared with `benchmarks/plain_x3d.py`, which has the published names


@pytest.fixture(scope="module")
def plain():
    pytest.importorskip("torch")
    sys.path.insert(0, str(ROOT / "benchmarks"))
    import plain_x3d

    return plain_x3d


@pytest.mark.parametrize("size", ["xs", "xl"])
def test_names_are_those_of_the_rebuild(plain, size):
    config = CONFIGS[f"x3d_{size}"]
    state = plain.PlainX3D(config.width, config.depth).state_dict()
    theirs = {name for name in state if not name.endswith("num_batches_tracked")}
    assert set(published_names(config).values()) == theirs
    assert set(published_names(config)) == set(config.weight_shapes())


@pytest.mark.parametrize(
    "size, options, shape",
    [
        ("xs", {"depth": 1.2}, (2, 4, 46, 46, 3)),  # 46 -> 23 -> 12 -> 6 -> 3 -> 2
        ("m", {"depth": 1.2}, (1, 2, 57, 84, 3)),
        ("xl", {"depth": 1.2}, (1, 5, 33, 64, 3)),
    ][: 1 if keras.backend.backend() == "jax" else None],  # sizes differ in numbers of channels
)
def test_rebuild_gives_our_logits(plain, size, options, shape):
    import torch

    config = CONFIGS[f"x3d_{size}"].with_options(**options)
    theirs = plain.randomize(plain.PlainX3D(config.width, config.depth, classes=5)).eval()
    state = {k: v.numpy() for k, v in theirs.state_dict().items() if not k.endswith("tracked")}
    model = X3D(config, classes=5, **UNIT)
    weight_map.assign(model, from_torch(state, config)[0])
    clips = torch_recipe.normal(size, shape).astype("float32")
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(clips.transpose(0, 4, 1, 2, 3).copy())).numpy()
    found = to_numpy(run(model, clips))
    assert expected.std() > 0.01
    assert np.abs(found - expected).max() <= 1e-5 * max(1.0, np.abs(expected).max())


def test_pixels():
    """The first layer does what `preprocess_input` does; without it the models are the same."""
    pixels = np.random.default_rng(0).integers(0, 256, (1, 2, 32, 32, 3)).astype("uint8")
    raw, unit = (
        X3D(CONFIGS["x3d_xs"], classes=3, depth=0.4, include_preprocessing=flag)
        for flag in (True, False)
    )
    prepared = x3d.preprocess_input(pixels)
    assert prepared.min() == pytest.approx((pixels.min() / 255 - 0.45) / 0.225, rel=1e-5)
    first = raw.get_layer("normalized_pixels")
    assert first.input is raw.input
    assert_near(to_numpy(run(first, pixels.astype("float32"))), prepared)
    names = [layer.name for layer in raw.layers if layer is not first]
    assert names == [layer.name for layer in unit.layers]
