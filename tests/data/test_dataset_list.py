"""Datasets from lists of videos in text files."""

import os

import numpy as np
import pytest

from keras_video.data import VideoError
from keras_video.data.folders import read_file_list, video_dataset_from_file_list
from tests.data.videos import write_numbered

pytest.importorskip("av")


@pytest.fixture
def root(tmp_path):
    """Files that exist; nothing reads them."""
    for name in ("a.mp4", "b.mp4", "c.mp4", "d, e.mp4", "sub/f g.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def listed(root, text, **options):
    path = root / "list.txt"
    path.write_text(text, encoding="utf-8")
    return read_file_list(path, **options)


def make(root, text, **options):
    path = root / "list.txt"
    path.write_text(text, encoding="utf-8")
    defaults = {"num_frames": 4, "image_size": 16, "verbose": False}
    return video_dataset_from_file_list(path, **{**defaults, **options})


def names(root, listing):
    return [os.path.relpath(file, root) for file in listing.files]


# --- forms


def test_blanks(root):
    listing = listed(root, "\ufeffa.mp4 3\n\n# a comment\n  b.mp4   17  \nc.mp4\t0\r\n")
    assert names(root, listing) == ["a.mp4", "b.mp4", "c.mp4"]
    assert listing.labels == [(3,), (17,), (0,)] and listing.class_names is None


def test_commas(root):
    listing = listed(root, 'path,label\na.mp4, 1\n"d, e.mp4",0\nsub/f g.mp4,2\n')
    assert names(root, listing) == ["a.mp4", "d, e.mp4", "sub/f g.mp4"]
    assert listing.labels == [(1,), (0,), (2,)]


def test_several_labels(root):
    for text in ("a.mp4 3 17 42\nb.mp4 0\nc.mp4\n", "a.mp4,3;17;42\nb.mp4,0\nc.mp4,\n"):
        listing = listed(root, text, several=True)
        assert listing.labels == [(3, 17, 42), (0,), ()]


def test_names_of_classes(root):
    listing = listed(root, "a.mp4,walk\nb.mp4,high jump\nc.mp4,walk\n")
    assert listing.class_names == ["high jump", "walk"] and listing.labels == [(1,), (0,), (1,)]
    given = listed(root, "a.mp4,walk\nb.mp4,2\n", class_names=["run", "walk", "jump"])
    assert given.labels == [(1,), (2,)] and given.class_names == ["run", "walk", "jump"]


def test_root(root, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("lists")
    (elsewhere / "list.txt").write_text(f"a.mp4 0\n{root / 'b.mp4'} 1\n")
    listing = read_file_list(elsewhere / "list.txt", root=root)
    assert listing.files == [str(root / "a.mp4"), str(root / "b.mp4")]


KINETICS = """label,youtube_id,time_start,time_end,split
high jump,-AbC_1,7,17,train
"walk, slowly",q2,0,10,train
walk,gone,1,11,train
high jump,x3,100,110,val
walk,y4,5,15,train
walk,z5,5,15,train
"""


@pytest.fixture
def kinetics(tmp_path):
    for name in (
        "-AbC_1_000007_000017.mp4",
        "q2.mp4",
        "val/x3_000100_000110.mp4",
        "walk/y4_000005_000015.mp4",
        "train/walk/z5.mp4",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def test_kinetics(kinetics):
    listing = listed(kinetics, KINETICS)
    assert listing.class_names == ["high jump", "walk", "walk, slowly"]
    assert listing.labels == [(0,), (2,), (1,), (0,), (1,), (1,)]
    assert names(kinetics, listing) == [
        *("-AbC_1_000007_000017.mp4", "q2.mp4", "gone_000001_000011.mp4"),
        *("val/x3_000100_000110.mp4", "walk/y4_000005_000015.mp4", "train/walk/z5.mp4"),
    ]
    assert list(listing.missing) == [str(kinetics / "gone_000001_000011.mp4")]


def test_kinetics_with_given_classes_and_without_labels(kinetics):
    classes = ["walk", "walk, slowly", "high jump", "swim"]
    listing = listed(kinetics, KINETICS, class_names=classes)
    assert listing.labels[:3] == [(2,), (1,), (0,)] and listing.class_names == classes
    with pytest.raises(ValueError, match=r"list\.txt, line 3: .* got 'walk, slowly'"):
        listed(kinetics, KINETICS, class_names=["walk", "high jump"])
    test = "youtube_id,time_start,time_end,split\nq2,0,10,test\n"
    assert listed(kinetics, test).labels is None
    with pytest.raises(
        ValueError, match="expected a label in each line, got none. Pass label_mode=None"
    ):
        make(kinetics, test)
    assert make(kinetics, test, label_mode=None).labels is None
    with pytest.raises(ValueError, match="line 2: expected the columns youtube_id,time_st.*'q2,x'"):
        listed(kinetics, "youtube_id,time_start,time_end\nq2,x\n")


# --- datasets


def test_label_modes(root, capsys):
    text = "a.mp4 1\nb.mp4 0\nc.mp4 1\n"
    dataset = make(root, text, verbose=True)
    assert capsys.readouterr().out == "Found 3 files belonging to 2 classes.\n"
    assert dataset.labels.tolist() == [1, 0, 1] and dataset.labels.dtype == np.int32
    assert dataset.num_classes == 2 and dataset.class_names is None
    assert make(root, text, label_mode="binary").labels.tolist() == [[1], [0], [1]]
    rows = make(root, text, label_mode="categorical", num_classes=3).labels
    assert rows.tolist() == [[0, 1, 0], [1, 0, 0], [0, 1, 0]]
    assert make(root, text, label_mode=None).labels is None
    assert make(root, text, num_classes=7).num_classes == 7


def test_multi_label(root):
    text = "a.mp4 1 3\nb.mp4\nc.mp4 0\n"
    dataset = make(root, text, label_mode="multi_label")
    assert dataset.labels.tolist() == [[0, 1, 0, 1], [0, 0, 0, 0], [1, 0, 0, 0]]
    assert dataset.labels.dtype == np.float32 and dataset.num_classes == 4
    with pytest.raises(
        ValueError, match="line 1: expected one label, got 2. Pass label_mode='multi_label'"
    ):
        make(root, text)
    with pytest.raises(ValueError, match="line 2: expected one label, got 0"):
        make(root, "a.mp4 1\nb.mp4\n")


def test_videos_are_read(tmp_path):
    for k in range(3):
        write_numbered(tmp_path / f"{k}.mp4", 8)
    dataset = make(tmp_path, "0.mp4 0\n1.mp4 1\n2.mp4 2\n", shuffle=False, batch_size=3)
    clips, labels = dataset[0]
    assert clips.shape == (3, 4, 16, 16, 3) and labels.tolist() == [0, 1, 2]


def test_missing_videos(root):
    text = "a.mp4 0\ngone.mp4 4\nb.mp4 1\n"
    with pytest.raises(FileNotFoundError, match=r"1 of 3 videos do not exist.*gone\.mp4.*errors="):
        make(root, text)
    with pytest.warns(UserWarning, match=r"1 videos do not exist:\n.*gone\.mp4"):
        dataset = make(root, text, errors="skip")
    assert dataset.labels.tolist() == [0, 1] and dataset.num_classes == 5
    assert [os.path.basename(path) for path, _ in dataset.skipped] == ["gone.mp4"]
    assert dataset.replace(batch_size=1).skipped == dataset.skipped
    with pytest.raises(VideoError, match=r"none of its 2 videos exists; the first is .*x\.mp4"):
        make(root, "x.mp4 0\ny.mp4 1\n", errors="skip")


# --- what is wrong with a list


@pytest.mark.parametrize(
    "text, options, message",
    [
        ("", {}, "expected a list of videos, got an empty file"),
        ("# nothing\n\n", {}, "expected a list of videos, got an empty file"),
        ("youtube_id,time_start,time_end\n", {}, "expected a list of videos, got no video"),
        ("a.mp4 0\nb.mp4 x\n", {}, "line 2: expected an int from 0, got 'x'"),
        ("a.mp4 0\n\nb.mp4 -1\n", {}, "line 3: expected an int from 0, got '-1'"),
        ("a.mp4 0\nb.mp4 5\n", {"num_classes": 5}, "line 2: expected an int from 0 to 4, got '5'"),
        (
            "a.mp4 0\nb.mp4 2\n",
            {"class_names": ["x", "y"]},
            "0 to 1 or the name of a class, got '2'",
        ),
        ("a.mp4 x\nb.mp4 z\n", {"class_names": ["x", "y"]}, "line 2: .* name of a class, got 'z'"),
        ("a.mp4 x\nb.mp4 z\n", {"num_classes": 1}, "line 2: .* from 0 to 0 .* got 'z'"),
        ("a.mp4,0\nb.mp4,1,2\n", {}, "line 2: expected `path,label` .* got 3 fields"),
        ("a.mp4,0\n,1\n", {}, "line 2: expected a path, got"),
        (
            "a.mp4 0\nb.mp4 1 2\n",
            {},
            "line 2: expected one label, got 2. Pass label_mode='multi_label'",
        ),
    ],
)
def test_bad_lists_name_the_line(root, text, options, message):
    with pytest.raises(ValueError, match=message):
        listed(root, text, **options)


def test_lists_that_are_none(root):
    with pytest.raises(ValueError, match="path: expected a text file .* got"):
        read_file_list(root / "gone.txt")
    (root / "list.txt").write_bytes(b"\xff\xfe\x00\x01\x80")
    with pytest.raises(ValueError, match="expected a text file in UTF-8"):
        read_file_list(root / "list.txt")
    with pytest.raises(ValueError, match="label_mode: expected one of"):
        make(root, "a.mp4 0\n", label_mode="multi")
