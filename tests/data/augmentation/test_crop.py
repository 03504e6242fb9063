"""Random crops: boxes against the rules of the papers, pixels against the resize of Keras."""

import collections
import math

import keras
import numpy as np
import pytest

from keras_video.data.augmentation import MultiScaleCrop, RandomResizedCrop
from keras_video.data.augmentation.ops import resize


def draw(crop, size, count, seed=0):
    """`(count, 4)` boxes: top, left, height, width."""
    rng = np.random.default_rng(seed)
    return np.array([crop.draw_box(*size, rng) for _ in range(count)])


def distance_to_uniform(values, low, high):
    """Return the Kolmogorov-Smirnov distance of the values to the uniform distribution."""
    values = np.sort((values - low) / (high - low))
    grid = np.arange(len(values)) / len(values)
    return max(np.abs(values - grid).max(), np.abs(values - grid - 1 / len(values)).max())


def test_area_and_aspect_have_the_promised_distributions():
    """Where every box fits: uniform area, uniform logarithm of the aspect, uniform place."""
    size, count = (1000, 1000), 4000
    boxes = draw(RandomResizedCrop(8, area=(0.1, 0.4), aspect=(0.5, 2)), size, count)
    top, left, height, width = boxes.T
    limit = 1.63 / math.sqrt(count)  # 1 % of uniform samples exceed it
    assert distance_to_uniform(height * width / 1e6, 0.1, 0.4) < limit
    assert distance_to_uniform(np.log(width / height), math.log(0.5), math.log(2)) < limit
    assert distance_to_uniform(top / (1000 - height), 0, 1) < limit
    assert distance_to_uniform(left / (1000 - width), 0, 1) < limit
    # Control: the test would notice a uniform aspect ratio.
    assert distance_to_uniform(width / height, 0.5, 2) > 2 * limit


@pytest.mark.parametrize("size", [(240, 320), (37, 5), (1, 1), (2, 300)])
def test_boxes_lie_in_the_frame(size):
    for crop in (RandomResizedCrop(8), RandomResizedCrop(8, (1, 1), (3, 4)), MultiScaleCrop(8)):
        top, left, height, width = draw(crop, size, 500).T
        assert top.min() >= 0 and left.min() >= 0 and height.min() >= 1 and width.min() >= 1
        assert (top + height).max() <= size[0] and (left + width).max() <= size[1]


def test_boxes_reach_every_edge():
    """Boxes of 5 x 5 in 8 x 8 pixels have four places along each side."""
    top, left, height, width = draw(RandomResizedCrop(8, (0.39, 0.39), (1, 1)), (8, 8), 200).T
    assert set(height) == set(width) == {5}
    assert set(top) == set(left) == {0, 1, 2, 3}


def test_areas_and_aspects_stay_in_range():
    _, _, height, width = draw(RandomResizedCrop(8), (480, 640), 2000).T
    area, aspect = height * width / (480 * 640), width / height
    assert 0.079 < area.min() < 0.1 and 0.9 < area.max() <= 1
    assert 0.49 < aspect.min() < 0.53 and 1.9 < aspect.max() < 2.02


def test_the_largest_central_box_where_none_fits():
    assert RandomResizedCrop(8, (1, 1), (4, 4)).draw_box(90, 100, np.random.default_rng(0)) == (
        *(32, 0, 25, 100),
    )
    assert RandomResizedCrop(8, (1, 1), (0.25, 0.25)).draw_box(
        100, 90, np.random.default_rng(0)
    ) == (0, 32, 100, 25)


def test_multi_scale_crop_has_ten_pairs_of_sides():
    """The short side of 256 times 1, 0.875, 0.75 and 0.66; at most one step apart."""
    a, b, c, d = 256, 224, 192, 168
    expected = {(a, a), (a, b), (b, a), (b, b), (b, c), (c, b), (c, c), (c, d), (d, c), (d, d)}
    sizes = MultiScaleCrop(224).sizes(256, 340)
    assert len(sizes) == 10 and set(sizes) == expected
    assert set(MultiScaleCrop(224).sizes(340, 256)) == expected


def test_multi_scale_crop_lies_at_thirteen_places():
    height, width = 256, 340
    boxes = collections.Counter(map(tuple, draw(MultiScaleCrop(224), (height, width), 26000)))
    expected = set()
    for tall, wide in MultiScaleCrop(224).sizes(height, width):
        y, x = (height - tall) // 4, (width - wide) // 4
        places = [
            # upper left, upper right, lower left, lower right, centre
            *((0, 0), (0, 4 * x), (4 * y, 0), (4 * y, 4 * x), (2 * y, 2 * x)),
            # middle of the left, right, lower and upper edge
            *((2 * y, 0), (2 * y, 4 * x), (4 * y, 2 * x), (0, 2 * x)),
            # centres of the quadrants
            *((y, x), (y, 3 * x), (3 * y, x), (3 * y, 3 * x)),
        ]
        assert len(places) == 13
        expected |= {(*place, tall, wide) for place in places}
    assert set(boxes) == expected
    # Crops as tall as the frame have fewer places, each counted as often as it is listed.
    small = [n for box, n in boxes.items() if box[2] < height]
    assert 130 < min(small) and max(small) < 280  # 200 expected


@pytest.mark.parametrize("crop", [RandomResizedCrop((30, 20)), MultiScaleCrop((30, 20))])
def test_pixels_are_those_of_the_box_resized(crop):
    clips = np.random.default_rng(0).integers(0, 256, (3, 2, 45, 61, 3), dtype="uint8")
    out, _ = crop(clips, None, np.random.default_rng(1))
    rng = np.random.default_rng(1)
    for clip, found in zip(clips, out, strict=True):
        top, left, height, width = crop.draw_box(45, 61, rng)
        box = clip[:, top : top + height, left : left + width].astype("float32")
        expected = keras.ops.image.resize(box, (30, 20), "bilinear", antialias=False)
        np.testing.assert_allclose(found, keras.ops.convert_to_numpy(expected), atol=0.51)


@pytest.mark.parametrize("size", [(7, 90), (45, 61), (90, 122), (1, 1)])
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_resize_is_that_of_keras(size, dtype):
    frames = np.random.default_rng(0).integers(0, 256, (2, 45, 61, 3)).astype(dtype)
    found = resize(frames, size)
    expected = keras.ops.image.resize(frames.astype("float32"), size, "bilinear", antialias=False)
    tolerance = 0.51 if dtype == "uint8" else 1e-3
    np.testing.assert_allclose(found, keras.ops.convert_to_numpy(expected), atol=tolerance)
    assert found.dtype == dtype
