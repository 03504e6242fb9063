"""Datasets from a folder of class folders."""

import os
import warnings

import numpy as np
import pytest

from keras_video.data.folders import list_folder, list_videos, video_dataset_from_directory
from tests.data.videos import numbers, write_numbered

pytest.importorskip("av")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two classes of four videos, one in a subfolder; also other files."""
    root = tmp_path_factory.mktemp("classes")
    for name in ("walk", "jump"):
        for k in range(4):
            deeper = root / name / "more" if k == 3 else root / name
            write_numbered(deeper / f"{k}.mp4", 8 + k)
    (root / "walk" / "notes.txt").write_text("not a video")
    (root / ".hidden").mkdir()
    (root / ".hidden" / "x.mp4").write_bytes(b"x")
    (root / "walk" / "._0.mp4").write_bytes(b"x")
    (root / "readme.md").write_text("not a class")
    return root


def make(folder, **options):
    defaults = {"num_frames": 4, "image_size": (16, 16), "verbose": False}
    return video_dataset_from_directory(folder, **{**defaults, **options})


def names(files):
    return [os.path.join(*file.split(os.sep)[-2:]) for file in files]


def test_folders_are_classes(folder, capsys):
    dataset = make(folder, shuffle=False, verbose=True)
    assert capsys.readouterr().out == "Found 8 files belonging to 2 classes.\n"
    assert dataset.class_names == ["jump", "walk"] and dataset.num_classes == 2
    assert names(dataset.files) == [
        *("jump/0.mp4", "jump/1.mp4", "jump/2.mp4", "more/3.mp4"),
        *("walk/0.mp4", "walk/1.mp4", "walk/2.mp4", "more/3.mp4"),
    ]
    assert dataset.labels.tolist() == [0] * 4 + [1] * 4
    assert dataset.batch_size == 32
    ((clips, labels),) = list(dataset)
    assert clips.shape == (8, 4, 16, 16, 3) and labels.tolist() == [0] * 4 + [1] * 4
    assert numbers(clips[7]) == [3, 4, 5, 6]  # the middle of 11 frames


def test_class_names_choose_and_order(folder):
    dataset = make(folder, class_names=["walk", "jump"], shuffle=False)
    assert dataset.labels.tolist() == [0] * 4 + [1] * 4 and "walk" in dataset.files[0]
    with pytest.raises(
        ValueError, match=r"class_names: expected different folders of .* got \['run"
    ):
        make(folder, class_names=["run", "walk"])
    with pytest.raises(ValueError, match="class_names: expected different folders"):
        make(folder, class_names=["walk", "walk"])


def test_label_modes(folder):
    categorical = make(folder, label_mode="categorical", shuffle=False)
    assert categorical.labels.tolist() == [[1, 0]] * 4 + [[0, 1]] * 4
    assert categorical.labels.dtype == np.float32 and categorical.num_classes == 2
    binary = make(folder, label_mode="binary", shuffle=False)
    assert binary.labels.tolist() == [[0]] * 4 + [[1]] * 4 and binary.labels.dtype == np.float32
    assert binary.num_classes == 2
    for options in ({"label_mode": None}, {"labels": None}):
        unlabelled = make(folder, **options)
        assert unlabelled.labels is None and unlabelled.class_names is None
        assert isinstance(unlabelled[0], np.ndarray) and len(unlabelled.files) == 8


def test_labels_can_be_listed(folder):
    dataset = make(folder, labels=[0, 1, 2, 0, 1, 2, 0, 1], shuffle=False)
    assert dataset.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    assert dataset.class_names == ["0", "1", "2"]
    assert dataset.files == sorted(dataset.files)


# --- splits


@pytest.mark.parametrize("label_mode", ["int", "categorical", None])
def test_a_split_is_disjoint_and_complete(folder, capsys, label_mode):
    options = {"validation_split": 0.25, "seed": 4, "label_mode": label_mode}
    train, validation = make(folder, subset="both", verbose=True, **options)
    assert capsys.readouterr().out.splitlines()[1:] == [
        "Using 6 files for training.",
        "Using 2 files for validation.",
    ]
    assert len(train.files) == 6 and len(validation.files) == 2
    assert not set(train.files) & set(validation.files)
    for subset, expected in (("training", train), ("validation", validation)):
        alone = make(folder, subset=subset, **options)
        assert alone.files == expected.files
        np.testing.assert_array_equal(alone.labels, expected.labels)
    other = make(folder, subset="validation", **{**options, "seed": 5})
    assert other.files != validation.files


def test_labels_follow_their_files_through_a_split(folder):
    for dataset in make(folder, subset="both", validation_split=0.4, seed=0):
        for file, label in zip(dataset.files, dataset.labels, strict=True):
            assert dataset.class_names[label] in file.split(os.sep)


def test_validation_is_fixed_and_plain(folder):
    calls = []

    def augment(clips, labels, rng):
        calls.append(len(clips))
        return clips, labels

    train, validation = make(
        folder, subset="both", validation_split=0.25, seed=1, augment=augment, batch_size=2
    )
    before = validation[0]
    validation.on_epoch_end()
    after = validation[0]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True)) and not calls
    orders = []
    for _ in range(3):
        orders.append(np.concatenate([train[k][1] for k in range(3)]).tolist())
        train.on_epoch_end()
    assert calls == [2] * 9 and len(set(map(tuple, orders))) > 1


def test_unshuffled_split_takes_the_last_videos(folder):
    with pytest.warns(UserWarning, match="Classes without a video for training: walk"):
        train, validation = make(folder, shuffle=False, validation_split=0.5, subset="both")
    assert train.labels.tolist() == [0] * 4 and validation.labels.tolist() == [1] * 4


# --- what is wrong with a folder


@pytest.fixture
def empty(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    return tmp_path


def test_bad_folders(empty):
    with pytest.raises(ValueError, match="directory: expected a folder of videos, got '"):
        make(empty / "x")
    with pytest.raises(ValueError, match=r"directory: expected videos \(\.mp4 .* got none"):
        make(empty)
    with pytest.raises(ValueError, match="directory: expected videos .* got none"):
        make(empty, labels=None)
    (empty / "a.mp4").write_bytes(b"x")
    with pytest.raises(
        ValueError, match="expected a folder .* for each class .* got 1 videos outside"
    ):
        make(empty)
    (empty / "b").rmdir()
    (empty / "a" / "a.MP4").write_bytes(b"x")
    with pytest.raises(ValueError, match="at least two classes .* got only 'a'. Pass"):
        make(empty)
    assert len(make(empty, label_mode=None).files) == 2


def test_an_empty_class_is_mentioned(empty):
    (empty / "a" / "a.mp4").write_bytes(b"x")
    with pytest.warns(UserWarning, match="Class folders without a video: b"):
        dataset = make(empty)
    assert dataset.class_names == ["a", "b"]


def test_links_are_followed_on_demand(empty, folder):
    os.symlink(folder / "jump", empty / "a" / "link")
    assert list_videos(empty) == []
    assert len(list_videos(empty, follow_links=True)) == 4


@pytest.mark.parametrize(
    "options, message",
    [
        ({"labels": [0, 1]}, "labels: expected 8, one for each video, got 2"),
        ({"labels": "infer"}, "labels: expected 'inferred', None or a list .* got 'infer'"),
        ({"labels": [0, 1, 2, -1] * 2}, "labels: expected whole numbers of at least 0, got -1"),
        (
            {"labels": [0] * 8, "class_names": ["a"]},
            "class_names: expected None unless labels='inferred'",
        ),
        ({"label_mode": "one_hot"}, "label_mode: expected one of .* got 'one_hot'"),
        (
            {"labels": [0, 1, 2, 0] * 2, "label_mode": "binary"},
            "label_mode: expected 2 classes for 'binary', got 3",
        ),
        ({"validation_split": 0.2}, "subset: expected both validation_split and subset"),
        ({"subset": "training"}, "subset: expected both validation_split and subset"),
        ({"validation_split": 0.2, "subset": "test"}, "subset: expected one of .* got 'test"),
        (
            {"validation_split": 1.2, "subset": "both"},
            "validation_split: expected a finite number .* got 1.2",
        ),
        ({"validation_split": 0.2, "subset": "both"}, "seed: expected an int"),
        (
            {"validation_split": 0.1, "subset": "both", "seed": 1},
            "at least one video of 8 for validation, got none",
        ),
        ({"image_size": (16,)}, "image_size: expected an int or a pair"),
        ({"batch_size": 0}, "batch_size: expected an int of at least 1"),
    ],
)
def test_bad_options(folder, options, message):
    with pytest.raises(ValueError, match=message), warnings.catch_warnings():
        warnings.simplefilter("error")
        make(folder, **options)


def test_unknown_options_are_refused(folder):
    with pytest.raises(TypeError, match="interpolation"):
        make(folder, interpolation="bilinear")


def test_listing_is_plain_data(folder):
    listing = list_folder(folder)
    assert listing.class_names == ["jump", "walk"] and listing.missing == {}
    assert listing.labels == [(0,)] * 4 + [(1,)] * 4
