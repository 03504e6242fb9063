"""From a video to an answer, with what the model knows and nothing else to type."""

import functools
import http.server
import threading
from dataclasses import replace

import keras
import numpy as np
import pytest

import keras_video
from keras_video import answers
from keras_video.applications import movinet
from keras_video.data import VideoDataset, VideoReader
from keras_video.datasets.moving_digits import write_video
from keras_video.models import TemporalEnsemble, copy_weights
from keras_video.specs import VideoInput
from tests.helpers import STREAM, randomize_weights, small_config, small_model, to_numpy
from tests.tiny_families import auto_tsnet, blvnet_tam, x3d

pytest.importorskip("av")
NAMES = ["blue sky", "red apple", "white snow"]
KNOWN = VideoInput(frames=4, height=32, width=40, frame_rate=6.0, resize_side=44)
tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="reading depends on no backend"
)


def moving_colours(frames, size, seed=0):
    """Smooth frames whose colours change, so that every frame and every crop is another."""
    random = np.random.default_rng(seed)
    grid = random.integers(0, 256, (frames, 4, 5, 3)).astype("uint8")
    rows = np.arange(size[0]) * 4 // size[0]
    columns = np.arange(size[1]) * 5 // size[1]
    return grid[:, rows][:, :, columns]


def teach(model, known=KNOWN, names=NAMES):
    model.video_input, model.class_names = known, names
    return model


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    """A second of 24 frames, wider than the clips."""
    path = tmp_path_factory.mktemp("videos") / "colours.mp4"
    write_video(path, moving_colours(24, (60, 96)), 24)
    return path


@pytest.fixture(scope="module")
def model():
    return teach(small_model(classes=3, include_preprocessing=True, **STREAM))


@pytest.fixture(scope="module")
def stream(model):
    return movinet.streaming_twin(model)


def evaluation_clip(path, known=KNOWN):
    return VideoDataset([str(path)], shuffle=False, workers=0, **known.clip_options())[0]


def expected_of(model, clips):
    outputs = np.asarray(model.predict(clips, verbose=0), "float64")
    return answers.to_probabilities(outputs, "linear")


def as_array(named, names=NAMES):
    found = dict(named)
    return np.array([found[name] for name in names])


# What a model knows


def test_a_model_knows_its_input_and_its_answers(model, tmp_path):
    assert model.video_input == KNOWN and model.class_names == NAMES
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.video_input == KNOWN and loaded.class_names == NAMES and loaded.causal
    again = movinet.MoViNet(small_config(**STREAM), weights=tmp_path / "model.keras")
    assert again.video_input == replace(KNOWN) and again.class_names == NAMES
    other = movinet.MoViNet(small_config(**STREAM), weights=tmp_path / "model.keras", classes=2)
    assert other.video_input == KNOWN and other.class_names is None


def test_a_streaming_twin_knows_the_same(model, stream):
    assert stream.streaming and stream.video_input == KNOWN and stream.class_names == NAMES
    clip = copy_of(stream)
    assert clip.video_input == KNOWN and clip.class_names == NAMES
    with pytest.raises(ValueError, match="expected a MoViNet built with causal=True"):
        movinet.streaming_twin(small_model(causal=False))


def copy_of(stream):
    clip = small_model(classes=3, seed=3, include_preprocessing=True, **STREAM)
    copy_weights(stream, clip)
    return clip


def test_shipped_weights_say_what_they_were_made_for():
    model = keras_video.applications.MoViNetA0(weights="moving_digits")
    assert model.video_input == VideoInput(8, 48, 48, 4.0, resize_side=48)
    assert model.class_names == movinet.labels("moving_digits") and len(model.class_names) == 16
    assert model.info["measured"]["top1"] == 99.81
    assert not model.causal
    other = keras_video.applications.TinyVideoNetMovingDigits(weights="moving_digits", classes=3)
    assert other.video_input == VideoInput(4, 32, 32, 1.6)
    assert other.class_names is None and "measured" not in other.info


def test_fixed_shapes_win():
    wide = movinet.MoViNet(small_config(), classes=3, input_shape=(6, 32, 64, 3))
    assert wide.video_input == VideoInput(6, 32, 64, 5.0)
    assert small_model().video_input == VideoInput(6, 40, 32, 5.0, resize_side=48, pixels=1)


@pytest.mark.parametrize(
    "info, expected",
    [
        # Files of version 0.1.0: a rate and a stride mean the rate of the clip.
        (
            {"clip": [4, 32, 32, 3], "frame_stride": 5, "frame_rate": 2.4},
            VideoInput(4, 32, 32, 2.4),
        ),
        ({"clip": [4, 32, 32, 3], "frame_stride": 5}, VideoInput(4, 32, 32, None, 5)),
        ({"family": "movinet", "members": []}, None),
    ],
)
def test_old_files(info, expected):
    assert VideoInput.from_info(info) == expected


@pytest.mark.parametrize(
    "known",
    [
        KNOWN,
        VideoInput(4, 32, 32, 12.0, 3),
        VideoInput(4, 32, 32, None, 3, crop=False),
        VideoInput(4, 32, 32, sampling="blvnet_tam", pixels=None, mean=(0.5,) * 3, std=(0.2,) * 3),
    ],
)
def test_input_specifications_survive(known):
    assert VideoInput.from_info(known.to_info()) == known
    options = {**known.clip_options()}
    assert (
        VideoInput(pixels=known.pixels, mean=known.mean, std=known.std).with_clip_options(options)
        == known
    )


@pytest.mark.parametrize(
    "wrong",
    [{"frames": 0}, {"frame_rate": -1}, {"sampling": "often"}, {"pixels": 2}, {"resize_side": 1.5}],
)
def test_bad_input_specifications(wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))}: expected"):
        VideoInput(**wrong)


def test_bad_knowledge(model):
    with pytest.raises(ValueError, match="class_names: expected 3 names, .* got 2"):
        model.class_names = ["a", "b"]
    with pytest.raises(ValueError, match="video_input: expected a VideoInput, got int"):
        model.video_input = 48


# Classify


def test_classify_takes_the_clip_of_an_evaluation(model, video):
    clips = evaluation_clip(video)
    expected = expected_of(model, clips)[0]
    best = model.classify(video, top=3)
    assert [p for _, p in best] == sorted((p for _, p in best), reverse=True)
    np.testing.assert_allclose(as_array(best), expected, atol=1e-5)
    for kind in (str(video), video.read_bytes(), VideoReader(video), clips[0]):
        np.testing.assert_allclose(as_array(model.classify(kind, top=3)), expected, atol=1e-5)
    assert len(model.classify(video, top=2)) == 2


@tensorflow
def test_a_video_at_an_address(model, video):
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=video.parent)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        try:
            found = model.classify(f"{address}/{video.name}", top=3)
            with pytest.raises(
                keras_video.data.VideoError, match="no.mp4: the video cannot be dow"
            ):
                model.classify(f"{address}/no.mp4")
        finally:
            server.shutdown()
    assert found == model.classify(video, top=3)


def test_several_videos(model, video):
    clips = np.concatenate([evaluation_clip(video), 255 - evaluation_clip(video)])
    expected = expected_of(model, clips)
    assert abs(expected[0] - expected[1]).max() > 1e-3
    for videos in (clips, list(clips), [video, clips[1]]):
        found = [as_array(named) for named in model.classify(videos, top=3)]
        np.testing.assert_allclose(found, expected, atol=1e-5)
    assert model.classify([]) == []


def test_views_are_averaged_as_logits(model, video):
    data = VideoDataset(
        [str(video)], shuffle=False, clips=3, workers=0, **replace(KNOWN, frames=2).clip_options()
    )
    short = teach(copy_of(movinet.streaming_twin(model)), replace(KNOWN, frames=2))
    logits = np.mean([short.predict(view[None], verbose=0) for view in data[0][0]], axis=0)
    expected = answers.to_probabilities(logits, "linear")[0]
    found = as_array(short.classify(video, top=3, views=3))
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert abs(found - as_array(short.classify(video, top=3))).max() > 1e-4


def test_a_large_portrait_video_at_another_rate(tmp_path):
    """A network of 48 px and 4 frames/s answers as for the clip of its training."""
    path = tmp_path / "phone.mp4"
    write_video(path, moving_colours(13, (1920, 1080)).repeat(5, axis=0)[:62], 60)
    known = VideoInput(frames=4, height=48, width=48, frame_rate=4.0, resize_side=48)
    model = teach(small_model(classes=3, include_preprocessing=True), known)
    clips = evaluation_clip(path, known)
    # By hand: a second, so that frame k is the one on the screen after k / 4 seconds.
    frames = VideoReader(path).get(np.arange(4) * 15, size=48, resize_side=48)
    np.testing.assert_array_equal(clips[0], frames)
    expected = expected_of(model, clips)[0]
    np.testing.assert_allclose(as_array(model.classify(path, top=3)), expected, atol=1e-5)
    reader = VideoReader(path)
    pixels = reader.get(np.arange(len(reader)), size=(192, 108))
    array = dict(model.classify(pixels, top=3, frame_rate=60))
    np.testing.assert_allclose([array[name] for name in NAMES], expected, atol=0.05)
    wrong = expected_of(model, evaluation_clip(path, replace(known, frame_rate=5.0)))[0]
    assert abs(wrong - expected).max() > 1e-3


@tensorflow
@pytest.mark.parametrize("build", [x3d, blvnet_tam, auto_tsnet], ids=lambda f: f.__name__)
def test_families(build, tmp_path):
    """Strides, frames spread over the whole video, and a sparse clip of the dense one."""
    path = tmp_path / "video.mp4"
    write_video(path, moving_colours(60, (40, 48)), 30)
    model = randomize_weights(build())
    known = model.video_input
    assert (known.height, known.width, known.resize_side) == (32, 32, None)
    assert (known.frame_stride, known.sampling) in (
        (12, "window"),
        (1, "blvnet_tam"),
        (2, "window"),
    )
    clips = evaluation_clip(path, known)
    for weight in model.get_layer("classifier").weights:  # otherwise one class has all probability
        weight.assign(weight / np.abs(model.predict(clips, verbose=0)).max())
    expected = expected_of(model, clips)[0]
    assert abs(expected - expected_of(model, clips[:, ::-1])[0]).max() > 1e-4
    found = as_array(model.classify(path), [str(k) for k in range(5)])
    np.testing.assert_allclose(found, expected, atol=1e-5)
    if build is auto_tsnet:
        pair = auto_tsnet(two_inputs=True)
        pair.set_weights(model.get_weights())
        found = as_array(pair.classify(path), [str(k) for k in range(5)])
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_normalised_pixels():
    clips = np.random.default_rng(0).integers(0, 256, (1, 2, 4, 4, 3)).astype("uint8")
    unit = answers.pixels_for(VideoInput(pixels=1), clips)
    np.testing.assert_allclose(unit, clips / 255, atol=1e-6)
    assert answers.pixels_for(VideoInput(), clips) is clips
    known = VideoInput(pixels=None, mean=(0.1, 0.2, 0.3), std=0.5)
    np.testing.assert_allclose(
        answers.pixels_for(known, clips), (clips / 255 - [0.1, 0.2, 0.3]) / 0.5, atol=1e-5
    )


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"video": "no.mp4"}, "no.mp4: no such video file"),
        ({"video": 3}, "video: expected a path, bytes, a VideoReader or an array of frames, got"),
        ({"video": np.zeros((4, 32, 32), "uint8")}, r"expected frames of shape .*\(4, 32, 32\)"),
        ({"video": np.zeros((4, 32, 40, 3))}, "expected uint8 pixels in 0..255, got float64"),
        ({"video": b"no video"}, "not a video that FFmpeg can read"),
        ({"video": "no.mp4", "top": 0}, "top: expected an int"),
        ({"video": "no.mp4", "views": 0}, "views: expected an int"),
        ({"video": "no.mp4", "frame_rate": 5}, "frame_rate: expected None for a video that has"),
        ({"video": np.zeros((4, 32, 40, 3), "uint8"), "frame_rate": 0}, "frame_rate: expected a"),
    ],
)
def test_bad_arguments(model, arguments, message):
    with pytest.raises((ValueError, OSError), match=message):
        model.classify(**arguments)


def test_a_model_that_knows_nothing(model):
    unknown = copy_of(movinet.streaming_twin(model))
    del unknown.info["clip"]
    with pytest.raises(ValueError, match="video_input: expected what .* got nothing about the mod"):
        unknown.classify("no.mp4")
    unknown.video_input = VideoInput(frames=4)
    with pytest.raises(ValueError, match="nothing about height and width. Set model.video_input"):
        unknown.follow("no.mp4")


def test_features_have_no_names():
    features = small_model(include_top=False, pooling="avg")
    with pytest.raises(ValueError, match="model: expected one built with include_top=True, got mo"):
        features.classify("no.mp4")


# Follow


def test_follow_a_stream(model, stream, video):
    frames = list(VideoReader(video).frames(6.0, KNOWN.size, True, 44))
    assert len(frames) == 6
    found = list(stream.follow(video, top=3, window=0))
    assert [seconds for seconds, _ in found] == pytest.approx([k / 6 for k in range(6)])
    for count, (_, named) in enumerate(found, 1):
        expected = expected_of(model, np.stack(frames[:count])[None])[0]
        np.testing.assert_allclose(as_array(named), expected, atol=1e-4)
    forgetful = list(stream.follow(video, top=3, every=2))
    assert [seconds for seconds, _ in forgetful] == pytest.approx([1 / 6, 3 / 6, 5 / 6])
    # After a window of four frames, the slot that began at frame 2 answers.
    expected = expected_of(model, np.stack(frames[2:6])[None])[0]
    np.testing.assert_allclose(as_array(forgetful[-1][1]), expected, atol=1e-4)
    clip = as_array(stream.classify(video, top=3))
    np.testing.assert_allclose(clip, as_array(model.classify(video, top=3)), atol=1e-4)


def test_follow_by_a_sliding_window(model, video):
    frames = list(VideoReader(video).frames(6.0, KNOWN.size, True, 44))
    found = list(model.follow(video, top=3))
    assert [seconds for seconds, _ in found] == pytest.approx([3 / 6, 4 / 6, 5 / 6])
    for first, (_, named) in enumerate(found):
        expected = expected_of(model, np.stack(frames[first : first + 4])[None])[0]
        np.testing.assert_allclose(as_array(named), expected, atol=1e-5)
    assert len(list(model.follow(video, every=2))) == 2
    array = list(model.follow(np.stack(frames), top=3))
    np.testing.assert_allclose(as_array(array[0][1]), as_array(found[0][1]), atol=1e-5)


def test_a_video_shorter_than_the_clip(model, tmp_path):
    path = tmp_path / "short.mp4"
    write_video(path, moving_colours(6, (60, 96)), 24)
    ((seconds, named),) = model.follow(path, top=3)
    assert seconds == pytest.approx(1 / 6)
    np.testing.assert_allclose(as_array(named), as_array(model.classify(path, top=3)), atol=1e-6)


@tensorflow
def test_follow_frames_that_are_spread_over_the_video(tmp_path):
    path = tmp_path / "video.mp4"
    write_video(path, moving_colours(60, (40, 48)), 30)
    model = randomize_weights(blvnet_tam())
    found = list(model.follow(path))
    assert [seconds for seconds, _ in found] == pytest.approx([1.5])  # 4 frames in 2 seconds


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"every": 0}, "every: expected an int"),
        ({"window": 4}, "window: expected None for .* a model of clips, .* got 4"),
        ({"top": -1}, "top: expected an int"),
    ],
)
def test_bad_arguments_of_follow(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.follow("no.mp4", **arguments)


def test_ensembles(video):
    """Two members at half the frame rate, in turn."""
    members = [
        teach(small_model(classes=3, seed=k, **STREAM), replace(KNOWN, pixels=1)) for k in (0, 1)
    ]
    model = TemporalEnsemble(members)
    known = model.video_input
    assert (known.frames, known.frame_rate) == (8, 12.0) and model.class_names == NAMES
    clip = evaluation_clip(video, known) / np.float32(255)
    expected = answers.to_probabilities(to_numpy(model(clip)), "linear")[0]
    np.testing.assert_allclose(as_array(model.classify(video, top=3)), expected, atol=1e-5)


# Outputs of a model


def test_decode_predictions(model, stream):
    logits = np.array([[1.0, 3.0, 2.0], [5.0, 1.0, 1.0]])
    (first, second) = model.decode_predictions(logits, top=2)
    assert [name for name, _ in first] == ["red apple", "white snow"] and second[0][0] == "blue sky"
    assert first[0][1] == pytest.approx(np.exp(3) / np.exp(logits[0]).sum())
    outputs = model(np.zeros((1, 4, 32, 40, 3), "float32"))  # a tensor, on torch with gradients
    assert len(model.decode_predictions(outputs)[0]) == 3
    assert stream.decode_predictions((logits, {}), top=1)[0][0][0] == "red apple"
    with pytest.raises(ValueError, match=r"outputs: expected shape \(batch, 3\), got \(1, 4\)"):
        model.decode_predictions(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="top: expected an int"):
        model.decode_predictions(logits, top=0)


def test_probabilities_stay_as_they_are():
    model = small_model(classes=3, classifier_activation="softmax")
    assert model.answer_activation == "softmax"
    row = [0.2, 0.5, 0.3]
    assert [p for _, p in model.decode_predictions([row])[0]] == pytest.approx([0.5, 0.3, 0.2])
    labels = small_model(classes=3)
    labels.info["multi_label"] = True
    assert labels.decode_predictions([[0.0, 0.0, 9.0]])[0][1] == ("0", 0.5)


# Data sets


def test_data_sets_for_a_model(model, tmp_path):
    for name in NAMES:
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / "a.mp4", moving_colours(12, (60, 96)), 12)
    make = keras_video.data.video_dataset_from_directory
    quiet = {"verbose": False, "workers": 0, "shuffle": False}
    assert make(tmp_path, model=model, **quiet).clip_options == KNOWN.clip_options()
    given = make(tmp_path, model=model, num_frames=2, image_size=24, frame_rate=3, **quiet)
    assert given.clip_options == {
        **KNOWN.clip_options(), "num_frames": 2, "image_size": (24, 24), "frame_rate": 3,
        "resize_side": None,
    }  # fmt: skip
    default = make(tmp_path, **quiet).clip_options
    assert (default["num_frames"], default["image_size"]) == (16, (172, 172))
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{name}/a.mp4,{k}\n" for k, name in enumerate(NAMES)))
    data = keras_video.data.video_dataset_from_file_list(listed, model=model, **quiet)
    assert data.clip_options == KNOWN.clip_options()
    outputs = model.predict(data, verbose=0)
    found = [as_array(named) for named in model.classify(data.files, top=3)]
    np.testing.assert_allclose(found, answers.to_probabilities(outputs, "linear"), atol=1e-5)
    with pytest.raises(ValueError, match="model: expected one with a video_input, got"):
        make(tmp_path, model=keras.Sequential(), **quiet)


@tensorflow
def test_a_folder_with_some_of_the_classes_is_evaluated_by_name(model, tmp_path):
    for name in NAMES[::2]:
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / "a.mp4", moving_colours(12, (60, 96)), 12)
    data = keras_video.data.video_dataset_from_directory(
        tmp_path, model=model, verbose=False, workers=0
    )
    result = keras_video.evaluate(model, data, verbose=False)
    assert result.class_names == NAMES and result.labels.tolist() == [0, 2]


@tensorflow
def test_fine_tuning_teaches_the_model(tmp_path):
    for name in NAMES:
        (tmp_path / name).mkdir()
        write_video(tmp_path / name / "a.mp4", moving_colours(12, (60, 96)), 12)
    data = keras_video.data.video_dataset_from_directory(
        tmp_path, image_size=32, num_frames=3, frame_rate=6, batch_size=3, verbose=False
    )
    model = small_model(classes=3, include_preprocessing=True)
    keras_video.training.finetune(model, data, epochs=1, verbose=0)
    assert model.class_names == sorted(NAMES)
    assert model.video_input == VideoInput(3, 32, 32, 6)


# Files for phones


@tensorflow
@pytest.mark.parametrize("streaming", [False, True], ids=["clip", "stream"])
def test_litert_files_answer_alike(tmp_path, model, video, streaming):
    pytest.importorskip("ai_edge_litert")
    fixed = movinet.MoViNet(
        small_config(**STREAM), input_shape=(None if streaming else 4, 32, 40, 3), classes=3,
        streaming=streaming,
    )  # fmt: skip
    copy_weights(model, fixed)
    path = tmp_path / "model.tflite"
    keras_video.mobile.export_litert(fixed, path)
    lite = keras_video.mobile.LiteRTModel(path)
    assert lite.video_input == KNOWN and lite.class_names == NAMES
    np.testing.assert_allclose(
        as_array(lite.classify(video, top=3)), as_array(model.classify(video, top=3)), atol=1e-4
    )
    expected = list(fixed.follow(video, top=3))
    found = list(lite.follow(video, top=3))
    assert [s for s, _ in found] == [s for s, _ in expected] and len(found) > 2
    for (_, a), (_, b) in zip(found, expected, strict=True):
        np.testing.assert_allclose(as_array(a), as_array(b), atol=1e-4)


# Single frames


def test_single_frames_of_a_reader(model, stream, video):
    frames = list(VideoReader(video).frames(6.0, KNOWN.size, True, 44))
    expected = to_numpy(model(np.stack(frames)[None]))
    live, state = keras_video.Stream(stream), None
    for frame in frames:
        logits, state = stream(frame, state)
        stepped = live.step(frame)
    np.testing.assert_allclose(to_numpy(logits), expected, atol=1e-4)
    np.testing.assert_allclose(to_numpy(stepped), expected, atol=1e-4)
    both = keras_video.Stream(stream, batch_size=2)
    for frame in frames:
        stepped = both.step(np.stack([frame, frame[::-1]]))
    np.testing.assert_allclose(to_numpy(stepped)[:1], expected, atol=1e-4)
    with pytest.raises(ValueError, match=r"got rank 4 .* For one clip write clip\[None\]"):
        model(np.stack(frames))
    with pytest.raises(ValueError, match=r"Write frames\[None\] for several frames of one video"):
        keras_video.Stream(stream).step(np.stack(frames))
    with pytest.raises(ValueError, match=r"Start with state=None, or with init_state\(1, 32, 40\)"):
        stream(frames[0], stream.init_state(1, 48, 48))
