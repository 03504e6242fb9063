"""Fine-tuning: it learns, freezes, keeps backups, and chooses the loss by the labels."""

import keras
import numpy as np
import pytest

from keras_video.training import SmoothedCrossentropy, finetune
from keras_video.training.finetune import choose_loss
from tests.helpers import STREAM, random_video, small_model, tiny_model, to_numpy

VIDEOS = random_video((10, 4, 40, 32, 3), seed=5)
LABELS = (np.arange(10) % 5).astype("int32")


class Batches(keras.utils.PyDataset):
    """Batches of five, and how often each was asked for."""

    def __init__(self, videos=VIDEOS, labels=LABELS):
        super().__init__()
        self.videos, self.labels = videos, labels

    def __len__(self):
        return len(self.videos) // 5

    def __getitem__(self, index):
        chosen = slice(5 * index, 5 * index + 5)
        return self.videos[chosen], self.labels[chosen]


def test_it_learns_with_backups_on_a_cosine_schedule(tmp_path):
    model = small_model()
    history = finetune(
        model,
        Batches(),
        Batches(),
        epochs=15,
        learning_rate=0.01,
        backup=tmp_path / "backup",
        verbose=0,
    ).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["accuracy"][-1] > 0.7
    assert len(history["val_accuracy"]) == 15
    assert int(model.optimizer.iterations) == 30
    assert float(model.optimizer.learning_rate) < 1e-9  # the schedule has ended
    assert not (tmp_path / "backup").exists()


def test_frozen_layers_stay():
    model = tiny_model(**STREAM)
    before = {w.path: to_numpy(w.value) for w in model.weights}
    soft = 0.7 * np.eye(5)[LABELS] + 0.3 * np.eye(5)[LABELS[::-1]]  # as of mixup
    finetune(model, Batches(labels=soft), epochs=1, freeze="block1", verbose=0)
    moved = {
        w.path.split("/")[0]
        for w in model.weights
        if np.abs(to_numpy(w.value) - before[w.path]).max() > 0
    }
    assert not any(name.startswith(("stem", "block0")) for name in moved), moved
    assert {"head", "classifier"} <= moved
    assert any(name.startswith("block1") for name in moved)


def test_freeze_counts_and_thaws():
    model = tiny_model()
    everything = sum(int(np.prod(w.shape)) for w in model.trainable_weights)
    assert 0 < model.freeze(until="head") < everything
    left = {w.path.split("/")[0] for w in model.trainable_weights}
    assert left == {"head", "classifier_hidden", "classifier"}
    model.freeze(until="classifier")
    left = {w.path.split("/")[0] for w in model.trainable_weights}
    assert left == {"classifier_hidden", "classifier"}
    assert model.freeze() == everything
    without = model.freeze(batch_norm=True)
    assert without < everything
    assert not any("norm" in w.path for w in model.trainable_weights)
    with pytest.raises(ValueError, match="until: .*'stem', 'block0'.*got 'stage9'"):
        model.freeze("stage9")


def test_own_compile_is_kept_and_frozen_batch_norm_keeps_its_statistics():
    model = small_model()
    model.freeze(batch_norm=True)
    optimizer = keras.optimizers.SGD(0.1)
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = {w.path: to_numpy(w.value) for w in model.weights}
    finetune(model, Batches(), epochs=1, compile=False, verbose=0)
    assert model.optimizer is optimizer and int(optimizer.iterations) == 2
    norms = [path for path in before if "norm" in path]
    assert 4 <= len(norms) < len(before)
    for weight in model.weights:
        if weight.path in norms:
            np.testing.assert_array_equal(to_numpy(weight.value), before[weight.path])
        else:
            assert np.abs(to_numpy(weight.value) - before[weight.path]).max() > 0


@pytest.mark.parametrize(
    ("labels", "loss", "metric"),
    [
        (LABELS, keras.losses.SparseCategoricalCrossentropy, "accuracy"),
        (np.eye(5)[LABELS], keras.losses.CategoricalCrossentropy, "accuracy"),
        (np.full((4, 5), 0.2), keras.losses.CategoricalCrossentropy, "accuracy"),  # as of mixup
        (np.ones((4, 5)), keras.losses.BinaryCrossentropy, "pr_auc"),
    ],
)
def test_loss_suits_the_labels(labels, loss, metric):
    chosen, metrics = choose_loss(labels)
    assert type(chosen) is loss
    assert [m.name for m in metrics] == [metric]


def test_smoothed_crossentropy():
    logits = np.random.default_rng(0).standard_normal((5, 4)).astype("float32")
    labels = np.array([0, 1, 2, 3, 1])
    log = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    target = 0.9 * np.eye(4)[labels] + 0.1 / 4
    expected = -(target * log).sum(-1).mean()
    assert float(SmoothedCrossentropy(0.1)(labels, logits)) == pytest.approx(expected, rel=1e-5)
    copy = SmoothedCrossentropy.from_config(SmoothedCrossentropy(0.2).get_config())
    assert copy.label_smoothing == 0.2


def test_wrong_arguments():
    model = tiny_model()
    cases = [
        ({"epochs": 0}, "epochs: expected an int of at least 1"),
        ({"learning_rate": 0}, "learning_rate: expected a finite number above 0"),
        ({"warmup": 1.0}, r"warmup: expected a number in \[0, 1\)"),
        ({"label_smoothing": -0.1}, "label_smoothing"),
        ({"freeze": "nowhere"}, "^freeze: expected"),
        ({"compile": False}, "compile=False requires a model that is already compiled"),
    ]
    for options, message in cases:
        with pytest.raises(ValueError, match=message):
            finetune(model, Batches(), **options)
    with pytest.raises(ValueError, match="train: expected a keras.utils.PyDataset"):
        finetune(model, VIDEOS)
    with pytest.raises(ValueError, match="train: expected at least one batch"):
        finetune(model, Batches(VIDEOS[:0]))
    with pytest.raises(ValueError, match="labels: expected whole numbers from 0 to 4.*got 5 at"):
        finetune(model, Batches(labels=LABELS + 1))
    with pytest.raises(ValueError, match=r"labels: .*rows \(batch, 5\).*got shape \(5, 3\)"):
        finetune(model, Batches(labels=np.zeros((10, 3))))
