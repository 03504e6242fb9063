"""bLVNet-TAM as Keras models: arguments, training, saving, the command line."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_video.applications import blvnet_tam
from keras_video.applications.blvnet_tam import CONFIGS, BLVNetTAM, BLVNetTAMConfig
from keras_video.cli import commands
from keras_video.cli.recipe import find_recipe
from keras_video.models import fold_batch_norm
from keras_video.utils import peak_activation_memory
from tests.helpers import (
    assert_near,
    command_line,
    few_steps,
    randomize_weights,
    run,
    to_numpy,
)

TINY = BLVNetTAMConfig("tiny", (2, 2, 2, 1), num_frames=4, width=8, dropout=0.0)
CLIPS = np.random.default_rng(0).integers(0, 256, (2, 4, 37, 32, 3)).astype("uint8")


def test_names_of_layers_and_freezing():
    model = BLVNetTAM(TINY, classes=3)
    names = [layer.name for layer in model.layers if layer.weights]
    assert set(names) == {name.split("/")[0] for name in TINY.weight_shapes()}
    assert {
        "stem", "stem_temporal", "stem_big", "stem_little0", "stem_merge", "stem_fusion",
        "stage1_temporal", "stage1_big0_reduce", "stage1_little0_expand", "stage1_merge",
        "stage2_fusion_spatial", "stage4_block0_temporal", "stage4_block0_shortcut", "classifier",
    } <= set(names)  # fmt: skip
    left = model.freeze(until="stage3")
    trained = {layer.name.split("_")[0] for layer in model.layers if layer.trainable_weights}
    assert trained == {"stage3", "stage4", "classifier"}
    assert left == sum(int(np.prod(v.shape)) for v in model.trainable_weights)
    model.freeze(batch_norm=True)
    assert not [v.path for v in model.trainable_weights if v.name in ("gamma", "beta")]


def test_what_the_network_knows_about_itself():
    model = BLVNetTAM(TINY, input_shape=(8, None, None, 3))
    info = model.info
    assert info["family"] == "blvnet_tam" and info["clip"] == [8, 224, 224, 3]
    assert (info["sampling"], info["resize_side"]) == ("blvnet_tam", 256)
    assert (info["pixels"], info["classes"]) == (255, 174)
    assert info["mean"] == [0.485, 0.456, 0.406] and info["std"] == [0.229, 0.224, 0.225]
    assert BLVNetTAMConfig.from_dict(info["config"]) == TINY.with_options(num_frames=8)


@pytest.mark.parametrize("name", CONFIGS)
def test_builders(name):
    builder = getattr(blvnet_tam, f"BLVNetTAM{name.removeprefix('blvnet_tam_')}")
    assert builder.__name__ in builder.__doc__ and "bLVNet-TAM-" in builder.__doc__
    assert ("Weights: none are published" in builder.__doc__) == name.endswith("152")
    if name == "blvnet_tam_50":
        model = builder(classes=10, num_frames=4, width=4)
        assert model.name == name and model.output_shape == (None, 10)
        assert model.input_shape == (None, 4, None, None, 3)
        assert model.info["config"]["blocks"] == [3, 4, 6, 3]


@pytest.fixture(scope="module")
def tiny():
    """A model with random weights, and its outputs for `CLIPS`."""
    model = randomize_weights(BLVNetTAM(TINY, classes=3))
    return model, to_numpy(run(model, CLIPS))


def test_pixels_and_preprocessing(tiny):
    """The first layer does what `preprocess_input` does; without it the models are the same."""
    raw, normal = tiny[0], BLVNetTAM(TINY, classes=3, include_preprocessing=False)
    frames = blvnet_tam.preprocess_input(CLIPS)
    by_hand = (CLIPS / 255 - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(frames, by_hand, atol=1e-5)
    first = raw.get_layer("normalize")
    assert first.input is raw.input
    assert_near(to_numpy(run(first, CLIPS.astype("float32"))), frames)
    names = [layer.name for layer in raw.layers if layer is not first]
    assert names == [layer.name for layer in normal.layers]


def test_optical_flow():
    model = BLVNetTAM(TINY, classes=3, input_channels=10)
    assert model.input_shape == (None, 4, None, None, 10)
    assert model.info["mean"] == [0.5] * 10 and model.info["std"] == [0.226] * 10
    with pytest.raises(ValueError, match=r"height, width, 10\), got \(2, 4, 37, 32, 3\)"):
        model(CLIPS)
    still = np.full((2, 3, 10), 127.5)
    assert not blvnet_tam.preprocess_input(still).any()


def test_any_even_number_of_frames_and_any_size():
    model = randomize_weights(BLVNetTAM(TINY, classes=3, input_shape=(None, None, None, 3)))
    other = BLVNetTAM(TINY, classes=3, num_frames=2)
    other.set_weights(model.get_weights())
    clips = CLIPS[:, :2, :20]
    assert_near(to_numpy(run(model, clips)), to_numpy(run(other, clips)))


@pytest.mark.parametrize(
    "pooling, shape", [(None, (2, 2, 2, 1, 256)), ("avg", (2, 256)), ("max", (2, 256))]
)
def test_without_top(pooling, shape):
    model = BLVNetTAM(TINY, include_top=False, pooling=pooling)
    outputs = model.compute_output_spec(keras.KerasTensor(CLIPS.shape))
    assert tuple(outputs.shape) == shape and model.info["classes"] is None


def test_probabilities_and_input_tensor():
    clip = keras.Input((4, 37, 32, 3))
    scaled = keras.layers.Rescaling(0.5)(clip)
    model = BLVNetTAM(TINY, classes=3, input_tensor=scaled, classifier_activation="softmax")
    assert model.input is clip or model.input.name == clip.name
    outputs = to_numpy(run(randomize_weights(model), CLIPS))
    np.testing.assert_allclose(outputs.sum(1), 1.0, atol=1e-5)


def test_without_aggregation_the_pairs_do_not_mix():
    """Without aggregation the features of a pair depend on its own frames only."""
    reached = {}
    for temporal in ("tam", "shift", "none"):
        model = BLVNetTAM(TINY, include_top=False, num_frames=8, temporal=temporal)
        fixed = [(v, to_numpy(v)) for v in model.non_trainable_variables if v.name == "kernel"]
        randomize_weights(model)
        for variable, value in fixed:
            variable.assign(value)
        clips = np.tile(CLIPS, (1, 2, 1, 1, 1))
        other = clips.copy()
        other[:, 0] = 255 - other[:, 0]
        before, after = (to_numpy(run(model, c)) for c in (clips, other))
        difference = np.abs(before - after).max((0, 2, 3, 4))
        reached[temporal] = list(difference > 1e-6)
    assert reached["none"] == [True, False, False, False]
    assert reached["tam"][:2] == reached["shift"][:2] == [True, True]


def test_mixed_precision_stays_near(tiny):
    model, expected = tiny
    half = BLVNetTAM(TINY, classes=3, dtype="mixed_bfloat16")
    half.set_weights(model.get_weights())
    outputs = run(half, CLIPS)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    assert np.abs(to_numpy(outputs) - expected).max() < 0.1 * np.abs(expected).max()


def test_folded_batch_norm(tiny):
    model, expected = tiny
    folded = fold_batch_norm(model)
    assert not {v.name for v in folded.weights} & {"gamma", "moving_mean"}
    assert_near(to_numpy(run(folded, CLIPS)), expected)


def test_initial_weights():
    """Deviation sqrt(2 / fan out), also of aggregations; residual branches start at zero."""
    keras.utils.set_random_seed(1)
    model = BLVNetTAM(TINY, width=32, classes=174)
    for name, fan_out in (("stem_big", 9 * 32), ("stage2_little0_spatial", 9 * 32)):
        kernel = to_numpy(model.get_layer(name).kernel)
        assert kernel.std() == pytest.approx(np.sqrt(2 / fan_out), rel=0.05)
    kernel = to_numpy(model.get_layer("stage4_block0_temporal").kernel)
    assert kernel.std() == pytest.approx(np.sqrt(2 / 512), rel=0.1)
    assert not to_numpy(model.get_layer("stage3_fusion_expand").norm.gamma).any()
    assert to_numpy(model.get_layer("stage3_merge").norm.gamma).all()
    assert to_numpy(model.get_layer("classifier").kernel).std() == pytest.approx(0.001, rel=0.05)
    norms = [layer.norm for layer in model.layers if getattr(layer, "norm", None) is not None]
    assert {(norm.momentum, norm.epsilon) for norm in norms} == {(0.9, 1e-5)}
    assert len(norms) == sum(name.endswith("/gamma") for name in TINY.weight_shapes())


def test_training_reaches_every_weight_learns_and_survives_saving(tmp_path):
    keras.utils.set_random_seed(0)
    model = BLVNetTAM(TINY, classes=2, dropout=0.1)
    clips = np.concatenate([CLIPS // 4, 255 - CLIPS // 4])
    labels = np.array([0, 0, 1, 1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, **few_steps())
    before = [to_numpy(v) for v in model.trainable_variables]
    losses = [float(model.train_on_batch(clips, labels)) for _ in range(6)]
    assert losses[-1] < 0.5 * losses[0]
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert np.any(to_numpy(variable) != old), variable.path
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.info == model.info
    assert_near(to_numpy(run(again, clips)), to_numpy(run(model, clips)), 1e-6)


def test_memory_of_the_widest_moment():
    """Counted by hand: the stem reads all frames and writes a quarter of their pixels with more
    channels. With many channels the aggregation after it needs the most memory."""
    config = BLVNetTAMConfig("tiny", (2, 2, 2, 1), num_frames=4, size=64, width=8)
    pixels = 4 * 64 * 64
    assert peak_activation_memory(config) == 4 * (pixels * 3 + pixels // 4 * 8)
    wide = config.with_options(width=32)
    assert peak_activation_memory(wide) == 4 * 2 * (pixels // 4 * 32)


BAD = [
    (dict(classes=0), "classes: expected an int of at least 1, got 0"),
    (dict(pooling="sum"), "pooling: expected one of None, 'avg', 'max', got 'sum'"),
    (dict(num_frames=5), "num_frames: expected an even number, got 5"),
    (dict(num_frames=0), "num_frames: expected an int of at least 1, got 0"),
    (dict(num_frames="8"), "num_frames: expected an int of at least 1, got '8'"),
    (dict(input_shape=(3, 32, 32, 3)), "num_frames: expected an even number, got 3"),
    (dict(input_shape=(4, 32, 32, 3), num_frames=6), "num_frames: expected that of input_shape"),
    (dict(input_shape=(4, 32, 32)), r"input_shape: expected \(frames, height, width, 3\)"),
    (dict(input_shape=(4, 3, 32, 32)), "input_shape: .* Channels come last"),
    (dict(input_shape=(4, 32, 32, 10)), r"input_shape: .* got \(4, 32, 32, 10\)"),
    (dict(input_shape=(4, 0, 32, 3)), "input_shape: .* positive ints"),
    (dict(alpha=3), "alpha: expected a divisor of the width 8, got 3"),
    (dict(alpha=0), "alpha: expected an int of at least 1, got 0"),
    (dict(beta=0.5), r"beta: expected an int of at least 1, got 0\.5"),
    (dict(blending_frames=0), "blending_frames: expected an int of at least 1, got 0"),
    (dict(dropout=1.0), r"dropout: expected a finite number of at least 0 and below 1, got 1\.0"),
    (dict(dropout=None), r"dropout: expected a finite number of at least 0 and below 1, got None"),
    (dict(temporal="tsm"), r"temporal: expected one of .*, got 'tsm'"),
    (dict(temporal="shift", blending_frames=5), "blending_frames: expected 3 for temporal='shift'"),
    (dict(blocks=(2, 2, 2)), r"blocks: expected four ints, got \(2, 2, 2\)"),
    (dict(blocks=(1, 2, 2, 1)), "blocks: expected an int of at least 2, got 1"),
    (dict(head="vote"), "options: expected one of .*, got 'head'"),
]


@pytest.mark.parametrize("kwargs, message", BAD, ids=lambda case: str(case)[:30])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        BLVNetTAM(TINY, **kwargs)


def test_bad_clips():
    model = BLVNetTAM(TINY, classes=3, input_shape=(None, None, None, 3))
    for frames, message in (
        (CLIPS[:, :3], r"with a multiple of 2 frames, got \(2, 3, 37, 32, 3\)"),
        (CLIPS[0], "got rank 4"),
        (CLIPS[..., :1], r"got \(2, 4, 37, 32, 1\)"),
    ):
        for call in (model, model.predict):
            with pytest.raises(ValueError, match=message):
                call(frames)
    with pytest.raises(ValueError, match="clip: expected an even number of frames"):
        TINY.trace((3, 32, 32, 3))


def test_bad_dicts():
    values = TINY.to_dict()
    assert BLVNetTAMConfig.from_dict(values) == TINY
    for wrong in ({**values, "depth": 50}, {"name": "x"}):
        with pytest.raises(ValueError, match="config: expected the fields"):
            BLVNetTAMConfig.from_dict(wrong)


# The command line


@pytest.mark.parametrize("model", ["bLVNet50", "BLVNetTAM50", "blvnet_tam_50", "bLVNet-TAM-50"])
def test_names_on_the_command_line(model, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\n")
    recipe = find_recipe(model, "something_something_v1_16x2", labels=str(labels))
    assert recipe.name == "blvnet_tam_50"
    assert recipe.title == "bLVNet-TAM-50 (something_something_v1_16x2)"
    assert (recipe.frames, recipe.size, recipe.resize_side) == (32, (224, 224), 256)
    assert recipe.pictures == "frames of 224 x 224, spread over the video"
    with pytest.raises(ValueError, match="because something_something_v1_16x2 has no class names"):
        find_recipe(model, "something_something_v1_16x2")
    with pytest.raises(ValueError, match="model: expected a model that can stream"):
        find_recipe(model, "imagenet", streaming=True, labels=str(labels))


def test_models_lists_them(capsys):
    assert commands.main(["models"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    for part in ("25.08", "23.9", "16 x 224 x 224", "spread", "something_something_v2_8x2"):
        assert part in rows["bLVNet-TAM-50"]
    assert {"bLVNet-TAM-101", "bLVNet-TAM-152"} <= set(rows)


@command_line
def test_classify(capsys, tmp_path):
    """From a video file to names: the frames are spread over the whole video."""
    av = pytest.importorskip("av")
    video = tmp_path / "steps.mp4"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for grey in range(0, 240, 12):
            picture = np.full((48, 64, 3), grey, "uint8")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(stream.encode())
    weights, labels = tmp_path / "mine.weights.h5", tmp_path / "labels.txt"
    model = blvnet_tam.BLVNetTAM50(classes=3, num_frames=4)
    model.get_layer("classifier").bias.assign(ops.convert_to_tensor([0.0, 5.0, 0.0]))
    model.save_weights(weights)
    labels.write_text("left\nright\nup\n")
    options = ("--model=bLVNet50", f"--weights={weights}", f"--labels={labels}", "--size=32")
    assert commands.main(["classify", str(video), *options, "--frames=4"]) == 0
    out = capsys.readouterr().out
    assert "bLVNet-TAM-50 (mine.weights.h5): 4 frames of 32 x 32, spread over the video" in out
    assert "  1. right" in out and "was repeated" not in out

    from keras_video.data import VideoReader

    recipe = find_recipe("bLVNet50", str(weights), labels=str(labels), frames=4, size=32)
    clip, seconds = recipe.read_clip(VideoReader(str(video)))
    assert clip.shape == (4, 32, 32, 3) and seconds is None
    np.testing.assert_allclose(clip.mean((1, 2, 3)), [12 * k for k in (2, 7, 12, 17)], atol=3)
