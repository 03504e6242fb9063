"""Training of streams subclip by subclip: gradients, metrics and predictions of `ClipRecurrent`.

Most tests share one training step with subclips of 2 frames, on 4 videos of 6 frames.
"""

from types import SimpleNamespace

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
    small_model,
    tiny_model,
    to_numpy,
)

VIDEOS = random_video((4, 6, 40, 32, 3), seed=1)
LABELS = np.array([0, 3, 1, 4], "int32")


def new_trainer(clip_frames, optimizer=None, **options):
    trainer = ClipRecurrent(small_model(streaming=True, **STREAM), clip_frames, **options)
    return compiled(trainer, optimizer or keras.optimizers.SGD(1.0))


def compiled(model, optimizer):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def fit(trainer, videos=VIDEOS, labels=LABELS, **options):
    options = {"epochs": 1, "batch_size": len(videos), "verbose": 0, "shuffle": False, **options}
    return trainer.fit(videos, labels, **options).history


def values(weights):
    return [to_numpy(w.value) for w in weights]


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


def by_hand(lengths, labels):
    """Run a network through subclips of these lengths.

    Returns:
        `(network, gradients, predictions)`: the network with the statistics of batch norm
        afterwards; the gradients of each subclip by itself, with the states as constants; the
        predictions after the last frame.
    """
    network = small_model(streaming=True, **STREAM)
    state, found = network.init_state(len(VIDEOS)), []
    for piece in np.split(VIDEOS, np.cumsum(lengths)[:-1], axis=1):
        layer = SubclipLoss(network, state, labels)
        before = values(network.weights)
        found.append(gradients(layer, piece, weight=np.float32(1.0))[1])
        for weight, value in zip(network.weights, before, strict=True):
            weight.assign(value)  # on some backends the gradients update batch norm
        predictions, state = run(network, piece, state, training=True)
    return network, found, to_numpy(predictions)


def assert_sum_of_gradients(before, trainer, parts):
    """The change of the weights, with a learning rate of 1, is the sum over the subclips."""
    for i, (old, new) in enumerate(zip(before, values(trainer.trainable_weights), strict=True)):
        assert_near(old - new, sum(part[i] for part in parts), 1e-5)
    # The gradients of the last subclip alone are different.
    assert_differs(before[-1] - to_numpy(trainer.trainable_weights[-1].value), parts[-1][-1])


@pytest.fixture(scope="module")
def step():
    """One training step with subclips of 2 frames, and the same by hand."""
    trainer = new_trainer(2)
    before = values(trainer.trainable_weights)
    history = fit(trainer)
    network, parts, predictions = by_hand((2, 2, 2), LABELS)
    return SimpleNamespace(
        trainer=trainer, before=before, history=history,
        network=network, parts=parts, predictions=predictions,
    )  # fmt: skip


def test_gradients_are_the_sum_over_the_subclips(step):
    assert int(step.trainer.optimizer.iterations) == 1
    assert_sum_of_gradients(step.before, step.trainer, step.parts)


def test_batch_norm_sees_one_subclip_after_the_other(step):
    statistics = step.trainer.network.non_trainable_weights
    assert len(statistics) > 4
    for ours, expected in zip(statistics, step.network.non_trainable_weights, strict=True):
        assert_near(to_numpy(ours.value), to_numpy(expected.value), 1e-5)


def test_metrics_are_those_of_the_last_frame(step):
    said = step.predictions.argmax(-1)
    labels = np.where(np.arange(4) == 0, (said + 1) % 5, said).astype("int32")
    trainer = step.trainer
    after = values(trainer.trainable_weights)
    for weight, value in zip(trainer.network.weights, values(small_weights()), strict=True):
        weight.assign(value)
    trainer.optimizer.learning_rate = 0.0  # the compiled step reads it from a variable
    assert fit(trainer, labels=labels)["accuracy"] == [0.75]
    trainer.optimizer.learning_rate = 1.0
    for weight, value in zip(trainer.trainable_weights, after, strict=True):
        weight.assign(value)


def small_weights():
    return small_model(streaming=True, **STREAM).weights


SUBCLIPS = [(4, (4, 2)), (1, (1,) * 6)]
if keras.backend.backend() == "jax":
    SUBCLIPS = SUBCLIPS[:1]  # it would compile six gradients by hand


@pytest.mark.parametrize(("clip_frames", "lengths"), SUBCLIPS)
def test_other_subclips_and_a_shorter_last_one(clip_frames, lengths):
    trainer = new_trainer(clip_frames)
    before = values(trainer.trainable_weights)
    fit(trainer)
    assert_sum_of_gradients(before, trainer, by_hand(lengths, LABELS)[1])


def test_mean_reduction_divides_by_the_number_of_subclips(step):
    averaged = new_trainer(2, reduction="mean")
    loss = fit(averaged)["loss"][0]
    assert step.history["loss"][0] == pytest.approx(3 * loss, rel=1e-5)
    after = values(step.trainer.trainable_weights)
    for old, a, b in zip(step.before, after, values(averaged.trainable_weights), strict=True):
        assert_near((old - a) / 3, old - b, 1e-5)


def test_regularisation_counts_once(step):
    decayed = new_trainer(2)
    regularize(decayed.network, 0.02)
    fit(decayed)
    moved = 0
    after = values(step.trainer.trainable_weights)
    for old, plain, weight in zip(step.before, after, decayed.trainable_weights, strict=True):
        decay = 0.02 * old if weight.regularizer is not None else 0.0
        assert_near(plain - to_numpy(weight.value), decay * np.ones(old.shape), 1e-5)
        moved += weight.regularizer is not None
    assert moved > 5


def test_one_subclip_is_ordinary_training(step):
    clips = small_model(causal=True, **{k: v for k, v in STREAM.items() if k != "causal"})
    compiled(clips, keras.optimizers.SGD(0.1, momentum=0.9))
    trainer = new_trainer(6, keras.optimizers.SGD(0.1, momentum=0.9))
    wanted = fit(clips, epochs=2)
    got = fit(trainer, epochs=2)
    assert got["loss"] == pytest.approx(wanted["loss"], rel=1e-5)
    assert got["accuracy"] == wanted["accuracy"]
    twin = small_model(streaming=True, **STREAM)
    assert_differs(values(twin.trainable_weights), values(trainer.trainable_weights))
    copy_weights(clips, twin)
    for ours, theirs in zip(trainer.network.weights, twin.weights, strict=True):
        assert_near(to_numpy(ours.value), to_numpy(theirs.value), 1e-5)
    # Three subclips have another loss, also as a mean.
    assert abs(step.history["loss"][0] / 3 - wanted["loss"][0]) > 1e-3


@pytest.fixture(scope="module")
def whole_video():
    """A network, and its predictions after the last frame of the videos."""
    network = small_model(streaming=True, **STREAM)
    return network, to_numpy(run(network, VIDEOS, network.init_state(4))[0])


@pytest.mark.parametrize("clip_frames", [2, 4, 8])
def test_prediction_is_that_of_the_whole_video(whole_video, clip_frames):
    network, expected = whole_video
    trainer = compiled(ClipRecurrent(network, clip_frames), "sgd")
    assert_near(trainer.predict(VIDEOS, verbose=0), expected)
    if clip_frames != 4:
        return
    loss, accuracy = trainer.evaluate(VIDEOS, LABELS, verbose=0)
    assert accuracy == np.mean(expected.argmax(-1) == LABELS)
    shifted = expected - expected.max(-1, keepdims=True)
    chosen = shifted[np.arange(4), LABELS] - np.log(np.exp(shifted).sum(-1))
    assert loss == pytest.approx(-chosen.mean(), rel=1e-4)


def test_bytes_of_any_length_after_one_compile():
    network = small_model(streaming=True, include_preprocessing=True, **STREAM)
    trainer = compiled(ClipRecurrent(network, 2), keras.optimizers.SGD(0.01))
    pixels = (255 * VIDEOS).astype("uint8")
    # JAX compiles every length and size of a batch. The last batch of 3 is smaller.
    lengths = ((5, 3), (1, 4)) if keras.backend.backend() == "jax" else ((5, 3), (6, 3), (1, 4))
    for frames, batch_size in lengths:
        history = fit(trainer, pixels[:, :frames], batch_size=batch_size)
        assert np.isfinite(history["loss"][0])
    assert int(trainer.optimizer.iterations) == 2 * len(lengths) - 1


def test_mixed_precision_learns():
    network = randomize_weights(small_model(streaming=True, dtype="mixed_bfloat16", **STREAM))
    trainer = compiled(ClipRecurrent(network, 2), keras.optimizers.Adam(0.01))
    losses = fit(trainer, epochs=12)["loss"]
    assert losses[-1] < 0.5 * losses[0]


def test_saved_and_loaded(whole_video, tmp_path):
    network, expected = whole_video
    trainer = compiled(ClipRecurrent(network, 3, reduction="mean"), "sgd")
    trainer.save(tmp_path / "trainer.keras")
    loaded = keras.models.load_model(tmp_path / "trainer.keras")
    assert (loaded.clip_frames, loaded.reduction) == (3, "mean")
    assert_near(loaded.predict(VIDEOS, verbose=0), expected)
    network.save(tmp_path / "network.keras")
    copy = keras.models.load_model(tmp_path / "network.keras")
    assert_near(values(copy.weights), values(network.weights), 0)


def test_wrong_arguments():
    network = small_model(streaming=True, **STREAM)
    with pytest.raises(ValueError, match="network: .*streaming=True"):
        ClipRecurrent(tiny_model())
    for value in (0, 2.5, True):
        with pytest.raises(ValueError, match="clip_frames: expected an int"):
            ClipRecurrent(network, value)
    with pytest.raises(ValueError, match="reduction: .*'sum', 'mean'.*got 'max'"):
        ClipRecurrent(network, reduction="max")
    with pytest.raises(ValueError, match="got rank 4"):
        ClipRecurrent(network)(VIDEOS[0])
