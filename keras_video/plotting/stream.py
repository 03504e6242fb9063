"""A plot of a stream: frames of the video, and the probabilities of the classes over time."""

import numpy as np

from keras_video.plotting.figures import (
    COLORS,
    DASHED,
    GREY,
    PALE,
    import_figure,
    save_figure,
    shorten,
    tidy,
)

WIDTH, STRIP_WIDTH, PLOT_HEIGHT = 12.0, 9.3, 3.0  # inches
DPI = 110
MOST_GREY = 50  # lines of other classes


def plot_stream(
    frames, probabilities, labels, path, boundaries=None, truth=None, frame_rate=None, title=None
):
    """Plot frames of a video and, below them on the same time axis, the predictions of a model.

    Classes in `truth` and those with the highest peaks are coloured and named. The others are thin
    grey lines.

    Args:
        frames: uint8 array or list of frames `(height, width, 3)`, evenly spread over the video.
            Ten of them are shown.
        probabilities: array `(steps, classes)` of values from 0 to 1, one row per time step.
        labels: list of the `classes` names.
        path: string or path of the image, for example `"stream.png"` (or `.svg`, `.pdf`). The file
            appears when it is complete.
        boundaries: list of steps at which a new part begins, drawn as vertical lines.
        truth: list of the true classes (ints or names), one for each part between the
            `boundaries`.
        frame_rate: float, steps per second. If given, the time axis shows seconds.
        title: string above the plot.

    Returns:
        The path.

    Raises:
        ValueError: if the shapes do not match, or the file format is unknown.
    """
    Figure = import_figure()
    probabilities = np.asarray(probabilities, "float32")
    labels = [str(label) for label in labels]
    expected = (max(1, len(probabilities)), len(labels))
    if len(frames) == 0:
        raise ValueError("frames: expected at least one frame, got none.")
    if probabilities.shape != expected:
        raise ValueError(
            f"probabilities: expected shape (steps, {len(labels)}) with a column for each label, "
            f"got {probabilities.shape}."
        )
    scale = 1 / frame_rate if frame_rate else 1
    end = len(probabilities) * scale
    edges = [0.0, *(scale * edge for edge in (boundaries or ())), end]
    truth = [labels.index(t) if isinstance(t, str) else int(t) for t in truth or ()]
    if truth and len(truth) != len(edges) - 1:
        raise ValueError(
            f"truth: expected one class for each of the {len(edges) - 1} parts between the "
            f"boundaries, got {len(truth)}."
        )
    colors = _choose_colors(probabilities, truth)

    strip = _film_strip(frames)
    strip_height = min(3.0, STRIP_WIDTH * strip.shape[0] / strip.shape[1])
    band_height = 0.3 if truth else 0.0
    top = 0.45 if title else 0.15
    height = top + strip_height + band_height + PLOT_HEIGHT + 0.6
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)

    def axes(bottom, size):
        box = (0.65 / WIDTH, bottom / height, STRIP_WIDTH / WIDTH, size / height)
        result = figure.add_axes(box)
        result.set_xlim(0, end)
        return result

    film = axes(0.6 + PLOT_HEIGHT + band_height, strip_height)
    film.imshow(strip, extent=(0, end, 0, 1), aspect="auto", interpolation="antialiased")
    film.set_axis_off()
    if truth:
        _draw_band(axes(0.6 + PLOT_HEIGHT, band_height), edges, truth, labels, colors)
    plot = axes(0.6, PLOT_HEIGHT - 0.05)
    _draw_lines(plot, probabilities, scale, labels, colors)
    for edge in edges[1:-1]:
        plot.axvline(edge, color="#444444", linewidth=0.8, linestyle=DASHED, zorder=1)
    plot.set_xlabel("seconds" if frame_rate else "frames")
    if title:
        figure.text(0.65 / WIDTH, 1 - 0.28 / height, title, fontsize=12, weight="bold")
    return save_figure(figure, path)


def _choose_colors(probabilities, truth):
    """Return `{class: colour}`: first the classes of `truth`, then those with high peaks."""
    peaks = probabilities.max(axis=0)
    order = [int(c) for c in np.argsort(-peaks, kind="stable")[:6]]
    likely = [c for rank, c in enumerate(order) if rank < 3 or peaks[c] >= 0.15]
    chosen = list(dict.fromkeys([*truth, *likely]))[: len(COLORS)]
    return dict(zip(chosen, COLORS, strict=False))


def _film_strip(frames, count=10):
    """Return `count` frames side by side, with white gaps, as one image."""
    chosen = [np.asarray(frames[int((k + 0.5) * len(frames) / count)]) for k in range(count)]
    gap = max(1, chosen[0].shape[1] // 40)
    chosen = [np.pad(f, ((0, 0), (0, gap), (0, 0)), constant_values=255) for f in chosen]
    return np.concatenate(chosen, axis=1)


def _draw_band(axes, edges, truth, labels, colors):
    """Draw one coloured, named box for each part of the video."""
    axes.set_axis_off()
    axes.set_ylim(0, 1)
    for start, stop, label in zip(edges, edges[1:], truth, strict=False):
        color = colors.get(label, GREY)
        axes.axvspan(start, stop, 0.1, 0.92, facecolor=color, edgecolor="white", linewidth=2)
        room = 130 * (stop - start) / edges[-1]  # characters that fit into the box
        axes.text(
            (start + stop) / 2, 0.5, shorten(labels[label], room),
            ha="center", va="center", color="white", fontsize=8.5, weight="bold",
        )  # fmt: skip


def _draw_lines(axes, probabilities, scale, labels, colors):
    times = (np.arange(len(probabilities)) + 0.5) * scale
    marker = "o" if len(probabilities) == 1 else None
    grey = [c for c in range(len(labels)) if c not in colors]
    grey = sorted(grey, key=lambda c: -probabilities[:, c].max())[:MOST_GREY]
    axes.plot(times, 100 * probabilities[:, grey], color=PALE, linewidth=0.7, zorder=2)
    for label, color in colors.items():
        percent = 100 * probabilities[:, label]
        axes.fill_between(times, percent, color=color, alpha=0.12, linewidth=0, zorder=3)
        axes.plot(
            times, percent, color=color, linewidth=2.2, marker=marker, zorder=4,
            label=shorten(labels[label], 26), solid_capstyle="round",
        )  # fmt: skip
    axes.set_ylim(0, 103)
    axes.set_yticks([0, 25, 50, 75, 100], ["0 %", "25 %", "50 %", "75 %", "100 %"])
    tidy(axes, "y", "#e4e4e4")
    if grey:
        axes.plot([], [], color=PALE, linewidth=0.7, label="other classes")
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1.02), frameon=False, fontsize=9.5, handlelength=1.4
    )
