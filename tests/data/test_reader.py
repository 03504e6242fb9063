"""`VideoReader` on videos whose pixels tell the number of each frame."""

import itertools
import pathlib
import pickle
import sys
import types
from fractions import Fraction

import numpy as np
import pytest

from keras_video.data import Camera, VideoError, VideoReader, open_video
from keras_video.data.frames import resized
from tests.data.numbered_videos import cut, noise, numbers, shade, write_video

av = pytest.importorskip("av")

SHARED = pathlib.Path(__file__).parents[2].parent / "shared" / "video"


@pytest.mark.parametrize(
    "name, options",
    [
        ("a.mp4", {}),
        ("a.mkv", {}),
        ("a.ts", {}),
        ("a.webm", {"codec": "libvpx-vp9"}),
        ("vp8.webm", {"codec": "libvpx", "auto-alt-ref": "1", "lag-in-frames": "10"}),
        ("a.avi", {"codec": "mpeg4", "qmax": "2"}),
        ("a.gif", {"codec": "gif", "pixels": "rgb8"}),
        ("odd.mp4", {"size": (47, 63), "pixels": "yuv444p"}),
        ("fragments.mp4", {"container": {"movflags": "frag_keyframe+empty_moov"}}),
    ],
)
def test_every_container_gives_every_frame(tmp_path, name, options):
    video = VideoReader(write_video(tmp_path / name, 30, **options))
    frames = list(video.frames())
    assert len(video) == len(frames) == 30
    assert video.size == options.get("size", (48, 64))
    assert all(frame.shape == (*video.size, 3) and frame.dtype == np.uint8 for frame in frames)
    assert video.fps == pytest.approx(10, rel=1e-3)
    assert video.duration == pytest.approx(3, rel=1e-3)
    if not name.endswith("gif"):  # a palette of 256 colors changes the brightness
        assert numbers(frames) == list(range(30))
        assert numbers(video.frames(frame_rate=5)) == list(range(0, 30, 2))
        assert numbers(video.frames(frame_rate=20)) == [k // 2 for k in range(60)]
        assert numbers(video.clip(4, frame_rate=2)) == [5, 10, 15, 20]
    assert len(list(video.frames(frame_rate=5))) == 15


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.ts"])
def test_time_starts_at_the_first_frame(tmp_path, name):
    times = [2500 + 100 * k for k in range(20)]
    video = VideoReader(write_video(tmp_path / name, 20, times=times))
    assert video.duration == pytest.approx(2, abs=1e-3)
    assert numbers(video.frames(frame_rate=5)) == list(range(0, 20, 2))
    assert numbers(video.clip(5, frame_rate=5)) == [4, 6, 8, 10, 12]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv"])
def test_variable_frame_rate_is_sampled_by_time(tmp_path, name):
    times = [10 * k * k for k in range(20)]  # slower and slower: 0, 10, 40, 90, ... 3610 ms
    video = VideoReader(write_video(tmp_path / name, 20, times=times))
    got = numbers(video.frames(frame_rate=4))
    expected = [max(k for k in range(20) if times[k] <= t) for t in range(0, 3611, 250)]
    assert got[: len(expected)] == expected
    assert set(got[len(expected) :]) <= {19}
    assert numbers(video.frames()) == list(range(20))


def test_ntsc_rates_neither_repeat_nor_skip(tmp_path):
    """29.97 frames per second in a container that rounds times to milliseconds."""
    video = VideoReader(write_video(tmp_path / "a.mkv", 30, rate=Fraction(30000, 1001)))
    assert numbers(video.frames(frame_rate=30000 / 1001)) == list(range(30))


def test_frames_keep_their_order_where_the_clock_is_set_back(tmp_path):
    part = write_video(tmp_path / "part.ts", 30).read_bytes()
    (tmp_path / "a.ts").write_bytes(part + part)
    video = VideoReader(tmp_path / "a.ts")
    assert numbers(video.frames()) == [*range(30), *range(30)]
    assert video.duration == pytest.approx(6, abs=0.2)
    assert len(list(video.frames(frame_rate=5))) == 30


def test_clip_far_into_a_long_video_is_found_by_seeking(tmp_path, monkeypatch):
    video = VideoReader(write_video(tmp_path / "a.mp4", 400, size=(16, 16), g="25", bf="2"))
    expected = [(180 + 5 * k) % 36 for k in range(8)]
    assert numbers(video.clip(8, frame_rate=2)) == expected
    opened = []
    decode = sys.modules["keras_video.data.decoding"].OpenVideo.decode
    monkeypatch.setattr(
        "keras_video.data.decoding.OpenVideo.decode",
        lambda self: (opened.append(time) or (time, frame) for time, frame in decode(self)),
    )
    assert numbers(video.clip(8, frame_rate=2)) == expected
    assert min(opened) > 15  # none of the first 15 seconds was decoded
    monkeypatch.setattr("keras_video.data.reader.SEEK_AFTER", 1e9)
    assert numbers(video.clip(8, frame_rate=2)) == expected


def test_clip_of_a_short_video_repeats_it(tmp_path):
    video = VideoReader(write_video(tmp_path / "a.mp4", 10))
    assert numbers(video.clip(12, frame_rate=5)) == [0, 2, 4, 6, 8, 0, 2, 4, 6, 8, 0, 2]
    assert numbers(video.clip(12)) == [*range(10), 0, 1]
    assert numbers(video.clip(4)) == [3, 4, 5, 6]


def test_one_frame(tmp_path):
    video = VideoReader(write_video(tmp_path / "a.mp4", 1))
    assert len(video) == 1
    assert numbers(video.clip(3, frame_rate=5)) == [0, 0, 0]


def quarters(height=60, width=80):
    """A picture whose quarters are 20, 80 / 140, 200."""
    rows = np.repeat([[20, 80], [140, 200]], [height // 2] * 2, axis=0)
    grey = np.repeat(rows, [width // 2] * 2, axis=1).astype("uint8")
    return np.repeat(grey[..., None], 3, axis=-1)


def corners(frame):
    return [int(frame[y, x, 0]) // 60 for y in (4, -5) for x in (4, -5)]


def test_rotation_of_phones(tmp_path):
    one = 1 << 16
    portrait = [0, one, 0, -one, 0, 0, 60 << 16, 0, 1 << 30]  # to be turned clockwise
    path = write_video(tmp_path / "a.mp4", [quarters()] * 3, matrix=portrait)
    video = VideoReader(path)
    assert video.size == (80, 60)
    assert corners(next(video.frames())) == [2, 0, 3, 1]
    small = next(video.frames(size=(20, 12), resize_side=20))
    assert small.shape == (20, 12, 3)
    assert corners(small) == [2, 0, 3, 1]
    upside_down = [-one, 0, 0, 0, -one, 0, 80 << 16, 60 << 16, 1 << 30]
    video = VideoReader(write_video(tmp_path / "b.mp4", [quarters()] * 3, matrix=upside_down))
    assert video.size == (60, 80)
    assert corners(next(video.frames())) == [3, 2, 1, 0]


def test_geometry(tmp_path):
    """A ramp from left to right shows which columns were cut off, and the scale."""
    ramp = np.repeat(np.arange(0, 240, 2, dtype="uint8")[None, :, None], 3, axis=-1)
    ramp = np.repeat(ramp, 60, axis=0)  # 60 x 120
    video = VideoReader(write_video(tmp_path / "a.mp4", [ramp] * 3, crf="1"))

    def columns(**geometry):
        frame = next(video.frames(**geometry))
        return frame.shape[:2], frame[5, [0, -1], 0].astype(int)

    for geometry, size, edges in [
        ({}, (60, 120), (0, 238)),
        ({"size": 30}, (30, 30), (62, 178)),  # the middle half
        ({"size": (30, 30), "crop": False}, (30, 30), (3, 235)),
        ({"size": (30, 30), "resize_side": 40}, (30, 30), (76, 163)),
        ({"resize_side": 30}, (30, 60), (1, 237)),
        ({"size": (15, 60)}, (15, 60), (1, 237)),  # the width decides
    ]:
        got, got_edges = columns(**geometry)
        assert got == size
        np.testing.assert_allclose(got_edges, edges, atol=5)


def test_resized_side_is_the_official_one():
    assert resized((360, 640), (172, 172), True, 192) == (192, 341)
    assert resized((640, 361), (224, 224), True, 256) == (453, 256)
    assert resized((172, 172), (172, 172), True, 192) == (192, 192)


def test_frames_are_fresh_and_the_reader_can_be_sent_to_a_worker(tmp_path):
    video = pickle.loads(pickle.dumps(VideoReader(write_video(tmp_path / "a.mp4", 4))))
    for frame in video.frames(frame_rate=30):
        assert numbers([frame]) != [40]
        frame[:] = 12 + 6 * 40
    both = list(zip(video.frames(), video.frames(), strict=True))
    assert numbers(frame for frame, _ in both) == numbers(frame for _, frame in both)


@pytest.mark.parametrize("name, frames, size", [("172", 131, 172), ("360", 200, 360)])
def test_real_clips(name, frames, size):
    path = SHARED / f"carving_ice_{name}.mp4"
    if not path.exists():
        pytest.skip("the shared videos are not here")
    video = VideoReader(path)
    assert (len(video), video.size) == (frames, (size, size))
    assert video.fps == pytest.approx(30, abs=0.1)
    assert sum(1 for _ in video.frames()) == frames
    assert sum(1 for _ in video.frames(frame_rate=5)) == -(-frames // 6)
    clip = video.clip(10, frame_rate=5, size=172, resize_side=192)
    assert clip.shape == (10, 172, 172, 3)
    with av.open(str(path)) as container:
        decoded = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    for k, frame in enumerate(itertools.islice(video.frames(frame_rate=5), 5)):
        np.testing.assert_array_equal(frame, decoded[6 * k])


# Errors


def error(path, **kwargs):
    with pytest.raises((VideoError, FileNotFoundError)) as caught:
        list(VideoReader(path, **kwargs).frames())
    message = str(caught.value)
    assert str(path) in message and "\n" not in message
    return message


def test_missing_empty_and_folder(tmp_path):
    assert "no such video file" in error(tmp_path / "no.mp4")
    (tmp_path / "empty.mp4").touch()
    assert "empty" in error(tmp_path / "empty.mp4")
    assert "not a file" in error(tmp_path)


def test_what_is_not_a_video(tmp_path):
    for name in ("text.mp4", "text.txt"):
        (tmp_path / name).write_text("Not a video.\n" * 99)
        assert "not a video" in error(tmp_path / name) or "text file" in error(tmp_path / name)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(50_000))
    assert "not a video" in error(tmp_path / "noise.mp4")
    write_video(tmp_path / "picture.png", 1, codec="png", pixels="rgb24")
    assert "single picture" in error(tmp_path / "picture.png")


@pytest.mark.parametrize("name, codec", [("a.m4a", "aac"), ("cover.mp3", "libmp3lame")])
def test_audio_only_with_and_without_cover_picture(tmp_path, name, codec):
    with av.open(str(tmp_path / name), "w") as container:
        sound = container.add_stream(codec, rate=8000)
        if name.startswith("cover"):
            cover = container.add_stream("png")
            cover.width = cover.height = 32
            cover.pix_fmt = "rgb24"
            cover.disposition = av.stream.Disposition.attached_pic
            picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), "uint8"), "rgb24")
            container.mux(cover.encode(picture))
            container.mux(cover.encode())
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), "float32"), "fltp", layout="mono")
        frame.rate = 8000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    assert "no video in the file, only audio" in error(tmp_path / name).replace(" and video", "")


def test_unknown_codec(tmp_path):
    path = write_video(tmp_path / "a.mp4", 5)
    path.write_bytes(path.read_bytes().replace(b"avc1", b"zzzz").replace(b"avcC", b"zzzC"))
    assert "codec" in error(path)


@pytest.mark.parametrize(
    "name, codec, says",
    [
        ("index_first.mp4", "libx264", "lists 60 frames, the file contains 3"),
        ("index_last.mp4", "libx264", "cut short"),
        ("a.mkv", "libx264", "can be read of 6.0 s"),
        ("a.webm", "libvpx-vp9", "can be read of 6.0 s"),
        ("a.avi", "mpeg4", "can be read of 60"),
        ("a.ts", "libx264", "can be read"),
    ],
)
def test_cut_short(tmp_path, name, codec, says):
    container = {"movflags": "faststart"} if name == "index_first.mp4" else {}
    path = cut(write_video(tmp_path / name, noise(), codec=codec, container=container))
    assert says in error(path)
    if name == "index_last.mp4":
        return
    with pytest.warns(UserWarning, match="cut short"):
        video = VideoReader(path, partial=True)
        assert 25 < len(video) < 45
        assert video.clip(80).shape == (80, 64, 64, 3)
        assert video.clip(5, frame_rate=5).shape == (5, 64, 64, 3)
    if name != "a.ts":  # cannot tell that frames are missing at its end
        with pytest.raises(VideoError, match="cut short"):
            VideoReader(path).clip(5, frame_rate=5)


def test_damaged_in_the_middle(tmp_path):
    path = write_video(tmp_path / "a.mp4", noise(), codec="mpeg4")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 9000] = bytes(9000)
    path.write_bytes(data)
    assert "damaged" in error(path)


def test_bad_arguments(tmp_path):
    video = VideoReader(write_video(tmp_path / "a.mp4", 3))
    for arguments, says in [
        ({"num_frames": 0}, "num_frames"),
        ({"num_frames": 1.5}, "num_frames"),
        ({"num_frames": 2, "size": 0}, "size"),
        ({"num_frames": 2, "size": (4, -4)}, "size"),
        ({"num_frames": 2, "size": (4, 4, 3)}, "size"),
        ({"num_frames": 2, "frame_rate": 0}, "frame_rate"),
        ({"num_frames": 2, "frame_rate": float("nan")}, "frame_rate"),
        ({"num_frames": 2, "resize_side": 0}, "resize_side"),
        ({"num_frames": 2, "size": 8, "resize_side": 4}, "size: expected one that fits"),
        ({"num_frames": 2, "size": 8, "resize_side": 9, "crop": False}, "crop"),
    ]:
        with pytest.raises(ValueError, match=says):
            video.clip(**arguments)
    with pytest.raises(ValueError, match="frame_rate"):
        video.frames(frame_rate=-1)  # at once, not at the first frame


def test_it_tells_what_it_is(tmp_path):
    video = VideoReader(write_video(tmp_path / "a.mp4", 90, rate=30))
    assert repr(video) == f"VideoReader({video.path!r}, size=(48, 64), 90 frames, 30 frames/s, 3 s)"
    assert video.fps == 30  # and not 30.000000000000004
    assert repr(Camera(2)) == "Camera(2)"
    gone = VideoReader(write_video(tmp_path / "b.mp4", 3))
    (tmp_path / "b.mp4").unlink()
    assert repr(gone) == f"VideoReader({gone.path!r}, size=(48, 64))"


def test_without_pyav_the_error_says_what_to_install(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4", 3)
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r"\.\[video\]"):
        VideoReader(path)


# Cameras


def test_source_is_a_path_or_a_camera(tmp_path):
    assert isinstance(open_video("0"), Camera) and open_video(1).index == 1
    assert isinstance(open_video(write_video(tmp_path / "a.mp4", 3)), VideoReader)


def test_no_camera(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(VideoError, match="no camera 97"):
        next(Camera(97).frames())


def test_camera_through_opencv(monkeypatch):
    pictures = [np.full((48, 64, 3), (shade(k), 0, 255), "uint8") for k in range(6)]
    clock = itertools.count()

    class Capture:
        def __init__(self, index):
            self.left = iter(pictures) if index == 0 else None

        def isOpened(self):
            return self.left is not None

        def read(self):
            picture = next(self.left, None)
            return picture is not None, picture

        def release(self):
            self.left = None

    monkeypatch.setitem(sys.modules, "cv2", types.SimpleNamespace(VideoCapture=Capture))
    monkeypatch.setattr("time.monotonic", lambda: next(clock) / 10)
    frames = list(Camera(0).frames(size=24, resize_side=30))
    assert len(frames) == 6 and frames[0].shape == (24, 24, 3)
    assert abs(int(frames[1][0, 0, 2]) - shade(1)) < 3 and frames[1][0, 0, 0] > 250  # BGR to RGB
    assert len(list(Camera(0).frames(frame_rate=5))) == 3
    with pytest.raises(VideoError, match="no camera 1"):
        next(Camera(1).frames())
