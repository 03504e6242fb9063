"""Export in another process on TensorFlow, as on JAX and torch, which have no converter."""

import json
import sys

import keras
import numpy as np
import pytest

from keras_video.mobile import LiteRTModel, export_litert, export_process, export_worker
from tests.helpers import STREAM, assert_near, random_video, run, tiny_model, to_numpy

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tensorflow")
OPTIONS = {"quantization": None, "frames": None, "labels": None, "keep_float": [], "stream": True}


@pytest.fixture(scope="module")
def model():
    return tiny_model(streaming=True, input_shape=(None, 40, 32, 3), **STREAM)


def test_the_file_is_that_of_tensorflow(model, tmp_path, capfd):
    path = tmp_path / "stream.tflite"
    if keras.backend.backend() == "tensorflow":
        result, printed = export_process.run(model, str(path), None, OPTIONS)
    else:
        result = export_litert(model, path)
        printed = capfd.readouterr().out
    assert result.predictions == 8 and result.difference < 1e-4
    assert "stream.tflite: 0.0" in printed
    clips = random_video()
    assert_near(LiteRTModel(path).predict(clips), to_numpy(run(model, clips)[0]))


def test_errors_of_the_process_are_passed_on(model, tmp_path, monkeypatch):
    """With a script as the process, which fails at once or sleeps."""
    python = tmp_path / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    path = tmp_path / "a.tflite"
    write_script(python, "echo noise >&2; echo 'frames: expected an int, got x.' >&2; exit 1")
    with pytest.raises(RuntimeError, match="process on TensorFlow failed: frames: expected an int"):
        export_process.run(model, path, None, OPTIONS)
    write_script(python, "exec sleep 20")
    monkeypatch.setattr(export_process, "LIMIT", 0.05)
    with pytest.raises(RuntimeError, match="expected it to end within 0.05 s"):
        export_process.run(model, path, None, OPTIONS)
    assert not path.exists()


def write_script(path, commands):
    path.write_text(f"#!/bin/sh\n{commands}\n")
    path.chmod(0o755)


def test_what_the_process_reads_and_says(model, tmp_path, monkeypatch, capsys):
    """The worker reads what `run` saves in the folder; checked without a process."""
    seen = {}

    def export(model, path, **options):
        seen.update(options, path=path, names=[layer.name for layer in model.layers])
        return export_process.Comparison(0.0, 1.0, 2)

    monkeypatch.setattr(export_worker, "export_litert", export)
    model.save(tmp_path / export_process.MODEL)
    np.save(tmp_path / export_process.CLIPS, random_video())
    options = json.dumps({"path": "x.tflite", **OPTIONS, "quantization": "int8"})
    (tmp_path / export_process.OPTIONS).write_text(options)
    assert export_worker.main(str(tmp_path)) == 0
    assert (seen["path"], seen["quantization"], seen["stream"]) == ("x.tflite", "int8", True)
    np.testing.assert_array_equal(seen["representative_data"], random_video())
    assert seen["names"] == [layer.name for layer in model.layers]
    result = json.loads((tmp_path / export_process.RESULT).read_text())
    assert export_process.Comparison(**result) == (0.0, 1.0, 2)

    def fail(model, path, **options):
        raise ValueError("frames: expected\n  an int.")

    monkeypatch.setattr(export_worker, "export_litert", fail)
    assert export_worker.main(str(tmp_path)) == 1
    assert capsys.readouterr().err == "frames: expected an int.\n"
