"""Export from Keras on JAX or torch: the converter is TensorFlow's, so another process runs it.

This process saves the model and the clips in a temporary folder. The other one,
`keras_video.mobile.export_worker`, reads them and writes the file.
"""

import os
import subprocess
import sys
import tempfile

import numpy as np

from keras_video.files import read_json, write_json
from keras_video.mobile.comparison import Comparison

LIMIT = 3600.0  # seconds
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODEL, CLIPS, OPTIONS, RESULT = "model.keras", "clips.npy", "options.json", "result.json"


def run(model, path, clips, options):
    """Call `export_litert(model, path, ...)` in a process on TensorFlow.

    Args:
        model: Keras model.
        path: string.
        clips: array of representative clips, or `None`.
        options: dict of the other arguments.

    Returns:
        `Comparison`, and what the process printed, a string.

    Raises:
        RuntimeError: with the error of the process, if it fails or takes longer than an hour.
    """
    environment = {**os.environ, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    paths = [ROOT, *environment.get("PYTHONPATH", "").split(os.pathsep)]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    with tempfile.TemporaryDirectory(prefix="keras_video_export_") as folder:
        model.save(os.path.join(folder, MODEL))
        if clips is not None:
            np.save(os.path.join(folder, CLIPS), clips)
        write_json(os.path.join(folder, OPTIONS), {"path": os.path.abspath(path), **options})
        command = [sys.executable, "-m", "keras_video.mobile.export_worker", folder]
        try:
            done = subprocess.run(
                command, env=environment, timeout=LIMIT, stdin=subprocess.DEVNULL,
                capture_output=True, encoding="utf-8", errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise RuntimeError(
                f"export: expected it to end within {LIMIT:g} s; the process was stopped."
            ) from None
        if done.returncode:
            said = done.stderr.strip().splitlines() or ["it printed no error"]
            raise RuntimeError(f"export: the process on TensorFlow failed: {said[-1]}")
        return Comparison(**read_json(os.path.join(folder, RESULT))), done.stdout
