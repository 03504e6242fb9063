import keras
import numpy as np
import pytest

from keras_video.models import EnsembleStream, TemporalEnsemble
from tests.helpers import (
    STREAM,
    assert_differs,
    assert_near,
    random_video,
    run,
    tiny_model,
    to_numpy,
)

VIDEO = random_video((2, 6, 40, 32, 3), seed=2)


@pytest.fixture(scope="module")
def clips():
    return [tiny_model(seed=i, **STREAM) for i in range(2)]


@pytest.fixture(scope="module")
def streams():
    return [tiny_model(streaming=True, seed=i, **STREAM) for i in range(2)]


@pytest.fixture(scope="module")
def expected(clips):
    return TemporalEnsemble(clips).predict(VIDEO, verbose=0)


@pytest.fixture(scope="module")
def ensemble_stream(streams):
    return EnsembleStream(TemporalEnsemble(streams), batch_size=2)


def test_members_take_turns(clips, expected):
    taken = sum(to_numpy(run(m, VIDEO[:, i::2])) for i, m in enumerate(clips)) / 2
    assert_near(expected, taken)
    exchanged = sum(to_numpy(run(m, VIDEO[:, 1 - i :: 2])) for i, m in enumerate(clips)) / 2
    assert_differs(exchanged, expected)


def test_more_members_and_odd_lengths(clips):
    members = [*clips, tiny_model(seed=5)]
    video = np.concatenate([VIDEO, VIDEO[:, :1]], axis=1)
    expected = sum(to_numpy(run(m, video[:, i::3])) for i, m in enumerate(members)) / 3
    assert_near(TemporalEnsemble(members).predict(video, verbose=0), expected)


@pytest.mark.parametrize("lengths", [(1,) * 6, (3, 1, 2), (2, 4)])
def test_streaming_equals_the_clip(streams, expected, lengths):
    if keras.backend.backend() == "jax" and max(lengths) > 1:
        pytest.skip("JAX would compile every operation for every length")
    ensemble = TemporalEnsemble(streams)
    state = ensemble.init_state(2)
    for piece in np.split(VIDEO, np.cumsum(lengths)[:-1], axis=1):
        logits, state = ensemble(piece, state)
    assert state.frames == 6
    assert_near(to_numpy(logits), expected)


@pytest.mark.parametrize("lengths", [(1,) * 6, (3, 1, 2), (2, 4)])
def test_compiled_streams_equal_the_clip(ensemble_stream, expected, lengths):
    for _ in range(2):
        ensemble_stream.reset()
        for piece in np.split(VIDEO, np.cumsum(lengths)[:-1], axis=1):
            logits = ensemble_stream.step(piece)
        assert_near(to_numpy(logits), expected)
        assert ensemble_stream.frames_seen == 6 and ensemble_stream.state_bytes > 0


def test_first_frame_is_answered_by_the_first_member(streams):
    ensemble = TemporalEnsemble(streams)
    logits, state = ensemble(VIDEO[:, :1], ensemble.init_state(2))
    assert_near(to_numpy(logits), to_numpy(run(streams[0], VIDEO[:, :1])[0]))
    both, _ = ensemble(VIDEO[:, 1:2], state)
    assert_differs(to_numpy(both), to_numpy(logits))
    whole, _ = ensemble(VIDEO[:, :2])
    assert_near(to_numpy(whole), to_numpy(both))


def test_saved_and_loaded(clips, expected, tmp_path):
    TemporalEnsemble(clips).save(tmp_path / "ensemble.keras")
    loaded = keras.models.load_model(tmp_path / "ensemble.keras")
    assert_near(loaded.predict(VIDEO, verbose=0), expected)


def test_wrong_members(clips, streams):
    cases = [
        ([], "at least two models, got 0"),
        (clips[:1], "at least two models, got 1"),
        ([clips[0], clips[0]], "the same one twice"),
        ([clips[0], streams[1]], r"value of streaming in all models, got \[False, True\]"),
        ([clips[0], tiny_model(classes=3)], r"same number of classes, got \[5, 3\]"),
    ]
    for members, message in cases:
        with pytest.raises(ValueError, match=message):
            TemporalEnsemble(members)
    with pytest.raises(ValueError, match="frames: expected at least 2"):
        TemporalEnsemble(clips)(VIDEO[:, :1])
    with pytest.raises(ValueError, match="ensemble: expected members built with streaming"):
        EnsembleStream(TemporalEnsemble(clips))
