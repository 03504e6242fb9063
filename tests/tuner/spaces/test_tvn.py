"""The space of Tiny Video Networks: declaration, conversion of values and networks."""

import dataclasses
import random

import numpy as np
import pytest

keras_tuner = pytest.importorskip("keras_tuner")

from keras_video.applications.tiny_video_net.config import CONFIGS, DIGITS, TVN1  # noqa: E402
from keras_video.tuner.spaces import TVNSpace  # noqa: E402
from keras_video.tuner.spaces.base import cut, resizing  # noqa: E402
from keras_video.utils import complexity  # noqa: E402

SMALL = {
    "image_size": (32, 64, 16), "frames": [1, 2, 4], "frame_stride": (1, 3), "blocks": (1, 3),
    "filters": (8, 32, 8), "repeats": (1, 2), "expand": [1, 2], "non_local": [4, 8],
}  # fmt: skip


def declare(space):
    hp = keras_tuner.HyperParameters()
    space.declare(hp)
    return hp


def sample(space, seed, hp=None):
    """Return random values of all active hyperparameters."""
    rng, values = random.Random(seed), {}
    for parameter in (hp or declare(space)).space:
        if all(condition.is_active(values) for condition in parameter.conditions):
            values[parameter.name] = parameter.random_sample(rng.randrange(10**9))
    return values


def canonical(config):
    """Return the same network with fields without effect at their defaults."""
    blocks = []
    for block in config.blocks:
        default = {}
        if block.spatial_kernel == 1:
            default |= {"spatial": "std", "spatial_stride": 1}
        if block.spatial_kernel == 1 or block.spatial.endswith("pool"):
            default |= {"spatial_activation": "relu"}
        if block.temporal_kernel == 1:
            default |= {"temporal": "1d", "temporal_stride": 1}
        if block.temporal_kernel == 1 or block.temporal.endswith("pool"):
            default |= {"temporal_activation": "relu"}
        blocks.append(dataclasses.replace(block, **default))
    stride = config.frame_stride if config.frames > 1 else 1
    return config.with_options(blocks=tuple(blocks), frame_stride=stride)


PUBLISHED = [c for c in CONFIGS.values() if c is not DIGITS]


@pytest.mark.parametrize("config", PUBLISHED, ids=lambda c: c.name)
def test_published_networks_are_points_of_the_space(config):
    space = TVNSpace(339, mobile="mobile" in config.name, name=config.name)
    values = space.to_values(config)
    assert space.to_config(values) == canonical(config)
    assert space.invalid(values) is None
    assert space.costs(values) == {
        "macs": complexity.macs(config, classes=339),
        "params": complexity.params(config, 339),
        "memory": complexity.peak_activation_memory(config, classes=339),
    }


def test_the_mobile_networks_are_in_the_mobile_space_only():
    with pytest.raises(ValueError, match="block_1/spatial_activation: expected relu | linear"):
        TVNSpace(339).to_values(CONFIGS["tiny_video_net_mobile_1"])


@pytest.mark.parametrize("mobile", [False, True])
def test_random_values_make_the_round_trip(mobile):
    space = TVNSpace(10, mobile=mobile)
    hp = declare(space)
    seen = set()
    for seed in range(150):
        values = sample(space, seed, hp)
        config = space.to_config(values)
        assert space.to_values(config) == values
        assert canonical(config) == config
        seen |= {(f.name, getattr(b, f.name)) for b in config.blocks for f in dataclasses.fields(b)}
    found = {name: {v for n, v in seen if n == name} for name, _ in seen}
    assert found["spatial"] == {"std", "depth", "maxpool", "avgpool"}
    assert found["spatial_kernel"] == found["temporal_stride"] == set(range(1, 9))
    assert found["expand"] == {1, 2, 3, 4, 5, 6, 8}
    assert found["inverted"] == ({False, True} if mobile else {False})
    assert ("hard_swish" in found["temporal_activation"]) == mobile
    assert 0 < max(found["squeeze"]) <= 1 and 0 in found["squeeze"]
    assert 32 <= min(found["filters"]) and max(found["filters"]) > 1900


def test_what_has_no_effect_has_no_value():
    space = TVNSpace(10)
    values = space.to_values(TVN1)
    assert "block_1/temporal" not in values and "block_1/spatial_activation" not in values
    assert "block_0/squeeze_ratio" not in values and "block_1/squeeze_ratio" in values
    assert "block_4/filters" not in values
    still = space.to_values(dataclasses.replace(TVN1, frames=1, frame_stride=1))
    assert "frame_stride" in values and "frame_stride" not in still


def test_slots_are_copies_of_each_other():
    space = TVNSpace(10, **SMALL)
    hp = declare(space)
    (group,) = space.slots
    assert (group.count, group.prefix, group.start) == ("num_blocks", "block_", 0)
    slots = [
        [(p.name.split("/", 1)[1], repr(p).replace(f"block_{i}/", "")) for p in hp.space
         if p.name.startswith(f"block_{i}/")]
        for i in range(3)
    ]  # fmt: skip
    assert slots[0] == slots[1] == slots[2] and len(slots[0]) > 10
    for i in range(3):
        first = next(p for p in hp.space if p.name == f"block_{i}/filters")
        assert first.conditions[0].values == list(range(max(1, i + 1), 4))


def test_a_single_value_is_not_declared():
    space = TVNSpace(
        10, image_size=32, frames=2, frame_stride=1, blocks=2, repeats=1, spatial="depth",
        spatial_kernel=3, spatial_stride=2, temporal="1d", temporal_kernel=[1, 2],
        temporal_stride=1, filters=[8, 12, 32], expand=2, squeeze=0.25, context_gate=False,
        non_local=0, skip=(False,), activations="relu",
    )  # fmt: skip
    hp = declare(space)
    assert [p.name for p in hp.space] == ["num_blocks"] + [
        f"block_{i}/{name}" for i in (0, 1) for name in ("temporal_kernel", "filters", "squeeze")
    ]
    config = space.to_config(hp)
    assert [b.filters for b in config.blocks] == [8, 8]
    assert space.to_config({**hp.values, "block_1/squeeze": True}).blocks[1].squeeze == 0.25
    assert config.blocks[0].spatial == "depth" and config.size == 32


def test_invalid_says_why():
    space = TVNSpace(10, video_frames=9, **SMALL)
    values = sample(space, 0) | {"frames": 4, "frame_stride": 3}
    assert "10 frames are needed, clips have 9" in space.invalid(values)
    assert TVNSpace(10, **SMALL).invalid(values) is None
    small = {"num_blocks": 2, "image_size": 32, "frames": 2, "frame_stride": 1}
    block = {"spatial_kernel": 3, "spatial": "maxpool", "spatial_stride": 6, "temporal_kernel": 1,
             "filters": 8, "expand": 1, "repeats": 1, "skip": False, "squeeze": False,
             "context_gate": False, "non_local": False, "activation": "relu"}  # fmt: skip
    small |= {f"block_{i}/{k}": v for i in range(2) for k, v in block.items()}
    assert space.invalid(small) is None  # 32, 6, 1
    small["block_1/spatial_stride"] = 7
    assert "block_1/spatial_stride: expected at most 6 pixels, got 7" in space.invalid(small)
    del small["block_0/filters"]
    assert "block_0/filters: expected 8..32 step 8, got no value" in space.invalid(small)
    assert "block_0/filters" in space.invalid({**small, "block_0/filters": 9})
    assert "num_blocks" in space.invalid({**small, "num_blocks": 4})


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("image_size", (64, 32)), ("image_size", "big"), ("frames", (0, 4)), ("frames", []),
        ("frames", (1, 2, 3, 4)), ("frame_stride", 1.5), ("blocks", [1, 3]), ("blocks", 0),
        ("repeats", True), ("spatial", ("std", "conv")), ("temporal", ()), ("filters", [8, 8]),
        ("filters", (8, 32, 0)), ("expand", [0.5]), ("squeeze", (0.5, 1.5)), ("squeeze", (1.0, 0)),
        ("skip", "yes"), ("context_gate", 1), ("non_local", (-1, 8)), ("inverted", None),
        ("activations", "swish"), ("num_classes", 0), ("video_frames", -1), ("dropout", 1.0),
        ("head", "max"),
    ],
)  # fmt: skip
def test_bad_ranges_are_named(argument, value):
    with pytest.raises(ValueError, match=f"^{argument}: expected .*got|^{argument}: .*Got"):
        TVNSpace(**{"num_classes": 10, argument: value})


def test_unknown_ranges_are_named():
    with pytest.raises(ValueError, match="arguments: expected some of .*got .*image_sizes"):
        TVNSpace(10, image_sizes=(32, 64))


def test_features_tell_kernels_apart():
    space = TVNSpace(10, **(SMALL | {"filters": (32, 64)}))
    block = dataclasses.replace(TVN1.blocks[2], filters=32, expand=2)
    config = dataclasses.replace(TVN1, size=64, frame_stride=1, blocks=(block,))
    values = space.to_values(config)
    assert values["block_0/spatial"] == "depth" and values["block_0/spatial_kernel"] == 5
    one, other = space.features(values), space.features({**values, "block_0/spatial_kernel": 7})
    assert one.shape == other.shape and one.dtype == np.float64
    assert np.isfinite(one).all() and not np.allclose(one, other)
    lengths = {space.features(sample(space, seed)).shape for seed in range(20)}
    assert lengths == {one.shape}


def test_build_accepts_hyperparameters_and_values():
    space = TVNSpace(7, **SMALL)
    values = {**sample(space, 3), "tuner/rejected": "params"}
    hp = keras_tuner.HyperParameters()
    hp.values = values
    for given in (values, hp):
        model = space.build(given)
        assert model.input_shape == (None, *space.clip(values)[:3], 3)
        assert model.output_shape == (None, 7)
        assert model.count_params() == space.costs(values)["params"]
    with pytest.raises(ValueError, match="hp: expected HyperParameters or a dict"):
        space.build([values])


def test_fit_cuts_the_clips_to_the_network():
    import keras

    space = TVNSpace(2, **SMALL)
    values = sample(space, 3) | {"frames": 4, "frame_stride": 2, "image_size": 48}
    clips = np.random.default_rng(0).integers(0, 256, (6, 9, 40, 56, 3), "uint8")
    labels = np.arange(6) % 2

    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 2

        def __getitem__(self, index):
            return clips[3 * index : 3 * index + 3], labels[3 * index : 3 * index + 3]

    for x, y, validation in ((clips, labels, (clips, labels)), (Batches(), None, Batches())):
        model = space.build(values)
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        history = space.fit(values, model, x, y, validation_data=validation, verbose=0)
        assert np.isfinite(history.history["val_loss"]).all()
    with pytest.raises(ValueError, match="at least 7 frames, for 4 frames with stride 2, got 6"):
        space.fit(values, model, clips[:, :6], labels)
    with pytest.raises(ValueError, match="data: expected an array"):
        space.fit(values, model, [1, 2], labels)


def test_cut_takes_the_middle_and_averages():
    clips = np.zeros((2, 9, 4, 8, 3), "uint8")
    clips += np.arange(9, dtype="uint8")[:, None, None, None] * 10
    assert cut(clips, 3, 4, 8, 3)[1, :, 0, 0, 0].tolist() == [10, 40, 70]
    assert cut(clips, 2, 4, 8, 8)[0, :, 0, 0, 0].tolist() == [0, 80]
    assert cut(clips, 9, 2, 4).dtype == np.uint8
    np.testing.assert_array_equal(
        cut(clips, 9, 3, 5), clips[:, :, :3, :5]
    )  # images of one colour stay
    np.testing.assert_allclose(resizing(8, 4).sum(1), 1, rtol=1e-6)
    assert (resizing(12, 4).sum(0) > 0).all()  # antialiased: every pixel counts
    ramp = np.arange(8.0)
    np.testing.assert_allclose((resizing(8, 4) @ ramp)[1:3], [2.5, 4.5], rtol=1e-6)
    np.testing.assert_allclose(
        resizing(4, 8) @ np.arange(4.0), np.clip(np.arange(8) / 2 - 0.25, 0, 3)
    )
