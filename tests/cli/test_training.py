"""The commands `train`, `evaluate` and `bench-data` on tiny files, with a tiny network."""

import json
import os
import re
from types import SimpleNamespace

import numpy as np
import pytest

from keras_video.cli import training
from keras_video.datasets.moving_digits import write_video
from tests.cli.helpers import fails, run

pytest.importorskip("av")
CLASSES = ("blue sky", "red_apple", "white-snow")
COLOURS = {"blue sky": (40, 60, 220), "red_apple": (220, 50, 40), "white-snow": (230, 230, 230)}
TINY = ("--frames=4", "--size=32", "--frame_rate=6", "--batch_size=4")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write three classes of six videos each, which differ in colour."""
    root = tmp_path_factory.mktemp("videos")
    rng = np.random.default_rng(0)
    for name in CLASSES:
        (root / name).mkdir()
        for k in range(6):
            frames = rng.integers(-25, 25, (8, 36, 44, 3)) + np.array(COLOURS[name])
            write_video(root / name / f"{k}.mp4", frames.clip(0, 255).astype("uint8"), 12)
    return root


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    """Replace MoViNet-A0 by a small network; return the arguments of each build."""
    from keras_video import applications
    from keras_video.applications.movinet import MoViNet
    from tests.helpers import STREAM, small_config

    built = []

    def build(weights=None, classes=600, causal=False, streaming=False, **options):
        built.append({"weights": weights, "classes": classes, "causal": causal, **options})
        config = small_config(**(STREAM if causal or streaming else {}))
        return MoViNet(config, classes=classes, streaming=streaming, **options)

    monkeypatch.setattr(applications, "MoViNetA0", build, raising=False)
    return built


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """Return a function that trains a network, causal or not, once for all tests."""
    outputs = {}

    def train(capsys, causal):
        if causal not in outputs:
            output = tmp_path_factory.mktemp("output") / "new"
            words = ["train", folder, "--model=A0", "--weights=none", "--epochs=4", *TINY]
            words += ["--learning_rate=0.01", "--validation_split=0.34", f"--output={output}"]
            code, out, err = run(capsys, *words, *(["--causal"] if causal else []))
            assert code == 0 and err == "", err
            outputs[causal] = output, out
        return outputs[causal]

    return train


def test_train_saves_a_network_with_its_input_specification(capsys, trained, folder):
    import keras

    output, out = trained(capsys, False)
    assert sorted(os.listdir(output)) in (
        ["confusion_matrix.png", "history.json", "labels.txt", "model.keras", "report.json"],
        ["history.json", "labels.txt", "model.keras", "report.json"],
    )
    assert "18 files belonging to 3 classes" in out
    command = f"keras-video evaluate {folder} --weights={output}/model.keras"
    assert out.endswith(f"{command} --validation_split=0.34 --seed=0\n")
    assert (output / "labels.txt").read_text().splitlines() == list(CLASSES)
    model = keras.models.load_model(output / "model.keras")
    assert model.info["labels"] == list(CLASSES)
    assert model.info["clip"] == [4, 32, 32, 3] and model.info["frame_rate"] == 6
    history = json.loads((output / "history.json").read_text())
    assert len(history["history"]["loss"]) == 4 == len(history["history"]["val_loss"])
    assert history["history"]["loss"][-1] < history["history"]["loss"][0]
    assert history["settings"]["learning_rate"] == 0.01
    report = json.loads((output / "report.json").read_text())
    assert report["videos"] == 6
    assert report["top"]["1"] == pytest.approx(history["history"]["val_accuracy"][-1])


def test_evaluate_reads_the_input_specification_from_the_file(capsys, trained, folder, tmp_path):
    pytest.importorskip("matplotlib")
    output, _ = trained(capsys, False)
    report, plots = tmp_path / "report.json", tmp_path / "plots"
    words = ("evaluate", folder, f"--weights={output}/model.keras", f"--report={report}")
    code, out, err = run(capsys, *words, f"--plots={plots}")
    assert code == 0 and err == "", err
    found = json.loads(report.read_text())
    assert (found["videos"], found["views"]) == (18, 1)
    assert np.trace(found["confusion"]) == round(18 * found["top"]["1"])
    assert f"single_clip: top-1 {100 * found['top']['1']:.2f} %, 18 videos" in out
    for row in found["per_class"]:
        assert re.search(rf"^{row['name']} +6 +{100 * row['top1']:.2f} %$", out, re.MULTILINE)
    assert str(report) in out and (plots / "confusion_matrix.png").stat().st_size > 5000

    # Only the videos that `train` set aside.
    code, out, _ = run(capsys, *words, "--validation_split=0.34")
    assert code == 0 and "Using 6 files for validation" in out
    assert (
        json.loads(report.read_text())["confusion"]
        == (json.loads((output / "report.json").read_text())["confusion"])
    )


def test_evaluate_several_views(capsys, trained, folder, tmp_path):
    output, _ = trained(capsys, False)
    report = tmp_path / "report.json"
    words = ("evaluate", folder, f"--weights={output}/model.keras", f"--report={report}")
    code, out, _ = run(capsys, *words, "--protocol=multi_clip", "--clips=2", "--crops=3")
    assert code == 0 and "multi_clip" in out and "6 views of each" in out
    assert json.loads(report.read_text())["views"] == 6


def test_a_causal_network_streams_as_it_was_trained(capsys, trained, folder, tmp_path, monkeypatch):
    from keras_video.training import evaluation

    results, evaluate = [], evaluation.evaluate

    def recorded(*args, **options):
        results.append(evaluate(*args, **options))
        return results[-1]

    monkeypatch.setattr(evaluation, "evaluate", recorded)
    output, _ = trained(capsys, True)
    results.clear()
    report = tmp_path / "report.json"
    words = ("evaluate", folder, f"--weights={output}/model.keras", f"--report={report}")
    for protocol in ("single_clip", "streaming"):
        code, out, err = run(capsys, *words, f"--protocol={protocol}")
        assert code == 0 and err == "", err
    clips, streams = results
    scale = np.abs(clips.logits).max()
    np.testing.assert_allclose(streams.logits, clips.logits, atol=1e-4 * scale)
    assert np.ptp(clips.logits, axis=0).max() > 0.01 * scale  # videos differ
    assert json.loads(report.read_text())["frames_seen"] == [1, 2, 3, 4]


def test_a_network_that_looks_ahead_cannot_stream(capsys, trained, folder):
    output, _ = trained(capsys, False)
    weights = f"--weights={output}/model.keras"
    assert "--causal" in fails(capsys, "evaluate", folder, weights, "--protocol=streaming")


def test_networks_that_count_in_frames_are_evaluated(capsys, folder, tmp_path):
    from keras_video.applications.tiny_video_net import TinyVideoNet

    block = {"filters": 8, "spatial_stride": 4}
    spec = {"name": "tiny", "frames": 2, "size": 32, "frame_stride": 3, "blocks": [block]}
    path = tmp_path / "tiny.keras"
    TinyVideoNet(spec, classes=3).save(path)
    (tmp_path / "labels.txt").write_text("".join(f"{name}\n" for name in CLASSES))
    words = (f"--weights={path}", f"--labels={tmp_path / 'labels.txt'}", "--batch_size=4")
    code, out, err = run(capsys, "evaluate", folder, *words)
    assert code == 0, err
    assert "top-1" in out and "18" in out
    error = fails(capsys, "evaluate", folder, *words, "--protocol=streaming")
    assert "takes whole clips only" in error


@pytest.mark.parametrize("rate, stride, step", [(None, 3, 3), (6.0, 3, 1), (6.0, None, 1)])
def test_a_stride_counts_where_there_is_no_frame_rate(rate, stride, step):
    from keras_video.cli.recipe import Recipe

    recipe = Recipe("tiny", "none", False, 2, (32, 32), rate, None, [], stride)
    options = SimpleNamespace(batch_size=1, skip_broken=False, seed=0, workers=0)
    assert training.data_options(options, recipe, None)["step"] == step


def test_a_folder_may_hold_a_part_of_the_classes(capsys, trained, folder, tmp_path):
    output, _ = trained(capsys, False)
    for name, kind in (("White_Snow", "white-snow"), ("blue-sky", "blue sky")):
        os.symlink(folder / kind, tmp_path / name)
    code, out, _ = run(capsys, "evaluate", tmp_path, f"--weights={output}/model.keras")
    assert code == 0 and "12 videos" in out
    os.symlink(folder / "red_apple", tmp_path / "red_aple")
    err = fails(capsys, "evaluate", tmp_path, f"--weights={output}/model.keras")
    assert "'red_aple'" in err and "'red_apple'" in err


def test_broken_files_are_an_error_or_counted(capsys, trained, folder, tmp_path):
    output, _ = trained(capsys, False)
    for name in CLASSES:
        os.symlink(folder / name, tmp_path / name)
    extra = tmp_path / "red_apricot"
    os.unlink(tmp_path / "red_apple")
    extra.mkdir()
    for k in range(6):
        os.symlink(folder / "red_apple" / f"{k}.mp4", extra / f"{k}.mp4")
    (extra / "7.mp4").write_text("no video")
    os.rename(extra, tmp_path / "red_apple")
    weights = f"--weights={output}/model.keras"
    assert "7.mp4" in fails(capsys, "evaluate", tmp_path, weights)
    code, out, err = run(capsys, "evaluate", tmp_path, weights, "--skip_broken")
    assert code == 0 and "18 videos" in out and ", 1 skipped" in out
    assert "7.mp4" in err


def test_train_passes_its_options_on(capsys, folder, tmp_path, monkeypatch, tiny):
    from keras_video import training

    seen = {}

    def finetune(model, data, validation, **options):
        seen.update(options, model=model, data=data, validation=validation)
        raise ValueError("that is enough")

    monkeypatch.setattr(training, "finetune", finetune)
    words = ["train", folder, "--model=A0", "--weights=moving_digits", "--freeze=block3"]
    words += ["--epochs=3", "--learning_rate=0.5", f"--output={tmp_path}", "--causal"]
    assert "that is enough" in fails(capsys, *words)
    assert tiny[-1] == {"weights": "moving_digits", "classes": 3, "causal": True}
    assert (seen["epochs"], seen["learning_rate"], seen["freeze"]) == (3, 0.5, "block3")
    assert (seen["data"].num_frames, seen["data"].image_size) == (8, (48, 48))
    assert (len(seen["data"].files), len(seen["validation"].files)) == (15, 3)
    assert not set(seen["data"].files) & set(seen["validation"].files)
    assert "that is enough" in fails(capsys, *words, "--validation_split=0")
    assert seen["validation"] is None and len(seen["data"].files) == 18


def test_train_begins_anew_unless_asked_to_resume(capsys, folder, tmp_path, monkeypatch):
    from keras_video import training

    found = []

    def finetune(*args, backup, **options):
        found.append(os.path.exists(os.path.join(backup, "training.npz")))
        raise ValueError("that is enough")

    monkeypatch.setattr(training, "finetune", finetune)
    words = ["train", folder, "--model=A0", "--weights=none", f"--output={tmp_path}", *TINY]
    for more in (["--resume"], []):
        (tmp_path / "backup").mkdir(exist_ok=True)
        (tmp_path / "backup" / "training.npz").touch()
        fails(capsys, *words, *more)
    assert found == [True, False]


def test_bench_data(capsys, folder, tiny):
    words = ("bench-data", folder, "--model=A0", "--batches=2", *TINY)
    code, out, err = run(capsys, *words)
    assert code == 0 and err == "", err
    for label in ("reading, 2 workers", "training MoViNet-A0"):
        assert re.search(rf"^{label} +\d+\.\d clips/s$", out, re.MULTILINE)
    assert ("model waits" in out) != ("data wait" in out)
    code, out, _ = run(capsys, *words, "--nonetwork", "--weights=kinetics600")
    assert code == 0 and "training" not in out and len(tiny) == 1


def test_wrong_words_are_named_before_anything_is_loaded(capsys, folder, tmp_path):
    assert "one FOLDER" in fails(capsys, "train")
    assert "Did you mean 'bench-data'" in fails(capsys, "bench_data", folder)
    for command in ("train", "bench-data"):
        assert "expected one of T0" in fails(capsys, command, folder, "--model=A9")
        assert "imagenet" in fails(capsys, command, folder, "--weights=imagenet")
    assert "--epochs" in fails(capsys, "train", folder, "--epochs=0")
    assert "--protocol" in fails(capsys, "evaluate", folder, "--protocol=two_clips")
    assert "multi_clip" in fails(capsys, "evaluate", folder, "--clips=3")
    assert "no such file" in fails(capsys, "evaluate", folder, "--weights=/nowhere/m.keras")
    words = ("--weights=none", "--model=A0")
    assert "no-folder" in fails(capsys, "train", tmp_path / "no-folder", *words)
    assert "directory: expected videos" in fails(capsys, "train", tmp_path, *words)
    assert "validation_split" in fails(capsys, "train", folder, *words, "--validation_split=2")
