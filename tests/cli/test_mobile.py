"""The commands `export` and `bench-mobile`, with a tiny network from a file."""

import re

import keras
import numpy as np
import pytest

from keras_video.datasets.moving_digits import write_video
from keras_video.mobile import LiteRTModel
from tests.cli.helpers import fails, run
from tests.helpers import STREAM, small_model

pytest.importorskip("ai_edge_litert")
pytest.importorskip("av")
CLASSES = ["down", "left", "still", "turn", "up"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write `causal.keras`, like `train --causal`, and videos of two classes."""
    root = tmp_path_factory.mktemp("mobile")
    model = small_model(**STREAM, include_preprocessing=True)
    model.info.update(labels=CLASSES)
    model.save(root / "causal.keras")
    random = np.random.default_rng(0)
    for name in CLASSES[:2]:
        (root / "videos" / name).mkdir(parents=True)
        for k in range(2):
            video = random.integers(0, 256, (8, 48, 40, 3)).astype("uint8")
            write_video(root / "videos" / name / f"{k}.mp4", video, 5)
    return root


def test_export_and_bench(capsys, folder):
    """Export a causal clip network as the file of a stream, then measure it."""
    path = folder / "stream.tflite"
    words = ("export", folder / "causal.keras", "--streaming", f"--output={path}")
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    assert f"file: {path}" in out and "differs from Keras by at most" in out
    lite = LiteRTModel(path)
    assert lite.labels == CLASSES and lite.input_shape == (1, 1, 40, 32, 3)
    model = keras.models.load_model(folder / "causal.keras")
    clip = np.random.default_rng(1).integers(0, 256, (1, 6, 40, 32, 3)).astype("float32")
    np.testing.assert_allclose(lite.predict(clip), np.array(model(clip)), atol=1e-4)
    code, out, err = run(capsys, "bench-mobile", path, "--calls=3")
    assert (code, err) == (0, "")
    assert re.search(r"median \d+\.\d\d ms, 95 % below .* \(1 thread\(s\), 3 calls\)", out)
    assert "XNNPACK partitions: 1" in out and "CONV_2D" in out and "in float" not in out


def test_int8_from_videos(capsys, folder):
    path = folder / "int8.tflite"
    words = ("export", folder / "causal.keras", "--streaming", "--quantization=int8")
    words += (f"--calibration={folder / 'videos'}", "--clips=2", f"--output={path}")
    code, out, _ = run(capsys, *words)
    assert code == 0 and "int8" in out
    code, out, _ = run(capsys, "bench-mobile", path, "--calls=2")
    assert code == 0
    in_float = out.partition("computed in float: ")[2]
    assert "SUB" in in_float and "CONV" not in in_float  # running means, and no kernel


def test_errors(capsys, folder):
    model = folder / "causal.keras"
    assert "--quantization: expected one of 'none', 'float16'" in fails(
        capsys, "export", model, "--quantization=int2"
    )
    err = fails(capsys, "export", model, "--quantization=int8")
    assert "--calibration=FOLDER" in err
    assert "expected a .keras file" in fails(capsys, "export", "none.keras")
    err = fails(capsys, "export", model, f"--output={folder / 'no' / 'x.tflite'}")
    assert "path: expected a file in an existing folder" in err
    assert "expected a LiteRT file, got no file" in fails(
        capsys, "bench-mobile", folder / "none.tflite"
    )
    assert "expected a LiteRT file" in fails(capsys, "bench-mobile", model)
