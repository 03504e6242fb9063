"""The argument `weights` of X3D, its builders, and the command line."""

import keras
import numpy as np
import pytest

from keras_video import applications
from keras_video.applications import pretrained, x3d
from keras_video.applications.pretrained import fetch
from keras_video.applications.x3d import CONFIGS, X3D, X3DConfig, weights_record
from keras_video.applications.x3d.checkpoints import published_names
from keras_video.applications.x3d.weights import RECORDS
from keras_video.checkpoints import weight_map
from keras_video.cli import commands
from keras_video.cli.recipe import find_recipe
from tests.helpers import assert_near, command_line, few_steps, run, to_numpy

torch = pytest.importorskip("torch")

CONFIG = CONFIGS["x3d_xs"].with_options(width=0.7, depth=1.0, hidden=16)
CLIPS = np.random.default_rng(0).integers(0, 256, (2, 3, 36, 33, 3)).astype("uint8")


def published_shape(name, shape):
    """One of our shapes in the published layout."""
    if not name.endswith("kernel") or name == "classifier/kernel":
        return shape[::-1]
    return (shape[-1], shape[-2], *(shape[:3] if len(shape) == 5 else (1, 1, 1)))


def published_state(config, classes=5):
    """A random state dict with the published names, including counters."""
    random = np.random.default_rng(0)
    state = {}
    for ours, theirs in published_names(config).items():
        shape = published_shape(ours, config.weight_shapes(classes)[ours])
        value = 0.2 * random.standard_normal(shape)
        value = 1 + np.abs(value) if theirs.endswith("running_var") else value
        state[theirs] = torch.tensor(value.astype("float32"))
        if theirs.endswith("running_var"):
            state[theirs.replace("running_var", "num_batches_tracked")] = torch.tensor(7)
    return state


@pytest.fixture(scope="module")
def state():
    return published_state(CONFIG)


@pytest.mark.parametrize("form", ["bare", "model_state", "module"])
def test_pytorch_files(tmp_path, state, form):
    """A state dict, a dict with one under `"model_state"`, and that of a wrapped model."""
    path = tmp_path / "mine.pyth"
    if form == "module":
        torch.save({f"module.{k}": v for k, v in state.items()}, path)
    else:
        wrapped = {"epoch": 300, "model_state": state, "cfg": "text"}
        torch.save(state if form == "bare" else wrapped, path)
    model = X3D(CONFIG, weights=path)
    assert model.output_shape == (None, 5) and model.info["weights"] == str(path)
    ours = weight_map.export(model)
    for name, theirs in published_names(CONFIG).items():
        assert sorted(ours[name].ravel()) == sorted(state[theirs].numpy().ravel())


def test_nothing_in_a_file_is_executed(tmp_path, state):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("executed",))

    path = tmp_path / "trap.pyth"
    torch.save({"model_state": state, "trap": Trap()}, path)
    with pytest.raises(ValueError, match="weights: expected a PyTorch file"):
        X3D(CONFIG, weights=path)


def changed(state, name, value):
    return {k: v for k, v in state.items() if k != name} | ({} if value is None else {name: value})


STEM = "blocks.0.conv.conv_xy.weight"


@pytest.mark.parametrize(
    "name, value, message",
    [
        (STEM, None, r"does not fit x3d_xs: .*1 missing\.\n  missing: stem_temporal/kernel"),
        (STEM, torch.zeros(8, 1, 3, 1, 1), r"stem_temporal/kernel: expected .*, got \(3, 1, 1, 1"),
        ("blocks.1.extra", torch.zeros(1), "unexpected: blocks.1.extra"),
        ("blocks.5.proj.bias", None, "missing: classifier/bias"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path, state, name, value, message):
    path = tmp_path / "bad.pth"
    torch.save(changed(state, name, value), path)
    with pytest.raises(ValueError, match=f"(?s)^weights: .*{message}"):
        X3D(CONFIG, weights=path)


def test_other_networks_and_broken_files(tmp_path, state):
    path = tmp_path / "other.pth"
    torch.save({"fc.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(ValueError, match="expected the names of pytorchvideo"):
        X3D(CONFIG, weights=path)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="expected a dict of names to tensors"):
        X3D(CONFIG, weights=path)
    torch.save(state, path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="expected a PyTorch file"):
        X3D(CONFIG, weights=path)
    with pytest.raises(ValueError, match="expected an existing path for x3d_xl, got 'kinetics400'"):
        applications.X3DXL(weights="kinetics400")


def test_other_class_count_loads_all_but_the_last_layer(tmp_path, state, capsys):
    path = tmp_path / "mine.pth"
    torch.save(state, path)
    ours = weight_map.export(X3D(CONFIG, weights=path, classes=3))
    assert "has 5 classes, the model 3" in capsys.readouterr().out
    theirs = weight_map.export(X3D(CONFIG, weights=path))
    different = {name for name in theirs if not np.array_equal(ours[name], theirs[name])}
    assert different == {"classifier/kernel", "classifier/bias"}


def test_named_weights_are_converted_once(tmp_path, monkeypatch):
    """A file in the cache, with the name from the error message, is converted once."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    record = weights_record("x3d_xs", "kinetics400")
    state = published_state(CONFIG, 400)
    path = tmp_path / "models" / "keras_video" / record.cached_name
    path.parent.mkdir(parents=True)
    torch.save({"model_state": state}, path)
    first = X3D(CONFIG, weights="kinetics400")
    path.unlink()
    monkeypatch.setattr(pretrained, "fetch", lambda record: pytest.fail("fetched again"))
    second = X3D(CONFIG, weights="kinetics400", name="second")
    assert_near(second.get_weights(), first.get_weights(), 0.0)
    assert not list(tmp_path.rglob("*.partial"))


def test_without_a_network_the_error_says_where_to_put_the_file(tmp_path, monkeypatch):
    def refuse(**kwargs):
        raise OSError("no network")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.utils, "get_file", refuse)
    with pytest.raises(
        RuntimeError, match=r"X3D_M\.pyth .* save the file as .*x3d_m_kinetics400.p"
    ):
        fetch(weights_record("x3d_m", "kinetics400"))


def test_records():
    assert set(RECORDS) == set(CONFIGS) and not RECORDS["x3d_xl"]
    for name in ("xs", "s", "m", "l"):
        record = weights_record(f"x3d_{name}", "kinetics400")
        address = "https://dl.fbaipublicfiles.com/pytorchvideo/model_zoo/kinetics/X3D_"
        assert record.url == f"{address}{name.upper()}.pyth"
        config = CONFIGS[f"x3d_{name}"]
        assert (record.frames, record.frame_stride) == (config.frames, config.frame_stride)
        assert record.size == (record.resize_side,) * 2 == (config.resize_side,) * 2
        assert (record.mean, record.std, record.classes) == ((0.45,) * 3, (0.225,) * 3, 400)
    record = weights_record("x3d_s", "kinetics400")
    assert record.top1 == 73.33
    names = x3d.labels(record)
    assert len(set(names)) == 400 and names == sorted(names, key=str.lower)
    # Class numbers that others published for models trained on these labels.
    numbers = {"archery": 5, "blowing out candles": 27, "hammer throw": 148, "tai chi": 346}
    assert {name: names.index(name) for name in numbers} == numbers


@pytest.mark.parametrize("extension", ["npz", "weights.h5", "keras"])
def test_own_files(tmp_path, extension):
    path = str(tmp_path / f"mine.{extension}")
    model = X3D(CONFIG, classes=4)
    if extension == "npz":
        weight_map.save(path, weight_map.export(model), half=False)
    elif extension == "keras":
        model.save(path)
    else:
        model.save_weights(path)
    again = X3D(CONFIG, weights=path)
    assert again.output_shape == (None, 4)
    assert_near(again.get_weights(), model.get_weights(), 0.0)


# The networks


def test_what_the_network_knows_about_itself():
    model = applications.X3DS(classes=7, depth=1.0)
    info = model.info
    assert info["family"] == "x3d" and info["clip"] == [13, 160, 160, 3] and model.name == "x3d_s"
    assert (info["frame_stride"], info["resize_side"], info["classes"]) == (6, 182, 7)
    assert (info["mean"], info["deviation"], info["pixels"]) == (0.45, 0.225, 255)
    assert X3DConfig.from_dict(info["config"]) == CONFIGS["x3d_s"].with_options(depth=1.0)
    names = {layer.name for layer in model.layers if layer.weights}
    assert names == {name.split("/")[0] for name in model_shapes(info)}
    model.freeze(until="stage4")
    trained = {layer.name.split("_")[0] for layer in model.layers if layer.trainable_weights}
    assert trained == {"stage4", "head", "classifier"}


def model_shapes(info):
    return X3DConfig.from_dict(info["config"]).weight_shapes(info["classes"])


@pytest.mark.parametrize(
    "pooling, shape", [(None, (2, 3, 2, 2, 144)), ("avg", (2, 144)), ("max", (2, 144))]
)
def test_without_top(pooling, shape):
    model = X3D(CONFIG, include_top=False, pooling=pooling)
    outputs = model.compute_output_spec(keras.KerasTensor(CLIPS.shape))
    assert tuple(outputs.shape) == shape and model.info["classes"] is None


# On JAX test_auto_tsnet.py trains the same blocks and computes them in mixed precision.
not_on_jax = pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="test_auto_tsnet.py tests the same blocks"
)


@not_on_jax
def test_training_learns_and_survives_saving(tmp_path):
    keras.utils.set_random_seed(0)
    model = X3D(CONFIG.with_options(depth=0.4), classes=2, dropout=0.1)
    videos = np.concatenate([CLIPS // 4, 255 - CLIPS // 4])
    labels = np.array([0, 0, 1, 1])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.01), loss, **few_steps())
    losses = [float(model.train_on_batch(videos, labels)) for _ in range(8)]
    assert losses[-1] < 0.5 * losses[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.info == model.info
    assert_near(to_numpy(run(again, videos)), to_numpy(run(model, videos)), 1e-6)


@not_on_jax
def test_mixed_precision_stays_near():
    model = X3D(CONFIG, classes=3, depth=0.4)
    half = X3D(CONFIG, classes=3, depth=0.4, dtype="mixed_bfloat16")
    half.set_weights(model.get_weights())
    expected, outputs = to_numpy(run(model, CLIPS)), run(half, CLIPS)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    assert np.abs(to_numpy(outputs) - expected).max() < 0.1 * np.abs(expected).max()


def test_blocks_start_as_their_shortcuts():
    """The last scale of a branch is initialised with 0."""
    model = X3D(CONFIG, classes=3)
    gammas = {
        layer.name: to_numpy(layer.norm.gamma.value)
        for layer in model.layers
        if getattr(layer, "norm", None) is not None
    }
    for name, gamma in gammas.items():
        assert (gamma == (0.0 if name.endswith("_projection") else 1.0)).all(), name
    norm = model.get_layer("stage1_block0_feature").norm
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)


BAD = [
    (dict(input_shape=(4, 31, 40, 3)), "input_shape: expected height and width of at least 32"),
    (dict(input_shape=(3, 4, 40, 40)), "input_shape: .* Channels come last"),
    (dict(classes=0), "classes: expected an int of at least 1, got 0"),
    (dict(pooling="sum"), "pooling: expected one of None, 'avg', 'max', got 'sum'"),
    (dict(dropout=1.0), r"dropout: expected a finite number of at least 0 and below 1, got 1\.0"),
    (dict(width=0), "width: expected a finite number above 0, got 0"),
    (dict(frames=2.5), r"frames: expected an int of at least 1, got 2\.5"),
    (dict(color="red"), r"options: expected one of .*, got 'color'"),
]


@pytest.mark.parametrize("kwargs, message", BAD, ids=lambda case: str(case)[:30])
def test_bad_arguments(kwargs, message):
    with pytest.raises(ValueError, match=message):
        X3D(CONFIG, **kwargs)


# The command line


@pytest.mark.parametrize("model", ["X3DS", "x3d-s", "x3d_s", "X3D S"])
def test_names_on_the_command_line(model, tmp_path):
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\n")
    recipe = find_recipe(model, "kinetics400", labels=str(labels))
    assert recipe.name == "x3d_s" and recipe.title == "X3D-S (kinetics400)"
    assert (recipe.frames, recipe.size, recipe.frame_stride) == (13, (182, 182), 6)
    assert recipe.resize_side == 182 and recipe.rate(30.0) == 5.0
    assert recipe.pictures == "frames of 182 x 182, 1 of 6"
    with pytest.raises(ValueError, match="model: expected a model that can stream"):
        find_recipe(model, "kinetics400", streaming=True, labels=str(labels))


def test_two_streams_on_the_command_line(tmp_path):
    labels, weights = tmp_path / "labels.txt", tmp_path / "mine.npz"
    labels.write_text("a\nb\n")
    weights.write_bytes(b"")
    for model, title in (
        ("AutoTSNetS", "Auto-TSNet-S"),
        ("auto_tsnet_l_dagger", "Auto-TSNet-L-Dagger"),
        ("ManualTSNet70", "Manual-TSNet-70"),
    ):
        recipe = find_recipe(model, str(weights), labels=str(labels))
        assert recipe.title == f"{title} (mine.npz)"
        assert (recipe.frames, recipe.frame_stride) == (32, 2)


def test_models_lists_them(capsys):
    assert commands.main(["models"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    for part in ("3.83", "1.96", "13 x 160 x 160", "1 of 6", "kinetics400"):
        assert part in rows["X3D-S"]
    for part in ("8.63", "2.46", "32 x 160 x 160", "1 of 2"):
        assert part in rows["Auto-TSNet-S"]
    assert {"X3D-XS", "X3D-XL", "Auto-TSNet-L-Dagger", "Manual-TSNet-85"} <= set(rows)


@command_line
def test_classify_and_thirty_views(capsys, tmp_path):
    """From video files to class names, and to accuracies with 10 clips and 10 clips of 3 crops."""
    av = pytest.importorskip("av")
    from keras_video.data import video_dataset_from_directory
    from keras_video.training import evaluate

    for name, level in (("dark", 40), ("bright", 200)):
        (tmp_path / "videos" / name).mkdir(parents=True)
        video = tmp_path / "videos" / name / "one.mp4"
        with av.open(str(video), "w") as container:
            stream = container.add_stream("libx264", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for _ in range(16):
                picture = np.full((48, 64, 3), level, "uint8")
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture)))
            container.mux(stream.encode())
    weights, labels = tmp_path / "mine.weights.h5", tmp_path / "labels.txt"
    model = applications.X3DXS(classes=2)
    model.get_layer("classifier").bias.assign(np.array([0.0, 50.0], "float32"))
    model.save_weights(weights)
    labels.write_text("bright\ndark\n")
    options = ("--model=X3DXS", f"--weights={weights}", f"--labels={labels}", "--size=32")
    assert commands.main(["classify", str(video), *options, "--frames=2"]) == 0
    out = capsys.readouterr().out
    assert "X3D-XS (mine.weights.h5): 2 frames of 32 x 32, 1 of 12" in out and "  1. dark" in out

    config = model.info
    data = video_dataset_from_directory(
        tmp_path / "videos", image_size=(32, 32), num_frames=2, step=config["frame_stride"],
        resize_side=32, batch_size=2, shuffle=False,
    )  # fmt: skip
    for crops, views in ((1, 10), (3, 30)):
        result = evaluate(model, data, "multi_clip", crops=crops, clips=10, top=(1,), verbose=False)
        assert result.views == views and result.top1 == 0.5


def test_house_names():
    assert {"X3D", "X3DS", "X3DXL"} <= set(applications.__all__) and "X3DS" in x3d.__all__
