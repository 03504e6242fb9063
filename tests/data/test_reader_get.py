"""`VideoReader.get` against plain decoding: the same frames, and no more work than it takes."""

import concurrent.futures
import itertools
import multiprocessing
import pathlib
import pickle
import shutil
import subprocess

import numpy as np
import pytest

from keras_video.data import VideoError, VideoReader
from keras_video.data.container import OpenVideo
from tests.data.numbered_videos import cut, noise, numbers, scenes, write_video

av = pytest.importorskip("av")

SHARED = pathlib.Path(__file__).parents[2].parent / "shared" / "video"
ONE = 1 << 16
FRAMES = 40
ODD = {"size": (47, 63), "pixels": "yuv444p"}
VARIABLE = [10 * k * k for k in range(FRAMES)]  # milliseconds
LATE = [2500 + 100 * k for k in range(FRAMES)]


def turned(turns, size=(48, 64)):
    """The matrix of a video that must be turned anticlockwise by 90 degrees so many times."""
    height, width = size
    return [
        None,
        [0, -ONE, 0, ONE, 0, 0, 0, width * ONE, 1 << 30],
        [-ONE, 0, 0, 0, -ONE, 0, width * ONE, height * ONE, 1 << 30],
        [0, ONE, 0, -ONE, 0, 0, height * ONE, 0, 1 << 30],
    ][turns]


MATRIX = {
    "h264.mp4": {"g": "12", "bf": "3"},
    "h264_one_gop.mp4": {"g": "999", "bf": "3", "sc_threshold": "0"},
    "h264_tiny_gops.mp4": {"g": "2", "bf": "1"},
    "h264_no_b.mp4": {"g": "12", "bf": "0"},
    "h264_open.mp4": {"x264-params": "open-gop=1:keyint=12:bframes=3:scenecut=0"},
    "h264_pyramid.mkv": {"x264-params": "open-gop=1:keyint=10:bframes=8:ref=8:scenecut=0"},
    "h264_interlaced.ts": {"x264-params": "interlaced=1:keyint=12:bframes=3"},
    "h264_refresh.mp4": {"x264-params": "intra-refresh=1:keyint=12"},
    "h264.mkv": {"g": "12", "bf": "3"},
    "h264.ts": {"g": "12", "bf": "3"},
    "h264.avi": {"g": "12", "bf": "0"},
    "h264_fragments.mp4": {"g": "12", "container": {"movflags": "frag_keyframe+empty_moov"}},
    "h264_10bit.mp4": {"g": "12", "pixels": "yuv420p10le"},
    "h264_odd.mp4": {"g": "12", **ODD},
    "h264_rgb.mp4": {"codec": "libx264rgb", "pixels": "rgb24", "g": "12"},
    "h264_variable.mp4": {"g": "12", "times": VARIABLE},
    "h264_variable.mkv": {"g": "12", "times": VARIABLE},
    "h264_late.mp4": {"g": "12", "times": LATE},
    "h264_late.mkv": {"g": "12", "times": LATE},
    "h264_late.ts": {"g": "12", "times": LATE},
    "h264_turned_1.mp4": {"g": "12", "matrix": turned(1)},
    "h264_turned_2.mp4": {"g": "12", "matrix": turned(2)},
    "h264_turned_3.mp4": {"g": "12", "matrix": turned(3)},
    "h264_one_frame.mp4": {"frames": 1},
    "h265.mp4": {"codec": "libx265", "x265-params": "keyint=12:min-keyint=12:log-level=none"},
    "h265_10bit.mkv": {
        "codec": "libx265",
        "pixels": "yuv420p10le",
        "x265-params": "keyint=12:min-keyint=12:log-level=none",
    },
    "vp8.webm": {"codec": "libvpx", "g": "12", "auto-alt-ref": "1", "lag-in-frames": "10"},
    "vp9.webm": {"codec": "libvpx-vp9", "g": "12", "auto-alt-ref": "1", "lag-in-frames": "10"},
    "vp9_odd.mp4": {"codec": "libvpx-vp9", "g": "12", "size": (47, 63)},
    "av1.mp4": {"codec": "libsvtav1", "g": "12", "preset": "12"},
    "mpeg4.mp4": {"codec": "mpeg4", "g": "12", "bf": "2", "qmax": "4"},
    "mpeg4.avi": {"codec": "mpeg4", "g": "12", "bf": "2", "qmax": "4"},
    "mpeg2.ts": {"codec": "mpeg2video", "g": "12", "bf": "2", "rate": 25},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p", "qmax": "4"},
    "a.gif": {"codec": "gif", "pixels": "rgb8"},
}


@pytest.fixture(scope="module", params=MATRIX)
def video(request, tmp_path_factory):
    """A path, and its frames as plain decoding gives them, turned by the test."""
    options = dict(MATRIX[request.param])
    codec = options.get("codec", "libx264")
    if codec not in av.codecs_available:
        pytest.skip(f"PyAV comes without {codec}")
    size = options.pop("size", (48, 64))
    frames = scenes(options.pop("frames", FRAMES), size)
    path = write_video(tmp_path_factory.mktemp("videos") / request.param, frames, **options)
    turns = next((k for k in range(1, 4) if f"turned_{k}" in request.param), 0)
    expected = plain(path, turns)
    assert len(expected) == len(frames)
    return path, expected


def plain(path, turns=0):
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack([np.rot90(frame, turns) for frame in frames])


def requests(count):
    """Sets of frame numbers as users ask for them, and worse."""
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
    monkeypatch.setattr("keras_video.data.seeking.READ_ON", read_on)
    path, expected = video
    reader = VideoReader(path)
    for asked in requests(len(expected)):
        np.testing.assert_array_equal(reader.get(asked), expected[list(asked)])


def test_seeks_that_go_wrong_cost_time_only(video, monkeypatch):
    path, expected = video
    seek = OpenVideo.seek
    reader = VideoReader(path)
    late = max(reader._index.times if reader._index else [0])
    monkeypatch.setattr("keras_video.data.seeking.READ_ON", -1)
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
    for asked in requests(len(expected)):
        np.testing.assert_array_equal(reader.get(asked), expected[list(asked)])


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
    """How many frames must be decoded to see those that are asked for."""
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
    monkeypatch.setattr("keras_video.data.seeking.READ_ON", read_on)
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


@pytest.mark.parametrize(
    "name",
    ["h264.ts", "h264_pyramid.mkv", "h264_late.mkv", "h265.mp4", "h265_10bit.mkv", "vp9.webm"],
)
def test_other_containers_do_too(tmp_path, name):
    options = MATRIX[name]
    if options.get("codec", "libx264") not in av.codecs_available:
        pytest.skip(f"PyAV comes without {options['codec']}")
    reader = VideoReader(write_video(tmp_path / name, scenes(FRAMES), **options))
    reader.get([FRAMES - 1])
    assert reader.decoded <= 12


def test_what_cannot_be_sought_is_decoded_up_to_the_last_frame(tmp_path):
    path = write_video(tmp_path / "a.gif", scenes(30), codec="gif", pixels="rgb8")
    reader = VideoReader(path)
    reader.get([7, 3])
    assert reader.decoded == 8


# Geometry


@pytest.fixture(scope="module")
def ramp(tmp_path_factory):
    """60 x 120, brighter by 2 with every column."""
    row = np.repeat(np.arange(0, 240, 2, dtype="uint8")[None, :, None], 3, axis=-1)
    picture = np.repeat(row, 60, axis=0)
    folder = tmp_path_factory.mktemp("ramp")
    across = write_video(folder / "across.mp4", [picture] * 3, crf="1")
    down = write_video(folder / "down.mp4", [np.swapaxes(picture, 0, 1)] * 3, crf="1")
    size = (60, 120)
    phone = write_video(folder / "phone.mp4", [picture] * 3, crf="1", matrix=turned(3, size))
    return VideoReader(across), VideoReader(down), VideoReader(phone)


@pytest.mark.parametrize(
    "geometry, size, edges",
    [
        ({"size": 30, "crop": "left"}, (30, 30), (1, 117)),
        ({"size": 30, "crop": "top"}, (30, 30), (1, 117)),
        ({"size": 30, "crop": "centre"}, (30, 30), (62, 178)),
        ({"size": 30, "crop": "center"}, (30, 30), (62, 178)),
        ({"size": 30, "crop": "right"}, (30, 30), (121, 237)),
        ({"size": 30, "crop": "bottom"}, (30, 30), (121, 237)),
        ({"size": 30, "resize_side": 40, "crop": "right"}, (30, 30), (151, 237)),
        ({"size": 30, "crop": False}, (30, 30), (3, 235)),
        ({"crop": (10, 20, 40, 50)}, (40, 50), (40, 138)),
        ({"crop": (11, 21, 39, 51)}, (39, 51), (42, 142)),
        ({"crop": (0, 0, 60, 120), "size": 30}, (30, 30), (3, 235)),
        ({"crop": (4, 40, 24, 80), "size": (12, 20)}, (12, 20), (83, 235)),
        ({"crop": (20, 60, 10, 10), "size": (20, 20)}, (20, 20), (120, 138)),
    ],
)
def test_crops(ramp, geometry, size, edges):
    across, down, phone = ramp
    picture = across.get([1], **geometry)[0]
    assert picture.shape[:2] == size
    np.testing.assert_allclose(picture[size[0] // 2, [0, -1], 0].astype(int), edges, atol=4)

    # The same of a portrait video, with the sides exchanged.
    swapped = dict(geometry)
    if isinstance(geometry["crop"], tuple):
        top, left, height, width = geometry["crop"]
        swapped["crop"] = left, top, width, height
    if np.iterable(geometry.get("size")):
        swapped["size"] = geometry["size"][::-1]
    tall = down.get([1], **swapped)[0]
    np.testing.assert_allclose(tall, np.swapaxes(picture, 0, 1).astype(int), atol=4)
    upright = phone.get([1], **swapped)[0]
    np.testing.assert_allclose(upright, np.swapaxes(picture, 0, 1).astype(int), atol=4)


@pytest.mark.parametrize("turns", range(4))
def test_a_box_is_cut_out_of_the_upright_picture(tmp_path, turns):
    options = {"matrix": turned(turns)} if turns else {}
    path = write_video(tmp_path / "a.mp4", scenes(5), **options)
    expected = plain(path, turns)
    top, left, height, width = box = (6, 10, 20, 14)
    got = VideoReader(path).get([2, 4], crop=box)
    np.testing.assert_array_equal(got, expected[[2, 4], top : top + height, left : left + width])


def test_a_box_is_cut_out_before_it_is_resized(tmp_path):
    """White behind a sharp edge must not bleed into the box."""
    picture = np.full((60, 80, 3), 255, "uint8")
    picture[20:40, 20:60] = 40
    path = write_video(tmp_path / "a.mp4", [picture] * 2, crf="1", pixels="yuv444p")
    small = VideoReader(path).get([0], size=(5, 10), crop=(20, 20, 20, 40))
    assert small.max() < 60


@pytest.mark.parametrize(
    "name",
    ["h264.mp4", "h264_10bit.mp4", "h264_odd.mp4", "h264_rgb.mp4", "mjpeg.avi", "vp9_odd.mp4"],
)
@pytest.mark.parametrize("size", [(24, 36), (33, 45), (96, 120), (97, 123)])
def test_colours_survive_the_resize(tmp_path, name, size):
    """Flat patches, so that nothing but the rounding of colours may differ."""
    options = dict(MATRIX[name])
    height, width = options.pop("size", (48, 60))
    colours = [(0, 0, 0), (255, 255, 255), (230, 20, 30), (20, 200, 40), (30, 40, 220), (99,) * 3]
    patches = np.array(colours, "uint8").reshape(2, 3, 3)
    rows, columns = np.arange(height) * 2 // height, np.arange(width) * 3 // width
    picture = patches[rows[:, None], columns]
    path = write_video(tmp_path / name, [picture] * 2, **options)
    small = VideoReader(path).get([1], size=size, crop=False)[0]
    middles = [
        frame[
            [[y] for y in (len(frame) // 4, 3 * len(frame) // 4)],
            [x * frame.shape[1] // 6 for x in (1, 3, 5)],
        ]
        for frame in (small, plain(path)[1])
    ]
    np.testing.assert_allclose(*(middle.astype(int) for middle in middles), atol=2)


# Arguments and bad files


def test_bad_indices(tmp_path):
    reader = VideoReader(write_video(tmp_path / "a.mp4", 10))
    for indices, says in [
        ([-1], "count from the first frame, 0. Received: -1"),
        ([0, 10], "below 10, the number of frames of .*a.mp4. Received: 10"),
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


@pytest.mark.parametrize(
    "crop",
    [
        "middle",
        (1, 2, 3),
        (0, 0, 0, 5),
        (-1, 0, 4, 4),
        (0, 0, 49, 4),
        (0, 61, 4, 4),
        (0, 0, 1.5, 2),
    ],
)
def test_bad_crops(tmp_path, crop):
    reader = VideoReader(write_video(tmp_path / "a.mp4", 2))
    with pytest.raises(ValueError, match="`crop`"):
        reader.get([0], crop=crop)
    with pytest.raises(ValueError, match="rules out a box"):
        reader.get([0], crop=(0, 0, 4, 4), resize_side=9)


def test_packets_that_promise_a_frame_too_much(tmp_path):
    """The decoder has the last word."""
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
