"""The loops of docs/mobile.md, for Raspberry Pi and Android, give what `LiteRTModel` gives.

The Android loop is compiled against stand-ins for three classes of LiteRT. The stand-in for the
interpreter passes its inputs to the real interpreter in this process.
"""

import importlib.util
import json
import re
import shutil
import struct
import subprocess
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_video.mobile import LiteRTModel, export_litert
from tests.helpers import STREAM, tiny_model

pytest.importorskip("ai_edge_litert")
if keras.backend.backend() != "tensorflow":
    pytest.skip("the converter is TensorFlow's", allow_module_level=True)

ROOT = Path(__file__).parents[2]
LOOPS = ROOT / "examples" / "mobile"
STUBS = Path(__file__).parent / "java"
VIDEO = np.random.default_rng(0).integers(0, 256, (5, 40, 32, 3)).astype("uint8")
SECONDS = 120  # for each Java process
OPTIONS = {
    "float32": STREAM,
    "positions": {**STREAM, "positional_encoding": True, "include_preprocessing": False},
    "int8": STREAM,
}


@pytest.fixture(scope="module", params=OPTIONS)
def path(request, tmp_path_factory):
    options = {"include_preprocessing": True, **OPTIONS[request.param]}
    model = tiny_model(streaming=True, input_shape=(None, 40, 32, 3), **options)
    path = str(tmp_path_factory.mktemp("loops") / "stream.tflite")
    kind = "int8" if request.param == "int8" else None
    export_litert(model, path, kind, VIDEO[None].astype("float32"), labels=list("abcde"))
    return path


@pytest.fixture
def expected(path):
    lite = LiteRTModel(path)
    pixels = lite.info["pixels"]
    answers = list(lite.stream(VIDEO if pixels == 255 else VIDEO / np.float32(255)))
    assert np.ptp(answers, axis=0).max() > 1e-3  # the predictions follow the frames
    return np.stack(answers)


def test_raspberry_pi(path, expected):
    spec = importlib.util.spec_from_file_location("raspberry_pi", LOOPS / "raspberry_pi.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    classifier = module.StreamClassifier(path, threads=1)
    assert classifier.labels == list("abcde")
    classifier.classify(VIDEO[1])
    classifier.reset()
    answers = [classifier.classify(frame) for frame in VIDEO]
    np.testing.assert_allclose(np.stack(answers), expected, atol=1e-5)


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    if shutil.which("javac") is None:
        pytest.skip("needs a Java compiler")
    folder = tmp_path_factory.mktemp("java")
    sources = [LOOPS / "StreamClassifier.java", *STUBS.rglob("*.java")]
    command = ["javac", "-d", folder, *sources]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    return folder


def test_android(path, expected, classes, tmp_path):
    (tmp_path / "video").write_bytes(VIDEO.tobytes())
    pixels = json.dumps(LiteRTModel(path).info["pixels"])
    command = [
        "java",
        "-cp",
        classes,
        "Main",
        tmp_path / "video",
        "5",
        pixels,
        tmp_path / "answers",
    ]
    java = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    timer = threading.Timer(SECONDS, java.kill)
    timer.start()
    try:
        serve(java, path, calls=6)
        assert java.wait(SECONDS) == 0
    finally:
        timer.cancel()
        java.kill()
        java.communicate()
    answers = [json.loads(line) for line in (tmp_path / "answers").read_text().splitlines()]
    np.testing.assert_allclose(np.array(answers), expected, atol=1e-5)


def serve(java, path, calls):
    """Run the real interpreter on the inputs that the stand-in sends."""
    lite = LiteRTModel(path).interpreter
    runner = lite.get_signature_runner()
    inputs, outputs = runner.get_input_details(), runner.get_output_details()
    for details in (inputs, outputs):
        java.stdin.write(struct.pack(">i", len(details)))
        for name, tensor in details.items():
            scale, zero = tensor["quantization"]
            java.stdin.write(struct.pack(">h", len(name)) + name.encode())
            size = int(np.prod(tensor["shape"])) * np.dtype(tensor["dtype"]).itemsize
            in_float = tensor["dtype"] == np.float32
            java.stdin.write(struct.pack(">?ifi", in_float, size, scale, zero))
    java.stdin.flush()
    for _ in range(calls):
        given = {}
        for name, tensor in inputs.items():
            shape, dtype = tensor["shape"], np.dtype(tensor["dtype"])
            given[name] = java.stdout.read(int(np.prod(shape)) * dtype.itemsize)
            given[name] = np.frombuffer(given[name], dtype).reshape(shape)
        results = runner(**given)
        for name in outputs:
            java.stdin.write(np.ascontiguousarray(results[name]).tobytes())
        java.stdin.flush()


def test_the_docs_show_these_loops():
    """Every code block in the docs is part of the files that are run here."""
    text = (ROOT / "docs" / "mobile.md").read_text()
    for language, name in (("python", "raspberry_pi.py"), ("java", "StreamClassifier.java")):
        source = (LOOPS / name).read_text()
        blocks = re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)
        blocks = [block for block in blocks if "class StreamClassifier" in block]
        assert len(blocks) == 1 and blocks[0] in source
        assert 30 <= blocks[0].count("\n") <= 60
