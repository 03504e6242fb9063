"""The argument `weights` of bLVNet-TAM."""

import collections
import pickle

import numpy as np
import pytest

from keras_video.applications import blvnet_tam, pretrained
from keras_video.applications.blvnet_tam import BLVNetTAM, BLVNetTAMConfig, weights_record
from keras_video.applications.blvnet_tam import checkpoints as converter
from keras_video.applications.blvnet_tam.weights import DATA_SETS, RECORDS
from keras_video.checkpoints import weight_map
from tests.blvnet_tam_reference import GOLDEN, read, recipe_state, recipe_video, recipe_weight
from tests.helpers import run, to_numpy

torch = pytest.importorskip("torch")

CASE = "r50_2x4_64x64"
TINY = BLVNetTAMConfig("tiny", (2, 2, 2, 1), num_frames=4, width=8, dropout=0.0)
CLIPS = recipe_video("weights", (1, 4, 40, 36, 3))
UNIT = {"include_preprocessing": False}


def tensors(state, dtype=None):
    return {k: torch.from_numpy(v).to(dtype) if v.ndim else torch.from_numpy(v)
            for k, v in state.items()}  # fmt: skip


def tiny_state(config=TINY, classes=5):
    """A state dict with the published names, including counters of batches."""
    names = converter.published_names(config)
    shapes = converter._published_shapes(names, config, classes)
    state = {}
    for key, shape in shapes.items():
        full = key if key.startswith("new_fc") else f"baseline_model.{key}"
        state[full] = recipe_weight(full, shape)
        if key.endswith("running_var"):
            counter = full.replace("running_var", "num_batches_tracked")
            state[counter] = np.array(1234, "int64")
    return state


def save(state, path, **options):
    torch.save(state, path, **options)
    return str(path)


def answers(model):
    return to_numpy(run(model, CLIPS))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The logits of the bare state dict of the tiny network."""
    path = tmp_path_factory.mktemp("bare") / "bare.pth.tar"
    model = BLVNetTAM(TINY, weights=save(tensors(tiny_state()), path), **UNIT)
    assert model.output_shape == (None, 5)
    outputs = answers(model)
    assert outputs.std() > 1e-2
    return outputs


def checkpoint(state):
    """A training checkpoint of the official code."""
    return {
        "epoch": 50,
        "arch": "something-bLVNet-TAM-50",
        "state_dict": {f"module.{k}": v for k, v in state.items()},
        "best_top1": torch.tensor(46.4),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.01, "nesterov": True}]},
        "scheduler": {"milestones": collections.Counter([10, 20]), "last_epoch": 50},
    }


FORMS = {
    "bare": lambda state: state,
    "ordered": collections.OrderedDict,
    "wrapped": lambda state: {"state_dict": state},
    "checkpoint": checkpoint,
    "without_prefix": lambda state: {
        k.removeprefix("baseline_model."): v for k, v in state.items()
    },
    "no_dropout": lambda state: {
        k.replace("new_fc", "baseline_model.fc"): v for k, v in state.items()
    },
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("form", FORMS)
def test_forms_of_files(form, zipped, tmp_path, expected):
    content = FORMS[form](tensors(tiny_state()))
    path = save(content, tmp_path / "x.pth.tar", _use_new_zipfile_serialization=zipped)
    model = BLVNetTAM(TINY, weights=path, **UNIT)
    assert model.info["weights"] == path
    np.testing.assert_array_equal(answers(model), expected)


def test_half_precision(tmp_path, expected):
    path = save(tensors(tiny_state(), torch.float16), tmp_path / "half.pth.tar")
    outputs = answers(BLVNetTAM(TINY, weights=path, **UNIT))
    assert 0 < np.abs(outputs - expected).max() < 0.02 * np.abs(expected).max()


def test_golden_logits_through_a_file(tmp_path):
    """The whole network of the reference data; `test_forms_of_files` covers the other formats."""
    shapes = {k: s for k, s, _ in read("state_dict_50")["keys"]}
    shapes |= {"new_fc.weight": (16, 2048), "new_fc.bias": (16,)}
    state = checkpoint(tensors(recipe_state(shapes)))
    path = save(state, tmp_path / "st2stv1-bLVNet-TAM-50-a2-b4-f8x2.pth.tar")
    model = blvnet_tam.BLVNetTAM50(weights=path, num_frames=4, **UNIT)
    outputs = to_numpy(run(model, recipe_video(CASE, (2, 4, 64, 64, 3))))
    wanted = np.load(GOLDEN / "golden_50.npz")[f"{CASE}/logits"]
    assert np.abs(outputs - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_longer_models_start_from_shorter_ones(tmp_path, expected):
    path = save(tensors(tiny_state()), tmp_path / "f2x2.pth.tar")
    model = BLVNetTAM(TINY, weights=path, num_frames=8, **UNIT)
    assert model.input_shape == (None, 8, None, None, 3)
    np.testing.assert_allclose(answers(model), expected, atol=1e-4)


def test_other_class_count_loads_all_but_the_last_layer(tmp_path, capsys):
    path = save(tensors(tiny_state()), tmp_path / "x.pth.tar")
    ours = weight_map.export(BLVNetTAM(TINY, weights=path, classes=7, **UNIT))
    assert "has 5 classes, the model 7 classes. All layers were loaded except the last layer" in (
        capsys.readouterr().out
    )
    theirs = weight_map.export(BLVNetTAM(TINY, weights=path, **UNIT))
    different = {name for name in theirs if not np.array_equal(ours[name], theirs[name])}
    assert different == {"classifier/kernel", "classifier/bias"}
    assert BLVNetTAM(TINY, weights=path, include_top=False).info["classes"] is None


# ImageNet networks


def imagenet_state():
    state = tiny_state(classes=1000)
    renamed = {k.removeprefix("baseline_model.").replace("new_fc", "fc"): v
               for k, v in state.items() if ".tam." not in k}  # fmt: skip
    return {"state_dict": {f"module.{k}": v for k, v in tensors(renamed).items()}}


@pytest.mark.parametrize("classes", [7, 1000])
def test_imagenet_fills_all_but_aggregation_and_classifier(classes, tmp_path, capsys):
    path = save(imagenet_state(), tmp_path / "ImageNet-bLResNet.pth.tar")
    model = BLVNetTAM(TINY, weights=path, classes=classes, **UNIT)
    out = capsys.readouterr().out
    assert f"no temporal aggregation and no classifier, the model {classes} classes" in out
    assert (
        "except the temporal aggregation and the classifier, which start with random values" in out
    )
    ours = weight_map.export(model)
    full = save(tensors(tiny_state(classes=classes)), tmp_path / "full.pth.tar")
    theirs = weight_map.export(BLVNetTAM(TINY, weights=full, **UNIT))
    different = {name for name in theirs if not np.array_equal(ours[name], theirs[name])}
    temporal = {name for name in theirs if name.endswith("_temporal/kernel")}
    assert different == temporal | {"classifier/kernel", "classifier/bias"} and len(temporal) == 5


def test_imagenet_for_optical_flow(tmp_path):
    """The first kernel is the mean over the colours, repeated for every channel."""
    path = save(imagenet_state(), tmp_path / "ImageNet-bLResNet.pth.tar")
    flow = BLVNetTAM(TINY, weights=path, classes=7, input_channels=10, **UNIT)
    colours = BLVNetTAM(TINY, weights=path, classes=7, **UNIT)
    kernels = [to_numpy(m.get_layer("stem").kernel) for m in (flow, colours)]
    assert kernels[0].shape == (1, 7, 7, 10, 8)
    mean = kernels[1].mean(3, keepdims=True).repeat(10, axis=3)
    np.testing.assert_allclose(kernels[0], mean, atol=1e-6)


def test_imagenet_for_networks_without_trained_aggregation(tmp_path):
    path = save(imagenet_state(), tmp_path / "ImageNet-bLResNet.pth.tar")
    for temporal in ("shift", "none"):
        model = BLVNetTAM(TINY, weights=path, temporal=temporal, classes=7, **UNIT)
        assert model.output_shape == (None, 7)


# Names


def test_records():
    assert [len(RECORDS[f"blvnet_tam_{depth}"]) for depth in (50, 101, 152)] == [5, 9, 0]
    records = [r for records in RECORDS.values() for r in records.values()]
    assert len({r.cached_name for r in records}) == len({r.page for r in records}) == 14
    record = weights_record("blvnet_tam_101", "something_something_v2_32x2")
    assert record.page == "https://ibm.box.com/v/st2stv2-bLVNet-TAM-101-f32x2"
    assert record.cached_name == "st2stv2-bLVNet-TAM-101-a2-b4-f32x2.pth.tar"
    assert (record.classes, record.frames, record.size) == (174, 64, (224, 224))
    assert (record.top1, record.top5, record.sampling) == (65.2, 90.3, "blvnet_tam")
    assert (record.mean, record.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    imagenet = weights_record("blvnet_tam_50", "imagenet")
    assert imagenet.page == "https://ibm.box.com/v/blresnet-50-a2-b4"
    classes = {name: row[0] for name, row in DATA_SETS.items()}
    assert classes == {"something_something_v1": 174, "something_something_v2": 174,
                       "kinetics400": 400, "moments": 339}  # fmt: skip


def test_names_say_what_to_download_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    with pytest.raises(RuntimeError) as error:
        blvnet_tam.BLVNetTAM50(weights="something_something_v1_8x2")
    text = str(error.value)
    assert "https://ibm.box.com/v/st2stv1-bLVNet-TAM-50-f8x2" in text
    name = "st2stv1-bLVNet-TAM-50-a2-b4-f8x2.pth.tar"
    assert str(tmp_path / "models" / "keras_video" / name) in text


@pytest.mark.parametrize("weights", ["something_something_v1_8x2", "imagenet"])
def test_files_put_there_by_hand(weights, tmp_path, monkeypatch, expected):
    """A file in the cache is found by its name and converted once."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    config = TINY.with_options(name="blvnet_tam_50")
    record = weights_record(config.name, weights)
    path = tmp_path / "models" / "keras_video" / record.cached_name
    path.parent.mkdir(parents=True)
    state = imagenet_state() if weights == "imagenet" else tensors(tiny_state())
    save(state, path)
    options = {**UNIT, "classes": 5, "num_frames": 4}
    first = BLVNetTAM(config, weights=weights, **options)
    path.unlink()
    monkeypatch.setattr(pretrained, "fetch", lambda record: pytest.fail("fetched again"))
    second = BLVNetTAM(config, weights=weights, **options)
    again = weight_map.export(second)
    for name, array in weight_map.export(first).items():
        random = "classifier" in name or "_temporal" in name
        if weights != "imagenet" or not random:
            np.testing.assert_array_equal(again[name], array)
    if weights != "imagenet":
        np.testing.assert_allclose(answers(second), expected, atol=1e-5)
    assert not list(tmp_path.rglob("*.partial"))


def test_named_weights_choose_the_number_of_frames(tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    record = weights_record("blvnet_tam_50", "something_something_v2_16x2")
    path = tmp_path / "models" / "keras_video" / record.cached_name
    path.parent.mkdir(parents=True)
    save(tensors(tiny_state()), path)
    config = TINY.with_options(name="blvnet_tam_50")
    model = BLVNetTAM(config, weights=record.name)
    assert model.input_shape[1] == 32 and model.output_shape == (None, 5)


def test_wrong_names():
    with pytest.raises(
        ValueError, match="expected an existing path for blvnet_tam_152, got 'imagenet'"
    ):
        blvnet_tam.BLVNetTAM152(weights="imagenet")
    with pytest.raises(
        ValueError, match="one of 'something_something_v1_8x2', .*, got 'kinetics600'"
    ):
        blvnet_tam.BLVNetTAM50(weights="kinetics600")


# Files that do not fit


def test_one_error_lists_every_difference(tmp_path):
    state = tensors(tiny_state())
    for key in ("baseline_model.layer1.tam.prev.weight", "baseline_model.bn1.running_mean"):
        state.pop(key)
    state["baseline_model.layer5.0.conv1.weight"] = torch.zeros(3)
    state["optimizer_step"] = torch.zeros(())
    state["baseline_model.conv1.weight"] = torch.zeros(8, 3, 5, 5)
    state["new_fc.bias"] = torch.zeros(6)
    path = save(state, tmp_path / "bad.pth.tar")
    with pytest.raises(ValueError) as error:
        BLVNetTAM(TINY, weights=path)
    text = str(error.value)
    assert "2 missing, 2 unexpected, 2 of another shape" in text and path in text
    for part in (
        "layer1.tam.prev.weight", "bn1.running_mean", "layer5.0.conv1.weight", "optimizer_step",
        "conv1.weight: expected (8, 3, 7, 7), got (8, 3, 5, 5)", "new_fc.bias: expected (5,)",
    ):  # fmt: skip
        assert part in text


def test_another_depth_is_refused(tmp_path):
    path = save(tensors(tiny_state()), tmp_path / "x.pth.tar")
    for options in ({"blocks": (2, 2, 3, 1)}, {"alpha": 4}, {"blending_frames": 5}, {"width": 16}):
        with pytest.raises(ValueError, match="(?s)does not fit tiny: .* options alpha, beta"):
            BLVNetTAM(TINY, weights=path, **options)


class Code:
    """Unpickling it would call a function."""

    def __reduce__(self):
        return (print, ("this must never be printed",))


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_a_file_with_code_is_refused(zipped, tmp_path, capsys):
    state = {**tensors(tiny_state()), "evil": Code()}
    path = save(state, tmp_path / "evil.pth.tar", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match="evil.pth.tar, which is damaged or could execute code"):
        BLVNetTAM(TINY, weights=path)
    plain = tmp_path / "plain.pth.tar"
    plain.write_bytes(pickle.dumps({"state_dict": Code()}))
    with pytest.raises(ValueError, match="expected a PyTorch file.* got .*plain.pth.tar"):
        BLVNetTAM(TINY, weights=plain)
    assert "never be printed" not in capsys.readouterr().out


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"state_dict": {"a": "b"}}])
def test_files_of_something_else(content, tmp_path):
    path = save(content, tmp_path / "x.pth.tar")
    with pytest.raises(ValueError, match="expected a dict of names to tensors, got"):
        BLVNetTAM(TINY, weights=path)


@pytest.mark.parametrize("cut", [0, 1000])
def test_damaged_files(cut, tmp_path):
    path = tmp_path / "x.pth.tar"
    save(tensors(tiny_state()), path)
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(ValueError, match="weights: expected a PyTorch file, got .*x.pth.tar"):
        BLVNetTAM(TINY, weights=path)


@pytest.mark.parametrize("extension", ["npz", "weights.h5", "keras"])
def test_own_files(extension, tmp_path, expected):
    path = str(tmp_path / f"mine.{extension}")
    theirs = save(tensors(tiny_state()), tmp_path / "x.pth.tar")
    model = BLVNetTAM(TINY, weights=theirs, **UNIT)
    if extension == "npz":
        weight_map.save(path, weight_map.export(model), half=False)
    elif extension == "keras":
        model.save(path)
    else:
        model.save_weights(path)
    np.testing.assert_allclose(answers(BLVNetTAM(TINY, weights=path, **UNIT)), expected, atol=1e-5)
    assert BLVNetTAM(TINY, weights=path, classes=3).output_shape == (None, 3)
    with pytest.raises(ValueError, match="weights: "):
        BLVNetTAM(TINY, weights=path, blocks=(2, 2, 3, 1))
