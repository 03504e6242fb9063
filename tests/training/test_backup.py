"""Backups: a killed training run ends with the same weights as an uninterrupted one."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_video.training import resumable_fit
from tests.helpers import random_video, to_numpy

VIDEOS = random_video((20, 4, 8, 8, 3), seed=3)
LABELS = (np.arange(20) % 5).astype("int32")


class Shuffled(keras.utils.PyDataset):
    """Seven batches in an epoch, with other videos in each epoch."""

    epoch = 0
    batches = 7

    def __len__(self):
        return self.batches

    def __getitem__(self, index):
        chosen = np.random.default_rng((self.epoch, index)).integers(0, 20, 3)
        return VIDEOS[chosen], LABELS[chosen]

    def on_epoch_end(self):
        self.epoch += 1


class Killed(BaseException):
    pass


class Kill(keras.callbacks.Callback):
    """Ends the run after a number of batches, like a crash."""

    def __init__(self, batches):
        super().__init__()
        self.left = batches

    def on_train_batch_end(self, batch, logs=None):
        self.left -= 1
        if self.left == 0:
            raise Killed


def new_model(classes=5):
    keras.utils.set_random_seed(7)  # dropout draws from it
    layers = keras.layers
    model = keras.Sequential(
        [
            layers.Input((4, 8, 8, 3)),
            layers.Dense(8),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling3D(),
            layers.Dropout(0.5),
            layers.Dense(classes),
        ]
    )
    schedule = keras.optimizers.schedules.CosineDecay(0.03, 21)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(schedule), loss, metrics=["accuracy"])
    return model


def train(folder, kill=0, epochs=3, data=None, model=None):
    model = model or new_model()
    callbacks = [Kill(kill)] if kill else []
    history = resumable_fit(
        model, data or Shuffled(), epochs, folder, every=2, callbacks=callbacks, verbose=0
    )
    return model, history


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    model, history = train(tmp_path_factory.mktemp("unbroken"))
    assert len(history.history["loss"]) == 3
    return [to_numpy(w.value) for w in model.weights]


# During the first epoch, at a backup, at the end of an epoch, in the last epoch.
@pytest.mark.parametrize("kills", [(5,), (2,), (7,), (8,), (20,), (3, 4, 5)])
def test_a_killed_run_ends_like_an_unbroken_one(tmp_path, unbroken, kills):
    for kill in kills:
        with pytest.raises(Killed):
            train(tmp_path / "backup", kill)
    model, history = train(tmp_path / "backup")
    for weight, expected in zip(model.weights, unbroken, strict=True):
        np.testing.assert_allclose(to_numpy(weight.value), expected, rtol=0, atol=1e-6)
    assert int(model.optimizer.iterations) <= 21
    assert history.epoch[-1] == 2
    assert not (tmp_path / "backup").exists()


def test_without_the_backup_it_would_end_elsewhere(tmp_path, unbroken):
    with pytest.raises(Killed):
        train(tmp_path / "backup", 5)
    (tmp_path / "backup" / "training.npz").unlink()
    model, _ = train(tmp_path / "backup", epochs=2)
    worst = max(
        np.abs(to_numpy(w.value) - e).max() for w, e in zip(model.weights, unbroken, strict=True)
    )
    assert worst > 1e-3


SCRIPT = """
import os, sys
sys.path.insert(0, {root!r})
from tests.training.test_backup import *

class Die(keras.callbacks.Callback):
    count = 0
    def on_train_batch_end(self, batch, logs=None):
        self.count += 1
        if self.count == int(sys.argv[2]):
            os._exit(9)

model = new_model()
resumable_fit(model, Shuffled(), 3, sys.argv[1], every=2, callbacks=[Die()], verbose=0)
np.savez(sys.argv[3], *[to_numpy(w.value) for w in model.weights])
"""


def test_a_process_that_dies(tmp_path, unbroken):
    root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    for die, code in ((12, 9), (0, 0)):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.format(root=root)]
            + [str(tmp_path / "backup"), str(die), str(tmp_path / "weights.npz")],
            timeout=240,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stderr[-2000:]
    with np.load(tmp_path / "weights.npz") as file:
        arrays = [file[name] for name in file.files]
    for array, expected in zip(arrays, unbroken, strict=True):
        np.testing.assert_allclose(array, expected, rtol=0, atol=1e-6)


def test_foreign_and_damaged_backups(tmp_path):
    with pytest.raises(Killed):
        train(tmp_path, 5)
    other = new_model(classes=7)
    with pytest.raises(ValueError, match="backup: .* of another model or optimizer"):
        train(tmp_path, model=other)
    data = Shuffled()
    data.batches = 8
    with pytest.raises(ValueError, match="with 8 batches in an epoch, got 7"):
        train(tmp_path, data=data)
    file = tmp_path / "training.npz"
    for content in (b"no archive", file.read_bytes()[:-2000], b""):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="damaged or no backup"):
            train(tmp_path)
    np.savez(file, note=np.frombuffer(json.dumps({"epoch": 1}).encode(), "uint8"))
    with pytest.raises(ValueError, match="damaged or no backup"):
        train(tmp_path)


def test_wrong_arguments(tmp_path):
    model = new_model()
    with pytest.raises(ValueError, match="epochs: expected an int"):
        resumable_fit(model, Shuffled(), 0, tmp_path)
    with pytest.raises(ValueError, match="every: expected an int"):
        resumable_fit(model, Shuffled(), 1, tmp_path, every=0)
    with pytest.raises(ValueError, match="data: expected a PyDataset, got ndarray"):
        resumable_fit(model, VIDEOS, 1, tmp_path)
