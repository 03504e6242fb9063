"""Plots of an evaluation: reasonable sizes, and colours in the right places."""

import numpy as np
import pytest

from keras_video.plotting.evaluation import plot_accuracy_over_frames, plot_confusion

pytest.importorskip("matplotlib")
Image = pytest.importorskip("PIL.Image")

DARKEST = (8, 48, 107)  # 100 % in matplotlib's "Blues"
EMPTY = (230, 230, 230)


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB")).astype(int)


def share(image, color):
    return float((np.abs(image - np.array(color)).max(axis=-1) < 4).mean())


def rightness(classes, part, seed=0):
    """Return a matrix of ten videos per class, of which `part` are right."""
    rng = np.random.default_rng(seed)
    matrix = np.zeros((classes, classes), int)
    for true in range(classes):
        matrix[true, true] = round(10 * part)
        for _ in range(10 - round(10 * part)):
            matrix[true, rng.integers(classes)] += 1
    return matrix


def names(count):
    return [f"doing_thing_number_{k}" for k in range(count)]


@pytest.mark.parametrize("classes", [2, 16, 60, 600])
def test_any_number_of_classes(tmp_path, classes):
    path = plot_confusion(
        rightness(classes, 0.8), names(classes), tmp_path / "new" / "a.png", title="top-1 80 %"
    )
    image = pixels(path)
    assert 300 < image.shape[0] < 2000 and 400 < image.shape[1] < 2400
    assert [file.name for file in (tmp_path / "new").iterdir()] == ["a.png"]


def test_rows_are_divided_by_their_sums(tmp_path):
    """A class of one video is as dark as one of a thousand; one without videos is grey."""
    frequent = plot_confusion(np.diag([1000, 1000, 1000]), names(3), tmp_path / "a.png")
    rare = plot_confusion(np.diag([1000, 1, 1000]), names(3), tmp_path / "b.png")
    missing = plot_confusion(np.diag([1000, 0, 1000]), names(3), tmp_path / "c.png")
    dark = [share(pixels(path), DARKEST) for path in (frequent, rare, missing)]
    assert dark[0] == pytest.approx(dark[1], rel=0.02) and dark[2] < 0.8 * dark[0]
    grey = [share(pixels(path), EMPTY) for path in (frequent, rare, missing)]
    assert grey[0] < 0.01 and grey[1] < 0.01 and grey[2] > 0.03


def test_truth_is_in_rows(tmp_path):
    """All videos are taken for the first class: one dark column at the left."""
    matrix = np.zeros((4, 4), int)
    matrix[:, 0] = 5
    image = pixels(plot_confusion(matrix, names(4), tmp_path / "a.png"))
    dark = np.abs(image - np.array(DARKEST)).max(axis=-1) < 4
    rows, columns = np.nonzero(dark[:, : image.shape[1] * 3 // 4])  # without the colour bar
    assert np.ptp(rows) > 3 * np.ptp(columns)


def test_counts_must_fit_the_names(tmp_path):
    for matrix in (np.zeros((2, 3)), np.zeros((4, 4)), -np.eye(3)):
        with pytest.raises(ValueError, match=r"matrix: expected counts of shape \(3, 3\)"):
            plot_confusion(matrix, names(3), tmp_path / "a.png")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps", [1, 8, 300])
def test_accuracy_over_frames(tmp_path, steps):
    seen = np.arange(1, steps + 1)
    path = plot_accuracy_over_frames(
        seen, 1 - 0.9 / seen, tmp_path / "a.png", chance=0.1, title="Digits"
    )
    image = pixels(path)
    assert share(image, (0, 114, 178)) > 0.0002 and max(image.shape) < 1500


def test_curves_must_have_a_point_for_each_step(tmp_path):
    for accuracy in ([0.5], []):
        with pytest.raises(ValueError, match="accuracy: expected an array"):
            plot_accuracy_over_frames([1, 2][: 2 * len(accuracy)], accuracy, tmp_path / "a.png")
