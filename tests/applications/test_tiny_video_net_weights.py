"""The argument `weights` of Tiny Video Networks."""

import json
import tarfile
from pathlib import Path

import numpy as np
import pytest

from keras_video.applications import pretrained, tiny_video_net
from keras_video.applications.pretrained import fetch
from keras_video.applications.tiny_video_net import CONFIGS, TinyVideoNet, weights_record
from keras_video.applications.tiny_video_net.weights import RECORDS
from keras_video.checkpoints import weight_map
from tests.helpers import run, to_numpy
from tests.tf_checkpoint_writer import write_checkpoint
from tests.tiny_video_reference import recipe_clips, recipe_weight

GOLDEN = Path(__file__).parents[1] / "golden" / "tvn" / "tvn1_thin"
CASE = json.loads((GOLDEN / "cases.json").read_text())
SPEC, CASE = CASE["config"], CASE["cases"][0]
CLIPS = recipe_clips(CASE["clips"], CASE["frames"], CASE["size"], CASE["seed"])
UNIT = {"include_preprocessing": False}


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """A folder like the contents of a TF1 Hub archive."""
    folder = tmp_path_factory.mktemp("hub") / "module"
    shapes = json.loads((GOLDEN / "manifest.json").read_text())
    weights = {
        f"module/{name}": recipe_weight(name, shape, CASE["kernel_gain"])
        for name, shape in shapes.items()
    }
    write_checkpoint(folder / "variables" / "variables", weights, graph=False)
    (folder / "saved_model.pb").write_bytes(b"not read")
    (folder / "tfhub_module.pb").write_bytes(b"\x08\x03")
    return folder


def assert_golden(model):
    logits, expected = to_numpy(run(model, CLIPS)), np.asarray(CASE["logits"])
    assert np.abs(logits - expected).max() <= 1e-3 * expected.std()


@pytest.mark.parametrize("form", ["folder", "prefix", "archive"])
def test_local_module(module, form, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    path = {"folder": module, "prefix": module / "variables" / "variables"}.get(form)
    if form == "archive":
        path = tmp_path / "mine.tar.gz"
        with tarfile.open(path, "w:gz") as tar:
            for member in module.iterdir():
                tar.add(member, arcname=f"./{member.name}")
    model = TinyVideoNet(SPEC, weights=path, **UNIT)
    assert model.output_shape == (None, 16) and model.info["weights"] == str(path)
    assert_golden(model)


def test_named_weights_are_fetched_and_converted_once(module, tmp_path, monkeypatch):
    """An archive in the cache is found by its name and converted once."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    record = weights_record("tiny_video_net_1", "charades")
    archive = tmp_path / "models" / "keras_video" / record.cached_name
    archive.parent.mkdir(parents=True)
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(module, arcname=".")
    spec = {**SPEC, "name": "tiny_video_net_1"}
    assert_golden(TinyVideoNet(spec, weights="charades", **UNIT))
    archive.unlink()
    monkeypatch.setattr(pretrained, "fetch", lambda record: pytest.fail("fetched again"))
    assert_golden(TinyVideoNet(spec, weights="charades", **UNIT))
    assert not list(tmp_path.rglob("*.partial"))


def test_records():
    records = [r["charades", "base"] for r in RECORDS.values() if ("charades", "base") in r]
    assert len(records) == 4 and len({r.cached_name for r in records}) == 4
    for record in records:
        assert record.url.endswith("/1?tf-hub-format=compressed") and record.classes == 157
    url = weights_record("tiny_video_net_mobile_1", "charades").url
    assert url.startswith("https://tfhub.dev/google/tiny_video_net/mobile_1/1?")
    assert set(RECORDS) == set(CONFIGS)


def test_without_a_network_the_error_says_where_to_put_the_file(tmp_path, monkeypatch):
    import keras

    def refuse(**kwargs):
        raise OSError("no network")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr(keras.utils, "get_file", refuse)
    with pytest.raises(
        RuntimeError, match="save the file as .*tiny_video_net_tvn2_charades.tar.gz"
    ):
        fetch(weights_record("tiny_video_net_2", "charades"))


def test_other_class_count_loads_all_but_the_last_layer(module, capsys):
    model = TinyVideoNet(SPEC, weights=module, classes=7, **UNIT)
    assert "has 16 classes, the model 7" in capsys.readouterr().out
    ours = weight_map.export(model)
    theirs = weight_map.export(TinyVideoNet(SPEC, weights=module, **UNIT))
    different = {name for name in theirs if not np.array_equal(ours[name], theirs[name])}
    assert different <= {"classifier/kernel", "classifier/bias"} and different


def test_features_of_the_last_block(module):
    features = TinyVideoNet(SPEC, weights=module, include_top=False, pooling="avg", **UNIT)
    whole = TinyVideoNet(SPEC, weights=module, **UNIT)
    logits = to_numpy(whole.get_layer("classifier")(run(features, CLIPS)))
    np.testing.assert_allclose(logits, CASE["logits"], atol=1e-3 * np.std(CASE["logits"]))


@pytest.mark.parametrize("extension", ["npz", "weights.h5", "keras"])
def test_own_files(module, tmp_path, extension):
    path = str(tmp_path / f"mine.{extension}")
    model = TinyVideoNet(SPEC, weights=module, **UNIT)
    if extension == "npz":
        weight_map.save(path, weight_map.export(model), half=False)
    elif extension == "keras":
        model.save(path)
    else:
        model.save_weights(path)
    again = TinyVideoNet(SPEC, weights=path, **UNIT)
    for ours, theirs in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert TinyVideoNet(SPEC, weights=path, classes=3).output_shape == (None, 3)
    with pytest.raises(ValueError, match="weights: "):
        TinyVideoNet({**SPEC, "blocks": SPEC["blocks"][:3]}, weights=path)


def test_wrong_names(module):
    with pytest.raises(
        ValueError, match="expected an existing path for tiny_video_net_4, got 'charades'"
    ):
        tiny_video_net.TinyVideoNet4(weights="charades")
    with pytest.raises(ValueError, match="(?s)does not fit tiny_video_net_1 for 2 frames"):
        tiny_video_net.TinyVideoNet1(weights=module)


def test_a_cut_file_is_refused(module, tmp_path):
    import shutil

    copy = shutil.copytree(module, tmp_path / "cut")
    data = copy / "variables" / "variables.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:1000])
    with pytest.raises(ValueError, match="is cut off"):
        TinyVideoNet(SPEC, weights=copy)
