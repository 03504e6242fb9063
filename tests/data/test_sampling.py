"""Sampling rules against results by hand and against slow reference code."""

import itertools
import math

import numpy as np
import pytest

from keras_video.data.sampling import (
    blvnet_tam_test,
    blvnet_tam_train,
    crop_boxes,
    dense_window,
    multi_clip,
    strided,
    strided_draw,
    time_indices,
    uniform_segments,
    whole_video,
)


def rng(seed=0):
    return np.random.default_rng(seed)


SIZES = [(1, 1), (1, 7), (5, 5), (5, 8), (8, 5), (16, 16), (17, 16), (30, 8), (300, 16), (47, 9)]


@pytest.mark.parametrize("frames, wanted", SIZES)
def test_every_rule_gives_frames_of_the_video(frames, wanted):
    ascending = [
        uniform_segments(frames, wanted),
        uniform_segments(frames, wanted, rng()),
        blvnet_tam_train(frames, wanted, rng()),
        *blvnet_tam_test(frames, wanted, 3),
        strided_draw(frames, wanted, 3, rng()),
        whole_video(frames, wanted),
    ]
    windows = [
        rule(frames, wanted, 2, generator, short)
        for rule in (dense_window, strided)
        for generator in (None, rng())
        for short in ("repeat", "pad")
    ]
    windows += list(multi_clip(frames, wanted, 2, clips=4))
    for indices in ascending + windows:
        assert indices.shape == (wanted,) and indices.dtype == np.int64
        assert 0 <= indices.min() and indices.max() < frames
    for indices in ascending:
        assert (np.diff(indices) >= 0).all()


@pytest.mark.parametrize(
    "rule",
    [
        lambda generator: uniform_segments(50, 8, generator),
        lambda generator: blvnet_tam_train(50, 8, generator),
        lambda generator: dense_window(50, 8, 2, generator),
        lambda generator: strided(50, 8, 2, generator),
        lambda generator: strided_draw(50, 8, 2, generator),
    ],
)
def test_random_rules_follow_the_generator(rule):
    np.testing.assert_array_equal(rule(rng(5)), rule(rng(5)))
    assert len({tuple(rule(rng(seed))) for seed in range(20)}) > 3


# --- segments


def test_segments_by_hand():
    assert uniform_segments(10, 5).tolist() == [1, 3, 5, 7, 9]
    assert uniform_segments(9, 3).tolist() == [1, 4, 7]
    assert uniform_segments(300, 3).tolist() == [50, 150, 250]
    assert uniform_segments(2, 4).tolist() == [0, 0, 1, 1]


@pytest.mark.parametrize("frames, wanted", SIZES)
def test_segment_centres_against_the_formula(frames, wanted):
    from fractions import Fraction

    expected = [math.floor((k + Fraction(1, 2)) * frames / wanted) for k in range(wanted)]
    assert uniform_segments(frames, wanted).tolist() == expected


def test_jitter_covers_its_segment_and_no_more():
    draws = np.array([uniform_segments(20, 4, rng(seed)) for seed in range(300)])
    for segment, column in enumerate(draws.T):
        assert set(column) == set(range(5 * segment, 5 * segment + 5))
    assert abs(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1]) < 0.3  # segments draw independently


def test_jitter_never_reaches_beyond_the_last_frame():
    class AlmostOne:
        def random(self, size):
            return np.full(size, np.nextafter(1, 0))

    for frames, wanted in itertools.product(range(1, 80), (1, 3, 7, 49)):
        assert uniform_segments(frames, wanted, AlmostOne()).max() == frames - 1


# --- bLVNet-TAM


def test_blvnet_tam_training_by_hand():
    class Offset:
        def integers(self, high):
            assert high == 3  # 25 // 8
            return 2

    assert blvnet_tam_train(25, 8, Offset()).tolist() == [2, 5, 8, 11, 14, 17, 20, 23]


def test_blvnet_tam_training_shares_one_offset():
    starts = set()
    for seed in range(100):
        indices = blvnet_tam_train(40, 8, rng(seed))
        assert set(np.diff(indices)) == {5}
        starts.add(indices[0])
    assert starts == set(range(5))
    assert blvnet_tam_train(8, 8, rng()).tolist() == list(range(8))


def test_blvnet_tam_training_draws_from_short_videos():
    drawn = np.concatenate([blvnet_tam_train(3, 8, rng(seed)) for seed in range(20)])
    assert set(drawn) == {0, 1, 2}


def slow_blvnet_tam_test(frames, wanted, clips):
    """Section 7 of the specification, word by word."""
    tick = frames / wanted
    result = []
    for offset in range(-clips // 2 + 1, clips // 2 + 1):
        offset = min(max(offset, -tick / 2), tick / 2 - 1e-4)
        result.append([int(tick / 2 + offset + tick * k) for k in range(wanted)])
    return result


def test_blvnet_tam_test_by_hand():
    assert blvnet_tam_test(40, 8).tolist() == [[2, 7, 12, 17, 22, 27, 32, 37]]
    assert blvnet_tam_test(40, 4, 3).tolist() == [[4, 14, 24, 34], [5, 15, 25, 35], [6, 16, 26, 36]]
    assert blvnet_tam_test(40, 4, 2).tolist() == [[5, 15, 25, 35], [6, 16, 26, 36]]
    # A tick of 1.25 frames: shifts of -1 and 1 become -0.625 and 0.6249.
    assert blvnet_tam_test(5, 4, 3).tolist() == [[0, 1, 2, 3], [0, 1, 3, 4], [1, 2, 3, 4]]


@pytest.mark.parametrize("frames, wanted", [(f, w) for f, w in SIZES if f > w])
@pytest.mark.parametrize("clips", [1, 2, 3, 10])
def test_blvnet_tam_test_against_the_rule(frames, wanted, clips):
    assert blvnet_tam_test(frames, wanted, clips).tolist() == slow_blvnet_tam_test(
        frames, wanted, clips
    )


def test_blvnet_tam_test_of_short_videos_is_seeded_with_the_clip():
    first, second = blvnet_tam_test(6, 16, 2)
    np.testing.assert_array_equal(blvnet_tam_test(6, 16, 1)[0], first)
    np.testing.assert_array_equal(first, np.sort(rng(0).integers(6, size=16)))
    assert (first != second).any()


# --- windows


def test_window_by_hand():
    assert dense_window(10, 4).tolist() == [3, 4, 5, 6]
    assert dense_window(10, 4, 2).tolist() == [1, 3, 5, 7]
    assert dense_window(9, 4).tolist() == [2, 3, 4, 5]
    assert strided(10, 4, 2).tolist() == [1, 3, 5, 7]
    assert dense_window(7, 4, 2).tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize("rule", [dense_window, strided])
def test_random_window_starts_everywhere(rule):
    starts = set()
    for seed in range(200):
        indices = rule(12, 4, 2, rng(seed))
        assert set(np.diff(indices)) == {2}
        starts.add(int(indices[0]))
    assert starts == set(range(6))  # the last frame of the last start is 11


@pytest.mark.parametrize("generator", [None, 0])
@pytest.mark.parametrize(
    "short, expected",
    [("repeat", [0, 2, 4, 1, 3, 0]), ("pad", [0, 2, 4, 4, 4, 4])],
)
def test_windows_longer_than_the_video(short, expected, generator):
    generator = None if generator is None else rng()
    assert dense_window(5, 6, 2, generator, short).tolist() == expected
    assert multi_clip(5, 6, 2, 2, short).tolist() == [expected] * 2


def test_repeated_video_starts_again():
    assert dense_window(3, 8).tolist() == [0, 1, 2, 0, 1, 2, 0, 1]


def test_short_can_be_an_error():
    assert dense_window(6, 6, short="error").tolist() == list(range(6))
    with pytest.raises(ValueError, match="frames: expected at least 6, .* got 5"):
        dense_window(5, 6, short="error")
    with pytest.raises(ValueError, match="frames: expected at least 11, .* got 10"):
        multi_clip(10, 6, 2, short="error")
    with pytest.raises(ValueError, match="short: expected one of .* got 'loop'"):
        dense_window(5, 4, short="loop")


def test_clips_are_evenly_spaced():
    assert multi_clip(100, 10, clips=1).tolist() == [list(range(45, 55))]
    assert multi_clip(100, 10, clips=4)[:, 0].tolist() == [0, 30, 60, 90]
    assert multi_clip(100, 10, 2, clips=10)[:, 0].tolist() == [9 * k for k in range(10)]
    starts = multi_clip(301, 16, 4, clips=10)[:, 0]
    assert starts[0] == 0 and starts[-1] == 301 - 61
    assert np.ptp(np.diff(starts)) <= 1
    np.testing.assert_array_equal(multi_clip(31, 4, 3, clips=1)[0], dense_window(31, 4, 3))


def test_strided_draw_takes_kept_frames_once():
    seen = set()
    for seed in range(50):
        indices = strided_draw(22, 4, 5, rng(seed))
        assert len(set(indices)) == 4 and set(indices) <= {0, 5, 10, 15, 20}
        seen.add(tuple(indices))
    assert len(seen) == 5  # all ways to leave one out
    counts = np.bincount(strided_draw(9, 7, 3, rng()))  # kept: 0, 3, 6
    assert sorted(counts[[0, 3, 6]]) == [2, 2, 3] and counts.sum() == 7


def test_whole_video():
    assert whole_video(5).tolist() == [0, 1, 2, 3, 4]
    assert whole_video(9, 3).tolist() == [0, 4, 8]
    assert whole_video(2, 4).tolist() == [0, 0, 0, 1]
    assert whole_video(7, 1).tolist() == [0]


# --- frame rates


def frame_rate_indices(frames, fps, frame_rate):
    """`time_indices` of a video with a constant frame rate."""
    return time_indices(np.arange(frames) / fps, frames / fps, frame_rate, 0.01 / fps)


def test_frame_rates_by_hand():
    assert frame_rate_indices(10, 10, 5).tolist() == [0, 2, 4, 6, 8]
    assert frame_rate_indices(4, 5, 10).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert frame_rate_indices(6, 30, 12).tolist() == [0, 2, 5]
    assert frame_rate_indices(250, 25, 25).tolist() == list(range(250))
    assert frame_rate_indices(1, 25, 5).tolist() == [0]


@pytest.mark.parametrize("fps", [12, 23.976, 25, 29.97, 30, 59.94])
@pytest.mark.parametrize("rate", [1, 2.5, 5, 8, 12, 25, 30])
def test_frame_rates_against_a_walk_through_the_video(fps, rate):
    frames, shown, tick = 130, [], 0
    for number in range(frames):  # as a player would
        while tick / rate < (number + 0.99) / fps:
            shown.append(number)
            tick += 1
    assert frame_rate_indices(frames, fps, rate).tolist() == shown


def test_rounded_times_do_not_lose_a_frame():
    times = np.round(np.arange(300) / 30, 3)  # Matroska counts milliseconds
    indices = time_indices(times, 10.0, 5, tolerance=0.001)
    assert indices.tolist() == list(range(0, 300, 6))


def test_a_rounded_end_does_not_add_a_tick():
    assert time_indices([0.0, 0.1], 0.2004, 10, tolerance=0.001).tolist() == [0, 1]
    assert time_indices([0.0, 0.1], 0.2014, 10, tolerance=0.001).tolist() == [0, 1, 1]


def test_variable_rate_goes_by_time():
    times = [7.0, 7.1, 7.2, 9.0, 9.5]
    assert time_indices(times, 10.0, 2).tolist() == [0, 2, 2, 2, 3, 4]


# --- crops


def test_crops_by_hand():
    assert crop_boxes(256, 340, (224, 224)) == [(16, 58, 224, 224)]
    q = (340 - 224) // 4
    assert crop_boxes(256, 340, (224, 224), 3) == [
        (16, 0, 224, 224),
        (16, 4 * q, 224, 224),
        (16, 2 * q, 224, 224),
    ]
    assert crop_boxes(341, 256, (256, 256), 3) == [
        (0, 0, 256, 256),
        (84, 0, 256, 256),
        (42, 0, 256, 256),
    ]


def test_crops_lie_inside():
    for height, width, crops in itertools.product((8, 11, 20), (8, 13, 21), (1, 3)):
        for top, left, h, w in crop_boxes(height, width, (8, 7), crops):
            assert 0 <= top <= height - h and 0 <= left <= width - w


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: crop_boxes(100, 200, (112, 112)),
            r"size: expected one that fits .*100, 200\), got \(112, 112\)",
        ),
        (lambda: crop_boxes(100, 200, (50, 50), 2), "crops: expected one of 1, 3, got 2"),
        (lambda: uniform_segments(0, 4), "frames: expected an int of at least 1, got 0"),
        (lambda: uniform_segments(4, 2.5), "num_frames: expected an int of at least 1, got 2.5"),
        (lambda: dense_window(9, True), "num_frames: expected an int of at least 1, got True"),
        (lambda: dense_window(9, 3, 0), "step: expected an int of at least 1, got 0"),
        (lambda: strided(9, 3, -1), "stride: expected an int of at least 1, got -1"),
        (lambda: strided_draw(9, 3, 0, rng()), "stride: expected an int of at least 1, got 0"),
        (lambda: multi_clip(9, 3, clips=0), "clips: expected an int of at least 1, got 0"),
        (lambda: blvnet_tam_test(9, 3, 0), "clips: expected an int of at least 1, got 0"),
        (lambda: frame_rate_indices(9, 25, 0), "frame_rate: expected a finite number above 0"),
        (
            lambda: frame_rate_indices(9, 25, math.nan),
            "frame_rate: expected a finite number above 0",
        ),
    ],
)
def test_errors_name_the_argument(call, message):
    with pytest.raises(ValueError, match=message):
        call()
