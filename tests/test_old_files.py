"""Files that version 0.1.0 wrote load as ever and give the same numbers.

`tests/old_files/write.py` made them. What is imported here is public: files outlive modules.
"""

import json
import shutil
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_video import data, mobile, training, tuner
from keras_video.applications import movinet
from tests.old_files import toys

FILES = Path(__file__).parent / "old_files" / "files"
EXPECTED = dict(np.load(FILES / "expected.npz"))
TOLERANCE = 1e-5  # relative to the largest number
ROUNDED = 0.03  # where numbers are rounded to int8: some fall on the other side
LONG = 1e-4  # after a training run, in which differences grow
tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="what it reads depends on no backend"
)


def assert_near(actual, name, tolerance=TOLERANCE):
    """Compares with what the old version came to."""
    actual, expected = np.asarray(actual), EXPECTED[name]
    assert actual.shape == expected.shape, name
    largest = np.abs(expected).max()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * largest, err_msg=name)


def assert_like(actual, expected, tolerance=0.0):
    """Compares plain values; numbers within a tolerance."""
    if isinstance(expected, dict):
        assert list(actual) == list(expected)
        actual, expected = list(actual.values()), list(expected.values())
    if isinstance(expected, list):
        assert len(actual) == len(expected)
        for a, b in zip(actual, expected, strict=True):
            assert_like(a, b, tolerance)
    elif isinstance(expected, float):
        assert actual == pytest.approx(expected, rel=tolerance, abs=tolerance)
    else:
        assert actual == expected


def expected_of(name):
    return json.loads(str(EXPECTED[name]))


# Networks


@pytest.mark.parametrize("name", toys.SHAPES)
def test_networks(name):
    model = keras.models.load_model(FILES / f"{name}.keras")
    found = toys.answers(model, *toys.SHAPES[name])
    wanted = [key for key in EXPECTED if key.startswith(f"{name}.keras/")]
    assert sorted(f"{name}.keras/{part}" for part in found) == sorted(wanted)
    assert_near(toys.means(model.get_weights()), f"weights/{name}")
    rounded = name in ("quantize_aware", "deployed_stream")
    for part, answer in found.items():
        assert_near(answer, f"{name}.keras/{part}", ROUNDED if rounded else TOLERANCE)


@pytest.mark.parametrize("name", ["single_layers", "mobile_layers", "quantize_aware"])
def test_layers_keep_their_arguments(name):
    """Also those that change nothing at inference."""
    model = keras.models.load_model(FILES / f"{name}.keras")
    layers = config_of(name)["layers"]
    assert len(layers) > 20
    for layer in layers:
        found = model.get_layer(layer["config"]["name"]).get_config()
        found = json.loads(json.dumps(found))
        for argument, value in layer["config"].items():
            assert _plain(found[argument]) == _plain(value), argument


def config_of(name):
    """What a `.keras` file says about its model."""
    with zipfile.ZipFile(FILES / f"{name}.keras") as archive:
        return json.loads(archive.read("config.json"))["config"]


def _plain(value):
    """Without what depends on the process and on where a class lives."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items() if k not in ("module", "shared_object_id")}
    return value


def test_names_of_classes_are_still_known():
    names = EXPECTED["registered"].tolist()
    assert len(names) > 50
    assert [n for n in names if keras.saving.get_registered_object(n) is None] == []


@pytest.mark.parametrize("name", ["movinet_stream", "two_streams", "quantize_aware"])
def test_networks_know_what_they_are(name):
    model = keras.models.load_model(FILES / f"{name}.keras")
    assert model.info["family"] in ("auto_tsnet", "movinet")
    assert json.loads(json.dumps(model.info)) == config_of(name)["info"]


def test_a_network_trained_for_int8_knows_the_one_it_was_made_of():
    model = keras.models.load_model(FILES / "quantize_aware.keras")
    assert not model.streams and list(model.kept) == config_of("quantize_aware")["kept"] != []
    source = keras.saving.deserialize_keras_object(model.source)
    assert source.name == "movinet_old" and source.input_shape == (None, *toys.CLIP)


def test_a_trained_network_goes_on():
    """Its loss, its schedule and the state of its optimizer."""
    model = keras.models.load_model(FILES / "fine_tuned.keras")
    assert isinstance(model.loss, training.SmoothedCrossentropy)
    assert model.loss.label_smoothing == 0.2
    clips, labels = toys.SmallClips()[0]
    assert_near(model.evaluate(clips, labels, verbose=0), "scores")
    assert_near(float(model.optimizer.learning_rate), "rate")
    for i, variable in enumerate(model.optimizer.variables):
        assert_near(toys.as_array(variable), f"optimizer/{i}")
    model.fit(toys.SmallClips(), epochs=1, shuffle=False, verbose=0)
    schedule = training.WarmupCosine(0.05, 40, 5.0)
    assert float(model.optimizer.learning_rate) == pytest.approx(float(schedule(16)), rel=1e-5)


@pytest.mark.parametrize("name", ["movinet.weights.h5", "movinet.npz"])
def test_weights(name):
    path = FILES / name
    model = movinet.MoViNet(toys.movinet_config(layers=1), classes=3, weights=str(path))
    assert_near(toys.answers(model, toys.BATCH)["prediction"], name)


# Files for phones


@tensorflow
def test_litert():
    pytest.importorskip("ai_edge_litert")
    clips = toys.noise((3, *toys.CLIP), 9)
    clip = mobile.LiteRTModel(FILES / "clip.tflite")
    assert clip.labels == ["one", "two", "drei"] and clip.info["frames"] == 4
    assert_near(clip.predict(clips), "clip.tflite")
    stream = mobile.LiteRTModel(FILES / "stream.tflite")
    assert stream.streaming and stream.info["quantization"] == "int8"
    found = list(stream.stream(clips.reshape(-1, *toys.CLIP[1:])))
    assert_near(np.stack(found), "stream.tflite", ROUNDED)


# Searches


@tensorflow
@pytest.mark.parametrize("name", ["parsec", "evolution"])
def test_results_of_searches(name):
    """They are read where they lie, while the search is not over."""
    table = tuner.results_table(FILES / name)
    assert [row["status"] for row in table] == ["COMPLETED"] * 4 + ["RUNNING"]
    assert_like(list(table), expected_of(f"{name}/before"))


@tensorflow
def test_results_of_a_one_shot_search():
    """Of its four chunks two had ended, and no candidate."""
    assert list(tuner.results_table(FILES / "tunas")) == []
    assert_like(tuner.search_history(FILES / "tunas"), expected_of("tunas/history")[:2], LONG)


@tensorflow
@pytest.mark.parametrize("name", ["parsec", "evolution"])
def test_searches_go_on(tmp_path, name):
    shutil.copytree(FILES / name, tmp_path / name)
    search = {"parsec": toys.grid_search, "evolution": toys.blocks_search}[name](tmp_path)
    expected = expected_of(f"{name}/table")
    # Begun anew it would try more networks, and go down.
    search.left = len(expected) - len(expected_of(f"{name}/before")) + 1
    search.search(verbose=0)
    table = search.results_table()
    assert_like(list(table), expected)
    assert table.counts == expected_of(f"{name}/counts")


@tensorflow
def test_a_one_shot_search_goes_on(tmp_path):
    shutil.copytree(FILES / "tunas", tmp_path / "tunas")
    search = toys.sites_search(tmp_path)
    toys.run_sites(search, [toys.Interrupt(13)])  # two chunks of six steps are left
    assert_like(tuner.search_history(search), expected_of("tunas/history"), LONG)
    assert_like(list(tuner.stage_table(search)), expected_of("tunas/stages"), LONG)
    assert_like(list(search.results_table()), expected_of("tunas/table"), LONG)


# Training


@tensorflow
def test_training_goes_on(tmp_path):
    backup = tmp_path / "backup"
    shutil.copytree(FILES / "backup", backup)
    model = toys.small_classifier()
    history = training.finetune(model, toys.SmallClips(), backup=backup, **toys.TRAINING)
    assert history.epoch == [1, 2] and not backup.exists()
    for i, weight in enumerate(model.get_weights()):
        assert_near(weight, f"backup/{i}", LONG)


# Data


@tensorflow
def test_shards():
    pytest.importorskip("av")
    pattern = str(FILES / "shards" / "clips-*.tfrecord")
    clips, labels = data.read_shards(pattern, 4, (16, 24), training=False, workers=0)[0]
    assert labels.tolist() == EXPECTED["shards/labels"].tolist() == [0, 2, 1]
    # Decoders may round differently.
    assert np.abs(clips.astype(int) - EXPECTED["shards/clips"]).max() <= 3
    for clip, label in zip(clips, labels, strict=True):
        assert np.abs(clip.astype(int) - toys.smooth_video(label)[:4]).mean() < 8
