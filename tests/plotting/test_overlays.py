"""Annotated videos: pixels, times and sound of the source, and answers that can be read."""

import sys
from fractions import Fraction

import numpy as np
import pytest

from keras_video import plotting
from keras_video.data import VideoReader
from keras_video.plotting.overlays import COPIED

av = pytest.importorskip("av")
pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

ANSWERS = [(0.0, [("dark", 0.9), ("bright", 0.1)]), (0.5, [("bright", 0.7), ("dark", 0.2)])]


def write(
    path, size=(240, 320), times=None, frames=20, rate=10, sound=None, matrix=None, delay=0.0,
    level=120,
):  # fmt: skip
    """Write grey frames, for each the time in ms, and a tone of the codec `sound`."""
    times = [1000 * k // rate for k in range(frames)] if times is None else times
    container_format = "matroska" if str(path).endswith("mkv") else "mp4"
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *size, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if matrix is not None:
            stream.set_display_matrix(matrix)
        if sound:
            audio = container.add_stream(sound, rate=48_000, layout="mono")
            for start in range(0, 96_000, 960):
                tone = np.sin(2 * np.pi * 440 * np.arange(start, start + 960) / 48_000)
                frame = av.AudioFrame.from_ndarray(
                    (tone * 9000).astype("int16")[None], "s16", "mono"
                )
                frame.rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
                container.mux(audio.encode(frame))
            container.mux(audio.encode(None))
        for time in times:
            pixels = np.full((*size, 3), level, "uint8")
            pixels[: size[0] // 4, : size[1] // 4] = (200, 30, 30)
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24").reformat(format="yuv420p")
            frame.pts, frame.time_base = round(time + 1000 * delay), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return str(path)


def times(path, kind="video"):
    """Return the seconds of all frames or packets with sound."""
    with av.open(str(path)) as container:
        stream = container.streams.best(kind)
        return sorted(float(p.pts * p.time_base) for p in container.demux(stream) if p.size)


def tone(path):
    """Return seconds of sound, and its loudest frequency."""
    with av.open(str(path)) as container:
        stream = container.streams.best("audio")
        samples = np.concatenate([f.to_ndarray().mean(0) for f in container.decode(stream)])
        rate = stream.sample_rate
    loudest = np.argmax(np.abs(np.fft.rfft(samples[: rate // 2]))) * 2
    return len(samples) / rate, loudest


def panel(frame):
    """Return where a frame differs from the grey of `write`, below its red corner."""
    changed = np.abs(frame.astype(int) - 120).max(axis=-1) > 25
    changed[: frame.shape[0] // 4] = False
    return changed


def test_the_answers_are_drawn_at_their_times(tmp_path):
    source = write(tmp_path / "a.mp4")
    path = plotting.annotate_video(source, tmp_path / "new" / "out.mp4", ANSWERS, title="Model")
    frames = list(VideoReader(path).frames())
    assert len(frames) == 20 and frames[0].shape == (240, 320, 3)
    drawn = panel(frames[2])
    assert drawn.any() and not drawn[:, 300:].any() and not drawn[:100].any()
    noise = np.abs(frames[2].astype(int) - frames[0]).max()
    assert np.abs(frames[6].astype(int) - frames[4]).max() > 3 * noise + 60  # another answer
    assert np.abs(frames[6].astype(int) - frames[8]).max() <= noise + 12
    red = frames[3][10:40, 10:60].reshape(-1, 3).mean(axis=0)
    assert np.abs(red - (200, 30, 30)).max() < 8  # the colours of the source
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["out.mp4"]


def test_nothing_is_drawn_before_the_first_answer(tmp_path):
    source = write(tmp_path / "a.mp4")
    plotting.annotate_video(source, tmp_path / "out.mp4", [(1.0, [("dark", 0.9)])])
    frames = list(VideoReader(tmp_path / "out.mp4").frames())
    assert not panel(frames[9]).any() and panel(frames[10]).any()


def test_a_longer_bar_for_a_higher_probability(tmp_path):
    frames = np.full((2, 240, 320, 3), 120, "uint8")
    answers = [(0.0, [("dark", 0.2)]), (0.1, [("dark", 0.8)])]
    plotting.annotate_video(frames, tmp_path / "out.mp4", answers, frame_rate=10)
    low, high = (
        ((frame[..., 2] > 180) & (frame[..., 0] < 140)).sum()  # the blue of the first class
        for frame in VideoReader(tmp_path / "out.mp4").frames()
    )
    assert 3 * low < high < 5 * low


@pytest.mark.parametrize("codec, name", [("aac", "a.mp4"), ("pcm_s16le", "a.mkv")])
def test_sound_is_kept(tmp_path, codec, name):
    """As it is where MP4 can hold it, else encoded again."""
    source = write(tmp_path / name, sound=codec)
    path = plotting.annotate_video(source, tmp_path / "out.mp4", ANSWERS)
    seconds, frequency = tone(path)
    assert abs(seconds - 2.0) < 0.06 and frequency == 440
    with av.open(source) as before, av.open(path) as after:
        packets = [
            [bytes(p) for p in c.demux(c.streams.audio[0]) if p.size] for c in (before, after)
        ]
        assert after.streams.audio[0].codec_context.name == "aac"
        assert after.streams.audio[0].codec_context.sample_rate == 48_000
    assert (packets[0] == packets[1]) == (codec in COPIED)


@pytest.mark.parametrize("codec", ["aac", "pcm_s16le"])
def test_sound_and_picture_stay_together(tmp_path, codec):
    """The picture of the source begins half a second after its sound."""
    source = write(tmp_path / "a.mkv", sound=codec, delay=0.5)
    path = plotting.annotate_video(source, tmp_path / "out.mp4", ANSWERS)
    apart = [times(p)[0] - times(p, "audio")[0] for p in (source, path)]
    assert abs(apart[0] - apart[1]) < 0.03 and apart[0] > 0.4


def test_a_video_without_sound_gets_none(tmp_path):
    path = plotting.annotate_video(write(tmp_path / "a.mp4"), tmp_path / "out.mp4", ANSWERS)
    with av.open(path) as container:
        assert not container.streams.audio


def test_times_of_the_frames_are_kept(tmp_path):
    """Also where they are uneven, as in videos of phones and of screens."""
    uneven = [0, 40, 80, 400, 433, 900, 1700]
    source = write(tmp_path / "a.mkv", times=uneven, delay=0.2)
    path = plotting.annotate_video(source, tmp_path / "out.mp4", ANSWERS)
    found = np.array(times(path))
    np.testing.assert_allclose(found - found[0], np.array(uneven) / 1000, atol=1e-4)
    assert abs(VideoReader(path).duration - VideoReader(source).duration) < 0.01


@pytest.mark.parametrize("rate", [10, 25, 60])
def test_rate_and_duration_are_kept(tmp_path, rate):
    source = write(tmp_path / "a.mp4", rate=rate)
    path = plotting.annotate_video(source, tmp_path / "out.mp4", ANSWERS)
    before, after = VideoReader(source), VideoReader(path)
    assert after.fps == pytest.approx(before.fps, rel=1e-3)
    assert after.duration == pytest.approx(before.duration, abs=2e-3)


def test_a_video_of_a_phone_is_upright(tmp_path):
    one = 1 << 16
    portrait = [0, one, 0, -one, 0, 0, 240 << 16, 0, 1 << 30]  # to be turned clockwise
    source = write(tmp_path / "a.mp4", matrix=portrait)
    path = plotting.annotate_video(source, tmp_path / "out.mp4", ANSWERS)
    with av.open(path) as container:
        frame = next(container.decode(video=0))
        assert (frame.height, frame.width, frame.rotation) == (320, 240, 0)
    frame = next(VideoReader(path).frames())
    assert frame[20, 220, 0] > 180 > frame[20, 20, 0]  # the red corner, now at the right
    assert panel(frame)[200:].any() and not panel(frame)[:200].any()


@pytest.mark.parametrize(
    "size, expected", [((48, 48), (384, 384)), ((121, 213), (364, 640)), ((241, 321), (242, 322))]
)
def test_small_videos_are_enlarged_and_sides_are_even(tmp_path, size, expected):
    clip = np.full((3, *size, 3), 120, "uint8")
    plotting.annotate_video(clip, tmp_path / "out.mp4", ANSWERS, frame_rate=4)
    video = VideoReader(tmp_path / "out.mp4")
    assert video.size == expected and video.duration == pytest.approx(0.75, abs=1e-3)


@pytest.mark.parametrize("size", [(240, 426), (426, 240), (2160, 3840), (3840, 2160), (240, 2400)])
def test_the_panel_fits_at_every_size(tmp_path, size):
    names = ["rotate anticlockwise and then some more words that never end", "b", "c", "d"]
    answer = [(name, 0.25) for name in names]
    with plotting.AnnotatedVideo(tmp_path / "out.mp4", 5, top=4, title="A title") as video:
        video.write(np.full((*size, 3), 120, "uint8"), answer)
    drawn = panel(next(VideoReader(tmp_path / "out.mp4").frames()))
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    assert rows[0] > 0.4 * size[0] and rows[-1] < size[0] - 4
    assert columns[0] > 4 and columns[-1] < size[1] - 4
    # A line of text is at least 12 pixels and a thirtieth of the smaller side high.
    assert len(rows) > 3 * max(12, min(size) / 30)


def test_duration_ends_picture_and_sound(tmp_path):
    source = write(tmp_path / "a.mp4", sound="aac")
    path = plotting.annotate_video(source, tmp_path / "out.mp4", ANSWERS, duration=0.75)
    assert VideoReader(path).duration == pytest.approx(0.75, abs=2e-3) and len(times(path)) == 8
    assert tone(path)[0] == pytest.approx(0.75, abs=0.05)


def test_answers_are_read_as_they_are_needed(tmp_path):
    """A model may compute them while the video is written."""
    asked = []

    def answers():
        for number in range(8):
            asked.append(number)
            yield number / 4, [("dark", 0.5)]

    def frames():
        for number in range(8):
            assert len(asked) <= number + 1
            yield np.full((240, 240, 3), 120, "uint8")

    plotting.annotate_video(frames(), tmp_path / "out.mp4", answers(), frame_rate=4)
    assert len(asked) == 8


def test_errors_leave_nothing_behind(tmp_path):
    clip, out = np.zeros((2, 240, 240, 3), "uint8"), tmp_path / "out.mp4"
    source = write(tmp_path / "a.mp4")

    def fails(match, source=clip, path=out, answers=ANSWERS, **options):
        options = options or {"frame_rate": 5}
        with pytest.raises(ValueError, match=match):
            plotting.annotate_video(source, path, answers, **options)

    fails("path: .*ends in .mp4", path=tmp_path / "out.avi")
    fails("path: expected another file", source, source)
    fails("answers: expected at least one", answers=[])
    fails("answers: expected pairs", answers=3)
    fails("answers: expected pairs", answers=[("a", 0.5)])
    fails("answers: expected probabilities.*softmax", answers=[(0, [("a", 7.5)])])
    fails("answers: expected ascending", answers=[(0, [("a", 0.5)]), (-1, [("a", 0.5)])])
    fails("frame_rate: expected frames per second", frame_rate=None)
    fails("frame_rate: expected None", source, frame_rate=5)
    fails("source: expected at least one frame", clip[:0])
    fails("frame: expected a uint8 array", clip.astype("float32"))
    fails("frame: expected the size of the first", [clip[0], clip[0, :100]])
    fails("top: expected an int", frame_rate=5, top=0)
    fails("font: expected a font file", frame_rate=5, font=source)
    fails("duration", frame_rate=5, duration=0)
    with pytest.raises(FileNotFoundError, match="no such video"):
        plotting.annotate_video(tmp_path / "missing.mp4", out, ANSWERS)
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.parametrize("missing", ["PIL", "matplotlib", "av"])
def test_missing_packages_are_named_before_the_work(tmp_path, monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)

    def answers():
        raise AssertionError("asked for answers")
        yield

    with pytest.raises(ImportError, match=r"\.\[video,plot\]"):
        plotting.annotate_video(tmp_path / "a.mp4", tmp_path / "out.mp4", answers())


# Saliency


def clip_and_maps():
    """Return a grey clip of 6 frames, and maps that are high in its left half from frame 3 on."""
    maps = np.zeros((6, 40, 60), "float32")
    maps[3:, :, :30] = 0.9
    return np.full((6, 40, 60, 3), 120, "uint8"), maps


def warm(pixels):
    """Return where red exceeds blue by much."""
    return pixels[..., 0].astype(int) - pixels[..., 2] > 60


def test_saliency_as_video(tmp_path):
    clip, maps = clip_and_maps()
    plotting.plot_saliency(clip, maps, tmp_path / "out.mp4", frame_rate=3)
    video = VideoReader(tmp_path / "out.mp4")
    frames = list(video.frames())
    assert len(frames) == 6 and video.size == (360, 540) and video.fps == pytest.approx(3)
    assert not warm(frames[2]).any()
    assert warm(frames[3])[:, :250].all() and not warm(frames[3])[:, 290:].any()


def test_saliency_as_picture(tmp_path):
    clip, maps = clip_and_maps()
    path = plotting.plot_saliency(clip, maps, tmp_path / "a.png", count=6, title="Where it looks")
    pixels = np.asarray(Image.open(path).convert("RGB"))
    hot = warm(pixels)
    hot[:, -100:] = False  # the scale
    rows, columns = np.flatnonzero(hot.any(axis=1)), np.flatnonzero(hot.any(axis=0))
    assert rows[0] > 0.4 * len(hot)  # the lower row of pictures
    assert columns[0] > 0.4 * hot.shape[1]  # from frame 3 on


def test_saliency_errors(tmp_path):
    clip, maps = clip_and_maps()
    for wrong, match in (
        ((clip[0], maps), "frames: expected shape"),
        ((clip, maps[:5]), "maps: expected shape"),
        ((clip, 2 * maps), "maps: expected values from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=match):
            plotting.plot_saliency(*wrong, tmp_path / "a.png")
    assert not list(tmp_path.iterdir())
