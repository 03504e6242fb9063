import keras
import numpy as np
import pytest

import keras_video
from keras_video import Stream
from tests.helpers import (
    STREAM,
    assert_differs,
    assert_near,
    random_video,
    run,
    tiny_model,
    to_numpy,
)

FRAMES = random_video()


@pytest.fixture(scope="module")
def model():
    return tiny_model(streaming=True, **STREAM)


@pytest.fixture(scope="module")
def expected(model):
    """Answers after 2, 3 and 6 frames."""
    return [to_numpy(run(model, FRAMES[:, :n])[0]) for n in (2, 3, 6)]


@pytest.fixture(scope="module")
def shared_stream(model):
    return Stream(model, batch_size=2)


@pytest.fixture
def stream(shared_stream):
    """Compiled once for all tests, reset for each."""
    shared_stream.reset()
    return shared_stream


def steps(stream, lengths, frames=FRAMES):
    pieces = np.split(frames[:, : sum(lengths)], np.cumsum(lengths)[:-1], axis=1)
    return [to_numpy(stream.step(piece)) for piece in pieces]


def test_steps_are_those_of_the_model(stream, expected):
    for outputs, wanted in zip(steps(stream, (2, 1, 3)), expected, strict=True):
        assert_near(outputs, wanted)
    assert stream.frames_seen == 6
    stream.reset()
    assert_near(steps(stream, (1, 1, 1, 1, 1, 1))[-1], expected[-1])
    stream.reset()
    assert_near(steps(stream, (3, 1, 2))[-1], expected[-1])
    swapped = FRAMES[:, [4, 1, 2, 3, 0, 5]]
    stream.reset()
    assert_differs(steps(stream, (1, 1, 1, 1, 1, 1), swapped)[-1], expected[-1])


def test_state_is_that_of_the_model(model, stream):
    steps(stream, (2, 1))
    _, state = run(model, FRAMES[:, :3])
    state = to_numpy(state)
    assert_near(to_numpy(stream.state), state)
    assert stream.state_bytes == sum(x.nbytes for x in keras.tree.flatten(state))
    before = stream.state_bytes
    steps(stream, (1, 2))
    assert stream.state_bytes == before


def test_it_tells_what_it_is(model, stream):
    stream.reset()
    assert "batch_size=2, frames of any size, state of 0 bytes)" in repr(stream)
    stream.step(FRAMES[:, :2])
    text = f"batch_size=2, frames of 40x32, 2 seen, state of {stream.state_bytes:,} bytes)"
    assert repr(stream) == f"Stream({model.name}, {text}"


def test_reset_of_all(stream, expected):
    steps(stream, (2, 1))
    stream.reset()
    assert (stream.state, stream.frames_seen, stream.state_bytes) == (None, 0, 0)
    assert_near(steps(stream, (2,), FRAMES[:, :2])[0], expected[0])


@pytest.mark.parametrize("slots", [[1], 1, (1,)])
def test_reset_of_one_slot(stream, expected, slots):
    stream.reset(slots)  # before the first step there is nothing to forget
    steps(stream, (2, 1), FRAMES[:, 3:])
    stream.reset([0])
    stream.reset(slots)
    assert_near(steps(stream, (2,), FRAMES[:, :2])[0], expected[0])

    stream.reset(slots)
    outputs = np.stack(steps(stream, (1, 3), FRAMES[:, 2:]))
    assert_near(outputs[:, 0], np.stack(expected[1:])[:, 0])
    assert_differs(outputs[:, 1], np.stack(expected[1:])[:, 1])
    counts = to_numpy(stream.state["head_pool"][1])
    assert counts.tolist() == [6, 4] and counts.dtype == np.int32


@pytest.mark.parametrize("slots", [[2], [-1], 2, [0, 5], [0.5], ["0"]])
def test_bad_slots(stream, slots):
    with pytest.raises(ValueError, match=r"slots: expected ints in \[0, 2\), got "):
        stream.reset(slots)


def test_another_frame_size_needs_a_reset(model, stream):
    steps(stream, (1,), FRAMES[:, :1])
    other = random_video((2, 1, 36, 44, 3))
    with pytest.raises(ValueError, match="frames: expected the size .* 40x32, got 36x44.*reset()"):
        stream.step(other)
    stream.reset()
    assert_near(to_numpy(stream.step(other)), to_numpy(run(model, other)[0]))


@pytest.mark.parametrize(
    "shape, message",
    [
        ((1, 1, 40, 32, 3), r"frames: expected shape \(2, frames, .* batch_size=2, got \(1, 1, 40"),
        ((3, 1, 40, 32, 3), r"frames: expected shape \(2, frames, .* batch_size=2, got \(3, 1, 40"),
        ((3, 40, 32, 3), r"a frame for each of batch_size=2 slots, .* got \(3, 40, 32, 3\)"),
        ((40, 32, 3), "expected frames of shape .* got rank 3"),
        ((2, 0, 40, 32, 3), "at least one frame"),
        ((2, 1, 16, 32, 3), "height and width of at least 32"),
        ((2, 1, 3, 40, 32), "Channels come last"),
    ],
)
def test_bad_frames(stream, shape, message):
    with pytest.raises(ValueError, match=message):
        stream.step(np.zeros(shape, "float32"))


def test_bytes_as_frames(stream):
    video = (FRAMES[:, :1] * 255).astype("uint8")
    with pytest.warns(UserWarning, match="Divide by 255"):
        stream.model._range_checked = False
        outputs = to_numpy(stream.step(video))
    stream.reset()
    assert_near(outputs, to_numpy(stream.step(video.astype("float32"))), 1e-6)


def test_weights_are_those_at_construction(model):
    other = tiny_model(streaming=True, **STREAM)
    stream = Stream(other, batch_size=2)
    before = to_numpy(stream.step(FRAMES[:, :1]))
    other.set_weights([w + 0.1 for w in other.get_weights()])
    stream.reset()
    assert_near(to_numpy(stream.step(FRAMES[:, :1])), before, 1e-6)
    assert_near(before, to_numpy(run(model, FRAMES[:, :1])[0]))


def test_mixed_bfloat16(expected):
    half = tiny_model(streaming=True, dtype="mixed_bfloat16", **STREAM)
    outputs = steps(Stream(half, batch_size=2), (3, 3))
    assert_near(outputs[-1], expected[-1], 0.1)


def test_bad_arguments(model):
    with pytest.raises(ValueError, match="model: expected a streaming model.*streaming=True"):
        Stream(tiny_model())
    with pytest.raises(ValueError, match="model: expected a streaming model, got 'x'"):
        Stream("x")
    for size in (0, 1.5, True, None):
        with pytest.raises(ValueError, match="batch_size: expected an int of at least 1"):
            Stream(model, batch_size=size)


def test_it_has_a_short_name():
    assert keras_video.Stream is keras_video.models.Stream is Stream
