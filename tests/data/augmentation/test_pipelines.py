"""Properties of all augmentations, and what each does to pixels and labels."""

import colorsys
import concurrent.futures
import multiprocessing
import pickle

import numpy as np
import pytest

from keras_video.data.augmentation import (
    Augmentation,
    ColorJitter,
    Compose,
    CutMix,
    MixUp,
    MultiScaleCrop,
    RandAugment,
    RandomErasing,
    RandomFlip,
    RandomResizedCrop,
)

AUGMENTATIONS = [
    RandomResizedCrop((24, 20)),
    MultiScaleCrop(24),
    RandomFlip({0: 1, 1: 0}),
    ColorJitter(0.4, 0.4, 0.4, 0.2),
    ColorJitter(hue=0.5),
    RandAugment(3, 7),
    RandomErasing(0.9),
    RandomErasing(0.9, fill=7),
    MixUp(1.0, num_classes=5),
    CutMix(num_classes=5),
    Compose([RandomResizedCrop(24), RandomFlip(), RandAugment(), CutMix(num_classes=5)]),
]
every_augmentation = pytest.mark.parametrize("augment", AUGMENTATIONS, ids=repr)


def still_clips(batch=6, frames=4, dtype="uint8", seed=0):
    """Clips of noise whose frames are all the same, and their labels."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (batch, 1, 32, 40, 3)).astype(dtype)
    return images.repeat(frames, axis=1), np.arange(batch) % 5


def constant_clips(values, frames=2, size=(20, 30)):
    """Clips of a single gray value each."""
    values = np.asarray(values, "uint8").reshape(-1, 1, 1, 1, 1)
    return np.tile(values, (1, frames, *size, 3))


@every_augmentation
def test_all_frames_of_a_clip_are_treated_alike(augment):
    clips, labels = still_clips()
    out, _ = augment(clips, labels, np.random.default_rng(1))
    assert out.shape[:2] == clips.shape[:2]
    assert (out == out[:, :1]).all()
    # Control: with separate frames, the test fails.
    frames = clips.reshape(-1, 1, *clips.shape[2:])
    out, _ = augment(frames, labels.repeat(clips.shape[1]), np.random.default_rng(1))
    out = out.reshape(*clips.shape[:2], *out.shape[2:])
    assert (out != out[:, :1]).any()


@every_augmentation
def test_every_clip_has_parameters_of_its_own(augment):
    clips, labels = still_clips(2)
    out, _ = augment(clips.repeat(8, axis=0), labels.repeat(8), np.random.default_rng(1))
    assert len(np.unique(out.reshape(16, -1), axis=0)) > 2


@every_augmentation
def test_equal_generators_give_equal_clips(augment):
    clips, labels = still_clips()
    before = clips.copy()
    first = augment(clips, labels, np.random.default_rng(5))
    again = augment(clips, labels, np.random.default_rng(5))
    other = augment(clips, labels, np.random.default_rng(6))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()
    np.testing.assert_array_equal(clips, before)
    assert not np.shares_memory(first[0], clips)


@every_augmentation
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_dtype_and_range_are_kept(augment, dtype):
    clips, labels = still_clips(dtype=dtype)
    clips[:3] = clips[:3] // 128 * 255  # the extremes
    for seed in range(4):
        out, _ = augment(clips, labels, np.random.default_rng(seed))
        assert out.dtype == ("float32" if isinstance(augment, MixUp) else dtype)
        assert out.min() >= 0 and out.max() <= 255
        assert np.isfinite(out).all()


@every_augmentation
def test_floats_and_integers_agree(augment):
    clips, labels = still_clips()
    out, _ = augment(clips, labels, np.random.default_rng(3))
    floats, _ = augment(clips.astype("float32"), labels, np.random.default_rng(3))
    if isinstance(augment, (RandAugment, ColorJitter, Compose)):
        # Solarize and equalize may amplify the rounding in a few pixels.
        assert np.mean(np.abs(out.astype("float32") - floats) > 2) < 0.02
    else:
        np.testing.assert_allclose(out.astype("float32"), floats, atol=0.51)


@every_augmentation
def test_pickled_it_does_the_same(augment):
    clips, labels = still_clips()
    twin = pickle.loads(pickle.dumps(augment))
    expected = augment(clips, labels, np.random.default_rng(2))
    found = twin(clips, labels, np.random.default_rng(2))
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


def test_worker_processes_make_the_same_clips():
    augment, (clips, labels) = AUGMENTATIONS[-1], still_clips()
    expected = augment(clips, labels, np.random.default_rng(2))
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        found = pool.submit(augment, clips, labels, np.random.default_rng(2)).result(120)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[1])


@pytest.mark.parametrize(
    "clips",
    [
        np.zeros((2, 8, 8, 3), "uint8"),
        np.zeros((2, 4, 8, 8, 1), "uint8"),
        np.zeros((2, 4, 8, 8, 3), "int32"),
        np.zeros((0, 4, 8, 8, 3), "uint8"),
        [[1]],
    ],
    ids=["one clip", "grey", "int32", "empty", "list"],
)
def test_other_arrays_are_refused(clips):
    for augment in AUGMENTATIONS:
        with pytest.raises(ValueError, match="clips: expected a NumPy array"):
            augment(clips, np.zeros(2, int), np.random.default_rng(0))


def test_other_generators_are_refused():
    clips, labels = still_clips()
    for augment in AUGMENTATIONS:
        with pytest.raises(ValueError, match="rng: expected a numpy.random.Generator"):
            augment(clips, labels, np.random.RandomState(0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: RandomResizedCrop(None), "size: expected"),
        (lambda: RandomResizedCrop(0), "size: expected"),
        (lambda: RandomResizedCrop(8, area=(0, 1)), "area: expected"),
        (lambda: RandomResizedCrop(8, area=(0.5, 1.1)), "area: expected"),
        (lambda: RandomResizedCrop(8, area=0.5), "area: expected"),
        (lambda: RandomResizedCrop(8, aspect=(2, 0.5)), "aspect: expected"),
        (lambda: RandomResizedCrop(8, aspect=(0.5, float("inf"))), "aspect: expected"),
        (lambda: MultiScaleCrop(8, scales=()), "scales: expected"),
        (lambda: MultiScaleCrop(8, scales=(0.5, 1)), "scales: expected"),
        (lambda: MultiScaleCrop(8, scales=(1.5, 1)), "scales: expected"),
        (lambda: RandomFlip(probability=1.5), "probability: expected"),
        (lambda: RandomFlip({0: 1}), "label_map: expected 1 -> 0, .* got 1 -> 1"),
        (lambda: RandomFlip([1, 2, 0]), "label_map: expected 1 -> 0, .* got 1 -> 2"),
        (
            lambda: RandomFlip({"left": "right"}),
            "label_map: expected an int of at least 0, got 'left",
        ),
        (lambda: RandomFlip(3), "label_map: expected a dict or list of ints"),
        (lambda: ColorJitter(brightness=-1), "brightness: expected"),
        (lambda: ColorJitter(hue=0.6), "hue: expected a finite number from 0 to 0.5"),
        (lambda: ColorJitter(saturation=(0.5, 1.5)), "saturation: expected"),
        (lambda: RandAugment(-1), "num_ops: expected"),
        (lambda: RandAugment(2, 11), "magnitude: expected"),
        (lambda: RandAugment(2, 9, fill=300), "fill: expected"),
        (lambda: RandomErasing(probability=-0.1), "probability: expected"),
        (lambda: RandomErasing(area=(0.1, 2)), "area: expected"),
        (lambda: RandomErasing(fill=-1), "fill: expected"),
        (lambda: MixUp(0), "alpha: expected"),
        (lambda: CutMix("much"), "alpha: expected"),
        (lambda: MixUp(1, num_classes=0), "num_classes: expected"),
        (lambda: Compose([RandomFlip]), "augmentations: expected functions"),
        (lambda: Compose([3]), "augmentations: expected functions"),
    ],
)
def test_arguments_out_of_range_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class Recorder(Augmentation):
    """Adds one and stores its arguments."""

    def __call__(self, clips, labels, rng):
        self.seen = clips.copy(), labels, rng
        return clips + 1, labels + 1


def test_compose_hands_on_clips_labels_and_generator():
    clips, labels = constant_clips([1, 2]), np.array([0, 1])
    first, second, rng = Recorder(), Recorder(), np.random.default_rng(0)
    out, new = Compose([first, second])(clips, labels, rng)
    assert (out == clips + 2).all() and (new == labels + 2).all()
    assert (second.seen[0] == clips + 1).all() and second.seen[2] is first.seen[2] is rng


def test_flip_mirrors_and_maps_the_labels_of_exactly_the_mirrored():
    clips, _ = still_clips(200, 2)
    labels = np.arange(200) % 4
    out, new = RandomFlip({1: 3, 3: 1})(clips, labels, np.random.default_rng(0))
    flipped = (out == clips[:, :, :, ::-1]).all((1, 2, 3, 4))
    kept = (out == clips).all((1, 2, 3, 4))
    assert (flipped != kept).all() and 70 < flipped.sum() < 130
    expected = np.where(flipped, np.array([0, 3, 2, 1])[labels], labels)
    np.testing.assert_array_equal(new, expected)
    assert new.dtype == labels.dtype and (new != labels).any()
    # One-hot and mixed labels move in the same way; a map may also be a sequence.
    hot = np.eye(4, dtype="float32")[labels] * 0.75 + 0.0625
    _, new = RandomFlip([0, 3, 2, 1])(clips, hot, np.random.default_rng(0))
    np.testing.assert_array_equal(new, np.eye(4, dtype="float32")[expected] * 0.75 + 0.0625)


@pytest.mark.parametrize("probability", [0, 1])
def test_flip_always_or_never(probability):
    clips, labels = still_clips()
    out, new = RandomFlip(probability=probability)(clips, None, np.random.default_rng(0))
    np.testing.assert_array_equal(out, clips[:, :, :, ::-1] if probability else clips)
    assert new is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "labels: expected ints"),
        (np.zeros(6), "labels: expected ints"),
        (np.zeros(5, int), "labels: expected ints"),
        (np.zeros((6, 2)), "labels: expected at least 5 columns, .* got 2"),
    ],
)
def test_flip_refuses_labels_it_cannot_map(labels, message):
    clips, _ = still_clips()
    with pytest.raises(ValueError, match=message):
        RandomFlip({3: 4, 4: 3})(clips, labels, np.random.default_rng(0))


@pytest.mark.parametrize("one_hot", [False, True])
def test_mixup_labels_are_the_proportion_of_pixels(one_hot):
    values = np.arange(25) * 10
    labels = np.eye(25)[np.arange(25)] if one_hot else np.arange(25)
    clips, mixed = MixUp(1.0, None if one_hot else 25)(
        constant_clips(values), labels, np.random.default_rng(0)
    )
    assert clips.dtype == mixed.dtype == np.float32 and mixed.shape == (25, 25)
    np.testing.assert_allclose(mixed.sum(1), 1, rtol=1e-6)
    np.testing.assert_allclose(clips[:, 0, 0, 0, 0], mixed @ values, rtol=1e-5, atol=1e-4)
    assert np.ptp(clips, axis=(1, 2, 3, 4)).max() == 0
    assert ((mixed > 0).sum(1) == 2).sum() > 15  # two classes, but where a clip met itself


@pytest.mark.parametrize(
    ("alpha", "middle"), [(0.1, (0.05, 0.25)), (1, (0.4, 0.6)), (8, (0.85, 1))]
)
def test_mixup_alpha(alpha, middle):
    """A small alpha rarely gives weights in the middle half, a large one mostly."""
    clips = constant_clips(np.zeros(2000), 1, (1, 1))
    _, labels = MixUp(alpha)(clips, np.eye(2000, dtype="float32"), np.random.default_rng(0))
    share = labels.diagonal()
    assert middle[0] <= np.mean((share > 0.25) & (share < 0.75)) <= middle[1]


def test_cutmix_labels_are_the_proportion_of_pixels():
    count = 200
    clips = constant_clips(np.arange(count) + 1)
    out, labels = CutMix(num_classes=count)(clips, np.arange(count), np.random.default_rng(0))
    assert out.dtype == np.uint8
    for clip, label in zip(out, labels, strict=True):
        found = np.bincount(clip.ravel(), minlength=count + 1)[1 : count + 1]
        np.testing.assert_allclose(label, found / clip.size, atol=1e-6)
    shares = labels.diagonal()
    assert 0.05 < np.mean(shares < 0.4) and 0.2 < np.mean(shares > 0.8)


def test_cutmix_pastes_the_same_place_of_the_other_clip():
    clips, labels = still_clips(60)
    out, _ = CutMix(num_classes=5)(clips, labels, np.random.default_rng(0))
    pasted, everywhere = 0, np.zeros(clips.shape[2:4], bool)
    for own, clip in zip(clips, out, strict=True):
        other = next(c for c in clips if ((clip == c) | (clip == own)).all())
        changed = (clip != own).any((0, 3))
        rows, columns = changed.any(1), changed.any(0)
        pasted += changed.any()
        everywhere |= changed
        box = clip[:, rows][:, :, columns]
        np.testing.assert_array_equal(box, other[:, rows][:, :, columns])
        assert (np.diff(np.flatnonzero(rows)) == 1).all()
    assert pasted >= 40 and everywhere.all()


@pytest.mark.parametrize("mix", [MixUp, CutMix])
@pytest.mark.parametrize(
    ("classes", "labels", "message"),
    [
        (None, np.zeros(4, int), "num_classes: expected an int"),
        (3, np.array([0, 1, 2, 3]), "labels: expected whole numbers from 0 to 2, .* got 3"),
        (3, np.array([0, 1, 2, -1]), "labels: expected whole numbers from 0 to 2, .* got -1"),
        (3, np.zeros((4, 2)), r"numbers \(batch, 3\)"),
        (3, np.zeros(4), r"numbers \(batch, 3\)"),
        (None, np.zeros((3, 2)), r"numbers \(batch, classes\)"),
        (3, None, r"numbers \(batch, 3\)"),
    ],
)
def test_mixing_refuses_labels_it_cannot_mix(mix, classes, labels, message):
    with pytest.raises(ValueError, match=message):
        mix(num_classes=classes)(constant_clips(range(4)), labels, np.random.default_rng(0))


def test_erasing_hides_one_box_of_the_asked_size():
    clips = constant_clips(np.full(300, 90), 2, (60, 80))
    out, _ = RandomErasing(0.6, area=(0.1, 0.2), aspect=(0.5, 2), fill=7)(
        clips, None, np.random.default_rng(0)
    )
    erased = 0
    for clip in out:
        hidden = (clip == 7).all((0, 3))
        np.testing.assert_array_equal(clip[:, ~hidden], 90)
        if hidden.any():
            rows, columns = hidden.any(1).sum(), hidden.any(0).sum()
            assert hidden.sum() == rows * columns
            assert 0.095 < hidden.mean() < 0.21 and 0.47 < columns / rows < 2.12
            erased += 1
    assert 150 < erased < 210


def test_erasing_with_noise():
    clips = constant_clips([0], 3, (60, 80))
    out, _ = RandomErasing(1, area=(0.5, 0.5))(clips, None, np.random.default_rng(0))
    noise = out[0, 0][(out[0, 0] > 0).any(-1)]
    assert 110 < noise.mean() < 145 and noise.std() > 60


def test_jitter_draws_every_strength():
    """Brightness alone, then saturation, then hue, measured on clips of one color."""
    rng = np.random.default_rng(0)
    colour = np.array([100, 60, 20], "float32")
    clips = np.tile(colour, (400, 1, 2, 2, 1))
    out = ColorJitter(brightness=0.5)(clips, None, rng)[0][:, 0, 0, 0]
    factors = out[:, 0] / 100
    np.testing.assert_allclose(out, factors[:, None] * colour, rtol=1e-4)
    assert factors.min() < 0.52 and factors.max() > 1.48 and 0.45 < np.mean(factors < 1) < 0.55
    out = ColorJitter(hue=0.1)(clips, None, rng)[0][:, 0, 0, 0]
    hues = np.array([colorsys.rgb_to_hsv(*(c / 255)) for c in out])
    h, s, v = colorsys.rgb_to_hsv(*(colour / 255))
    turns = (hues[:, 0] - h + 0.5) % 1 - 0.5
    assert -0.1001 <= turns.min() < -0.095 and 0.095 < turns.max() <= 0.1001
    np.testing.assert_allclose(hues[:, 1:], np.tile([s, v], (400, 1)), rtol=1e-4)
    out = ColorJitter(saturation=1)(clips, None, rng)[0][:, 0, 0, 0]
    grey = colour @ np.array([0.299, 0.587, 0.114])
    factors = (out[:, 1] - grey) / (colour[1] - grey)
    assert factors.min() < 0.02 and factors.max() > 1.5
    np.testing.assert_allclose(ColorJitter()(clips, None, rng)[0], clips)
