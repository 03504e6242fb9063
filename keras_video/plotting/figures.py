"""What all plots share: colours, plain axes, and files that appear when they are complete.

Needs matplotlib (extra `plot`).
"""

import os

from keras_video.checks import missing_extra
from keras_video.files import replacing

COLORS = (
    "#0072b2", "#d55e00", "#009e73", "#aa4499", "#e69f00",
    "#56b4e9", "#882255", "#999933", "#332288", "#44aa99",
)  # fmt: skip
TEXT, GREY, PALE, GRID = "#333333", "#777777", "#bbbbbb", "#eeeeee"
DASHED = (0, (4, 3))
DPI = 120


def import_figure():
    """Return `matplotlib.figure.Figure`. Unlike pyplot, it needs no display and no global state.

    Raises:
        ImportError: if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise missing_extra("Plots need matplotlib.", "plot") from error
    return Figure


def check_figure(path, name="path"):
    """Raise an error if a plot could not be written to `path`; it is made before long work.

    Args:
        path: string or path of the image.
        name: string, the argument, for the error.

    Raises:
        ValueError: for a format that matplotlib does not know.
        ImportError: if matplotlib is not installed.
    """
    formats = sorted(import_figure()().canvas.get_supported_filetypes())
    suffix = os.path.splitext(os.fspath(path))[1].lstrip(".").lower() or "png"
    if suffix not in formats:
        raise ValueError(
            f"{name}: expected a file name that ends in one of {', '.join(formats)}, got "
            f"{os.fspath(path)!r}."
        )


def save_figure(figure, path):
    """Write a figure and return its path. The file appears when it is complete.

    Args:
        figure: `matplotlib.figure.Figure`.
        path: string or path. The suffix chooses the format; the default is PNG.

    Raises:
        ValueError: for a format that matplotlib does not know.
    """
    path = os.fspath(path)
    suffix = os.path.splitext(path)[1].lstrip(".").lower() or "png"
    with replacing(path) as partial:
        figure.savefig(partial, format=suffix)
    return path


def canvas(size, left, right, bottom, top):
    """Return a figure and axes without frame that fill it, to draw shapes and text.

    Args:
        size: `(width, height)` of the figure in inches.
        left, right, bottom, top: floats, the coordinates of the edges.
    """
    figure = import_figure()(figsize=size, dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_axis_off()
    return figure, axes


def tidy(axes, grid="both", grid_color=GRID, hide=("top", "right")):
    """Draw a light grid behind the data, and hide spines."""
    axes.grid(axis=grid, color=grid_color, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[list(hide)].set_visible(False)


def heading(axes, title):
    """Set a bold title at the left."""
    axes.set_title(title, loc="left", weight="bold")


def shorten(name, room):
    """Return a class name without underscores, of at most `room` characters."""
    name = name.replace("_", " ")
    return name if len(name) <= room else name[: max(1, int(room) - 1)] + "…"
