"""Operations on colors and coordinates, against Pillow, the standard library and Keras."""

import collections
import colorsys

import keras
import numpy as np
import pytest

from keras_video.data.augmentation import RandAugment, ops
from keras_video.data.augmentation.color import COLORS, ENHANCE, GEOMETRY, OPERATIONS


def natural_clip(seed=0, frames=3, size=(24, 30)):
    """A float32 clip that is smooth, colored, and differs from frame to frame."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: size[0], : size[1]] / 10
    waves = rng.uniform(0.5, 2, (frames, 3, 3)) + np.arange(frames)[:, None, None] / 4
    clip = [[np.sin(a * x + b * y + c) for a, b, c in frame] for frame in waves]
    clip = np.moveaxis(np.array(clip), 1, -1) * 80 + np.array([190, 110, 60])
    return np.clip(clip + rng.normal(0, 6, clip.shape), 0, 255).astype("uint8").astype("float32")


def pillow(clip):
    """The clip as one tall picture: statistics over all frames."""
    image = pytest.importorskip("PIL.Image")
    frames, height, width, _ = clip.shape
    return image.fromarray(clip.astype("uint8").reshape(frames * height, width, 3))


@pytest.mark.parametrize(
    ("operation", "enhancer"),
    [(ops.brightness, "Brightness"), (ops.contrast, "Contrast"), (ops.saturation, "Color")],
)
@pytest.mark.parametrize("factor", [0, 0.3, 1, 1.7])
def test_enhancements_are_those_of_pillow(operation, enhancer, factor):
    enhance = pytest.importorskip("PIL.ImageEnhance")
    clip = natural_clip()
    expected = np.asarray(getattr(enhance, enhancer)(pillow(clip)).enhance(factor))
    found = np.clip(operation(clip, factor), 0, 255)
    assert np.abs(found.reshape(expected.shape) - expected).max() <= 1.6  # Pillow rounds the grey


@pytest.mark.parametrize("factor", [0, 0.3, 1, 1.7])
def test_sharpness_is_that_of_pillow(factor):
    image = pytest.importorskip("PIL.Image")
    enhance = pytest.importorskip("PIL.ImageEnhance")
    clip = natural_clip()
    found = np.clip(ops.sharpness(clip, factor), 0, 255)
    for frame, result in zip(clip, found, strict=True):
        picture = image.fromarray(frame.astype("uint8"))
        expected = np.asarray(enhance.Sharpness(picture).enhance(factor), "float32")
        assert np.abs(result - expected).max() <= 1.6


def test_equalize_auto_contrast_posterize_and_solarize_are_those_of_pillow():
    image_ops = pytest.importorskip("PIL.ImageOps")
    clip = natural_clip() / 3 + 40  # a narrow histogram
    clip = np.floor(clip)
    picture = pillow(clip)
    for found, expected, tolerance in [
        (ops.equalize(clip), image_ops.equalize(picture), 0),
        (ops.auto_contrast(clip), image_ops.autocontrast(picture), 1),
        (ops.posterize(clip, 3), image_ops.posterize(picture, 3), 0),
        (ops.solarize(clip, 70), image_ops.solarize(picture, 70), 0),
    ]:
        expected = np.asarray(expected, "float32")
        assert np.abs(found.reshape(expected.shape) - expected).max() <= tolerance
        assert np.abs(expected - np.asarray(picture, "float32")).max() > 20
    clip[:, ::2] = clip.max()  # the most frequent value is the greatest
    expected = np.asarray(image_ops.equalize(pillow(clip)), "float32")
    np.testing.assert_array_equal(ops.equalize(clip).reshape(expected.shape), expected)


def test_flat_clips_stay_as_they_are():
    clip = np.full((2, 4, 4, 3), 77, "float32")
    for operation in (ops.equalize, ops.auto_contrast):
        np.testing.assert_array_equal(operation(clip), clip)
    np.testing.assert_allclose(ops.contrast(clip, 3), clip, rtol=1e-5)


@pytest.mark.parametrize("turn", [-0.5, -0.13, 0, 0.2, 0.5])
def test_hue_is_that_of_the_standard_library(turn):
    clip = natural_clip(size=(6, 7))
    clip[0, 0, :5] = [[0, 0, 0], [255, 255, 255], [9, 9, 9], [255, 0, 0], [0, 0, 255]]
    expected = np.empty_like(clip)
    for place in np.ndindex(*clip.shape[:3]):
        h, s, v = colorsys.rgb_to_hsv(*(clip[place] / 255))
        expected[place] = np.array(colorsys.hsv_to_rgb((h + turn) % 1, s, v)) * 255
    np.testing.assert_allclose(ops.hue(clip, turn), expected, atol=0.01)


@pytest.mark.parametrize(
    "operation",
    [
        lambda clip: ops.brightness(clip, 0.7),
        lambda clip: ops.contrast(clip, 1.6),
        lambda clip: ops.saturation(clip, 0.4),
        lambda clip: ops.hue(clip, 0.2),
        lambda clip: ops.posterize(clip, 3),
        lambda clip: ops.solarize(clip, 120),
        ops.auto_contrast,
        ops.equalize,
    ],
)
def test_a_colour_becomes_the_same_colour_in_every_frame(operation):
    """The same mapping in all frames, even if they differ in brightness: no flicker."""
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (12, 3)).astype("float32")
    palette = palette[np.argsort(palette.sum(1))]
    numbers = rng.integers(0, 8, (2, 10, 10)) + np.array([0, 4]).reshape(2, 1, 1)
    out = operation(palette[numbers])
    seen = 0
    for number in range(4, 8):
        of_first, of_second = out[0][numbers[0] == number], out[1][numbers[1] == number]
        seen += len(of_first) * len(of_second)
        np.testing.assert_array_equal(of_first, np.broadcast_to(of_second[0], of_first.shape))
        np.testing.assert_array_equal(of_second, np.broadcast_to(of_first[0], of_second.shape))
    assert seen > 100


def test_warp_by_whole_pixels_and_quarter_turns():
    clip = natural_clip().astype("uint8")
    moved = ops.warp(clip, np.array([[1, 0, 3], [0, 1, -2]]), fill=9)
    np.testing.assert_array_equal(moved[:, 2:, :-3], clip[:, :-2, 3:])
    assert (moved[:, :2] == 9).all() and (moved[:, :, -3:] == 9).all()
    square = clip[:, :20, :20]
    turned = ops.warp(square, np.array([[0, 1, 0], [-1, 0, 0]]), fill=0)
    np.testing.assert_array_equal(turned, np.rot90(square, -1, axes=(1, 2)))


@pytest.mark.parametrize("name", GEOMETRY)
@pytest.mark.parametrize("strength", [-1, 0.37])
def test_warp_is_that_of_keras(name, strength):
    clip = natural_clip(size=(25, 32))
    matrix = np.array(GEOMETRY[name](strength, clip.shape[1:3]), "float64")
    found = ops.warp(clip, matrix, fill=50)
    cx, cy = (32 - 1) / 2, (25 - 1) / 2
    (a, b, s), (c, d, t) = matrix
    corner = [a, b, s + cx - a * cx - b * cy, c, d, t + cy - c * cx - d * cy, 0, 0]
    expected = keras.ops.image.affine_transform(
        clip, np.tile(np.array(corner, "float32"), (len(clip), 1)), "bilinear", "constant", 50.0
    )
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(expected), atol=0.05)
    assert np.abs(found - clip).max() > 30


@pytest.mark.parametrize("name", sorted(set(OPERATIONS) - {"auto_contrast", "equalize"}))
def test_magnitude_zero_changes_nothing(name):
    clip = natural_clip().astype("uint8")
    clip[0, 0, :3] = [[0], [1], [255]]
    for sign in (1, -1):
        found = RandAugment(magnitude=0).apply(name, clip, sign)
        np.testing.assert_array_equal(found, clip)


def test_magnitude_ten_goes_as_far_as_the_paper():
    augment, clip = RandAugment(magnitude=10), natural_clip().astype("uint8")
    np.testing.assert_array_equal(augment.apply("solarize", clip), 255 - clip)
    np.testing.assert_array_equal(augment.apply("posterize", clip), clip & 0xF0)
    np.testing.assert_allclose(augment.apply("brightness", clip, -1), clip * 0.1, atol=0.51)
    bright = np.clip(clip * 1.9, 0, 255)
    np.testing.assert_allclose(augment.apply("brightness", clip), bright, atol=0.51)
    line = np.zeros((1, 331, 331, 3), "uint8")
    line[:, :, 165] = 255
    for sign, column in ((1, 15), (-1, 315)):
        found = RandAugment(magnitude=10, fill=0).apply("translate_x", line, sign)
        assert (found[0, :, column] == 255).all() and found.sum() == line.sum()
    sheared = RandAugment(magnitude=10, fill=0).apply("shear_x", line)
    assert sheared[0, 165 + 100, 165 - 30, 0] == 255 and sheared[0, 165 - 100, 165 + 30, 0] == 255
    turned = RandAugment(magnitude=10, fill=0).apply("rotate", line)
    # 30 degrees: the tip of the line, 150 pixels from the centre, is 75 pixels to the side.
    assert turned[0, 165 - 130, 165 - 77 : 165 + 78, 0].max() > 150
    assert abs(abs(int(turned[0, 165 - 130, :, 0].argmax()) - 165) - 75) <= 1


def test_all_fourteen_operations_come_up_alike(monkeypatch):
    names, signs = [], []

    def apply(self, name, clip, sign):
        names.append(name)
        signs.append(sign)
        return clip

    monkeypatch.setattr(RandAugment, "apply", apply)
    clip = np.zeros((1, 1, 1, 1, 3), "uint8")
    RandAugment(num_ops=2800)(clip, None, np.random.default_rng(0))
    counts = collections.Counter(names)
    assert len(counts) == 14 == len(COLORS) + len(ENHANCE) + len(GEOMETRY)
    assert 150 < min(counts.values()) and max(counts.values()) < 250
    assert set(signs) == {1, -1} and 0.45 < np.mean(np.array(signs) == 1) < 0.55
    RandAugment(num_ops=0)(clip, None, np.random.default_rng(0))
    assert len(names) == 2800
