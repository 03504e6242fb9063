"""`fit` with data sets of videos, `tf.data`, and errors that end a run."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_video.data import bench
from keras_video.data.bench import measure
from keras_video.data.dataset import VideoDataset
from keras_video.data.decoding import VideoError
from tests.data.crashing_run import fail
from tests.data.videos import break_file, write_folder

pytest.importorskip("av")

LIMIT = 240  # seconds until a run counts as hung
ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("videos"), [8 + 3 * k for k in range(8)])


def small_model():
    """Build a compiled model of 8 classes."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((4, 16, 16, 3)),
            keras.layers.Rescaling(1 / 255),
            keras.layers.GlobalAveragePooling3D(),
            keras.layers.Dense(8),
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.3), loss, metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def compiled():
    """The model of all tests, compiled once, and its initial weights."""
    model = small_model()
    return model, model.get_weights()


@pytest.fixture
def model(compiled):
    """The model with its initial weights."""
    model, weights = compiled
    model.set_weights(weights)
    return model


def make(videos, **options):
    defaults = {"num_frames": 4, "image_size": 16, "batch_size": 2, "seed": 3}
    return VideoDataset(videos, range(len(videos)), **{**defaults, **options})


def weights_of(model):
    return np.concatenate([np.ravel(weight) for weight in model.get_weights()])


def stepped(model, batches):
    """The weights after one step on each of the batches. The model gets its old weights back."""
    before = model.get_weights()
    for batch in batches:
        model.train_on_batch(*batch)
    after = weights_of(model)
    model.set_weights(before)
    return after


def epochs_of(dataset, epochs):
    """The batches of some epochs, by indexing."""
    batches = []
    for dataset.epoch in epochs:
        batches += [dataset[index] for index in range(len(dataset))]
    return batches


@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"workers": 2}, {"workers": 2, "use_multiprocessing": True}]
)
def test_fit_sees_every_epoch_in_order(model, videos, options):
    """The weights after training tell which batch came when."""
    batches = epochs_of(make(videos), (1, 2))
    expected = stepped(model, batches)
    batches[4], batches[5] = batches[5], batches[4]
    other_order = stepped(model, batches)
    data = make(videos, **options)
    model.fit(data, epochs=2, verbose=0)
    assert data.epoch == 3  # one more: Keras ends an epoch before it begins the first
    np.testing.assert_allclose(weights_of(model), expected, rtol=1e-5, atol=1e-6)
    assert np.abs(weights_of(model) - other_order).max() > 1e-4


class Rest(keras.utils.PyDataset):
    """The end of an epoch, for a run that is resumed in the middle of an epoch."""

    def __init__(self, dataset, offset):
        super().__init__()
        self.dataset, self.offset = dataset, offset

    def __len__(self):
        return len(self.dataset) - self.offset

    def __getitem__(self, index):
        return self.dataset[index + self.offset]

    def on_epoch_begin(self):
        self.dataset.on_epoch_begin()

    def on_epoch_end(self):
        self.dataset.on_epoch_end()


def test_a_wrapped_dataset_keeps_its_batch_numbers(model, videos):
    expected = stepped(model, epochs_of(make(videos), (1,))[2:])
    model.fit(Rest(make(videos, workers=2), 2), verbose=0, shuffle=False)
    np.testing.assert_allclose(weights_of(model), expected, rtol=1e-5, atol=1e-6)


def test_fit_with_validation_evaluate_and_predict(model, videos):
    train = make(videos)
    validation = make(videos, shuffle=False, batch_size=3)
    history = model.fit(train, validation_data=validation, epochs=2, verbose=0)
    assert np.isfinite(history.history["val_loss"]).all()
    loss, accuracy = model.evaluate(validation, verbose=0)
    assert np.isfinite(loss) and abs(accuracy - history.history["val_accuracy"][-1]) < 1e-6
    logits = model.predict(validation, verbose=0)
    clips = np.concatenate([clips for clips, _ in validation])
    np.testing.assert_allclose(logits, model.predict(clips, verbose=0), rtol=1e-4, atol=1e-5)


def test_training_continues_despite_a_broken_file(model, tmp_path):
    files = write_folder(tmp_path, (8, 9, 10, 11))
    break_file(files[2])
    data = make(files, errors="skip", workers=2)
    with pytest.warns(UserWarning, match="1 of 4 videos could not be read"):
        model.fit(data, epochs=2, verbose=0)
    assert [path for path, _ in data.skipped] == [files[2]]


# --- tf.data


def test_tf_dataset_has_the_batches_of_each_epoch(videos):
    pytest.importorskip("tensorflow")
    data, reference = make(videos, batch_size=3), make(videos, batch_size=3)
    dataset = data.as_tf_dataset()
    assert int(dataset.cardinality()) == 3
    clips, labels = dataset.element_spec
    assert clips.shape.as_list() == [None, 4, 16, 16, 3] and labels.shape.as_list() == [None]
    batches = list(dataset.repeat(2).as_numpy_iterator())
    assert len(batches) == 6 and data.epoch == 2
    for epoch in range(2):
        for index in range(3):
            for got, expected in zip(batches[3 * epoch + index], reference[index], strict=True):
                np.testing.assert_array_equal(got, expected)
        reference.on_epoch_end()


def test_tf_dataset_of_unlabelled_views(videos):
    pytest.importorskip("tensorflow")
    data = VideoDataset(videos, num_frames=4, image_size=16, shuffle=False, clips=2, crops=3)
    dataset = data.as_tf_dataset()
    assert dataset.element_spec.shape.as_list() == [None, 6, 4, 16, 16, 3]
    (batch,) = dataset.as_numpy_iterator()
    np.testing.assert_array_equal(batch, data[0])


def test_fit_on_a_tf_dataset(model, videos):
    pytest.importorskip("tensorflow")
    expected = stepped(model, epochs_of(make(videos), (0, 1)))
    data = make(videos)
    model.fit(data.as_tf_dataset(), epochs=2, verbose=0)
    assert data.epoch == 2
    np.testing.assert_allclose(weights_of(model), expected, rtol=1e-5, atol=1e-6)


# --- a crash ends the run


@pytest.mark.parametrize("processes", [False, True])
def test_an_error_in_a_worker_ends_the_run(videos, processes):
    data = make(videos, augment=fail, workers=2, use_multiprocessing=processes)
    with pytest.raises(ArithmeticError, match="the colors of video 3 overflow"):
        small_model().fit(data, epochs=2, verbose=0)


def test_a_broken_file_ends_the_run(videos, tmp_path):
    broken = write_folder(tmp_path, [8])
    break_file(broken[0])
    data = make([*videos[:5], *broken], workers=2, use_multiprocessing=True)
    with pytest.raises(VideoError, match=r"00\.mp4: "):
        small_model().fit(data, epochs=2, verbose=0)


def test_a_killed_worker_ends_the_process(videos):
    result = subprocess.run(
        [sys.executable, "-m", "tests.data.crashing_run", *videos],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
        cwd=ROOT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert result.returncode == 1, result.stderr
    assert "A worker process ended abruptly" in result.stderr


# --- how fast


class Clock:
    """A clock that moves only when batches are made or a model works."""

    def __init__(self, monkeypatch):
        self.now = 0.0
        monkeypatch.setattr(bench.time, "perf_counter", lambda: self.now)


@pytest.mark.parametrize("model_seconds, slower", [(0.5, "data"), (2.0, "model")])
def test_measure_finds_the_bottleneck(monkeypatch, model_seconds, slower):
    clock = Clock(monkeypatch)

    class Data:
        def __len__(self):
            return 3

        def __iter__(self):
            for _ in range(3):
                clock.now += 1.0
                yield np.zeros((4, 2, 8, 8, 3), "uint8"), np.zeros(4, "int32")

    class Model:
        compiled = True
        steps = 0

        def predict_on_batch(self, clips):
            assert clips.shape == (4, 2, 8, 8, 3)
            clock.now += model_seconds if self.steps > 1 else 60  # compiling
            self.steps += 1

        def train_on_batch(self, clips, labels):
            assert labels.shape == (4,)
            self.predict_on_batch(clips)

    assert measure(Data(), batches=7) == {"batches": 7, "clips": 28, "clips_per_second": 4.0}
    for training in (False, True):
        result = measure(Data(), Model(), batches=5, training=training)
        assert result["clips_per_second"] == 4.0
        assert result["model_clips_per_second"] == pytest.approx(4 / model_seconds)
        assert result["bottleneck"] == slower


def test_measure_on_real_videos(model, videos):
    result = measure(make(videos), model, batches=5, training=True)
    assert result["clips"] == 10 and result["clips_per_second"] > 0
    assert result["model_clips_per_second"] > 0 and result["bottleneck"] in ("data", "model")
    with pytest.raises(ValueError, match="batches: expected an int of at least 1, got 0"):
        measure(make(videos), batches=0)
    with pytest.raises(ValueError, match="model: expected a compiled model"):
        measure(make(videos), keras.Sequential([keras.Input((4,))]), training=True)
