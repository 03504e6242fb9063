"""Crops and colors of `VideoReader.get`."""

import numpy as np
import pytest

from keras_video.data import VideoReader
from tests.data.numbered_videos import MATRIX, plain, scenes, turned, write_video

av = pytest.importorskip("av")


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
    """Flat patches: only the rounding of colors may differ."""
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
    with pytest.raises(ValueError, match="crop: expected"):
        reader.get([0], crop=crop)
    with pytest.raises(ValueError, match="resize_side: expected None if crop is a box"):
        reader.get([0], crop=(0, 0, 4, 4), resize_side=9)
