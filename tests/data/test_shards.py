"""TFRecord shards: writing and reading, compatibility with TensorFlow, and damaged files."""

import itertools
import os
import pickle
import struct

import numpy as np
import pytest

from keras_video.data import VideoError
from keras_video.data.augmentation import RandomFlip
from keras_video.data.dataset import find_files, read_shards
from keras_video.data.shards import find_records, write_shards

pytest.importorskip("av")
tf = pytest.importorskip("tensorflow")

KEYS = (
    {
        "clip/label/index": tf.io.VarLenFeature(tf.int64),
        "clip/label/text": tf.io.VarLenFeature(tf.string),
    },
    {"image/encoded": tf.io.FixedLenSequenceFeature((), tf.string)},
)


def video(number, frames=6, size=(32, 40)):
    """Gray frames whose brightness tells the number of the video and of the frame."""
    levels = 10 + 60 * (number % 4) + 8 * np.arange(frames)
    return np.tile(levels.astype("uint8").reshape(-1, 1, 1, 1), (1, *size, 3))


def smooth_video(frames=3, size=(48, 64)):
    """Colored gradients, which JPEG preserves well."""
    y, x = np.mgrid[: size[0], : size[1]]
    waves = [np.sin(x / 20 + k) + np.cos(y / 15 - k / 2) for k in range(frames)]
    clip = np.stack([np.stack([w, -w, w / 2], -1) for w in waves]) * 50 + 128
    return clip.astype("uint8")


def write(folder, count=11, num_shards=3, **options):
    samples = ((video(k), k) for k in range(count))
    return write_shards(folder, samples, num_shards, **options)


def labels_of(dataset):
    return np.concatenate([dataset[i][1] for i in range(len(dataset))]).tolist()


def by_tensorflow(path):
    """Parse a file as the official decoder does: list of (frames, labels, names)."""
    examples = []
    for record in tf.data.TFRecordDataset(str(path)):
        context, features = tf.io.parse_single_sequence_example(record, *KEYS)
        frames = np.stack([tf.io.decode_jpeg(x).numpy() for x in features["image/encoded"]])
        labels, names = (tf.sparse.to_dense(x).numpy().tolist() for x in context.values())
        examples.append((frames, labels, names))
    return examples


def plain_record(frames, labels, names=()):
    """A record made with TensorFlow alone."""

    def pictures(frame):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=[frame]))

    ints = tf.train.Feature(int64_list=tf.train.Int64List(value=labels))
    texts = tf.train.Feature(bytes_list=tf.train.BytesList(value=names))
    context = {"clip/label/index": ints, "clip/label/text": texts, "video/fps": ints}
    lists = {"image/encoded": tf.train.FeatureList(feature=map(pictures, frames))}
    return tf.train.SequenceExample(
        context=tf.train.Features(feature=context),
        feature_lists=tf.train.FeatureLists(feature_list=lists),
    ).SerializeToString()


def write_plain(path, *records):
    with tf.io.TFRecordWriter(str(path)) as file:
        for record in records:
            file.write(record)
    return [str(path)]


def jpeg(frame):
    return tf.io.encode_jpeg(frame, quality=95).numpy()


def test_written_and_read_again(tmp_path):
    paths = write(tmp_path / "new" / "folder", prefix="train")
    names = [f"train-0000{k}-of-00003.tfrecord" for k in range(3)]
    assert [p.rsplit("/")[-1] for p in paths] == names
    assert sorted(p.name for p in (tmp_path / "new" / "folder").iterdir()) == names
    dataset = read_shards(paths, 6, (32, 40), batch_size=4, training=False, workers=0)
    assert len(dataset) == 3 and dataset.num_videos == 11
    assert labels_of(dataset) == [0, 3, 6, 9, 1, 4, 7, 10, 2, 5, 8]
    for k in range(len(dataset)):
        clips, labels = dataset[k]
        assert clips.dtype == np.uint8 and labels.dtype == np.int32
        for clip, label in zip(clips, labels, strict=True):
            assert np.abs(clip.astype(int) - video(label)).max() <= 2
    with pytest.raises(IndexError):
        dataset[3]


def test_colours_survive(tmp_path):
    clip = smooth_video()
    paths = write_shards(tmp_path, [(clip, 0)], quality=98)
    (found,), _ = read_shards(paths, 3, clip.shape[1:3], training=False, workers=0)[0]
    assert np.abs(found.astype(int) - clip).max() <= 12
    assert np.abs(found.astype(int) - clip).mean() < 1.5
    assert clip.std((0, 1, 2)).min() > 20
    noise = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype="uint8")
    sizes = [
        os.path.getsize(*write_shards(tmp_path / f"{quality}", [(noise, 0)], quality=quality))
        for quality in (5, 50, 95)
    ]
    assert 4 * sizes[0] < 2 * sizes[1] < sizes[2]


def test_tensorflow_reads_ours_by_the_official_keys(tmp_path):
    clip, names = smooth_video(), ["walk", "jump", "läuft"]
    samples = [(clip, 2), (clip[:1], [0, 1])]
    (path,) = write_shards(tmp_path, samples, quality=95, class_names=names)
    first, second = by_tensorflow(path)
    assert first[1:] == ([2], ["läuft".encode()]) and second[1:] == ([0, 1], [b"walk", b"jump"])
    assert first[0].shape == clip.shape and second[0].shape == clip[:1].shape
    expected = [tf.io.decode_jpeg(tf.io.encode_jpeg(f, quality=95)).numpy() for f in clip]
    np.testing.assert_array_equal(first[0], expected)


def test_what_tensorflow_wrote_is_read(tmp_path):
    clip = smooth_video()
    pictures = [jpeg(frame) for frame in clip]
    files = write_plain(
        tmp_path / "plain", plain_record(pictures, [3], [b"x"]), plain_record(pictures[:2], [1])
    )
    dataset = read_shards(files, 3, clip.shape[1:3], training=False, workers=0)
    clips, labels = dataset[0]
    assert labels.tolist() == [3, 1]
    # JPEG stores colors at half the resolution. FFmpeg repeats them, TensorFlow on request.
    decoded = [tf.io.decode_jpeg(x, fancy_upscaling=False).numpy() for x in pictures]
    np.testing.assert_allclose(clips[0].astype(int), np.stack(decoded), atol=3)
    np.testing.assert_array_equal(clips[1, 2], clips[1, 0])  # two frames, repeated from the start


def test_clips_of_long_videos(tmp_path):
    paths = write_shards(tmp_path, [(video(0, 20), 0)])
    middle = read_shards(paths, 4, 32, step=2, training=False, workers=0)[0][0][0, :, 0, 0, 0]
    np.testing.assert_allclose(middle, 10 + 8 * np.array([6, 8, 10, 12]), atol=2)
    random = read_shards(paths, 4, 32, step=2, seed=1, workers=0)
    starts = set()
    for random.epoch in range(40):
        levels = np.rint((random[0][0][0, :, 0, 0, 0].astype(float) - 10) / 8)
        assert np.diff(levels).tolist() == [2, 2, 2]
        starts.add(int(levels[0]))
    assert min(starts) <= 1 and max(starts) >= 12 and len(starts) > 7


def test_frames_keep_their_aspect_ratio(tmp_path):
    wide = np.zeros((1, 32, 96, 3), "uint8")
    wide[:, :, 32:64] = 250
    paths = write_shards(tmp_path, [(wide, 0)])
    (clip,), _ = read_shards(paths, 1, 16, training=False, workers=0)[0]
    assert clip.shape == (1, 16, 16, 3) and clip.min() > 200


def test_short_videos(tmp_path):
    paths = write_shards(tmp_path, [(video(0, 3), 0)])
    for short, expected in (("repeat", [0, 1, 2, 0, 1]), ("pad", [0, 1, 2, 2, 2])):
        dataset = read_shards(paths, 5, 32, short=short, training=False, workers=0)
        levels = dataset[0][0][0, :, 0, 0, 0]
        np.testing.assert_allclose(levels, 10 + 8 * np.array(expected), atol=2)
    with pytest.raises(
        VideoError, match="clips-.*record at byte 0: frames: expected at least 5, .* got 3"
    ):
        read_shards(paths, 5, 32, short="error", workers=0)[0]


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("training", [False, True])
def test_shards_of_processes_are_disjoint_and_complete(tmp_path, count, training):
    paths = write(tmp_path)
    for epoch in (0, 1):
        found = []
        for index in range(count):
            dataset = read_shards(
                paths, 2, 32, batch_size=2, training=training, shard=(index, count), workers=0
            )
            dataset.epoch = epoch
            found.append(labels_of(dataset))
        assert sorted(itertools.chain(*found)) == list(range(11))
        assert max(map(len, found)) - min(map(len, found)) <= 1


def test_batches_of_all_processes_make_the_joint_batch(tmp_path):
    paths = write(tmp_path)
    joint = read_shards(paths, 2, 32, batch_size=4, seed=3, drop_remainder=True, workers=0)
    parts = [
        read_shards(
            *(paths, 2, 32), batch_size=2, seed=3, drop_remainder=True, shard=(i, 2), workers=0
        )
        for i in range(2)
    ]
    orders = set()
    for epoch in range(3):
        joint.epoch = parts[0].epoch = parts[1].epoch = epoch
        assert len(joint) == len(parts[0]) == len(parts[1]) == 2
        for b in range(2):
            clips, labels = joint[b]
            halves = [part[b] for part in parts]
            for i, (half, its_labels) in enumerate(halves):
                np.testing.assert_array_equal(its_labels, labels[i::2])
                np.testing.assert_array_equal(half, clips[i::2])
        orders.add(tuple(labels_of(joint)))
    assert len(orders) == 3


@pytest.mark.parametrize("options", [{"workers": 2}, {"workers": 1, "use_multiprocessing": True}])
def test_workers_make_the_same_batches(tmp_path, options):
    paths = write(tmp_path)
    augment = RandomFlip({0: 1, 1: 0})
    plain = read_shards(paths, 2, 32, batch_size=4, augment=augment, workers=0)
    dataset = read_shards(paths, 2, 32, batch_size=4, augment=augment, **options)
    for plain.epoch in range(2):
        dataset.epoch = plain.epoch
        for found, expected in zip(dataset, plain, strict=True):
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])
    dataset._prefetcher.close()


def test_as_tf_dataset(tmp_path):
    dataset = read_shards(write(tmp_path), 2, 32, batch_size=4)
    expected = labels_of(dataset)
    batches = list(dataset.as_tf_dataset())
    assert np.concatenate([labels for _, labels in batches]).tolist() == expected
    assert [clips.shape[0] for clips, _ in batches] == [4, 4, 3] and dataset.epoch == 1


def test_several_labels(tmp_path):
    paths = write_shards(tmp_path, [(video(0), [0, 2]), (video(1), 1)])
    _, labels = read_shards(paths, 2, 32, num_classes=4, training=False, workers=0)[0]
    assert labels.dtype == np.float32
    np.testing.assert_array_equal(labels, [[1, 0, 1, 0], [0, 1, 0, 0]])
    with pytest.raises(VideoError, match=r"record at byte 0: expected one label, got \[0, 2\]"):
        read_shards(paths, 2, 32, training=False, workers=0)[0]
    with pytest.raises(VideoError, match=r"labels: expected whole numbers from 0 to 1, .* got 2"):
        read_shards(paths, 2, 32, num_classes=2, training=False, workers=0)[0]


def test_fit_trains_on_shards(tmp_path):
    import keras

    layers = [keras.layers.Rescaling(1 / 255), keras.layers.GlobalAveragePooling3D()]
    model = keras.Sequential([*layers, keras.layers.Dense(11)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    dataset = read_shards(write(tmp_path), 2, 32, batch_size=4)
    history = model.fit(dataset, epochs=2, verbose=0)
    assert dataset.epoch >= 2
    assert np.isfinite(history.history["loss"]).all() and len(history.history["loss"]) == 2


def damage(path, place, value=None):
    """Change one byte of a file, or cut the file off there."""
    data = bytearray(open(path, "rb").read())
    if value is None:
        del data[place:]
    else:
        data[place] ^= value
    open(path, "wb").write(data)


@pytest.mark.parametrize("place", [-1, -5, 20, 12, 5])
def test_a_file_that_was_cut_short_is_refused_at_once(tmp_path, place):
    (path,) = write(tmp_path, num_shards=1)
    damage(path, place)
    with pytest.raises(VideoError, match="clips-00000-of-00001.tfrecord: record .* cut short"):
        read_shards([path], workers=0)


@pytest.mark.parametrize("at", [40, -1, -8])
def test_a_changed_byte_is_noticed(tmp_path, at):
    (path,) = write(tmp_path, 3, num_shards=1)
    place, end = find_records(path)[1:]
    damage(path, place + at if at > 0 else end + at, 1)
    dataset = read_shards([path], 2, 32, batch_size=1, training=False, workers=0)
    assert dataset[0][1].tolist() == [0] and dataset[2][1].tolist() == [2]
    with pytest.raises(VideoError, match=f"record at byte {place}: .*wrong checksum"):
        dataset[1]


def test_a_changed_length_is_noticed(tmp_path):
    (path,) = write(tmp_path, 3, num_shards=1)
    damage(path, 0, 1)
    with pytest.raises(VideoError, match="cut short|wrong checksum"):
        read_shards([path], 2, 32, workers=0)[0]


def test_other_files_are_refused(tmp_path):
    text = tmp_path / "notes.tfrecord"
    text.write_text("These are my notes about tensors and records.\n" * 20)
    with pytest.raises(VideoError, match="notes.tfrecord.* is not a TFRecord file"):
        read_shards([text], workers=0)
    empty = tmp_path / "empty.tfrecord"
    empty.touch()
    with pytest.raises(ValueError, match="expected at least 1 videos for 1 shards, got 0"):
        read_shards([empty], workers=0)
    with pytest.raises(FileNotFoundError):
        read_shards([tmp_path / "nothing"], workers=0)


GOOD = jpeg(video(0)[0])


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"no protocol buffer", "not a tf.train.SequenceExample"),
        (b"", "no frames under the key 'image/encoded'"),
        (plain_record([], [0]), "no frames under the key 'image/encoded'"),
        (plain_record([GOOD], []), "no label .* under the key 'clip/label/index'"),
        (plain_record([GOOD, b""], [0]), "frame 1 is not a single JPEG file"),
        (plain_record([b"\x89PNG\r\n"], [0]), "frame 0 is not a single JPEG file"),
        (plain_record([GOOD[:2] + GOOD[-2:]], [0]), "not a readable JPEG file"),
        (plain_record([GOOD[: len(GOOD) // 2]], [0]), "JPEG file that was cut short"),
        (plain_record([GOOD[:-2]], [0]), "JPEG file that was cut short"),
    ],
    ids="noise empty no-frames no-label empty-frame png hollow half end".split(),
)
def test_records_without_a_video_are_named(tmp_path, record, message):
    good = plain_record([GOOD], [0])
    files = write_plain(tmp_path / "mixed.tfrecord", good, record)
    place = len(good) + 16
    dataset = read_shards(files, 1, 32, batch_size=1, training=False, workers=0)
    assert dataset[0][1].tolist() == [0]
    with pytest.raises(VideoError, match=f"mixed.tfrecord, record at byte {place}: .*{message}"):
        dataset[1]


def test_pattern_finds_all_or_says_what_is_missing(tmp_path):
    paths = write(tmp_path, prefix="train") + write(tmp_path, num_shards=2, prefix="test")
    assert find_files(str(tmp_path / "train-*")) == paths[:3]
    assert find_files(tmp_path / "*") == sorted(paths)
    assert find_files(paths[:1]) == paths[:1]
    (tmp_path / "train-00001-of-00003.tfrecord").unlink()
    with pytest.raises(FileNotFoundError, match="1 of 3 shards are missing, .* number 00001"):
        read_shards(str(tmp_path / "*.tfrecord"))
    with pytest.raises(FileNotFoundError, match="No file matches"):
        read_shards(str(tmp_path / "valid*"))
    with pytest.raises(ValueError, match="pattern: expected at least one file"):
        read_shards([])


def test_nothing_is_left_of_a_failed_writing(tmp_path):
    def samples():
        yield video(0), 0
        raise RuntimeError("the disk with the videos is gone")

    with pytest.raises(RuntimeError, match="gone"):
        write_shards(tmp_path, samples(), 2)
    assert not list(tmp_path.iterdir())
    old = write(tmp_path, 2, num_shards=1)
    before = open(old[0], "rb").read()
    with pytest.raises(RuntimeError, match="gone"):
        write_shards(tmp_path, samples(), 1)
    assert [str(p) for p in tmp_path.iterdir()] == old and open(old[0], "rb").read() == before
    assert write(tmp_path, 3, num_shards=1) == old and len(find_records(old[0])) == 3


@pytest.mark.parametrize(
    ("samples", "options", "message"),
    [
        ([], {}, "samples: expected at least one"),
        ([video(0)[0]], {}, r"samples\[0\]: expected a pair"),
        ([(video(0), 0), (video(0)[0], 0)], {}, r"samples\[1\]: expected frames as a uint8 array"),
        ([(video(0).astype("float32"), 0)], {}, r"samples\[0\]: expected frames as a uint8 array"),
        ([(video(0), -1)], {}, r"samples\[0\], label: expected an int of at least 0, got -1"),
        ([(video(0), 0.5)], {}, r"samples\[0\], label: expected an int .* got 0.5"),
        ([(video(0), [])], {}, r"samples\[0\]: expected at least one label"),
        ([(video(0), 2)], {"class_names": ["a", "b"]}, "label: expected an int from 0 to 1, got 2"),
        ([(video(0), 0)], {"num_shards": 0}, "num_shards: expected"),
        ([(video(0), 0)], {"quality": 101}, "quality: expected"),
        ([(video(0), 0)], {"prefix": "a/b"}, "prefix: expected"),
    ],
)
def test_bad_samples_are_named(tmp_path, samples, options, message):
    with pytest.raises(ValueError, match=message):
        write_shards(tmp_path, samples, **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_frames": 0}, "num_frames: expected"),
        ({"image_size": (32, 0)}, "image_size: expected"),
        ({"batch_size": 0}, "batch_size: expected"),
        ({"step": 0}, "step: expected"),
        ({"short": "loop"}, "short: expected"),
        ({"num_classes": 0}, "num_classes: expected"),
        ({"augment": 3}, "augment: expected"),
        ({"seed": -1}, "seed: expected"),
        ({"shard": (2, 2)}, "shard: expected"),
        ({"shard": 1}, "shard: expected"),
        ({"shard": (0, 20)}, "at least 20 videos for 20 shards"),
        ({"batch_size": 12, "drop_remainder": True}, "at least 12 videos for 1 shards"),
        ({"workers": -1}, "workers: expected"),
        ({"augment": lambda c, y, r: (c, y), "use_multiprocessing": True}, "pickles it"),
    ],
)
def test_arguments_out_of_range_are_named(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        read_shards(write(tmp_path), **options)


def test_the_source_can_be_sent_to_a_process(tmp_path):
    dataset = read_shards(write(tmp_path), 2, 32, batch_size=3, workers=0)
    twin = pickle.loads(pickle.dumps(dataset._source))
    np.testing.assert_array_equal(twin.batch(4, 1)[0], dataset._source.batch(4, 1)[0])


def test_lengths_are_where_the_format_says(tmp_path):
    (path,) = write(tmp_path, 3, num_shards=1)
    data = open(path, "rb").read()
    places, place = [], 0
    while place < len(data):
        places.append(place)
        place += 16 + struct.unpack("<Q", data[place : place + 8])[0]
    assert find_records(path) == places and len(places) == 3
