"""Plots of an evaluation: the confusion matrix, and the accuracy over the frames seen."""

import numpy as np

from keras_video.plotting.figures import (
    COLORS,
    DASHED,
    DPI,
    TEXT,
    heading,
    import_figure,
    save_figure,
    shorten,
    tidy,
)

NAMED, NUMBERED = 80, 20  # most classes for which names and numbers have room
LONGEST_NAME = 26


def plot_confusion(matrix, class_names, path, title=None):
    """Plot a confusion matrix in percent: true classes in rows, predictions in columns.

    Rows are divided by their sums, so that rare classes look like frequent ones. Rows without
    videos are grey. The colour scale is a square root, which makes a few percent visible. Up to 20
    classes have numbers in the cells, and up to 80 have their names at the axes. With more classes,
    the most frequent confusions are listed by name to the right of the matrix.

    Args:
        matrix: int array `(classes, classes)`, number of videos by true class (row) and prediction
            (column).
        class_names: list of `classes` strings.
        path: string or path of the image, for example `"confusion.png"` (or `.svg`, `.pdf`). The
            file appears when it is complete.
        title: string above the plot.

    Returns:
        The path.

    Raises:
        ValueError: unless `matrix` holds counts for all pairs of classes.
    """
    Figure = import_figure()
    matrix = np.asarray(matrix)
    count = len(class_names)
    if matrix.shape != (count, count) or count == 0 or (matrix < 0).any():
        raise ValueError(
            f"matrix: expected counts of shape ({count}, {count}), a row and a column for each of "
            f"the class_names, got shape {matrix.shape} with a minimum of "
            f"{matrix.min() if matrix.size else 'none'}."
        )
    names = [shorten(str(name), LONGEST_NAME) for name in class_names]
    videos = matrix.sum(axis=1, keepdims=True)
    percent = 100 * np.divide(matrix, videos, where=videos > 0, out=np.full(matrix.shape, np.nan))

    named = count <= NAMED
    cell = 10.4 / max(count, NUMBERED) if count > 5 else 0.7
    font = float(np.clip(60 * cell, 5, 9.5))
    side = count * cell
    room = 0.25 + max(map(len, names)) * font * 0.0086 if named else 0.75
    left, bottom, top = room + 0.3, room + 0.35, 0.85 if title else 0.5
    right = 1.1 if named else 5.4
    width, height = max(left + side + right, 4.6), max(bottom + side + top, 3.0)
    figure = Figure(figsize=(width, height), dpi=DPI)

    def box(x, y, w, h):
        return figure.add_axes((x / width, y / height, w / width, h / height))

    axes = box(left, bottom, side, side)
    image = _draw_matrix(axes, percent)
    _draw_ticks(axes, names if named else None, count, font)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")
    if count <= NUMBERED:
        _draw_numbers(axes, percent, min(font, 8.5))
    bar = figure.colorbar(image, cax=box(left + side + 0.2, bottom, 0.16, side))
    ticks = [0, 2, 10, 25, 50, 100]
    bar.set_ticks(ticks, labels=[f"{tick} %" for tick in ticks])
    bar.ax.tick_params(labelsize=8.5)
    bar.outline.set_visible(False)
    if not named:
        _list_confusions(figure, matrix, names, (left + side + 1.25) / width, bottom, side, height)
    if title:
        figure.text(left / width, 1 - 0.36 / height, title, fontsize=12, weight="bold")
    subtitle = f"{count} classes, {int(matrix.sum())} videos, rows in percent"
    figure.text(left / width, 1 - (0.66 if title else 0.32) / height, subtitle, fontsize=9)
    return save_figure(figure, path)


def _draw_matrix(axes, percent):
    from matplotlib import colormaps
    from matplotlib.colors import PowerNorm

    colors = colormaps["Blues"].with_extremes(bad="#e6e6e6")
    norm = PowerNorm(0.5, vmin=0, vmax=100)
    image = axes.imshow(percent, cmap=colors, norm=norm, interpolation="nearest", aspect="equal")
    axes.spines[:].set_color("#999999")
    return image


def _draw_ticks(axes, names, count, font):
    """Show the names of all classes, or round numbers if there are too many."""
    if names is None:
        step = next(s for s in (20, 50, 100, 200, 500, 10**9) if count / s <= 12)
        places = np.arange(0, count, step)
        axes.set_xticks(places, places)
        axes.set_yticks(places, places)
        return
    axes.set_xticks(range(count), names, rotation=90, fontsize=font)
    axes.set_yticks(range(count), names, fontsize=font)
    axes.tick_params(length=2, pad=2)
    axes.set_xticks(np.arange(count - 1) + 0.5, minor=True)
    axes.set_yticks(np.arange(count - 1) + 0.5, minor=True)
    axes.grid(which="minor", color="white", linewidth=1.0 if count <= NUMBERED else 0.4)
    axes.tick_params(which="minor", length=0)


def _draw_numbers(axes, percent, font):
    for row, column in zip(*np.nonzero(np.nan_to_num(percent) > 0), strict=True):
        value = percent[row, column]
        text = f"{value:.0f}" if value >= 1 else "<1"
        color = "white" if value > 35 else TEXT
        axes.text(column, row, text, ha="center", va="center", fontsize=font, color=color)


def _list_confusions(figure, matrix, names, x, bottom, side, height, most=28):
    """List the most frequent wrong answers by name."""
    wrong = matrix * (1 - np.eye(len(matrix), dtype=matrix.dtype))
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    lines = []
    for row, column in zip(*np.unravel_index(order, matrix.shape), strict=True):
        if wrong[row, column]:
            share = f"{wrong[row, column]} of {matrix[row].sum()}"
            lines.append(f"{names[row]} ({row})\n    as {names[column]} ({column}): {share}")
    text = "Most frequent wrong answers\n\n" + ("\n".join(lines) or "none")
    figure.text(x, (bottom + side) / height, text, fontsize=8, va="top", linespacing=1.25)


def plot_accuracy_over_frames(frames_seen, accuracy, path, chance=None, title=None):
    """Plot the accuracy of a streaming model over the number of frames it has seen.

    Args:
        frames_seen: int array `(steps,)`, increasing.
        accuracy: float array `(steps,)` of values from 0 to 1.
        path: string or path of the image, for example `"accuracy_over_frames.png"`.
        chance: float from 0 to 1, the accuracy of guessing, drawn as a line.
        title: string above the plot.

    Returns:
        The path.

    Raises:
        ValueError: unless both arrays have the same length of at least 1.
    """
    Figure = import_figure()
    frames_seen, accuracy = np.asarray(frames_seen), np.asarray(accuracy, "float64")
    if frames_seen.ndim != 1 or frames_seen.shape != accuracy.shape or not len(accuracy):
        raise ValueError(
            f"accuracy: expected an array with a value for each of frames_seen, at least one, got "
            f"shapes {accuracy.shape} and {frames_seen.shape}."
        )
    figure = Figure(figsize=(7.2, 4.2), dpi=DPI, layout="constrained")
    axes = figure.add_subplot()
    marker = "o" if len(accuracy) <= 64 else None
    axes.plot(frames_seen, 100 * accuracy, color=COLORS[0], marker=marker, markersize=4)
    if chance is not None:
        axes.axhline(100 * chance, color="#888888", linewidth=1, linestyle=DASHED)
        axes.annotate(
            "chance", (0.995, 100 * chance), xycoords=("axes fraction", "data"),
            ha="right", va="bottom", fontsize=8.5, color="#666666",
        )  # fmt: skip
    axes.annotate(
        f"{100 * accuracy[-1]:.1f} %", (frames_seen[-1], 100 * accuracy[-1]), (0, -14),
        textcoords="offset points", ha="right", va="top", color=COLORS[0], weight="bold",
    )  # fmt: skip
    axes.set_ylim(0, 103)
    axes.set_xlim(0, frames_seen[-1] * 1.02)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_yticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    tidy(axes, "y", "#e4e4e4")
    axes.set_xlabel("frames seen")
    axes.set_ylabel("top-1 accuracy")
    heading(axes, title or "Accuracy of the stream's answer")
    return save_figure(figure, path)
