"""Batches of `VideoDataset`: their clips and labels, their order, and broken files."""

import itertools
import warnings

import keras
import numpy as np
import pytest

from keras_video.data import VideoError, VideoReader
from keras_video.data.dataset import VideoDataset
from tests.data.videos import break_file, numbers, write_folder, write_numbered

pytest.importorskip("av")

LENGTHS = (20, 31, 24, 9, 28, 16, 22)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("videos"), LENGTHS)


def make(videos, **options):
    """A data set whose labels are the numbers of the files."""
    defaults = {"labels": range(len(videos)), "num_frames": 4, "image_size": 16, "batch_size": 3}
    return VideoDataset(videos, **{**defaults, "seed": 1, **options})


def batches_of(dataset):
    """Return all batches by indexing."""
    return [dataset[index] for index in range(len(dataset))]


def labels_of(dataset):
    return np.concatenate([labels for _, labels in batches_of(dataset)]).tolist()


def same(one, other):
    return all(
        np.array_equal(a, b)
        for x, y in zip(one, other, strict=True)
        for a, b in zip(x, y, strict=True)
    )


# --- what is in a batch


def test_batches_hold_clips_and_labels(videos):
    dataset = make(videos, shuffle=False)
    assert len(dataset) == 3 and dataset.files == videos and dataset.num_classes == 7
    clips, labels = dataset[0]
    assert clips.shape == (3, 4, 16, 16, 3) and clips.dtype == np.uint8
    assert labels.dtype == np.int32 and labels.tolist() == [0, 1, 2]
    assert dataset[2][0].shape[0] == 1  # the last batch is smaller
    with pytest.raises(IndexError, match="expected an int from 0 to 2, got 3"):
        dataset[3]


def test_evaluation_takes_the_middle(videos):
    for (clips, _), first in zip(batches_of(make(videos, shuffle=False)), (0, 3, 6), strict=True):
        for row, clip in enumerate(clips):
            start = (LENGTHS[first + row] - 4) // 2
            assert numbers(clip) == list(range(start, start + 4))


def test_training_clips_start_anywhere(videos):
    dataset = make(videos[3:4], labels=[0])
    starts = set()
    for _ in range(40):
        ((clip,), _) = dataset[0]
        found = numbers(clip)
        assert found == list(range(found[0], found[0] + 4))
        starts.add(found[0])
        dataset.on_epoch_end()
    assert starts == set(range(6))


@pytest.mark.parametrize(
    "options, expected",
    [
        ({"sampling": "strided", "step": 3}, [3, 6, 9, 12]),  # of 17 frames
        ({"sampling": "segments"}, [2, 6, 10, 14]),
        ({"sampling": "blvnet_tam"}, [2, 6, 10, 14]),
        ({"sampling": "whole"}, [0, 5, 10, 16]),
        ({"num_frames": 19}, [*range(17), 0, 1]),
        ({"num_frames": 19, "short": "pad"}, [*range(17), 16, 16]),
        ({"frame_rate": 5}, [4, 6, 8, 10]),  # 9 ticks of 2 frames
        ({"frame_rate": 20}, [7, 8, 8, 9]),  # 34 ticks of half a frame, from the 15th on
        ({"frame_rate": 5, "num_frames": 11}, [0, 2, 4, 6, 8, 10, 12, 14, 16, 0, 2]),
    ],
)
def test_sampling_options(tmp_path, options, expected):
    path = write_numbered(tmp_path / "17.mp4", 17)
    ((clip,), _) = make([path], shuffle=False, **options)[0]
    assert numbers(clip) == expected


@pytest.mark.parametrize("sampling", ["strided", "segments", "blvnet_tam", "tvn"])
def test_training_samples_at_random(videos, sampling):
    dataset = make(videos[1:2], labels=[0], sampling=sampling, step=3)
    found = set()
    for _ in range(12):
        found.add(tuple(numbers(dataset[0][0][0])))
        dataset.on_epoch_end()
    assert len(found) > 2
    steps = {int(step) for clip in found for step in np.diff(clip)}
    assert steps == {"strided": {3}, "tvn": {3}, "blvnet_tam": {7}}.get(sampling, steps)


@pytest.mark.parametrize("rate, frames", [(None, 5), (4, 5), (25, 8), (3, 20)])
def test_single_clip_is_that_of_the_reader(videos, rate, frames):
    geometry = {"image_size": (20, 24), "resize_side": 28}
    dataset = make(
        videos[1:2], labels=[0], shuffle=False, frame_rate=rate, num_frames=frames, **geometry
    )
    expected = VideoReader(videos[1]).clip(frames, rate, (20, 24), resize_side=28)
    np.testing.assert_array_equal(dataset[0][0][0], expected)


def test_squeezed_or_cropped(tmp_path):
    from keras_video.datasets.moving_digits import write_video

    frames = np.zeros((4, 32, 96, 3), "uint8")
    frames[:, :, :32], frames[:, :, 64:] = 60, 180
    frames[:, :, 32:64] = 120
    path = str(tmp_path / "thirds.mp4")
    write_video(path, frames)
    centre = make([path], shuffle=False, image_size=32)
    squeezed = centre.replace(crop_to_aspect_ratio=False)
    assert abs(centre[0][0].mean((0, 1, 2, 4)) - 120).max() < 3
    assert np.ptp(squeezed[0][0].mean((0, 1, 2, 4))) > 110
    three = centre.replace(crops=3)[0][0]
    assert three.shape == (1, 3, 4, 32, 32, 3)
    np.testing.assert_allclose(three[0].mean((1, 2, 3, 4)), [60, 180, 120], atol=3)
    larger = centre.replace(crops=3, resize_side=48)[0][0]  # 48 x 144, offsets 0, 112, 56
    np.testing.assert_allclose(larger[0, 0].mean((0, 1, 3)), 60, atol=3)
    np.testing.assert_allclose(larger[0, 2].mean((0, 1, 3)), 120, atol=3)


def test_views_are_ordered_by_clip(videos):
    dataset = make(videos[1:2], labels=[0], shuffle=False, sampling="multi_clip", clips=4, crops=3)
    assert dataset.num_views == 12
    (views,), _ = dataset[0]
    assert views.shape == (12, 4, 16, 16, 3)
    starts = [numbers(view)[0] for view in views]
    assert starts == [start for start in (0, 9, 18, 27) for _ in range(3)]


def test_tvn_evaluation_draws_the_same_every_time(videos):
    dataset = make(videos[1:2], labels=[0], shuffle=False, sampling="tvn", step=5, clips=3)
    views = dataset[0][0][0]
    drawn = [numbers(view) for view in views]
    assert all(set(clip) <= set(range(0, 31, 5)) for clip in drawn) and drawn[0] != drawn[1]
    dataset.on_epoch_end()
    np.testing.assert_array_equal(dataset[0][0][0], views)


@pytest.mark.parametrize("labels", [np.eye(7), [[1.0]] * 7])
def test_label_rows(videos, labels):
    dataset = make(videos, labels=labels, shuffle=False)
    assert dataset.num_classes == {7: 7, 1: 2}[np.shape(labels)[1]]
    np.testing.assert_array_equal(dataset[1][1], np.asarray(labels, "float32")[3:6])
    assert dataset[1][1].dtype == np.float32


def test_no_labels(videos):
    dataset = make(videos, labels=None)
    assert isinstance(dataset[0], np.ndarray) and dataset.num_classes is None


# --- who decides what


def test_epochs_are_permutations(videos):
    dataset = make(videos)
    orders = []
    for _ in range(4):
        orders.append(labels_of(dataset))
        dataset.on_epoch_end()
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len(set(map(tuple, orders))) == 4
    assert labels_of(make(videos)) == orders[0] != labels_of(make(videos, seed=2))


@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"workers": 3}, {"workers": 2, "use_multiprocessing": True}]
)
def test_workers_change_nothing(videos, options):
    dataset, reference = make(videos, **options), make(videos)
    for _ in range(3):
        assert same(list(dataset), batches_of(reference))
        dataset.on_epoch_end(), reference.on_epoch_end()


def test_a_clip_does_not_depend_on_its_batch(videos):
    clips = {
        size: np.concatenate([clips for clips, _ in batches_of(make(videos, batch_size=size))])
        for size in (1, 3, 7)
    }
    np.testing.assert_array_equal(clips[1], clips[3])
    np.testing.assert_array_equal(clips[1], clips[7])


def test_a_run_can_be_resumed(videos):
    dataset, resumed = make(videos), make(videos)
    for _ in range(3):
        dataset.on_epoch_end()
    assert not same(batches_of(dataset), batches_of(resumed))
    resumed.epoch = 3
    assert same(batches_of(dataset), batches_of(resumed))


def test_set_random_seed_is_followed(videos):
    keras.utils.set_random_seed(5)
    first = make(videos, seed=None)
    keras.utils.set_random_seed(5)
    assert make(videos, seed=None).seed == first.seed != make(videos, seed=None).seed


@pytest.mark.parametrize("count", [2, 3])
def test_shards_are_disjoint_and_complete(videos, count):
    whole = make(videos, batch_size=count)
    shards = [make(videos, batch_size=1, shard=(index, count)) for index in range(count)]
    for _ in range(2):
        order = labels_of(whole)
        parts = [labels_of(shard) for shard in shards]
        assert parts == [order[index::count] for index in range(count)]
        assert sorted(itertools.chain(*parts)) == list(range(7))
        assert [len(part) for part in parts] == {2: [4, 3], 3: [3, 2, 2]}[count]
        for index, (clips, _) in enumerate(batches_of(whole)):  # joint batch = batch of one process
            shared = [shard[index][0] for shard in shards if index < len(shard)]
            np.testing.assert_array_equal(np.concatenate(shared), clips)
        for dataset in (whole, *shards):
            dataset.on_epoch_end()


def test_dropping_the_remainder_gives_equal_steps(videos):
    shards = [
        make(videos, batch_size=2, shard=(index, 2), drop_remainder=True) for index in range(2)
    ]
    assert [len(shard) for shard in shards] == [1, 1]
    assert labels_of(shards[0]) + labels_of(shards[1]) == [
        labels_of(make(videos))[k] for k in (0, 2, 1, 3)
    ]


def test_augment_gets_a_generator_of_its_own(videos):
    calls = []

    def augment(clips, labels, rng):
        calls.append((labels.tolist(), rng.integers(2**60)))
        return clips[:, ::-1].astype("float32"), np.eye(7)[labels]

    plain, dataset = make(videos), make(videos, augment=augment)
    for index in (0, 2, 0):
        clips, labels = dataset[index]
        np.testing.assert_array_equal(clips[:, ::-1], plain[index][0])
        np.testing.assert_array_equal(labels.argmax(1), plain[index][1])
    dataset.on_epoch_end()
    dataset[0]
    drawn = [number for _, number in calls]
    assert drawn[0] == drawn[2] and len(set(drawn)) == 3
    assert dataset.replace(shuffle=False)[0][0].dtype == np.uint8 and len(calls) == 4


def test_every_shard_augments_in_its_own_way(videos):
    def augment(clips, labels, rng):
        return np.full_like(clips, rng.integers(256)), labels

    shards = [make(videos, batch_size=1, shard=(k, 3), augment=augment) for k in range(3)]
    assert len({int(shard[0][0].mean()) for shard in shards}) == 3


def test_batches_are_renumbered_only_while_keras_iterates(videos):
    dataset = make(videos, workers=0)
    batches = batches_of(make(videos))
    assert dataset.num_batches == 3 and same([dataset[2]], [batches[2]])
    dataset.on_epoch_begin()
    assert same([dataset[2]], [batches[2]])
    assert dataset.num_batches == 3  # Keras asks, and shuffles
    assert same([dataset[k] for k in (2, 0, 1, 2)], [batches[k] for k in (0, 1, 2, 0)])
    dataset.on_epoch_end()
    dataset.epoch = 0
    assert same([dataset[2]], [batches[2]])


def test_replace_keeps_everything_else(videos):
    dataset = make(videos, seed=None, class_names=list("abcdefg"))
    other = dataset.replace(batch_size=7)
    assert other.seed == dataset.seed and other.class_names == dataset.class_names
    assert other[0][1].tolist() == labels_of(dataset)
    assert len(dataset) == 3
    with pytest.raises(TypeError, match=r"expected arguments of VideoDataset, got \['frames'\]"):
        dataset.replace(frames=3)


# --- broken files


@pytest.fixture
def broken(tmp_path):
    files = write_folder(tmp_path, (8, 9, 10, 11, 12, 13))
    break_file(files[1])
    open(files[4], "w").close()
    return files


@pytest.mark.parametrize("workers", [0, 2])
def test_a_broken_file_is_an_error_that_names_it(broken, workers):
    dataset = make(broken, shuffle=False, workers=workers)
    with pytest.raises(VideoError, match=r"01\.mp4: ") as caught:
        list(dataset)
    assert str(caught.value).count("\n") == 0
    with pytest.raises(VideoError, match=r"04\.mp4: the file is empty"):
        dataset[1]


@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"workers": 2}, {"workers": 2, "use_multiprocessing": True}]
)
def test_broken_files_are_replaced_and_reported(broken, options):
    dataset = make(broken, shuffle=False, errors="skip", batch_size=2, **options)
    with pytest.warns(UserWarning, match="Epoch 0: 2 of 6 videos could not be read") as caught:
        batches = list(dataset)
    assert "01.mp4" in str(caught[0].message) and "04.mp4" in str(caught[0].message)
    assert [labels.tolist() for _, labels in batches] == [[0, 2], [2, 3], [5, 5]]
    assert [path for path, _ in dataset.skipped] == [broken[1], broken[4]]
    assert "empty" in dict(dataset.skipped)[broken[4]]
    dataset.on_epoch_end()
    with pytest.warns(UserWarning, match="Epoch 1: 2 of 6"):
        list(dataset)
    assert len(dataset.skipped) == 2


def test_the_next_video_of_the_order_steps_in(broken):
    dataset = make(broken, errors="skip")
    order = dataset._source.order(0).tolist()
    expected = [
        next(v for v in (order * 2)[place:] if v not in (1, 4)) for place in range(len(order))
    ]
    assert labels_of(dataset) == expected


def test_long_lists_are_cut_in_the_warning(tmp_path):
    (tmp_path / "good").mkdir()
    files = write_folder(tmp_path / "good", (8,))
    files += [str(tmp_path / f"{k}.mp4") for k in range(30)]
    dataset = make(files, errors="skip", shuffle=False, batch_size=31)
    with pytest.warns(UserWarning, match="30 of 31") as caught:
        list(dataset)
    assert "... and 10 more" in str(caught[0].message) and len(dataset.skipped) == 30


class Promising:
    """A reader that notices in `get` that there are fewer frames than packets."""

    opened = []

    def __init__(self, path):
        self.opened.append(path)
        if "broken" in path:
            raise VideoError(f"{path}: broken")
        self.frames = 30

    def __len__(self):
        return self.frames

    def get(self, indices, *geometry):
        self.frames = 12
        if max(indices) >= self.frames:
            raise ValueError("no such frame")
        return np.tile(np.asarray(indices, "uint8")[:, None, None, None], (1, 16, 16, 3))


def test_frames_that_packets_promised_in_vain(monkeypatch):
    monkeypatch.setattr("keras_video.data.clips.VideoReader", Promising)
    dataset = make(["a"], shuffle=False)
    for _ in range(2):  # the second time, the reader knows the number of frames
        assert dataset[0][0][0, :, 0, 0, 0].tolist() == [4, 5, 6, 7]


def test_files_are_opened_once(monkeypatch):
    monkeypatch.setattr("keras_video.data.clips.VideoReader", Promising)
    Promising.opened.clear()
    dataset = make(["a", "broken", "c"], errors="skip", shuffle=False, sampling="whole", workers=0)
    for _ in range(3):
        with pytest.warns(UserWarning, match="1 of 3"):
            assert [labels.tolist() for _, labels in dataset] == [[0, 2, 2]]
    assert Promising.opened == ["a", "broken", "c"]


def test_nothing_is_said_without_a_reason(videos):
    dataset = make(videos, errors="skip")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        list(dataset)
        dataset.on_epoch_end()
    assert dataset.skipped == []


def test_all_broken_is_an_error(broken):
    dataset = make([broken[1], broken[4]], errors="skip", shuffle=False)
    with pytest.raises(VideoError, match=r"None of 2 videos can be read.*01\.mp4"):
        dataset[0]
    with pytest.raises(VideoError, match=r"None of 2 videos can be read.*01\.mp4"):
        dataset.without_broken()


def test_broken_files_can_be_left_out(broken):
    dataset = make(broken, shuffle=False, batch_size=6)
    with pytest.warns(UserWarning, match="2 of 6 videos cannot be read"):
        good = dataset.without_broken()
    assert good[0][1].tolist() == [0, 2, 3, 5] and good.num_classes == 6
    assert [path for path, _ in good.skipped] == [broken[1], broken[4]]


def test_short_videos_can_be_an_error(tmp_path):
    files = write_folder(tmp_path, (12, 5, 9))
    dataset = make(files, num_frames=4, step=3, short="error", shuffle=False)
    with pytest.raises(VideoError, match=r"01\.mp4: expected at least 10 frames, .* got 5"):
        dataset[0]
    with pytest.warns(UserWarning, match=r"2 of 3 videos(.|\n)*01\.mp4(.|\n)*02\.mp4"):
        ((_, labels),) = list(dataset.replace(errors="skip"))
    assert labels.tolist() == [0, 0, 0]
    segments = make(
        files[:1],
        labels=[0],
        step=4,
        num_frames=12,
        short="error",
        shuffle=False,
        sampling="segments",
    )
    assert numbers(segments[0][0][0]) == list(range(12))  # only windows have a step


def test_missing_file_is_named(videos, tmp_path):
    dataset = make([videos[0], str(tmp_path / "gone.mp4")], shuffle=False)
    with pytest.raises(FileNotFoundError, match=r"gone\.mp4"):
        dataset[0]


def test_an_option_that_does_not_fit_is_not_skipped(videos):
    dataset = make(videos, image_size=(16, 90), resize_side=32, errors="skip")
    with pytest.raises(ValueError, match="size: expected one that fits") as caught:
        dataset[0]
    assert not isinstance(caught.value, VideoError)
    assert "While reading" in caught.value.__notes__[0]


# --- options


@pytest.mark.parametrize(
    "options, message",
    [
        ({"files": "a.mp4"}, "files: expected a list of paths, got 'a.mp4'"),
        ({"files": []}, "files: expected at least one path"),
        ({"labels": [1]}, "labels: expected 2, one for each video, got 1"),
        ({"labels": [0, -1]}, "labels: expected whole numbers of at least 0, got -1"),
        ({"labels": [0.5, 1]}, "labels: expected whole numbers of at least 0, got 0.5"),
        ({"labels": ["a", "b"]}, "labels: expected class numbers"),
        (
            {"labels": np.eye(3)},
            r"labels: expected numbers of shape \(2, classes\), got float64 of",
        ),
        ({"labels": [["a"], ["b"]]}, r"labels: expected numbers of shape \(2, classes\)"),
        (
            {"labels": [0, 2], "class_names": ["a", "b"]},
            "labels: .* from 0 to 1, .* got 2 at index 1",
        ),
        ({"labels": [0, 7], "num_classes": 5}, "labels: .* from 0 to 4, for 5 classes, got 7"),
        ({"labels": np.eye(2), "num_classes": 3}, "labels: expected 3 columns, .* got 2"),
        ({"class_names": ["a", "b"], "num_classes": 3}, "num_classes: expected 2, .* got 3"),
        ({"batch_size": None}, "batch_size: expected an int of at least 1, got None"),
        ({"num_frames": 0}, "num_frames: expected an int of at least 1, got 0"),
        ({"frame_rate": -5}, "frame_rate: expected a finite number above 0 or None, got -5"),
        ({"sampling": "dense"}, "sampling: expected one of .* got 'dense'"),
        ({"step": 0}, "step: expected an int of at least 1"),
        ({"image_size": (16, 0)}, r"image_size: expected an int or a pair .* got \(16, 0\)"),
        ({"image_size": (16, 16, 3)}, "image_size: expected an int or a pair"),
        ({"resize_side": 12}, "resize_side: expected an int of at least 16.* got 12"),
        (
            {"image_size": (16, 40), "resize_side": 32, "crops": 3, "shuffle": False},
            "resize_side: expected an int of at least 40.* got 32",
        ),
        ({"resize_side": 20, "crop_to_aspect_ratio": False}, "crop_to_aspect_ratio: expected True"),
        ({"shuffle": "yes"}, "shuffle: expected one of True, False, got 'yes'"),
        ({"seed": -1}, "seed: expected an int of at least 0, got -1"),
        ({"clips": 2}, "training: expected False .* clips=2"),
        ({"crops": 3}, "training: expected False .* crops=3"),
        ({"sampling": "multi_clip"}, "training: expected False .* sampling='multi_clip'"),
        (
            {"sampling": "whole", "clips": 2, "shuffle": False},
            "clips: expected 1 for sampling='whole'",
        ),
        ({"crops": 2}, "crops: expected one of 1, 3, got 2"),
        ({"short": "loop"}, "short: expected one of .* got 'loop'"),
        ({"errors": "ignore"}, "errors: expected one of .* got 'ignore'"),
        ({"augment": 3}, "augment: expected a function .* got 3"),
        ({"shard": (2, 2)}, r"shard: expected two ints .* got \(2, 2\)"),
        ({"shard": 1}, "shard: expected two ints .* got 1"),
        ({"shard": (0, 2), "seed": None}, "seed: expected an int, the same in every process"),
        ({"shard": (0, 3)}, "shard: expected at least 3 videos for 3 shards, got 2"),
        (
            {"drop_remainder": True},
            "at least 8 videos for 1 shards, for full batches of 8 .* got 2",
        ),
        ({"workers": -1}, "workers: expected an int of at least 0, got -1"),
        ({"max_queue_size": 0}, "max_queue_size: expected an int of at least 1, got 0"),
        (
            {"augment": lambda *batch: batch, "use_multiprocessing": True},
            "augment: expected a function .* since use_multiprocessing=True pickles it",
        ),
    ],
)
def test_errors_come_before_anything_is_read(options, message):
    defaults = {"files": ["a.mp4", "b.mp4"], "image_size": 16, "seed": 0}
    with pytest.raises(ValueError, match=message):
        VideoDataset(**{**defaults, **options})


def test_it_tells_what_it_is(videos):
    data = make(videos, frame_rate=5, class_names=[f"class {n}" for n in range(len(videos))])
    batches = -(-len(videos) // 3)
    assert repr(data) == (
        f"VideoDataset({len(videos)} videos, {len(videos)} classes, clips of 4 x 16 x 16 at 5 "
        f"frames/s, {batches} batches of 3)"
    )
    views = make(videos, labels=None, step=2, shuffle=False, clips=2, crops=3)
    assert "videos, clips of 4 x 16 x 16, one of 2 frames in 6 views," in repr(views)
