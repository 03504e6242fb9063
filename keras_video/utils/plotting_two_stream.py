"""A picture of a two-stream network, in the manner of Figure 3 of Auto-TSNet's paper."""

from keras_video.utils.complexity import macs, params
from keras_video.utils.plotting import COLORS, import_figure, save_figure

DPI = 120
GREY, PALE, DARK = "#666666", "#f3f3f3", "#222222"
STAR = "#e6a700"
# A hue for the frames that a kernel sees, light for 3x3 and dark for larger pictures.
HUES = {1: ("#8ec3e8", "#1f6fa8"), 3: ("#a6d8a8", "#2b8a3e"), 5: ("#f3b49f", "#c4472b")}
FUSION_LINES = {
    "time_strided_conv": (COLORS[3], "-", "strided convolution"),
    "time_strided_sampling": (COLORS[8], (0, (4, 2)), "strided sampling"),
    "time_to_channel": (COLORS[7], (0, (1, 1.5)), "time to channel"),
}
# Units of the drawing: a block, the spaces between blocks, groups and stages, a row.
BLOCK, GAP, GROUP_GAP, STAGE_GAP, ROW, TALLEST = 0.52, 0.09, 0.78, 0.42, 2.3, 1.3
# Inches: the blocks at most, the names of the streams, the picture at least, a unit of height.
WIDEST, LABELS, NARROWEST, HEIGHT = 12.4, 1.0, 7.0, 0.72


def plot_two_streams(spec, path, classes=400, title=None):
    """Draws the blocks of both streams, and what lies between and behind them.

    The height of a block is its expansion, its colour the kernel; the number below a group are its
    filters. Stars are attention, arrows fusions.

    Args:
        spec: `applications.auto_tsnet.TwoStreamSpec`.
        path: where the picture goes, for example `"network.png"` (or `.svg`, `.pdf`).
        classes: int, for the counts in the head line.
        title: string above the picture; default the spec's name.

    Returns:
        The path.
    """
    Figure = import_figure()
    places, bands, end = _places(spec)
    rows = {"sparse": 0.0, **({"dense": ROW} if spec.dense else {})}
    top, bottom = max(rows.values()) + 2.1, -1.95
    unit = min(0.8, WIDEST / end)
    left = -LABELS / unit
    width = max(NARROWEST, (end - left) * unit + 0.2)
    figure = Figure(figsize=(width, (top - bottom) * HEIGHT), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(left, left + width / unit)
    axes.set_ylim(bottom, top)
    axes.set_axis_off()
    _draw_bands(axes, bands, max(rows.values()) + 1.12, max(rows.values()) + 0.95)
    tallest = max(g.expansion for stream in rows for g in getattr(spec, stream))
    for stream, middle in rows.items():
        _draw_stream(axes, spec, stream, middle, places, (left, end), tallest)
    for g, kind in enumerate(spec.fusion):
        if kind != "none":
            _draw_fusion(axes, places[g][1] + 0.2, rows["dense"], rows["sparse"], kind)
    axes.text(left + 0.1 / unit, top - 0.3, title or spec.name, fontsize=13, weight="bold",
              va="center")  # fmt: skip
    axes.text(left + 0.1 / unit, top - 0.65, _counts(spec, classes), fontsize=9, color=GREY,
              va="center")  # fmt: skip
    _draw_legend(figure, spec, width)
    return save_figure(figure, path)


def _places(spec):
    """Where groups begin and end, stages with their bands, and where the drawing ends."""
    places, bands, x, stage = [], [], 0.35, spec.stages[0]
    start = x - 0.25
    for repeats, number in zip(spec.repeats, spec.stages, strict=True):
        if number != stage:
            bands.append((stage, start, x - GROUP_GAP + 0.62))
            x, stage = x + STAGE_GAP, number
            start = x - 0.25
        count = repeats * spec.depth
        places.append((x, x + count * (BLOCK + GAP) - GAP))
        x = places[-1][1] + GROUP_GAP
    bands.append((stage, start, x - GROUP_GAP + 0.62))
    return places, bands, x + 0.1


def _draw_bands(axes, bands, label, top):
    from matplotlib.patches import Rectangle

    bottom = -TALLEST / 2 - 0.42
    for stage, left, right in bands:
        size = (right - left, top - bottom)
        axes.add_patch(Rectangle((left, bottom), *size, facecolor=PALE, edgecolor="none", zorder=0))
        axes.text((left + right) / 2, label, f"stage {stage}", fontsize=9, color=GREY, ha="center",
                  va="center")  # fmt: skip


def _draw_stream(axes, spec, stream, middle, places, ends, tallest):
    from matplotlib.patches import Rectangle

    frames = spec.frames if stream == "dense" else spec.sparse_frames
    start, end = ends
    text = {"va": "center", "ha": "left"}
    inside = start + 0.12 * (0 - start)
    axes.text(inside, middle + 0.12, stream, fontsize=11, weight="bold", **text)
    axes.text(inside, middle - 0.15, f"{frames} frames", fontsize=8.5, color=GREY, **text)
    axes.annotate("", (end, middle), (0, middle), zorder=1,
                  arrowprops={"arrowstyle": "-|>", "color": DARK, "linewidth": 1.2})  # fmt: skip
    for g, (group, (left, right)) in enumerate(zip(getattr(spec, stream), places, strict=True), 1):
        height = TALLEST * group.expansion / tallest
        x = left
        while x < right:
            axes.add_patch(Rectangle(
                (x, middle - height / 2), BLOCK, height, facecolor=_color(group), edgecolor="white",
                linewidth=0.8, zorder=3,
            ))  # fmt: skip
            x += BLOCK + GAP
        centre = (left + right) / 2
        axes.text(centre, middle + height / 2 + 0.04, f"×{group.expansion:g}", fontsize=7.5,
                  color=GREY, ha="center", va="bottom", zorder=4)  # fmt: skip
        axes.text(centre, middle - TALLEST / 2 - 0.1, str(group.filters), fontsize=8.5, color=DARK,
                  ha="center", va="top", zorder=4)  # fmt: skip
        if g in getattr(spec, f"attention_{stream}"):
            axes.scatter(right + 0.42, middle, marker="*", s=190, color=STAR, edgecolors=DARK,
                         linewidths=0.7, zorder=5)  # fmt: skip


def _draw_fusion(axes, x, start, stop, kind):
    color, style, _ = FUSION_LINES[kind]
    axes.annotate("", (x, stop), (x, start), zorder=4, arrowprops={
        "arrowstyle": "-|>", "color": color, "linewidth": 2.0, "linestyle": style,
        "mutation_scale": 13, "shrinkA": 0, "shrinkB": 1,
    })  # fmt: skip


def _draw_legend(figure, spec, width):
    """The kernels in use, then what stars and arrows are."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    groups = [*spec.sparse, *spec.dense]
    kernels = {(g.temporal_kernel, g.spatial_kernel): _color(g) for g in groups}
    handles = [
        Patch(color=color, label=f"{t}×{k}×{k}") for (t, k), color in sorted(kernels.items())
    ]
    if spec.attention_sparse or spec.attention_dense:
        handles.append(Line2D([], [], marker="*", color="none", markerfacecolor=STAR,
                              markeredgecolor=DARK, markersize=13, label="attention"))  # fmt: skip
    for kind, (color, style, label) in FUSION_LINES.items():
        if kind in spec.fusion:
            handles.append(Line2D([], [], color=color, linestyle=style, linewidth=2, label=label))
    columns = min(len(handles), int(width / 1.55))
    figure.legend(
        handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=8.5,
        handlelength=1.8, columnspacing=1.5,
    )  # fmt: skip


def _color(group):
    """By the kernel: the nearest hue of its frames, the darker tone where it is larger than 3x3."""
    hue = min(HUES, key=lambda frames: abs(frames - group.temporal_kernel))
    return HUES[hue][group.spatial_kernel > 3]


def _counts(spec, classes):
    total = macs(spec, classes=classes)
    trainable = _number(params(spec, classes, True))
    text = f"{_number(total)} multiply-adds, {trainable} trainable parameters"
    if not spec.dense:
        return text
    share = macs(spec.sparse_alone(), classes=classes) / total
    return f"{text}; the sparse stream alone {100 * share:.0f} % of the work"


def _number(value):
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return str(value)
