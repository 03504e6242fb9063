"""Moving digits: motions, geometry, reproducibility, and the video files."""

import ast
import inspect
import os
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

pytest.importorskip("sklearn")

from keras_video.datasets import moving_digits, moving_digits_scene  # noqa: E402
from keras_video.datasets.moving_digits import (  # noqa: E402
    CLASS_NAMES,
    clip_at,
    load_data,
    make_clip,
    make_video,
    partner,
    write_video,
)
from keras_video.datasets.moving_digits_scene import draw_poses  # noqa: E402

LABEL = {name: label for label, name in enumerate(CLASS_NAMES)}
EVEN = range(0, 16, 2)


def steady(clip):
    """Return the clip in gray without the change of the light."""
    gray = clip.astype("float32").mean(-1) + 1
    light = np.median(gray / np.median(gray, axis=0), axis=(1, 2), keepdims=True)
    return gray / light


def foreground(clip):
    """Return where each frame differs clearly from the median frame, the background."""
    clip = steady(clip)
    return np.abs(clip - np.median(clip, axis=0)) > 45


def centroids(clip):
    """Return the centre (x, y) of the moving digit in each frame, in pixels."""
    return np.array([np.argwhere(mask).mean(0)[::-1] for mask in foreground(clip)])


# --- classes and pairs


def test_classes_are_eight_pairs():
    assert len(CLASS_NAMES) == len(set(CLASS_NAMES)) == 16
    assert [partner(label) for label in range(16)] == [label ^ 1 for label in range(16)]


@pytest.mark.parametrize("label", EVEN)
def test_odd_class_is_the_reversed_even_class(label):
    clip = make_clip(label, index=3, num_frames=7, size=(33, 50))
    reverse = make_clip(partner(label), index=3, num_frames=7, size=(33, 50))
    np.testing.assert_array_equal(reverse, clip[::-1])
    assert np.abs(clip.astype(int) - reverse).mean() > 1  # a clip is not its own reversal


def test_classes_differ_at_one_index():
    clips = [make_clip(label, index=5, num_frames=8) for label in range(16)]
    for i in range(16):
        for j in range(i):
            assert np.abs(clips[i].astype(int) - clips[j]).mean() > 1, (i, j)


# --- determinism


def test_clip_depends_on_its_arguments_only():
    first = make_clip(4, index=7, seed=1)
    state = np.random.get_state()[1].copy()
    make_clip(9, index=2)
    np.testing.assert_array_equal(np.random.get_state()[1], state)
    np.testing.assert_array_equal(make_clip(4, index=7, seed=1), first)
    for other in ({"index": 8}, {"seed": 2}, {"split": "test"}):
        assert (make_clip(4, **{"index": 7, "seed": 1, **other}) != first).mean() > 0.5, other


def test_law_has_not_changed():
    """Recorded means: changing a law or the order of draws changes published results."""
    means = [make_clip(label, 11, 8, (48, 40), "test", 3).mean() for label in EVEN]
    recorded = [157.504, 157.541, 157.502, 155.525, 155.372, 158.186, 156.156, 158.744]
    np.testing.assert_allclose(means, recorded, atol=0.05)


def test_number_of_frames_and_size_keep_the_scene():
    large = make_clip(LABEL["fade_out"], num_frames=9, size=(128, 128))[0]
    small = make_clip(LABEL["fade_out"], num_frames=4, size=(64, 64))[0]
    large = large.reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.corrcoef(large.ravel(), small.astype(float).ravel())[0, 1] > 0.9


def test_splits_share_no_digit():
    from sklearn.datasets import load_digits

    train, test = map(moving_digits_scene.digit_images, ("train", "test"))
    assert (len(train), len(test)) == (1437, 360)
    np.testing.assert_array_equal(np.concatenate([train, test]) * 16, load_digits().images)
    assert not {digit.tobytes() for digit in train} & {digit.tobytes() for digit in test}


# --- shapes


@pytest.mark.parametrize("num_frames, size", [(2, (16, 16)), (5, (17, 41)), (16, (64, 64))])
@pytest.mark.parametrize("label", EVEN)
def test_any_length_and_size(label, num_frames, size):
    clip = make_clip(label, num_frames=num_frames, size=size)
    assert clip.shape == (num_frames, *size, 3)
    assert clip.dtype == np.uint8 and clip.flags["C_CONTIGUOUS"]


def test_load_data():
    (x_train, y_train), (x_test, y_test) = load_data(32, 18, num_frames=4, size=(16, 20), seed=2)
    assert x_train.shape == (32, 4, 16, 20, 3) and x_test.shape == (18, 4, 16, 20, 3)
    assert x_train.dtype == np.uint8 and y_train.dtype == np.int32
    np.testing.assert_array_equal(np.bincount(y_train), np.full(16, 2))
    np.testing.assert_array_equal(y_test, np.arange(18) % 16)
    np.testing.assert_array_equal(x_train[1::2], x_train[::2, ::-1])
    assert (x_train[:16] != x_train[16:]).mean() > 0.5
    np.testing.assert_array_equal(
        x_test[17], clip_at(17, num_frames=4, size=(16, 20), split="test", seed=2)[0]
    )


# --- the motion is what the name says


@pytest.mark.parametrize(
    "name, heading",
    [
        ("move_left", (-1, 0)),
        ("move_right", (1, 0)),
        ("move_up", (0, -1)),
        ("move_down", (0, 1)),
        ("move_up_left", (-1, -1)),
        ("move_down_right", (1, 1)),
    ],
)
def test_translation_heads_where_its_name_says(name, heading):
    for index in range(6):
        path = centroids(make_clip(LABEL[name], index, num_frames=12))
        way = path[-3:].mean(0) - path[:3].mean(0)
        assert np.linalg.norm(way) > 12
        assert way @ heading / np.linalg.norm(way) / np.linalg.norm(heading) > 0.9, (index, way)


def test_zoom_in_grows():
    for index in range(6):
        clip = steady(make_clip(LABEL["zoom_in"], index, num_frames=12))
        change = np.abs(np.diff(clip, axis=0)) > 40
        assert change[-3:].sum() > 2 * change[:3].sum(), index


def test_orbit_runs_clockwise():
    for index in range(6):
        path = centroids(make_clip(LABEL["orbit_clockwise"], index, num_frames=16))
        phase = np.unwrap(np.arctan2(*(path - path.mean(0)).T[::-1]))  # y points down: clockwise
        assert phase[-1] - phase[0] > np.radians(240), index


def test_fade_in_raises_the_contrast():
    for index in range(6):
        clip = steady(make_clip(LABEL["fade_in"], index, num_frames=12))
        change = np.abs(clip - clip[0]) > 45
        assert change[-1].sum() > 40 and change[3].sum() < change[-1].sum() / 2, index


def test_approach_brings_two_digits_together():
    for index in range(20):
        poses = draw_poses(LABEL["approach"], np.random.default_rng(index), 12)
        distance = np.hypot(*(poses[0] - poses[1])[:, :2].T)
        assert (np.diff(distance) < 0).all() and distance[0] - distance[-1] > 0.4
        assert (poses[..., 4] == 1).all()


def test_rotation_turns_clockwise():
    for index in range(20):
        for num_frames in (2, 8, 12):
            rng = np.random.default_rng(index)
            steps = np.diff(draw_poses(LABEL["rotate_clockwise"], rng, num_frames)[0, :, 3])
            assert (steps > 0).all() and (steps < 90).all()
    # A positive angle is clockwise on the screen: a quarter turn equals np.rot90(.., -1).
    sprite = moving_digits_scene.digit_sprite(moving_digits_scene.digit_images("train")[2])
    frames = np.zeros((2, 3, 65, 65), "float32")
    path = np.array([[0, 0, 0.6, 0, 1], [0, 0, 0.6, 90, 1]])
    moving_digits_scene._add_digit(frames, sprite, np.full(3, 200, "float32"), path)
    upright, turned = frames[:, 0]
    assert np.abs(np.rot90(upright, -1) - turned).mean() < 2
    assert np.abs(np.rot90(upright, 1) - turned).mean() > 10


@pytest.mark.parametrize("label", range(16))
def test_digits_stay_in_view(label):
    for index in range(20):
        poses = draw_poses(label, np.random.default_rng(index), 12)
        assert np.abs(poses[:, :, :2]).max() < 0.56
        assert (np.abs(np.diff(poses[..., :2], axis=1)) < 0.35).all()


def test_digit_beyond_the_border_is_cut():
    sprite, color = np.ones((96, 96), "float32"), np.full(3, 9, "float32")
    path = np.array([[x, y, 0.5, 30, 1] for x in (-2, -0.5, 0.5, 2) for y in (-2, 0, 0.5, 2)])
    frames = np.zeros((16, 3, 20, 30), "float32")
    moving_digits_scene._add_digit(frames, sprite, color, path)
    painted = frames.any((1, 2, 3)).reshape(4, 4)
    np.testing.assert_array_equal(painted[1:3, 1:3], True)
    np.testing.assert_array_equal(painted[[0, 3]], False)
    np.testing.assert_array_equal(painted[:, [0, 3]], False)


# --- MovingDigits


@pytest.fixture(scope="module")
def MovingDigits():
    pytest.importorskip("keras")
    return moving_digits.MovingDigits


SMALL = {"num_frames": 3, "size": (16, 18), "dtype": "uint8"}


def test_dataset_batches(MovingDigits):
    data = MovingDigits("test", num_clips=20, batch_size=8, **SMALL)
    assert [len(labels) for _, labels in data] == [8, 8, 4]
    assert len(data) == 3
    clips, labels = data[2]
    assert clips.shape == (4, 3, 16, 18, 3) and clips.dtype == np.uint8
    assert labels.dtype == np.int32
    floats = MovingDigits("test", num_clips=20, batch_size=8, num_frames=3, size=(16, 18))[2][0]
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, clips)
    with pytest.raises(IndexError, match="expected an int from 0 to 2, got 3"):
        data[3]


def test_clips_do_not_depend_on_batch_or_worker(MovingDigits):
    def stacked(batches):
        return [np.concatenate(part) for part in zip(*batches, strict=True)]

    data = MovingDigits("train", num_clips=32, batch_size=8, **SMALL)
    other = MovingDigits("train", num_clips=32, batch_size=5, **SMALL)
    clips, labels = stacked(data)
    np.testing.assert_array_equal(stacked(other)[0], clips)
    with ThreadPoolExecutor(3) as pool:
        backwards = list(pool.map(data.__getitem__, reversed(range(4))))
    np.testing.assert_array_equal(stacked(backwards[::-1])[0], clips)
    assert not np.array_equal(labels, np.arange(32) % 16)  # the train split is shuffled


def test_labels_are_balanced_and_paired_in_every_epoch(MovingDigits):
    data = MovingDigits("train", num_clips=48, batch_size=48, **SMALL)
    for _ in range(3):
        clips, labels = data[0]
        np.testing.assert_array_equal(np.bincount(labels), np.full(16, 3))
        seen = {clip.tobytes(): label for clip, label in zip(clips, labels, strict=True)}
        for clip, label in zip(clips, labels, strict=True):
            assert seen[clip[::-1].tobytes()] == partner(label)
        data.on_epoch_end()


def test_train_epochs_are_new_and_test_epochs_the_same(MovingDigits):
    for split, shared in (("train", 0), ("test", 32)):
        data = MovingDigits(split, num_clips=32, batch_size=32, shuffle=True, **SMALL)
        first, second = [], []
        for clips in (first, second):
            clips.extend(clip.tobytes() for clip in data[0][0])
            data.on_epoch_end()
        assert len(set(first)) == 32
        assert len(set(first) & set(second)) == shared
        assert first != second
        data.epoch = 0
        assert [clip.tobytes() for clip in data[0][0]] == first


@pytest.mark.parametrize("workers", [1, 2])
def test_fit_moves_through_the_epochs(MovingDigits, workers):
    import keras

    epochs = []

    class Recorded(MovingDigits):
        def __getitem__(self, index):
            epochs.append(self.epoch)
            return super().__getitem__(index)

    data = Recorded(
        "train", num_clips=24, batch_size=8, num_frames=2, size=(16, 16), workers=workers
    )
    model = keras.Sequential(
        [
            keras.Input((2, 16, 16, 3)),
            keras.layers.GlobalAveragePooling3D(),
            keras.layers.Dense(16),
        ]
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    model.fit(data, epochs=2, verbose=0)
    assert [epochs.count(epoch) for epoch in (1, 2)] == [3, 3]
    assert data.epoch == 3  # one more: Keras ends an epoch before it begins the first


# --- videos


def test_video_is_continuous():
    labels = [LABEL[name] for name in ("move_left", "rotate_clockwise", "approach", "fade_in")]
    video = make_video(labels, frames_per_motion=18, size=(64, 64))
    assert video.shape == (72, 64, 64, 3) and video.dtype == np.uint8
    steps = np.abs(np.diff(video.astype("float32").mean(-1), axis=0))
    cut = np.abs(video[0].astype("float32") - make_clip(0, index=9)[0]).mean()
    assert steps.mean((1, 2)).max() < cut / 2  # no cut, not even at a segment boundary
    np.testing.assert_array_equal(make_video(labels, 18, (64, 64)), video)


@pytest.mark.parametrize("size", [(64, 64), (47, 33)])
def test_written_video_can_be_read_back(tmp_path, size):
    av = pytest.importorskip("av")
    path = tmp_path / "digits.mp4"
    path.write_bytes(b"an older file")
    video = make_video([0, 9], frames_per_motion=8, size=size)
    write_video(path, video, frame_rate=10)
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264" and stream.average_rate == 10
        decoded = np.stack([f.to_ndarray(format="rgb24") for f in container.decode(video=0)])
    assert decoded.shape == (16, size[0] + size[0] % 2, size[1] + size[1] % 2, 3)
    decoded = decoded[:, : size[0], : size[1]].astype("float32")
    gray_error = np.abs(decoded.mean(-1) - video.mean(-1)).mean((1, 2))
    assert gray_error.max() < 6, gray_error
    assert np.abs(decoded - video[::-1]).mean() > 2 * np.abs(decoded - video).mean()
    assert os.listdir(tmp_path) == ["digits.mp4"]


def test_failed_write_leaves_the_old_file_alone(tmp_path, monkeypatch):
    pytest.importorskip("av")
    path = tmp_path / "digits.mp4"
    path.write_bytes(b"an older file")

    def fail(source, target):
        assert os.path.dirname(source) == str(tmp_path)
        raise OSError("disk full")

    monkeypatch.setattr(moving_digits.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        write_video(path, make_clip(0, num_frames=2))
    assert os.listdir(tmp_path) == ["digits.mp4"] and path.read_bytes() == b"an older file"


# --- errors and dependencies


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"label": 16}, "label: expected an int from 0 to 15, got 16"),
        ({"label": -1}, "label: .* got -1"),
        ({"label": "zoom_in"}, "label: .* got 'zoom_in'"),
        ({"index": -1}, "index: expected an int of at least 0, got -1"),
        ({"num_frames": 1}, "num_frames: expected an int of at least 2, got 1"),
        ({"num_frames": 8.0}, "num_frames: .* got 8.0"),
        ({"size": (15, 64)}, r"size: .* at least 16, got \(15, 64\)"),
        ({"size": 15}, "size: expected an int or a pair .* got 15"),
        ({"size": (64, 64, 3)}, "size: expected an int or a pair"),
        ({"split": "valid"}, "split: expected one of 'train', 'test', got 'valid'"),
        ({"split": ["test"]}, "split: expected one of"),
        ({"seed": -3}, "seed: .* got -3"),
        ({"seed": True}, "seed: .* got True"),
    ],
)
def test_clip_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_clip(**{"label": 0, **arguments})


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: partner(16), "label: expected"),
        (lambda: clip_at(-1), "position: expected"),
        (lambda: load_data(0, 16), "num_train: expected"),
        (lambda: load_data(10**9, 0), "num_test: expected"),
        (lambda: load_data(10**9, 16, num_frames=1), "num_frames: expected"),
        (lambda: load_data(16, 16, seed=-1), "seed: expected"),
        (lambda: make_video([]), "labels: expected a sequence of at least one label"),
        (lambda: make_video(3), "labels: expected a sequence of at least one label"),
        (lambda: make_video([0, 16]), "labels: expected an int from 0 to 15, got 16"),
        (lambda: make_video([0], frames_per_motion=1), "frames_per_motion: expected"),
        (lambda: write_video("x.mp4", None), "frames: expected .* got NoneType"),
        (lambda: write_video("x.mp4", np.zeros((2, 8, 8, 3))), "dtype float64"),
        (lambda: write_video("x.mp4", np.zeros((0, 8, 8, 3), "uint8")), r"shape \(0, 8, 8, 3\)"),
        (lambda: write_video("x.mp4", np.zeros((1, 8, 8, 3), "uint8"), 0), "frame_rate: expected"),
    ],
)
def test_other_errors(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=message):
        call()
    assert not os.listdir(tmp_path)


@pytest.mark.parametrize(
    "argument, value",
    [
        ("split", "valid"),
        ("num_clips", 0),
        ("batch_size", 0),
        ("num_frames", 1),
        ("size", (8, 8)),
        ("seed", -1),
        ("shuffle", "yes"),
        ("dtype", "float16"),
    ],
)
def test_dataset_errors(MovingDigits, argument, value):
    with pytest.raises(ValueError, match=f"{argument}: expected .* got "):
        MovingDigits(**{argument: value})


def test_missing_scikit_learn_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    moving_digits_scene.digit_images.cache_clear()
    with pytest.raises(ImportError, match=r"pip install '\.\[datasets\]'"):
        make_clip(0)


def test_missing_av_is_explained(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"pip install '\.\[video\]'"):
        write_video("never.mp4", np.zeros((1, 8, 8, 3), "uint8"))


def test_drawing_needs_numpy_only():
    tree = ast.parse(inspect.getsource(moving_digits_scene))
    top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {getattr(n, "module", None) or n.names[0].name for n in top}
    assert names <= {"functools", "math", "numpy", "keras_video.checks"}
