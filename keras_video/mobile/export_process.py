"""Export where Keras runs on JAX or torch: in a process on TensorFlow, whose converter is needed.

The parent saves the network and the clips in a temporary folder; the process writes the file.
"""

import json
import os
import subprocess
import sys
import tempfile

import numpy as np

from keras_video.mobile.comparison import Comparison

LIMIT = 3600.0  # seconds
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL, CLIPS, OPTIONS, RESULT = "model.keras", "clips.npy", "options.json", "result.json"


def run(model, path, clips, options):
    """Has the process call `export_litert(model, path, ...)`.

    Args:
        model: Keras model.
        path: string.
        clips: array of representative clips, or `None`.
        options: dict of the other arguments.

    Returns:
        `Comparison`.

    Raises:
        RuntimeError: with what the process said, if it fails or takes longer than an hour.
    """
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    paths = [ROOT, *environment.get("PYTHONPATH", "").split(os.pathsep)]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with tempfile.TemporaryDirectory(prefix="keras_video_export_") as folder:
        model.save(os.path.join(folder, MODEL))
        if clips is not None:
            np.save(os.path.join(folder, CLIPS), clips)
        _write_json(folder, OPTIONS, {"path": os.path.abspath(path), **options})
        command = [sys.executable, "-m", "keras_video.mobile.export_process", folder]
        try:
            done = subprocess.run(
                command, env=environment, timeout=LIMIT, stdin=subprocess.DEVNULL,
                capture_output=True, encoding="utf-8", errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RuntimeError(f"the export took more than {LIMIT:g} s and was stopped.") from None
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["it said nothing"]
            raise RuntimeError(f"the export, in a process on TensorFlow, failed: {said[-1]}")
        print(done.stdout, end="")
        return Comparison(**_read_json(folder, RESULT))


def main(folder):
    """The process: reads what `run` wrote, and exports."""
    import keras

    from keras_video.mobile.export import export_litert

    options = _read_json(folder, OPTIONS)
    model = keras.saving.load_model(os.path.join(folder, MODEL))
    path = os.path.join(folder, CLIPS)
    clips = np.load(path) if os.path.exists(path) else None
    try:
        result = export_litert(model, options.pop("path"), representative_data=clips, **options)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 1
    _write_json(folder, RESULT, result._asdict())
    return 0


def _write_json(folder, name, content):
    with open(os.path.join(folder, name), "w", encoding="utf-8") as file:
        json.dump(content, file)


def _read_json(folder, name):
    with open(os.path.join(folder, name), encoding="utf-8") as file:
        return json.load(file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
