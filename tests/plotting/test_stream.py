"""The plot of a stream: its file is complete, and the colours are in the right places."""

import sys

import numpy as np
import pytest

from keras_video.plotting.figures import COLORS
from keras_video.plotting.stream import plot_stream

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

LABELS = [f"class_{k}" for k in range(16)]


def example(steps=60, height=40, width=40):
    """Return red frames, and the probabilities of class 3, then class 5."""
    frames = np.zeros((steps, height, width, 3), "uint8")
    frames[..., 0] = 250
    probabilities = np.full((steps, 16), 0.01, "float32")
    probabilities[: steps // 2, 3] = 0.9
    probabilities[steps // 2 :, 5] = 0.9
    return frames, probabilities


def count_color(pixels, color):
    rgb = [int(color[k : k + 2], 16) for k in (1, 3, 5)]
    return int((np.abs(pixels - np.array(rgb)).max(axis=-1) < 8).sum())


def test_picture_has_frames_above_and_coloured_classes_below(tmp_path):
    frames, probabilities = example()
    path = plot_stream(
        frames, probabilities, LABELS, tmp_path / "new" / "a.png",
        boundaries=[30], truth=[3, "class_5"], frame_rate=12, title="Two motions",
    )  # fmt: skip
    pixels = np.asarray(Image.open(path).convert("RGB")).astype(int)
    half = pixels.shape[0] * 2 // 5
    assert count_color(pixels[:half], "#fa0000") > 50_000
    assert count_color(pixels[half:], "#fa0000") == 0
    middle = pixels.shape[1] * 2 // 5
    assert count_color(pixels[:, :middle], COLORS[0]) > 4 * count_color(
        pixels[:, middle:], COLORS[0]
    )
    assert count_color(pixels[:, middle:], COLORS[1]) > 4 * count_color(
        pixels[:, :middle], COLORS[1]
    )
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.png"]
    assert (
        "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()
    )


@pytest.mark.parametrize("steps, height, width", [(1, 40, 40), (3, 90, 160), (200, 160, 90)])
def test_any_shape_and_length(tmp_path, steps, height, width):
    frames, probabilities = example(steps, height, width)
    path = plot_stream(frames[:5], probabilities, LABELS, tmp_path / "a.png")
    assert max(Image.open(path).size) < 2000


def test_vector_format(tmp_path):
    path = plot_stream(*example(), LABELS, tmp_path / "a.svg")
    assert "<svg" in open(path).read()


def test_errors_leave_nothing_behind(tmp_path):
    frames, probabilities = example()
    path = tmp_path / "a.png"
    with pytest.raises(ValueError, match="column for each label"):
        plot_stream(frames, probabilities, LABELS[:3], path)
    with pytest.raises(ValueError, match="at least one frame"):
        plot_stream([], probabilities, LABELS, path)
    with pytest.raises(ValueError, match="2 parts"):
        plot_stream(frames, probabilities, LABELS, path, boundaries=[30], truth=[1])
    with pytest.raises(ValueError, match="[Ff]ormat"):
        plot_stream(frames, probabilities, LABELS, tmp_path / "a.nonsense")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"\.\[plot\]"):
        plot_stream(*example(), LABELS, tmp_path / "a.png")
