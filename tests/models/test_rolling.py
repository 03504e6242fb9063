"""The rolling stream, with a stand-in that remembers which frames each slot has seen."""

import numpy as np
import pytest

from keras_video.models.stream import RollingStream


class Memory:
    """Like `keras_video.Stream`; its outputs are (first frame, last frame, count) of a slot."""

    def __init__(self, batch_size):
        self.batch_size = batch_size
        self.reset()

    def reset(self, slots=None):
        if slots is None:
            self.seen = [[] for _ in range(self.batch_size)]
        for slot in slots or ():
            self.seen[slot] = []

    def step(self, frames):
        assert frames.shape == (self.batch_size, 1, 4, 6, 3)
        for seen, frame in zip(self.seen, frames, strict=True):
            seen.append(int(frame[0, 0, 0, 0]))
        return np.array([[seen[0], seen[-1], len(seen)] for seen in self.seen])

    @property
    def state_bytes(self):
        return 1234 * self.batch_size


def frame(number):
    return np.full((4, 6, 3), number, "uint8")


@pytest.mark.parametrize("window", [2, 3, 10, 11])
def test_answers_rest_on_half_a_window_to_a_window(window):
    rolling = RollingStream(Memory(2), window)
    for number in range(60):
        first, last, count = rolling.step(frame(number))
        assert last == number and count == rolling.history == last - first + 1
        assert min(number + 1, window // 2) <= count <= window
        assert all(len(seen) <= window for seen in rolling.stream.seen)
    assert rolling.state_bytes == 2468


def test_it_is_the_slot_with_the_longer_history_that_answers():
    rolling = RollingStream(Memory(2), 10)
    counts = [int(rolling.step(frame(k))[2]) for k in range(25)]
    assert counts == [*range(1, 11), *range(6, 11), *range(6, 11), *range(6, 11)]


def test_it_tells_what_it_is():
    rolling = RollingStream(Memory(2), 10)
    rolling.step(frame(1))
    text = repr(rolling)
    assert text.startswith("RollingStream(<") and text.endswith(", window=10, history=1)")


def test_no_window_forgets_nothing():
    rolling = RollingStream(Memory(1), 0)
    assert [int(rolling.step(frame(k))[2]) for k in range(200)] == list(range(1, 201))
    rolling.reset()
    assert rolling.step(frame(7)).tolist() == [7, 7, 1]


def test_reset_starts_anew():
    rolling = RollingStream(Memory(2), 6)
    before = [rolling.step(frame(k)).tolist() for k in range(9)]
    rolling.reset()
    assert [rolling.step(frame(k)).tolist() for k in range(9)] == before


def test_wrong_arguments():
    for window in (-1, 1, 2.5):
        with pytest.raises(ValueError, match="window: expected"):
            RollingStream(Memory(2), window)
    with pytest.raises(
        ValueError, match="stream: expected batch_size=2 for window=10, got batch_size=1"
    ):
        RollingStream(Memory(1), 10)
    with pytest.raises(ValueError, match=r"frame: expected shape \(height, width, channels\), got"):
        RollingStream(Memory(2), 10).step(np.zeros((1, 4, 6, 3)))
