"""Tiny Video Networks as Keras models: arguments, training, saving, the command line."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from keras_video.applications import tiny_video_net
from keras_video.applications.tiny_video_net import (
    CONFIGS,
    TinyVideoBlock,
    TinyVideoNet,
    TinyVideoNetConfig,
)
from keras_video.cli import commands
from keras_video.cli.recipe import find_recipe
from keras_video.utils import peak_activation_memory
from tests.helpers import assert_near, command_line, randomize_weights, run, to_numpy

BLOCK = TinyVideoBlock(
    "depth", 3, 2, "1d", 2, 1, filters=4, expand=2, repeats=2, skip=True, squeeze=0.5,
    context_gate=True, inverted=True,
)  # fmt: skip
TINY = TinyVideoNetConfig(
    "tiny", 4, 32, 2, (BLOCK, dataclasses.replace(BLOCK, inverted=False)), dropout=0.0
)
CLIPS = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3)).astype("uint8")


def test_names_of_layers_and_freezing():
    model = TinyVideoNet(TINY, classes=3)
    names = [layer.name for layer in model.layers if layer.weights]
    assert set(names) == {name.split("/")[0] for name in TINY.weight_shapes()}
    assert {
        "block0_repeat0_widening", "block0_repeat0_pointwise", "block0_repeat0_spatial",
        "block0_repeat0_temporal", "block0_repeat0_projection", "block0_repeat0_skip",
        "block1_repeat1_expansion", "classifier",
    } <= set(names)  # fmt: skip
    left = model.freeze(until="block1")
    trained = {layer.name for layer in model.layers if layer.trainable_weights}
    assert {name.split("_")[0] for name in trained} == {"block1", "classifier"}
    assert left == sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    model.freeze(batch_norm=True)
    assert not [v.path for v in model.trainable_weights if v.name in ("gamma", "beta")]


def test_what_the_network_knows_about_itself():
    model = TinyVideoNet(TINY)
    info = model.info
    assert info["family"] == "tiny_video_net" and info["clip"] == [4, 32, 32, 3]
    assert (info["frame_stride"], info["pixels"], info["classes"]) == (2, 255, 339)
    assert TinyVideoNetConfig.from_dict(info["config"]) == TINY
    assert model.input_shape == (None, 4, None, None, 3)


@pytest.mark.parametrize("name", CONFIGS)
def test_builders(name):
    config = CONFIGS[name]
    suffix = name.removeprefix("tiny_video_net_").title().replace("_", "")
    builder = getattr(tiny_video_net, f"TinyVideoNet{suffix}")
    text = builder.__doc__
    assert f"{config.frames} frames of {config.size}x{config.size}" in text
    assert ("charades" in text) == (name[15:] in ("1", "2", "3", "mobile_1"))
    if name == "tiny_video_net_mobile_2":
        model = builder(classes=10)
        assert model.name == name and model.output_shape == (None, 10)
        assert model.info["config"]["name"] == name


def test_pixels_and_preprocessing():
    """The first layer scales the pixels; without it the models are the same."""
    raw = TinyVideoNet(TINY, classes=3)
    unit = TinyVideoNet(TINY, classes=3, include_preprocessing=False)
    first = raw.get_layer("unit_pixels")
    assert first.input is raw.input
    assert_near(to_numpy(run(first, CLIPS.astype("float32"))), CLIPS.astype("float32") / 255)
    names = [layer.name for layer in raw.layers if layer is not first]
    assert names == [layer.name for layer in unit.layers]


@pytest.mark.parametrize("head", ["average", "per_frame"])
def test_probabilities(head):
    model = TinyVideoNet(TINY, classes=3, classifier_activation="softmax", head=head)
    outputs = to_numpy(run(randomize_weights(model), CLIPS))
    np.testing.assert_allclose(outputs.sum(1), 1.0, atol=1e-5)


@pytest.mark.parametrize(
    "pooling, shape", [(None, (2, 4, 8, 8, 8)), ("avg", (2, 8)), ("max", (2, 8))]
)
def test_without_top(pooling, shape):
    model = TinyVideoNet(TINY, include_top=False, pooling=pooling)
    outputs = model.compute_output_spec(keras.KerasTensor(CLIPS.shape))
    assert tuple(outputs.shape) == shape and model.info["classes"] is None


def test_input_tensor():
    clip = keras.Input((4, 32, 32, 3))
    model = TinyVideoNet(TINY, classes=3, input_tensor=keras.layers.Rescaling(0.5)(clip))
    assert model.input is clip or model.input.name == clip.name
    assert run(model, CLIPS).shape == (2, 3)


def test_another_number_of_frames_is_another_network():
    one = TinyVideoNet(TINY, input_shape=(1, None, None, 3), classes=3)
    four = TinyVideoNet(TINY, classes=3)
    assert one.count_params() < four.count_params()
    assert one.compute_output_spec(keras.KerasTensor((2, 1, 32, 32, 3))).shape == (2, 3)
    with pytest.raises(ValueError, match=r"with 4 frames, the clip length of its layers, got"):
        four(CLIPS[:, :2])


def test_hard_swish_everywhere():
    model = TinyVideoNet(TINY, classes=3, activation="hard_swish")
    for block in model.info["config"]["blocks"]:
        kinds = {block[k] for k in ("activation", "spatial_activation", "temporal_activation")}
        assert kinds == {"hard_swish"}


def test_mixed_precision_stays_near():
    model = randomize_weights(TinyVideoNet(TINY, classes=3))
    half = TinyVideoNet(TINY, classes=3, dtype="mixed_bfloat16")
    half.set_weights(model.get_weights())
    expected = to_numpy(run(model, CLIPS))
    outputs = run(half, CLIPS)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    assert np.abs(to_numpy(outputs) - expected).max() < 0.1 * np.abs(expected).max()


def test_initial_weights():
    """Deviation sqrt(1.3 * 2 / fan in) before the cut; the published code counts all channels of a
    depthwise kernel as its inputs."""
    keras.utils.set_random_seed(1)
    wide = dataclasses.replace(BLOCK, filters=64, expand=2, inverted=False)
    model = TinyVideoNet(dataclasses.replace(TINY, blocks=(wide,)))
    cut = 0.87962566
    for name, fan_in in (("pointwise", 3), ("temporal", 2 * 64), ("spatial", 9 * 64)):
        kernel = to_numpy(model.get_layer(f"block0_repeat0_{name}").kernel)
        assert kernel.std() == pytest.approx(cut * np.sqrt(2.6 / fan_in), rel=0.1)
    gate = to_numpy(model.get_layer("block0_repeat0_expansion").context_gate.gate_kernel)
    assert gate.std() == pytest.approx(cut * np.sqrt(2.6 / 128), rel=0.05)
    assert to_numpy(model.get_layer("classifier").kernel).std() == pytest.approx(0.01, rel=0.05)
    norm = model.get_layer("block0_repeat0_spatial").norm
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)


def test_training_learns_and_survives_saving(tmp_path):
    keras.utils.set_random_seed(0)
    small = dataclasses.replace(TINY, blocks=(dataclasses.replace(BLOCK, repeats=1),))
    model = TinyVideoNet(small, classes=2, dropout=0.1)
    clips = np.concatenate([CLIPS // 4, 255 - CLIPS // 4])
    labels = np.array([0, 0, 1, 1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.03), loss, jit_compile=keras.backend.backend() == "jax")
    losses = [float(model.train_on_batch(clips, labels)) for _ in range(15)]
    assert losses[-1] < 0.5 * losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.info == model.info
    assert_near(to_numpy(run(again, clips)), to_numpy(run(model, clips)), 1e-6)


def test_memory_of_the_widest_moment():
    """Counted by hand: input of the kernel of an inverted block, its output, and the skip."""
    block = TinyVideoBlock("depth", 3, 2, filters=4, expand=2, skip=True, inverted=True)
    config = TinyVideoNetConfig("tiny", 2, 16, 1, (block,))
    pixels = 2 * 16 * 16
    assert peak_activation_memory(config, classes=3) == 4 * (pixels * (8 + 8) + pixels // 4 * 4)
    attention = dataclasses.replace(block, non_local=3)
    positions = pixels // 4
    widest = positions * (8 + 8 + 3 * 3 + positions) + positions * 4
    config = dataclasses.replace(config, blocks=(attention,))
    assert peak_activation_memory(config, classes=3) == 4 * widest


BAD = [
    (dict(classes=0), "classes: expected an int of at least 1, got 0"),
    (dict(pooling="sum"), "pooling: expected one of None, 'avg', 'max', got 'sum'"),
    (dict(input_shape=(None, 32, 32, 3)), "input_shape: expected a fixed number of frames"),
    (dict(input_shape=(4, 32, 32)), r"input_shape: expected \(frames, height, width, 3\)"),
    (dict(input_shape=(3, 4, 32, 32)), "input_shape: .* Channels come last"),
    (dict(input_shape=(0, 32, 32, 3)), "input_shape: .* positive ints"),
    (dict(head="vote"), r"head: expected one of .*, got 'vote'"),
    (dict(activation="elu"), "activation: expected one of .*, got 'elu'"),
    (dict(dropout=1.0), r"dropout: expected a finite number of at least 0 and below 1, got 1\.0"),
    (dict(color="red"), r"options: expected one of .*, got 'color'"),
]


@pytest.mark.parametrize("kwargs, message", BAD, ids=lambda case: str(case)[:30])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        TinyVideoNet(TINY, **kwargs)


@pytest.mark.parametrize(
    "spec, message",
    [
        (3, "spec: expected a TinyVideoNetConfig or a dict, got 3"),
        ({"num_frames": 2, "image_size": 32}, "blocks: expected a list of blocks, got None"),
        ({"frames": 2, "blocks": [{}]}, "config: expected the fields .* missing"),
        ({"frames": 2, "size": 32, "blocks": [{"kernel": 3}]}, r"unknown \['kernel'\]"),
        ({"frames": 2, "size": 32, "blocks": [{"filters": 0}]}, "filters: expected an int"),
    ],
)
def test_bad_specifications(spec, message):
    with pytest.raises(ValueError, match=message):
        TinyVideoNet(spec)


# The command line


@pytest.mark.parametrize("model", ["TVN1", "tvn-1", "TinyVideoNet1", "tiny_video_net_1"])
def test_names_on_the_command_line(model, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\n")
    recipe = find_recipe(model, "charades", labels=str(labels))
    assert recipe.name == "tiny_video_net_1" and recipe.title == "TVN-1 (charades)"
    assert (recipe.frames, recipe.size, recipe.frame_stride) == (2, (224, 224), 4)
    assert recipe.rate(30.0) == 7.5 and recipe.pictures == "frames of 224 x 224, 1 of 4"
    with pytest.raises(ValueError, match="because charades has no class names"):
        find_recipe(model, "charades")
    with pytest.raises(ValueError, match="model: expected a model that can stream"):
        find_recipe(model, "charades", streaming=True, labels=str(labels))


def test_models_lists_them(capsys):
    assert commands.main(["models"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    for part in ("26.43", "4.33", "2 x 224 x 224", "1 of 4", "charades"):
        assert part in rows["TVN-1"]
    assert {"TVN-4", "TVN-Mobile-2", "TVN-6-Reconstruction"} <= set(rows)


@command_line
def test_classify(capsys, tmp_path):
    """From a video file to names, with weights from a path."""
    av = pytest.importorskip("av")
    video = tmp_path / "noise.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in np.random.default_rng(0).integers(0, 256, (12, 48, 64, 3)).astype("uint8"):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    weights, labels = tmp_path / "mine.weights.h5", tmp_path / "labels.txt"
    model = tiny_video_net.TinyVideoNetMobile2(classes=3)
    bias = model.get_layer("classifier").bias
    bias.assign(ops.convert_to_tensor([0.0, 5.0, 0.0]))
    model.save_weights(weights)
    labels.write_text("left\nright\nup\n")
    options = ("--model=TVNMobile2", f"--weights={weights}", f"--labels={labels}", "--size=64")
    assert commands.main(["classify", str(video), *options]) == 0
    out = capsys.readouterr().out
    assert "TVN-Mobile-2 (mine.weights.h5): 2 frames of 64 x 64, 1 of 1" in out
    assert "  1. right" in out
