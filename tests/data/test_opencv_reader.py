"""`OpenCVReader` against `VideoReader`: the same frames within the rounding of colors."""

import sys

import numpy as np
import pytest

from keras_video.data import VideoError, VideoReader
from keras_video.data.reader import OpenCVReader
from tests.data.numbered_videos import cut, noise, numbers, scenes, write_video

av = pytest.importorskip("av")

ONE = 1 << 16
PHONE = [0, ONE, 0, -ONE, 0, 0, 48 * ONE, 0, 1 << 30]


@pytest.fixture
def cv2():
    return pytest.importorskip("cv2")


@pytest.mark.parametrize(
    "name, options",
    [
        ("a.mp4", {"g": "12", "bf": "3"}),
        ("a.mkv", {"g": "12"}),
        ("late.mp4", {"times": [2500 + 100 * k for k in range(30)]}),
        ("variable.mp4", {"times": [10 * k * k for k in range(30)]}),
        ("odd.mp4", {"size": (47, 63), "pixels": "yuv444p"}),
        ("phone.mp4", {"matrix": PHONE}),
        ("deep.mp4", {"pixels": "yuv420p10le"}),
        ("a.webm", {"codec": "libvpx-vp9"}),
        ("a.avi", {"codec": "mpeg4", "qmax": "4"}),
        ("mjpeg.avi", {"codec": "mjpeg", "pixels": "yuvj420p", "qmax": "4"}),
        ("a.gif", {"codec": "gif", "pixels": "rgb8"}),
    ],
)
def test_frames_are_those_of_the_other_reader(cv2, tmp_path, name, options):
    size = options.pop("size", (48, 64))
    path = write_video(tmp_path / name, scenes(30, size), **options)
    ours, theirs = VideoReader(path), OpenCVReader(path)
    assert len(theirs) == len(ours) == 30
    assert theirs.size == ours.size
    assert theirs.duration == pytest.approx(ours.duration, rel=0.05)
    assert theirs.fps == pytest.approx(ours.fps, rel=0.05)
    for asked in ([0], [29], [17, 3, 17], range(30)):
        difference = np.abs(theirs.get(asked).astype(int) - ours.get(asked))
        assert difference.mean() < 2.5
    assert theirs.decoded == 30
    for geometry in (
        {"size": 24},
        {"size": 24, "crop": "right"},
        {"size": (20, 30), "crop": False},
        {"size": 16, "resize_side": 24},
        {"crop": (4, 6, 30, 40)},
        {"size": 60},
    ):
        if ours.size[1] < ours.size[0] and geometry.get("crop") == (4, 6, 30, 40):
            geometry["crop"] = (6, 4, 40, 30)
        ours_now, theirs_now = ours.get([9, 2], **geometry), theirs.get([9, 2], **geometry)
        assert theirs_now.shape == ours_now.shape
        difference = np.abs(theirs_now.astype(int) - ours_now)
        assert difference.mean() < 6


def test_numbers_are_right(cv2, tmp_path):
    reader = OpenCVReader(write_video(tmp_path / "a.mp4", 30, g="12", bf="3"))
    assert numbers(reader.get([4, 29, 4, 0])) == [4, 29, 4, 0]
    assert reader.decoded == 30
    assert numbers(reader.get([5])) == [5] and reader.decoded == 6
    assert reader.get([], size=8).shape == (0, 8, 8, 3)


def test_bad_input(cv2, tmp_path):
    (tmp_path / "text.mp4").write_text("Not a video.\n" * 99)
    (tmp_path / "empty.mp4").touch()
    cut(write_video(tmp_path / "cut.mp4", noise()))
    for name in ("text.mp4", "empty.mp4", "cut.mp4"):
        with pytest.raises(VideoError, match=name):
            OpenCVReader(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such video"):
        OpenCVReader(tmp_path / "no.mp4")
    reader = OpenCVReader(write_video(tmp_path / "a.mp4", 10))
    for arguments, says in [
        ({"indices": [10]}, "below 10, the number of frames"),
        ({"indices": [-1]}, "indices: expected ints of at least 0"),
        ({"indices": [0], "size": 0}, "size: expected"),
        ({"indices": [0], "crop": "middle"}, "crop: expected"),
    ]:
        with pytest.raises(ValueError, match=says):
            reader.get(**arguments)


def test_without_opencv_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", 3)
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match="opencv-python-headless"):
        OpenCVReader(path)


def test_it_tells_what_it_is_without_decoding(cv2, tmp_path):
    reader = OpenCVReader(write_video(tmp_path / "a.mp4", 30))
    assert repr(reader) == f"OpenCVReader({reader.path!r}, size=(48, 64))"
    assert len(reader) == 30 and "size=(48, 64), 30 frames, 10 frames/s, 3 s)" in repr(reader)
