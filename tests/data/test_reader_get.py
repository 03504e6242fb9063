"""`VideoReader.get` against plain decoding: the same frames, and only the needed ones decoded."""

import concurrent.futures
import functools
import itertools
import multiprocessing
import pathlib
import pickle
import shutil
import subprocess

import numpy as np
import pytest

from keras_video.data import VideoError, VideoReader
from keras_video.data.decoding import OpenVideo
from tests.data.numbered_videos import (
    FRAMES,
    MATRIX,
    cut,
    noise,
    numbers,
    plain,
    scenes,
    write_video,
)

av = pytest.importorskip("av")

SHARED = pathlib.Path(__file__).parents[2].parent / "shared" / "video"


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A function that writes a video of `MATRIX` on its first call and returns its path."""
    folder = tmp_path_factory.mktemp("videos")

    @functools.cache
    def write(name):
        options = dict(MATRIX[name])
        codec = options.get("codec", "libx264")
        if codec not in av.codecs_available:
            pytest.skip(f"PyAV comes without {codec}")
        size, frames = options.pop("size", (48, 64)), options.pop("frames", FRAMES)
        return write_video(folder / name, scenes(frames, size), **options)

    return write


@pytest.fixture(scope="module", params=MATRIX)
def video(request, written):
    """A path, and the upright frames of plain decoding."""
    path = written(request.param)
    turns = next((k for k in range(1, 4) if f"turned_{k}" in request.param), 0)
    expected = plain(path, turns)
    assert len(expected) == MATRIX[request.param].get("frames", FRAMES)
    return path, expected


def requests(count):
    """Sets of frame numbers: usual ones, and all special cases."""
    rng = np.random.default_rng(0)
    yield [0]
    yield [count - 1]
    yield range(count)
    yield range(count - 1, -1, -1)
    yield [count // 2, 0, count // 2, count - 1, 0]
    for size in (2, 3, 5, 8):
        yield rng.integers(0, count, size)
    yield from ([k] for k in range(0, count, 5))


def test_frames_are_those_of_plain_decoding(video):
    path, expected = video
    reader = VideoReader(path)
    assert len(reader) == len(expected)
    for asked in requests(len(expected)):
        np.testing.assert_array_equal(reader.get(asked), expected[list(asked)])
        np.testing.assert_array_equal(VideoReader(path).get(asked), expected[list(asked)])


@pytest.mark.parametrize("read_on", [-1, 10**9])
def test_seeking_or_reading_on_gives_the_same(video, monkeypatch, read_on):
    monkeypatch.setattr("keras_video.data.decoding.READ_ON", read_on)
    path, expected = video
    reader = VideoReader(path)
    for asked in requests(len(expected)):
        np.testing.assert_array_equal(reader.get(asked), expected[list(asked)])


def test_seeks_that_go_wrong_cost_time_only(video, monkeypatch):
    path, expected = video
    seek = OpenVideo.seek
    reader = VideoReader(path)
    late = max(reader._index.times if reader._index else [0])
    monkeypatch.setattr("keras_video.data.decoding.READ_ON", -1)
    monkeypatch.setattr(OpenVideo, "seek", lambda self, ticks: seek(self, round(late / self.tick)))
    for asked in itertools.islice(requests(len(expected)), 5):
        np.testing.assert_array_equal(VideoReader(path).get(asked), expected[list(asked)])

    def refuse(self, ticks):
        raise av.error.PermissionError(1, "no seeking here")

    monkeypatch.setattr(OpenVideo, "seek", refuse)
    for asked in itertools.islice(requests(len(expected)), 5):
        np.testing.assert_array_equal(reader.get(asked), expected[list(asked)])


def test_an_edit_list_hides_frames(tmp_path):
    """The first five frames are needed to decode the others, but are not shown."""
    path = write_video(tmp_path / "a.mp4", scenes(FRAMES), g="12", bf="0")
    data = bytearray(path.read_bytes())
    entry = data.index(b"elst") + 12  # behind the version and the number of entries
    skipped = 5 * int(av.open(str(path)).streams.video[0].time_base.denominator / 10)
    start = int.from_bytes(data[entry + 4 : entry + 8], "big") + skipped
    data[entry + 4 : entry + 8] = start.to_bytes(4, "big")
    path.write_bytes(data)
    expected = plain(path)
    assert len(expected) == FRAMES - 5
    reader = VideoReader(path)
    assert len(reader) == len(expected)
    for asked in requests(len(expected)):
        np.testing.assert_array_equal(reader.get(asked), expected[list(asked)])
    assert len(reader) == len(expected)
    reader.get([FRAMES - 6])
    assert reader.decoded < 12


# Work


def packets(path):
    """`(pts, is_key, needed by others)` of H.264 packets, read from their NAL units."""
    found = []
    with av.open(str(path)) as container:
        for packet in container.demux(video=0):
            data, at, referred = bytes(packet), 0, False
            while at < len(data):
                length = int.from_bytes(data[at : at + 4], "big")
                header = data[at + 4]
                referred |= header & 31 in (1, 5) and header >> 5 & 3 > 0
                at += 4 + length
            if data:
                found.append((packet.pts, packet.is_keyframe, referred))
    return found


def fewest(path, asked):
    """Return how many frames must be decoded for the requested ones."""
    order = packets(path)
    stamps = sorted(pts for pts, _, _ in order)
    wanted = {stamps[number] for number in asked}
    needed, gop = 0, []
    for pts, is_key, referred in [*order, (None, True, False)]:
        if is_key:
            last = max((k for k, (stamp, _) in enumerate(gop) if stamp in wanted), default=-1)
            needed += sum(stamp in wanted or used for stamp, used in gop[: last + 1])
            gop = []
        gop.append((pts, referred))
    return needed


@pytest.mark.parametrize("gop", [1, 5, 30, 300])
@pytest.mark.parametrize("read_on", [-1, 100])
def test_no_frame_is_decoded_in_vain(tmp_path, monkeypatch, gop, read_on):
    monkeypatch.setattr("keras_video.data.decoding.READ_ON", read_on)
    path = write_video(tmp_path / "a.mp4", scenes(120), g=str(gop), bf="2", sc_threshold="0")
    reader = VideoReader(path)
    rng = np.random.default_rng(gop)
    for asked in ([0], [119], range(3, 120, 8), range(120), rng.integers(0, 120, 6)):
        reader.get(asked)
        assert reader.decoded == fewest(path, asked)
    assert fewest(path, [119]) <= gop
    assert len(reader.get([])) == 0 and reader.decoded == 0


def test_other_codecs_decode_from_the_last_key_frame(tmp_path):
    path = write_video(tmp_path / "a.mp4", scenes(60), codec="mpeg4", g="12", bf="0")
    reader = VideoReader(path)
    for asked, decoded in [([0], 1), ([11], 12), ([12], 1), ([59, 25, 50], 2 + 12), ([30, 5], 13)]:
        reader.get(asked)
        assert reader.decoded == decoded


@pytest.mark.parametrize("read_on", [-1, 100])
@pytest.mark.parametrize(
    "name",
    [
        *("h264.mp4", "h264.ts", "h264_late.mkv", "h264_open.mp4", "h264_pyramid.mkv"),
        *("h265.mp4", "h265_10bit.mkv", "vp9.webm", "av1.mp4", "mjpeg.avi"),
    ],
)
def test_other_containers_do_too(written, monkeypatch, name, read_on):
    """A frame shown before the key frame that it follows needs the group of the previous one."""
    monkeypatch.setattr("keras_video.data.decoding.READ_ON", read_on)
    reader = VideoReader(written(name))
    for number in range(FRAMES):
        reader.get([number])
        assert reader.decoded <= 24
    reader.get([FRAMES - 1])
    assert reader.decoded <= 12
    reader.get(range(FRAMES))
    assert reader.decoded == FRAMES


def test_what_cannot_be_sought_is_decoded_up_to_the_last_frame(tmp_path):
    path = write_video(tmp_path / "a.gif", scenes(30), codec="gif", pixels="rgb8")
    reader = VideoReader(path)
    reader.get([7, 3])
    assert reader.decoded == 8


# Arguments and bad files


def test_bad_indices(tmp_path):
    reader = VideoReader(write_video(tmp_path / "a.mp4", 10))
    for indices, says in [
        ([-1], "indices: expected ints of at least 0, got -1"),
        ([0, 10], "below 10, the number of frames of .*a.mp4, got 10"),
        ([1.5], "sequence of ints"),
        (["1"], "sequence of ints"),
        ([True], "sequence of ints"),
        (3, "sequence of ints"),
        ([[1, 2]], "sequence of ints"),
    ]:
        with pytest.raises(ValueError, match=says):
            reader.get(indices)
    assert reader.get(np.array([9], "uint8")).shape == (1, 48, 64, 3)
    assert reader.get([], size=8).shape == (0, 8, 8, 3)


def test_index_beyond_the_end_of_what_must_be_decoded_to_be_counted(tmp_path):
    path = write_video(tmp_path / "a.webm", 10, codec="libvpx")
    with pytest.raises(ValueError, match="below 10"):
        VideoReader(path).get([4, 12])


def test_packets_that_promise_a_frame_too_much(tmp_path):
    """The decoder decides how many frames there are."""
    path = write_video(tmp_path / "a.mp4", scenes(20), bf="0")
    reader = VideoReader(path)
    expected = reader.get(range(20))
    index = reader._index
    last = index.stamps[-1]
    index.stamps = np.append(index.stamps, 2 * last - index.stamps[-2])
    index.positions = np.append(index.positions, index.positions[-1])
    del reader._count
    assert len(reader) == 21
    with pytest.raises(ValueError, match="below 20"):
        reader.get([20])
    assert len(reader) == 20
    np.testing.assert_array_equal(reader.get([19, 3]), expected[[19, 3]])


@pytest.mark.parametrize("read", [lambda v: v.get([1]), lambda v: v.clip(2)], ids=["get", "clip"])
def test_bad_files(tmp_path, read):
    (tmp_path / "text.mp4").write_text("Not a video.\n" * 99)
    (tmp_path / "empty.mp4").touch()
    with av.open(str(tmp_path / "sound.mp4"), "w") as container:
        sound = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), "float32"), "fltp", layout="mono")
        frame.rate = 8000
        container.mux(sound.encode(frame))
        container.mux(sound.encode())
    for name, codec in [("a.mp4", "libx264"), ("a.mkv", "libx264"), ("a.avi", "mpeg4")]:
        cut(write_video(tmp_path / name, noise(), codec=codec))
    for name in ("text.mp4", "empty.mp4", "sound.mp4", "a.mp4", "a.mkv", "a.avi"):
        with pytest.raises(VideoError, match=name):
            read(VideoReader(tmp_path / name))


@pytest.mark.parametrize("name, codec", [("a.mkv", "libx264"), ("a.avi", "mpeg4")])
def test_what_is_left_of_a_cut_file(tmp_path, name, codec):
    path = cut(write_video(tmp_path / name, noise(), codec=codec))
    with pytest.warns(UserWarning, match="cut short"):
        reader = VideoReader(path, partial=True)
        count = len(reader)
        assert 25 < count < 45
        assert reader.get([3, count - 1]).shape == (2, 64, 64, 3)
        with pytest.raises(ValueError, match=f"below {count}"):
            reader.get([count])


def test_damage_before_the_frame_is_noticed(tmp_path):
    path = write_video(tmp_path / "a.mp4", noise(), g="999", bf="0", sc_threshold="0")
    expected = plain(path)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 9000] = bytes(9000)
    path.write_bytes(data)
    np.testing.assert_array_equal(VideoReader(path).get([5]), expected[[5]])
    with pytest.raises(VideoError, match="damaged"):
        VideoReader(path).get([59])
    with pytest.warns(UserWarning, match="damaged"):
        reader = VideoReader(path, partial=True)
        assert reader.get([5, 40]).shape == (2, 64, 64, 3)


# Threads, processes, and other references


def test_threads_share_a_reader_and_processes_copy_it(tmp_path):
    path = write_video(tmp_path / "a.mp4", 60, g="12")
    reader = VideoReader(path)
    asked = [[k, (7 * k) % 60, 59 - k] for k in range(20)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for indices, frames in zip(asked, pool.map(reader.get, asked, timeout=60), strict=True):
            assert numbers(frames) == [k % 36 for k in indices]
    assert numbers(pickle.loads(pickle.dumps(reader)).get([40, 2])) == [4, 2]
    spawn = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as pool:
        assert numbers(pool.submit(reader.get, [40, 2]).result(timeout=60)) == [4, 2]


@pytest.mark.parametrize("name", ["172", "360"])
def test_real_clips(name):
    path = SHARED / f"carving_ice_{name}.mp4"
    if not path.exists():
        pytest.skip("the shared videos are not here")
    expected = plain(path)
    reader = VideoReader(path)
    assert len(reader) == len(expected)
    for asked in ([0], [len(expected) - 1], [100, 7, 55, 7, 130], range(0, len(expected), 9)):
        np.testing.assert_array_equal(reader.get(asked), expected[list(asked)])
    assert reader.get([100, 3], size=172, resize_side=192).shape == (2, 172, 172, 3)


def test_frames_are_those_of_the_ffmpeg_program(video):
    program = shutil.which("ffmpeg")
    if program is None:
        pytest.skip("needs the program ffmpeg")
    path, expected = video
    command = [program, "-v", "error", "-i", str(path), "-fps_mode", "passthrough"]
    command += ["-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    theirs = np.frombuffer(raw, "uint8").reshape(expected.shape).astype(int)
    asked = [len(expected) - 1, 0, len(expected) // 3]
    difference = np.abs(VideoReader(path).get(asked) - theirs[asked])
    assert difference.mean() < 2
