import keras
import numpy as np
import pytest
from keras import ops

from keras_video.models import copy_weights
from keras_video.training import ClipRecurrent, regularize
from tests.helpers import (
    STREAM,
    assert_differs,
    assert_near,
    gradients,
    random_video,
    randomize_weights,
    run,
    tiny_model,
    to_numpy,
)

VIDEOS = random_video((4, 6, 40, 32, 3), seed=1)
LABELS = np.array([0, 3, 1, 4], "int32")
CROSSENTROPY = {"from_logits": True}


def new_trainer(clip_frames, seed=0, optimizer=None, **options):
    network = tiny_model(streaming=True, seed=seed, **STREAM)
    trainer = ClipRecurrent(network, clip_frames, **options)
    trainer.compile(
        optimizer or keras.optimizers.SGD(1.0),
        keras.losses.SparseCategoricalCrossentropy(**CROSSENTROPY),
        metrics=["accuracy"],
    )
    return trainer


def fit(trainer, videos=VIDEOS, labels=LABELS, **options):
    options = {"epochs": 1, "batch_size": len(videos), "verbose": 0, "shuffle": False, **options}
    return trainer.fit(videos, labels, **options).history


class SubclipLoss(keras.layers.Layer):
    """The loss of one subclip as a layer, for a direct computation of its gradient."""

    def __init__(self, network, state, labels):
        super().__init__()
        self.network, self.past, self.labels = network, [state], labels
        self.built = True

    def call(self, frames):
        predictions, _ = self.network(frames, self.past[0], training=True)
        return ops.mean(
            keras.losses.sparse_categorical_crossentropy(self.labels, predictions, from_logits=True)
        )


def direct_gradients(network, lengths):
    """The gradient of every subclip by itself, the states taken as numbers."""
    state, found = network.init_state(len(VIDEOS)), []
    for piece in np.split(VIDEOS, np.cumsum(lengths)[:-1], axis=1):
        layer = SubclipLoss(network, state, LABELS)
        found.append(gradients(layer, piece, weight=np.float32(1.0))[1])
        _, state = run(network, piece, state, training=True)
    return found


SUBCLIPS = [(2, (2, 2, 2)), (4, (4, 2)), (1, (1,) * 6)]
if keras.backend.backend() == "jax":
    SUBCLIPS = SUBCLIPS[:2]  # it compiles each subclip by itself


@pytest.mark.parametrize(("clip_frames", "lengths"), SUBCLIPS)
def test_gradients_are_the_sum_over_the_subclips(clip_frames, lengths):
    trainer = new_trainer(clip_frames)
    before = [to_numpy(w.value) for w in trainer.trainable_weights]
    parts = direct_gradients(tiny_model(streaming=True, **STREAM), lengths)
    fit(trainer)
    assert int(trainer.optimizer.iterations) == 1
    for i, weight in enumerate(trainer.trainable_weights):
        change = before[i] - to_numpy(weight.value)
        expected = sum(part[i] for part in parts)
        assert_near(change, expected, 1e-5)
    # The last subclip alone gives another step.
    assert_differs(before[-1] - to_numpy(trainer.trainable_weights[-1].value), parts[-1][-1])


def test_mean_reduction_divides_by_the_number_of_subclips():
    summed, averaged = new_trainer(2), new_trainer(2, reduction="mean")
    before = [to_numpy(w.value) for w in summed.trainable_weights]
    losses = [fit(trainer)["loss"][0] for trainer in (summed, averaged)]
    assert losses[0] == pytest.approx(3 * losses[1], rel=1e-5)
    for old, a, b in zip(before, summed.trainable_weights, averaged.trainable_weights, strict=True):
        assert_near((old - to_numpy(a.value)) / 3, old - to_numpy(b.value), 1e-5)


def test_one_subclip_is_ordinary_training():
    def optimizer():
        return keras.optimizers.SGD(0.1, momentum=0.9)

    clips = tiny_model(causal=True, **{k: v for k, v in STREAM.items() if k != "causal"})
    clips.compile(
        optimizer(),
        keras.losses.SparseCategoricalCrossentropy(**CROSSENTROPY),
        metrics=["accuracy"],
    )
    trainer = new_trainer(6, optimizer=optimizer())
    wanted = fit(clips, epochs=2)
    got = fit(trainer, epochs=2)
    assert got["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
    assert got["accuracy"] == wanted["accuracy"]
    twin = tiny_model(streaming=True, **STREAM)
    copy_weights(clips, twin)
    for ours, theirs in zip(trainer.network.weights, twin.weights, strict=True):
        assert_near(to_numpy(ours.value), to_numpy(theirs.value), 1e-5)
    other = new_trainer(2, optimizer=optimizer())
    fit(other, epochs=2)
    assert_differs(to_numpy(other.network.weights[0].value), to_numpy(twin.weights[0].value), 1e-5)


def test_batch_norm_sees_one_subclip_after_the_other():
    trainer, network = new_trainer(2, optimizer=keras.optimizers.SGD(0.0)), None
    fit(trainer)
    network = tiny_model(streaming=True, **STREAM)
    state = network.init_state(len(VIDEOS))
    for piece in np.split(VIDEOS, 3, axis=1):
        _, state = network(piece, state, training=True)
    for ours, theirs in zip(trainer.network.weights, network.weights, strict=True):
        assert_near(to_numpy(ours.value), to_numpy(theirs.value), 1e-5)


def test_regularisation_counts_once():
    plain, decayed = new_trainer(2), new_trainer(2)
    regularize(decayed.network, 0.02)
    before = {w.path: to_numpy(w.value) for w in plain.trainable_weights}
    fit(plain)
    fit(decayed)
    moved = 0
    for a, b in zip(plain.trainable_weights, decayed.trainable_weights, strict=True):
        decay = 0.02 * before[a.path] if b.regularizer is not None else 0.0
        assert_near(to_numpy(a.value) - to_numpy(b.value), decay * np.ones(a.shape), 1e-5)
        moved += b.regularizer is not None
    assert moved > 5


def test_metrics_are_those_of_the_last_frame():
    trainer = new_trainer(2, optimizer=keras.optimizers.SGD(0.0))
    network = tiny_model(streaming=True, **STREAM)
    state = network.init_state(len(VIDEOS))
    for piece in np.split(VIDEOS, 3, axis=1):
        predictions, state = network(piece, state, training=True)
    labels = to_numpy(predictions).argmax(-1)
    labels[0] = (labels[0] + 1) % 5
    assert fit(trainer, labels=labels)["accuracy"] == [0.75]


@pytest.mark.parametrize("clip_frames", [2, 4, 8])
def test_prediction_is_that_of_the_whole_video(clip_frames):
    trainer = new_trainer(clip_frames)
    expected = to_numpy(run(trainer.network, VIDEOS, trainer.network.init_state(4))[0])
    assert_near(trainer.predict(VIDEOS, verbose=0), expected)
    loss, accuracy = trainer.evaluate(VIDEOS, LABELS, verbose=0)
    assert accuracy == np.mean(expected.argmax(-1) == LABELS)
    shifted = expected - expected.max(-1, keepdims=True)
    chosen = shifted[np.arange(4), LABELS] - np.log(np.exp(shifted).sum(-1))
    assert loss == pytest.approx(-chosen.mean(), rel=1e-4)


def test_videos_of_any_length_after_one_compile():
    trainer = new_trainer(2, optimizer=keras.optimizers.SGD(0.01))
    # JAX compiles every length and size of a batch.
    lengths = (5, 1) if keras.backend.backend() == "jax" else (6, 5, 2, 1)
    for frames in lengths:
        history = fit(trainer, VIDEOS[:, :frames], batch_size=3)  # the last batch is smaller
        assert np.isfinite(history["loss"][0])
    assert int(trainer.optimizer.iterations) == 2 * len(lengths)


def test_bytes_train_too():
    trainer = new_trainer(4, optimizer=keras.optimizers.SGD(0.01))
    pixels = (255 * VIDEOS).astype("uint8")
    network = tiny_model(streaming=True, include_preprocessing=True, **STREAM)
    trainer = ClipRecurrent(network, 4)
    trainer.compile("sgd", keras.losses.SparseCategoricalCrossentropy(**CROSSENTROPY))
    assert np.isfinite(fit(trainer, pixels)["loss"][0])


def test_mixed_precision_learns():
    network = randomize_weights(tiny_model(streaming=True, dtype="mixed_bfloat16", **STREAM))
    trainer = ClipRecurrent(network, 2)
    trainer.compile(
        keras.optimizers.Adam(0.01), keras.losses.SparseCategoricalCrossentropy(**CROSSENTROPY)
    )
    losses = fit(trainer, epochs=12)["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_saved_and_loaded(tmp_path):
    trainer = new_trainer(3, reduction="mean")
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.models.load_model(tmp_path / "trainer.keras")
    assert (loaded.clip_frames, loaded.reduction) == (3, "mean")
    assert_near(loaded.predict(VIDEOS, verbose=0), trainer.predict(VIDEOS, verbose=0))
    trainer.network.save(tmp_path / "network.keras")


def test_wrong_arguments():
    network = tiny_model(streaming=True, **STREAM)
    with pytest.raises(ValueError, match="network: .*streaming=True"):
        ClipRecurrent(tiny_model())
    for value in (0, 2.5, True):
        with pytest.raises(ValueError, match="clip_frames: expected an int"):
            ClipRecurrent(network, value)
    with pytest.raises(ValueError, match="reduction: .*'sum', 'mean'.*got 'max'"):
        ClipRecurrent(network, reduction="max")
    with pytest.raises(ValueError, match="got rank 4"):
        ClipRecurrent(network)(VIDEOS[0])
