"""`evaluate` compared with direct computations, for every kind of data set and protocol."""

import json
import types

import keras
import numpy as np
import pytest

from keras_video.models import TemporalEnsemble, copy_weights
from keras_video.training import evaluation
from keras_video.training.batches import match_classes
from keras_video.training.evaluation import evaluate, final_activation
from tests.helpers import STREAM, command_line, random_video, small_model

CLASSES, VIDEOS = 7, 22
NAMES = [f"class_{k}" for k in range(CLASSES)]


def colour_model(activation=None, classes=CLASSES, name="colours"):
    """Build a model whose logits are those of `colour_logits`: mixtures of the mean colour."""
    frames = keras.Input((None, None, None, 3))
    x = keras.layers.GlobalAveragePooling3D()(frames)
    outputs = keras.layers.Dense(classes, activation=activation, use_bias=False)(x)
    model = keras.Model(frames, outputs, name=name)
    model.layers[-1].set_weights([mixtures(classes)])
    return model


def mixtures(classes=CLASSES):
    return 6 * np.random.default_rng(3).standard_normal((3, classes)).astype("float32")


def colour_logits(clips):
    return clips.mean(axis=(-4, -3, -2)) @ mixtures()


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def coloured_clips(videos=VIDEOS, views=None, seed=0):
    """Return clips of one colour each, and labels; the model is right for two thirds of them."""
    rng = np.random.default_rng(seed)
    shape = (videos,) if views is None else (videos, views)
    colours = rng.random((*shape, 1, 1, 1, 3), dtype="float32")
    clips = colours * np.ones((4, 2, 2, 1), "float32")
    logits = colour_logits(clips)
    best = (logits if views is None else logits.mean(1)).argmax(-1)
    labels = np.where(rng.random(videos) < 0.67, best, rng.integers(0, CLASSES, videos))
    return clips, labels


class Stored(keras.utils.PyDataset):
    """A data set of arrays, in batches."""

    def __init__(self, clips, labels, batch_size=5, **kwargs):
        super().__init__(**kwargs)
        self.clips, self.y, self.batch_size = clips, labels, batch_size

    def __len__(self):
        return -(-len(self.clips) // self.batch_size)

    def __getitem__(self, index):
        part = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return self.clips[part], self.y[part]


class Videos(Stored):
    """A data set with what `evaluate` uses of a `VideoDataset`."""

    def __init__(self, *args, views=None, class_names=NAMES, skipped=(), **kwargs):
        super().__init__(*args, **kwargs)
        self.labels, self.class_names, self.skipped = self.y, class_names, list(skipped)
        self.views, self.asked = views, None
        self.files = [f"{k}.mp4" for k in range(len(self.clips))]

    def replace(self, **options):
        clips = self.clips
        if self.views and options["clips"] * options["crops"] > 1:
            clips = self.views(options["clips"] * options["crops"])
        self.asked = options
        other = Videos(clips, self.y, self.batch_size, class_names=self.class_names)
        other.skipped, other.files = self.skipped, self.files
        return other

    def __iter__(self):
        return (self[i] for i in range(len(self)))


@pytest.fixture(scope="module")
def model():
    return colour_model()


def assert_is_right(result, clips, labels):
    """Check each metric by its definition, for videos with one label."""
    logits = colour_logits(clips)
    np.testing.assert_allclose(result.logits, logits, atol=1e-4)
    order = np.argsort(-logits, axis=-1)
    hits = {k: [label in row[:k] for label, row in zip(labels, order, strict=True)] for k in (1, 5)}
    assert result.top1 == pytest.approx(np.mean(hits[1]))
    assert result.top5 == pytest.approx(np.mean(hits[5]))
    assert result.videos == len(labels) == result.confusion.sum()
    for true in range(CLASSES):
        for said in range(CLASSES):
            count = np.sum((labels == true) & (order[:, 0] == said))
            assert result.confusion[true, said] == count
        row = result.per_class[true]
        assert (row.name, row.videos) == (NAMES[true], np.sum(labels == true))
        mine = [hit for hit, label in zip(hits[1], labels, strict=True) if label == true]
        assert row.top1 == (pytest.approx(np.mean(mine)) if mine else None)
        assert row.average_precision is None
    assert result.mean_average_precision is None


# Kinds of data


def test_pair_of_arrays(model):
    clips, labels = coloured_clips()
    result = evaluate(model, (clips, labels), class_names=NAMES, verbose=False)
    assert 0.4 < result.top1 < 0.9 and result.top1 < result.top5  # the metrics can be wrong
    assert_is_right(result, clips, labels)
    assert (result.protocol, result.views, result.skipped) == ("single_clip", 1, [])


@pytest.mark.parametrize("form", ["column", "one_hot", "float"])
def test_other_forms_of_labels(model, form):
    clips, labels = coloured_clips()
    other = {
        "column": labels[:, None],
        "one_hot": np.eye(CLASSES, dtype="float32")[labels],
        "float": labels.astype("float32"),
    }[form]
    result = evaluate(model, (clips, other), class_names=NAMES, verbose=False)
    assert_is_right(result, clips, labels)


@pytest.mark.parametrize("workers", [1, 3])
def test_py_dataset(model, workers):
    clips, labels = coloured_clips()
    data = Stored(clips, labels, workers=workers)
    assert_is_right(evaluate(model, data, class_names=NAMES, verbose=False), clips, labels)


def test_iterables(model):
    clips, labels = coloured_clips()
    data = Stored(clips, labels)
    for batches in ([data[i] for i in range(len(data))], (data[i] for i in range(len(data)))):
        result = evaluate(model, batches, class_names=NAMES, verbose=False)
        assert_is_right(result, clips, labels)


def test_tf_dataset(model):
    tf = pytest.importorskip("tensorflow")
    clips, labels = coloured_clips()
    data = tf.data.Dataset.from_tensor_slices((clips, labels)).batch(5)
    assert_is_right(evaluate(model, data, class_names=NAMES, verbose=False), clips, labels)
    with pytest.raises(ValueError, match="dataset: expected a finite data set"):
        evaluate(model, data.repeat(), verbose=False)


def test_video_dataset_brings_names_and_skipped_files(model):
    clips, labels = coloured_clips()
    data = Videos(clips, labels, skipped=[("a.mp4", "cut short")])
    result = evaluate(model, data, verbose=False)
    assert_is_right(result, clips, labels)
    assert result.skipped == [("a.mp4", "cut short")]
    assert data.asked == {
        "clips": 1, "crops": 1, "shuffle": False, "training": False, "augment": None,
        "shard": (0, 1), "drop_remainder": False,
    }  # fmt: skip


def test_what_took_the_place_of_a_broken_file_does_not_count(model):
    clips, labels = coloured_clips()
    data = Videos(clips, labels, skipped=[("4.mp4", "empty"), ("9.mp4", "cut short")])
    kept = np.delete(np.arange(VIDEOS), [4, 9])
    clips[[4, 9]], labels[[4, 9]] = clips[[5, 10]], labels[[5, 10]]
    result = evaluate(model, data, verbose=False)
    assert_is_right(result, clips[kept], labels[kept])
    assert result.videos == VIDEOS - 2 and len(result.skipped) == 2


def test_batches_of_one_size_reach_the_model():
    """The model is compiled once; outputs for padded clips are not counted."""
    clips, labels = coloured_clips()
    shapes = []

    def predict_on_batch(batch):
        shapes.append(batch.shape)
        return colour_logits(batch)

    stand_in = types.SimpleNamespace(name="stand_in", predict_on_batch=predict_on_batch)
    data = [(clips[:8], labels[:8]), (clips[:0], labels[:0]), (clips[8:11], labels[8:11])]
    result = evaluate(stand_in, data, class_names=NAMES, verbose=False)
    assert_is_right(result, clips[:11], labels[:11])
    assert shapes == [(8, 4, 2, 2, 3)] * 2


# Several views


def test_logits_of_views_are_averaged_before_softmax():
    clips, labels = coloured_clips(views=3)
    clips[:, 0] *= 4  # views with larger logits than others
    logits = colour_logits(clips)
    right = logits.mean(axis=1)
    wrong = np.log(softmax(logits).mean(axis=1))
    assert np.any(right.argmax(-1) != wrong.argmax(-1))  # else nothing is tested
    for activation in (None, "softmax"):
        result = evaluate(colour_model(activation), (clips, labels), verbose=False)
        assert result.views == 3
        np.testing.assert_array_equal(result.logits.argmax(-1), right.argmax(-1))
        np.testing.assert_allclose(softmax(result.logits), softmax(right), atol=1e-5)
        assert result.top1 == pytest.approx(np.mean(right.argmax(-1) == labels))


def test_protocols_ask_a_video_dataset_for_its_views(model):
    views = {n: coloured_clips(views=n, seed=n)[0] for n in (3, 10, 12, 30)}
    clips, labels = coloured_clips()
    data = Videos(clips, labels, views=views.get)
    for options, asked, total in [
        ({"crops": 3}, (1, 3), 3),
        ({"protocol": "multi_clip"}, (10, 1), 10),
        ({"protocol": "multi_clip", "crops": 3}, (10, 3), 30),
        ({"protocol": "multi_clip", "crops": 3, "clips": 4}, (4, 3), 12),
    ]:
        result = evaluate(model, data, verbose=False, **options)
        assert (data.asked["clips"], data.asked["crops"]) == asked
        assert (result.views, result.protocol) == (total, options.get("protocol", "single_clip"))
        expected = colour_logits(views[total]).mean(axis=1)
        np.testing.assert_allclose(result.logits, expected, atol=1e-4)


# Several labels


def test_several_labels(model):
    clips = 0.4 * coloured_clips()[0]  # where a sigmoid is not 1 in float32
    labels = np.random.default_rng(1).random((VIDEOS, CLASSES)) < 0.3
    labels[:, 5] = False
    result = evaluate(colour_model("sigmoid"), (clips, labels.astype("int32")), verbose=False)
    logits = colour_logits(clips)
    np.testing.assert_allclose(result.logits, logits, atol=1e-3)
    for c, row in enumerate(result.per_class):
        queue = [v for v in np.argsort(-logits[:, c]) if labels[v].any()]
        places = [place for place, v in enumerate(queue, 1) if labels[v, c]]
        precision = [(n + 1) / place for n, place in enumerate(places)]
        expected = pytest.approx(np.mean(precision)) if places else None
        assert (row.videos, row.average_precision, row.top1) == (len(places), expected, None)
    known = [row.average_precision for row in result.per_class if row.videos]
    assert len(known) == CLASSES - 1
    assert result.mean_average_precision == pytest.approx(np.mean(known))
    assert (result.top, result.confusion, result.top1) == ({}, None, None)
    assert "mAP" in result.summary() and "AP" in result.table()
    assert json.loads(result.to_json())["per_class"][5]["average_precision"] is None


# Streams


@pytest.fixture(scope="module")
def streams():
    """Return a clip network, a streaming network with its weights, videos, and labels."""
    clip_model = small_model(causal=True, **{k: v for k, v in STREAM.items() if k != "causal"})
    stream_model = small_model(streaming=True, seed=5, **STREAM)
    copy_weights(clip_model, stream_model)
    clips = random_video((10, 6, 40, 32, 3), seed=3)
    answers = clip_model.predict_on_batch(clips).argmax(-1)
    labels = np.where(np.arange(10) % 3, answers, (answers + 1) % 5)
    return clip_model, stream_model, clips, labels


def test_streaming_ends_with_the_answers_of_the_clip(streams):
    clip_model, stream_model, clips, labels = streams
    expected = evaluate(clip_model, (clips, labels), verbose=False, batch_size=4)
    result = evaluate(stream_model, (clips, labels), "streaming", verbose=False, batch_size=4)
    scale = np.abs(expected.logits).max()
    np.testing.assert_allclose(result.logits, expected.logits, atol=2e-5 * scale)
    assert np.ptp(expected.logits, axis=0).max() > 0.01 * scale  # videos differ
    np.testing.assert_array_equal(result.confusion, expected.confusion)
    assert result.top == expected.top and result.top1 == 0.6
    assert result.accuracy_after[-1] == result.top1


@pytest.mark.parametrize("one_hot", [False, True])
def test_accuracy_over_frames_is_that_of_shorter_clips(streams, one_hot):
    clip_model, stream_model, clips, labels = streams
    data = (clips, np.eye(5)[labels] if one_hot else labels)
    result = evaluate(stream_model, data, "streaming", verbose=False)
    np.testing.assert_array_equal(result.frames_seen, np.arange(1, 7))
    for frames, accuracy in zip(result.frames_seen, result.accuracy_after, strict=True):
        said = clip_model.predict_on_batch(clips[:, :frames]).argmax(-1)
        assert accuracy == pytest.approx(np.mean(said == labels))


def test_chunks_and_videos_of_different_length(streams):
    _, stream_model, clips, labels = streams
    one_by_one = evaluate(stream_model, (clips, labels), "streaming", verbose=False)
    batches = [(clips[:5], labels[:5]), (clips[5:, :3], labels[5:])]
    result = evaluate(stream_model, batches, "streaming", verbose=False, chunk_frames=4)
    np.testing.assert_array_equal(result.frames_seen, [4, 6])
    assert result.accuracy_after[-1] == result.top1  # shorter videos keep their last output
    shorter = evaluate(stream_model, batches[1], "streaming", verbose=False)
    after_4 = evaluate(stream_model, (clips[:5, :4], labels[:5]), "streaming", verbose=False)
    assert shorter.top1 < 1
    assert result.accuracy_after[0] == pytest.approx((after_4.top1 + shorter.top1) / 2)
    scale = np.abs(one_by_one.logits).max()
    np.testing.assert_allclose(result.logits[:5], one_by_one.logits[:5], atol=2e-5 * scale)
    np.testing.assert_allclose(result.logits[5:], shorter.logits, atol=2e-5 * scale)


def test_ensembles_stream_too(streams):
    _, stream_model, clips, labels = streams
    members = [stream_model, small_model(streaming=True, seed=8, **STREAM)]
    clips, labels = clips[:4], labels[:4]
    result = evaluate(TemporalEnsemble(members), (clips, labels), "streaming", verbose=False)
    expected = [
        evaluate(member, (clips[:, i::2], labels), "streaming", verbose=False).logits
        for i, member in enumerate(members)
    ]
    np.testing.assert_allclose(result.logits, np.mean(expected, axis=0), rtol=1e-4, atol=1e-3)
    assert len(result.accuracy_after) == 6


def test_networks_that_do_not_fit_the_protocol(streams):
    clip_model, stream_model, clips, labels = streams
    with pytest.raises(ValueError, match="built with streaming=True"):
        evaluate(clip_model, (clips, labels), "streaming")
    with pytest.raises(ValueError, match="protocol='streaming'"):
        evaluate(stream_model, (clips, labels))


# What comes out


def test_report_and_pictures(model, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    clips, labels = coloured_clips()
    data = Videos(clips, labels, skipped=[("a.mp4", "cut short")])
    report, plots = tmp_path / "new" / "report.json", tmp_path / "plots"
    result = evaluate(model, data, report=report, plots=plots)
    found = json.loads(report.read_text())
    assert (found["model"], found["videos"]) == ("colours", VIDEOS)
    assert found["top"] == {"1": result.top1, "5": result.top5}
    assert found["confusion"] == result.confusion.tolist()
    assert found["skipped"] == [{"path": "a.mp4", "reason": "cut short"}]
    assert [row["name"] for row in found["per_class"]] == NAMES
    assert [row["top1"] for row in found["per_class"]] == [r.top1 for r in result.per_class]
    assert [file.name for file in plots.iterdir()] == ["confusion_matrix.png"]
    assert [file.name for file in report.parent.iterdir()] == ["report.json"]
    out = capsys.readouterr().out
    assert out == result.summary() + "\n"
    assert f"top-1 {100 * result.top1:.2f} %" in out and out.endswith(", 1 skipped\n")
    table = result.table().splitlines()
    assert len(table) == 1 + sum(row.videos > 0 for row in result.per_class)


def test_streams_have_a_picture_of_their_own(streams, tmp_path):
    pytest.importorskip("matplotlib")
    _, stream_model, clips, labels = streams
    data = (clips[:4], labels[:4])
    result = evaluate(stream_model, data, "streaming", plots=tmp_path, verbose=False)
    names = {"confusion_matrix.png", "accuracy_over_frames.png"}
    assert {file.name for file in tmp_path.iterdir()} == names
    assert json.loads(result.to_json())["accuracy_after"] == result.accuracy_after.tolist()


def test_silence(model, capsys):
    evaluate(model, coloured_clips(), verbose=False)
    assert capsys.readouterr() == ("", "")


def test_top_of_your_choice(model):
    clips, labels = coloured_clips()
    result = evaluate(model, (clips, labels), top=(2, 99), verbose=False)
    order = np.argsort(-colour_logits(clips), axis=-1)[:, :2]
    assert result.top == {2: np.mean([y in row for y, row in zip(labels, order)]), 99: 1.0}  # noqa: B905
    assert result.top1 is None and "top-99" not in result.summary()


def test_speed_leaves_out_the_batch_that_compiles(model, monkeypatch):
    clips, labels = coloured_clips()
    clock = iter(range(1000))
    monkeypatch.setattr(evaluation.time, "perf_counter", lambda: 2.0 * next(clock))
    result = evaluate(model, (clips, labels), verbose=False, batch_size=6)
    assert result.clips_per_second == (VIDEOS - 6) / 2
    clock = iter(range(1000))
    # From the beginning, where there is one batch only: two ticks of the clock.
    assert evaluate(model, (clips, labels), verbose=False, batch_size=22).clips_per_second == 22 / 4


# Names


def test_classes_of_the_data_are_found_among_those_of_the_model(model):
    clips, labels = coloured_clips()
    kept = np.isin(labels, (5, 2))
    clips, labels = clips[kept], labels[kept]
    assert len(set(labels)) == 2
    data = Videos(clips, np.where(labels == 5, 0, 1), class_names=["Class 5", "class-2"])
    result = evaluate(model, data, class_names=NAMES, verbose=False)
    assert_is_right(result, clips, labels)
    data = Videos(clips, np.eye(2)[np.where(labels == 5, 0, 1)], class_names=["class_5", "class_2"])
    assert_is_right(evaluate(model, data, class_names=NAMES, verbose=False), clips, labels)


def test_names_that_do_not_fit():
    with pytest.raises(ValueError, match="each of the 3 outputs.*2 names"):
        match_classes(["a", "b"], None, 3)
    with pytest.raises(ValueError, match="expected 3 classes.*got 2 classes.*class_names"):
        match_classes(None, ["a", "b"], 3)
    with pytest.raises(ValueError, match="'skating ise'.*Did you mean 'skating_ice'"):
        match_classes(["jump", "skating_ice"], ["skating ise", "jump"], 2)
    assert match_classes(None, None, 2)[0] == ["0", "1"]


# Activations


def test_final_activation():
    assert final_activation(colour_model()) == "linear"
    assert final_activation(colour_model("softmax")) == "softmax"
    assert final_activation(colour_model("sigmoid")) == "sigmoid"
    for last in (keras.layers.Softmax(), keras.layers.Activation("softmax")):
        assert final_activation(keras.Sequential([colour_model(), last])) == "softmax"
    frames = keras.Input((4, 2, 2, 3))
    assert final_activation(keras.Model(frames, colour_model("softmax")(frames))) == "softmax"
    assert final_activation(keras.Model(frames, keras.ops.softmax(colour_model()(frames)))) == (
        "softmax"
    )
    stream = small_model(streaming=True, classifier_activation="softmax", **STREAM)
    assert final_activation(stream) == "softmax"


def test_probabilities_of_a_model_without_graph():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.inner = colour_model("softmax")

        def call(self, x):
            return self.inner(x)

    assert final_activation(Subclassed()) is None
    clips, labels = coloured_clips(views=3)
    result = evaluate(Subclassed(), (clips, labels), verbose=False)
    right = colour_logits(clips).mean(axis=1)
    np.testing.assert_allclose(softmax(result.logits), softmax(right), atol=1e-5)


# Errors


def test_labels_out_of_range_are_found_with_the_first_batch(model):
    clips, labels = coloured_clips()
    labels[-1] = 7
    calls = []

    class Counting(Videos):
        def replace(self, **options):
            return self

        def __getitem__(self, index):
            calls.append(index)
            return super().__getitem__(index)

    with pytest.raises(ValueError, match=r"labels: .*from 0 to 6.*got 7 at index 21"):
        evaluate(model, Counting(clips, labels, batch_size=1), verbose=False)
    assert len(calls) < 6
    with pytest.raises(ValueError, match="got 7 at index"):
        evaluate(model, (clips, labels), verbose=False)
    with pytest.raises(ValueError, match="got 7 at index"):
        evaluate(model, [(clips, labels)], verbose=False)


def test_data_without_videos(model):
    clips, labels = coloured_clips()
    data = Videos(clips[:0], labels[:0], skipped=[("a.mp4", "empty"), ("b.mp4", "cut short")])
    with pytest.raises(ValueError, match="no videos.*b.mp4: cut short"):
        evaluate(model, data, verbose=False)
    for empty in ([], (clips[:0], labels[:0]), Stored(clips[:0], labels[:0])):
        with pytest.raises(ValueError, match="no videos"):
            evaluate(model, empty, verbose=False)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"protocol": "multi_crop"}, "protocol: expected one of .*multi_clip.*got 'multi_crop'"),
        ({"crops": 2}, "crops: expected one of 1, 3, got 2"),
        ({"clips": 4}, "clips: expected None with protocol='single_clip', got 4"),
        ({"protocol": "multi_clip", "clips": 0}, "clips: expected .*got 0"),
        ({"chunk_frames": 0}, "chunk_frames: expected .*got 0"),
        ({"batch_size": 0}, "batch_size: expected .*got 0"),
        ({"top": (0,)}, "top: expected .*got 0"),
        ({"protocol": "multi_clip"}, "dataset: expected a .*VideoDataset for .*got tuple"),
        ({"crops": 3}, "dataset: expected a .*VideoDataset for .*got tuple"),
        ({"class_names": ["a"]}, "each of the 7 outputs"),
    ],
)
def test_arguments_that_do_not_fit(model, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate(model, coloured_clips(), verbose=False, **options)


@pytest.mark.parametrize(
    "dataset, message",
    [
        ("a_folder", "got str"),
        (7, "got int"),
        ([(np.zeros((2, 4, 2, 2, 3)), np.zeros(2), np.ones(2))], "without sample weights.*3 parts"),
        ([np.zeros((2, 4, 2, 2, 3))], "a batch of clips"),
        ([(np.zeros((2, 2, 2, 3)), np.zeros(2))], r"shapes \(2, 2, 2, 3\)"),
        ([(np.zeros((2, 4, 2, 2, 3)), np.zeros(3))], "as many labels"),
        ([(np.zeros((2, 4, 2, 2, 3)), 1)], "as many labels"),
        ((np.zeros((2, 4, 2, 2, 3)), np.zeros(3)), "one label for each of 2 clips, got 3"),
    ],
)
def test_data_of_another_kind(model, dataset, message):
    with pytest.raises(ValueError, match=message):
        evaluate(model, dataset, verbose=False)


@pytest.mark.parametrize(
    "outputs, message",
    [
        (np.zeros((VIDEOS, 4, 5)), r"\(22, classes\).*shape \(22, 4, 5\)"),
        (np.zeros((VIDEOS, 1)), "at least 2 classes"),
        (np.zeros((3, 5)), r"shape \(3, 5\)"),
        ([np.zeros((VIDEOS, 5))] * 2, "got list"),
        (np.full((VIDEOS, 7), np.nan), "finite"),
    ],
)
def test_models_of_another_kind(outputs, message):
    stand_in = types.SimpleNamespace(name="stand_in", predict_on_batch=lambda clips: outputs)
    with pytest.raises(ValueError, match=message):
        evaluate(stand_in, coloured_clips(), verbose=False, batch_size=VIDEOS)


@pytest.mark.parametrize("workers", [1, 3])
def test_an_error_of_a_worker_ends_the_evaluation(model, workers):
    class Broken(Stored):
        def __getitem__(self, index):
            if index == 2:
                raise OSError("the disk is gone")
            return super().__getitem__(index)

    clips, labels = coloured_clips()
    with pytest.raises(OSError, match="the disk is gone"):
        evaluate(model, Broken(clips, labels, workers=workers), verbose=False)


# The shipped weights


@command_line  # a whole network: on the other backends, its layers prove the same
@pytest.mark.slow
def test_shipped_stream_answers_as_its_clip_network():
    pytest.importorskip("sklearn")
    from keras_video.applications import MoViNetA0
    from keras_video.datasets.moving_digits import CLASS_NAMES, MovingDigits

    data = MovingDigits("test", 48, batch_size=16, num_frames=8, size=(48, 48))
    options = {"class_names": CLASS_NAMES, "verbose": False}
    clip_model = MoViNetA0(weights="moving_digits", causal=True, classifier_activation="softmax")
    stream_model = MoViNetA0(weights="moving_digits", streaming=True)
    clips = evaluate(clip_model, data, **options)
    streams = evaluate(stream_model, data, "streaming", **options)
    assert streams.top1 == clips.top1 >= 0.95
    np.testing.assert_array_equal(streams.logits.argmax(-1), clips.logits.argmax(-1))
    np.testing.assert_allclose(softmax(streams.logits), softmax(clips.logits), atol=1e-3)
    assert streams.accuracy_after[1] < 0.5 < streams.accuracy_after[-1]  # motion takes time
