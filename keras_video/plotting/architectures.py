"""Plots of architectures, drawn from their configs: no model is built.

`plot_architecture` shows a Tiny Video Network, `plot_movinets` MoViNets side by side, and
`plot_two_streams` a two-stream network.
"""

from keras_video.plotting.figures import COLORS, GREY, TEXT, canvas, save_figure
from keras_video.utils.complexity import macs, params

MUTED = "#555555"  # of text that matters less


def _write(axes, x, y, text, size=9, color=MUTED, **options):
    """Write text, centred vertically at `y`."""
    axes.text(x, y, text, **{"fontsize": size, "color": color, "va": "center", **options})


def _number(value):
    """Return a number in thousands, millions or billions, such as "1.5 M"."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return str(value)


# Tiny Video Networks

KINDS = {
    "std": ("convolution", COLORS[0]),
    "1std": ("convolution", COLORS[0]),
    "depth": ("depthwise convolution", COLORS[2]),
    "maxpool": ("max pooling", COLORS[4]),
    "avgpool": ("average pooling", COLORS[4]),
    "1d": ("convolution", None),
}
# Inches: width of the image, height of a row; left and right edge of the boxes and of the bars.
WIDTH, ROW, BOX, BARS = 9.8, 1.12, (0.55, 6.35), (6.9, 9.1)


def plot_architecture(config, path, classes=10, title=None):
    """Plot the blocks of a Tiny Video Network, the shapes between them and their multiply-adds.

    Args:
        config: `TinyVideoNetConfig`.
        path: string or path of the image, for example `"network.png"` (or `.svg`, `.pdf`).
        classes: int, number of classes.
        title: string above the plot; default the config's name.

    Returns:
        The path.
    """
    plan = config.plan(classes)
    steps = config.trace(config.clip, classes)
    total = macs(config, classes=classes)
    rows = _rows(config, plan, steps)
    height = 1.35 + ROW * len(rows)
    figure, axes = canvas((WIDTH, height), 0, WIDTH, height, 0)
    _write(axes, BOX[0], 0.38, title or config.name, 13, "black", weight="bold")
    counts = f"{_number(total)} multiply-adds, {_number(params(config, classes))} parameters"
    _write(axes, BOX[0], 0.68, f"{counts}, frame stride {config.frame_stride}")
    _write(axes, BARS[0], 0.68, "multiply-adds")
    _draw_shape(axes, 1.08, config.clip, first=True)
    most = max(row["macs"] for row in rows)
    for place, row in enumerate(rows):
        _draw_row(axes, 1.25 + ROW * place, row, total, most)
    return save_figure(figure, path)


def _rows(config, plan, steps):
    """Return a dict per block, and one for the head, of what the plot shows."""
    rows, shape = [], config.clip
    for b, block in enumerate(config.blocks):
        applied = [a for a in plan.applications if a.name.startswith(f"block{b}_")]
        for application in applied:
            for row in application.branch_rows:
                shape = row.output_shape(shape)
        work = sum(step.macs for step in steps if step.name.startswith(f"block{b}_"))
        # A block without frames to convolve over leaves layers out, as its first application shows.
        title, lines = f"block {b}", _describe_block(block, applied[0])
        if block.repeats > 1:
            title += f"  ×{block.repeats}"
        kind = block.spatial if applied[0].spatial else None
        skip = any(application.skip for application in applied)
        rows.append({"title": title, "lines": lines, "shape": shape, "macs": work,
                     "color": KINDS[kind][1] if kind else MUTED, "skip": skip})  # fmt: skip
    how = "classifier on each frame, vote" if plan.per_frame else "mean over frames and pixels"
    lines = [
        f"{how}, dropout {config.dropout:g}",
        f"dense layer to {plan.classifier.filters} classes",
    ]
    rows.append({"title": "head", "lines": lines, "shape": (plan.classifier.filters,),
                 "macs": steps[-1].macs, "color": MUTED, "skip": False})  # fmt: skip
    return rows


def _describe_block(block, first):
    """Return three lines on what a block does."""
    main = []
    if first.spatial:
        k, s = block.spatial_kernel, block.spatial_stride
        stride = f", stride {s}" if s > 1 else ""
        main.append(f"{KINDS[block.spatial][0]} {k}×{k}{stride}")
    if first.temporal:
        k, s = block.temporal_kernel, block.temporal_stride
        stride = f", stride {s}" if s > 1 else ""
        main.append(f"{KINDS[block.temporal][0]} over {k} frames{stride}")
    channels = f"{block.filters} filters, expanded {block.expand}×"
    if block.inverted:
        channels = f"inverted: inside {block.expanded}, outside {block.filters} channels"
    more = [f"squeeze-excite {block.squeeze:.2g}"] if block.squeeze else []
    more += ["context gate"] if block.context_gate else []
    more += [f"non-local {block.non_local}"] if block.non_local else []
    last = "no closing activation" if block.activation == "linear" else block.activation
    more.append(last.replace("_", " "))
    return [" · ".join(main) or "1×1 convolution alone", channels, " · ".join(more)]


def _draw_row(axes, top, row, total, most):
    from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

    left, right = BOX
    middle, bottom = top + (ROW - 0.3) / 2, top + ROW - 0.3
    style = "round,pad=0,rounding_size=0.08"
    fill = {"facecolor": row["color"], "alpha": 0.13, "edgecolor": "none"}
    frame = {"facecolor": "none", "edgecolor": row["color"], "linewidth": 1.3}
    for look in (fill, frame):
        box = ((left, top), right - left, bottom - top)
        axes.add_patch(FancyBboxPatch(*box, boxstyle=style, **look))
    _write(axes, left + 0.15, middle, row["title"], 10.5, row["color"], weight="bold")
    _write(axes, left + 1.3, middle, "\n".join(row["lines"]), 8.3, "black", linespacing=1.45)
    if row["skip"]:
        axes.add_patch(FancyArrowPatch(
            (left, top - 0.09), (left, bottom + 0.09), arrowstyle="->", mutation_scale=9,
            connectionstyle="arc3,rad=0.45", color=COLORS[3], linewidth=1.4,
        ))  # fmt: skip
        _write(axes, left - 0.36, middle, "skip", 8, COLORS[3], rotation=90, ha="center")
    _draw_shape(axes, bottom + 0.13, row["shape"], top=bottom)
    share = row["macs"] / max(total, 1)
    length = (BARS[1] - BARS[0]) * row["macs"] / max(most, 1)
    axes.barh(middle, length, 0.3, left=BARS[0], color=row["color"], alpha=0.85)
    percent = f"{100 * share:.{0 if share >= 0.1 else 1}f} %" if share >= 5e-4 else "< 0.1 %"
    _write(axes, BARS[0] + length + 0.08, middle, percent, color="black")


def _draw_shape(axes, y, shape, first=False, top=None):
    text = " × ".join(map(str, shape))
    if first:
        text += "   frames × height × width × channels"
    arrow = {"arrowstyle": "->", "color": GREY, "linewidth": 1.1}
    axes.annotate("", (3.0, y + 0.17), (3.0, top or y - 0.08), arrowprops=arrow)
    _write(axes, 3.15, y + 0.03, text, 8.5, TEXT)


# MoViNets

# A colour per kind of kernel: (more than one frame, more than one pixel).
KERNEL_KINDS = {
    (False, True): ("over pixels", COLORS[0]),
    (True, False): ("over frames", COLORS[2]),
    (True, True): ("over both", COLORS[3]),
    (False, False): ("of one pixel", GREY),
}
COLUMN, LAYER_ROW, BLOCK_GAP, HEADER, LEFT = 3.7, 0.30, 0.22, 1.25, 0.35  # inches


def plot_movinets(configs, path, classes=600):
    """Plot MoViNets side by side: kernel, widths and squeeze-excitation of every layer.

    Each layer is a bar. Its length is the expanded width, its colour the kind of kernel.

    Args:
        configs: dict of `MoViNetConfig` by title, drawn from left to right. All must have the same
            number of blocks.
        path: string or path of the image, for example `"found.png"` (or `.svg`, `.pdf`).
        classes: int, number of classes.

    Returns:
        The path.

    Raises:
        ValueError: if the numbers of blocks differ.
    """
    depths = [max(len(c.stages[b]) for c in configs.values()) for b in range(_blocks(configs))]
    height = HEADER + sum(LAYER_ROW * depth + BLOCK_GAP for depth in depths) + 0.75
    width = LEFT + COLUMN * len(configs)
    figure, axes = canvas((width, height), 0, width, height, 0)
    widest = max(row.expand for c in configs.values() for stage in c.stages for row in stage)
    for place, (title, config) in enumerate(configs.items()):
        left = LEFT + COLUMN * place
        _describe_movinet(axes, left, title, config, classes)
        top = HEADER
        for b, depth in enumerate(depths):
            _draw_block(axes, left, top, b, config.stages[b], widest)
            top += LAYER_ROW * depth + BLOCK_GAP
        _write(axes, left, top + 0.05, f"head {config.project}, hidden {config.hidden}", 8.5)
    _kernel_legend(axes, height - 0.25)
    return save_figure(figure, path)


def _blocks(configs):
    counts = {len(config.stages) for config in configs.values()}
    if len(counts) != 1:
        raise ValueError(
            f"configs: expected the same number of blocks in each, got {sorted(counts)}."
        )
    return counts.pop()


def _describe_movinet(axes, left, title, config, classes):
    millions = [count / 1e6 for count in (macs(config, classes=classes), params(config, classes))]
    frames, height, width = config.clip[:3]
    _write(axes, left, 0.3, title, 12.5, "black", weight="bold")
    lines = [f"{millions[0]:,.1f} M multiply-adds, {millions[1]:,.2f} M parameters",
             f"{frames} frames of {height}×{width}, stem {config.stem}"]  # fmt: skip
    _write(axes, left, 0.72, "\n".join(lines), 8.5)


def _draw_block(axes, left, top, number, stage, widest):
    _write(axes, left - 0.12, top - 0.02, f"{number}", 8.5, weight="bold", ha="center")
    for i, row in enumerate(stage):
        y = top + LAYER_ROW * i
        color = KERNEL_KINDS[(row.kernel[0] > 1, row.kernel[1] > 1)][1]
        length = 1.75 * row.expand / widest
        axes.barh(y, length, 0.72 * LAYER_ROW, left=left, color=color, alpha=0.8, linewidth=0)
        text = f"{'×'.join(map(str, row.kernel))}  {row.expand} → {row.filters}"
        if not row.squeeze:
            text += "  no SE"
        _write(axes, left + length + 0.07, y, text, 8, "black")


def _kernel_legend(axes, y):
    x = LEFT
    for name, color in list(KERNEL_KINDS.values())[:3]:
        axes.barh(y, 0.18, 0.16, left=x, color=color, alpha=0.8)
        _write(axes, x + 0.26, y, f"kernel {name}", 8, "black")
        x += 1.35
    _write(axes, x, y, "length: width inside", 8)


# Two streams

LABEL, BAND, INK, STAR = "#666666", "#f3f3f3", "#222222", "#e6a700"
# A hue per number of frames in the kernel, light for 3x3 pixels and dark for more.
HUES = {1: ("#8ec3e8", "#1f6fa8"), 3: ("#a6d8a8", "#2b8a3e"), 5: ("#f3b49f", "#c4472b")}
FUSION_LINES = {
    "time_strided_conv": (COLORS[3], "-", "strided convolution"),
    "time_strided_sampling": (COLORS[8], (0, (4, 2)), "strided sampling"),
    "time_to_channel": (COLORS[7], (0, (1, 1.5)), "time to channel"),
}
# Units of the drawing: width of a block; gaps between blocks, groups and stages; distance of the
# streams; height of the tallest block.
BLOCK, GAP, GROUP_GAP, STAGE_GAP, STREAM_ROW, TALLEST = 0.52, 0.09, 0.78, 0.42, 2.3, 1.3
# Inches: largest width of the blocks, width of the streams' names, smallest width of the image,
# height of a unit.
WIDEST_INCHES, LABELS, NARROWEST, HEIGHT = 12.4, 1.0, 7.0, 0.72


def plot_two_streams(spec, path, classes=400, title=None):
    """Plot the blocks, fusions and attention layers of a two-stream network.

    The plot resembles Figure 3 of the Auto-TSNet paper. The height of a block is its expansion, its
    colour the kernel. The number below a group is its number of filters. Stars are attention
    layers, arrows are fusions.

    Args:
        spec: `applications.auto_tsnet.TwoStreamSpec`.
        path: string or path of the image, for example `"network.png"` (or `.svg`, `.pdf`).
        classes: int, number of classes, for the counts below the title.
        title: string above the plot; default the spec's name.

    Returns:
        The path.
    """
    places, bands, end = _places(spec)
    rows = {"sparse": 0.0, **({"dense": STREAM_ROW} if spec.dense else {})}
    top, bottom = max(rows.values()) + 2.1, -1.95
    unit = min(0.8, WIDEST_INCHES / end)
    left = -LABELS / unit
    width = max(NARROWEST, (end - left) * unit + 0.2)
    size = (width, (top - bottom) * HEIGHT)
    figure, axes = canvas(size, left, left + width / unit, bottom, top)
    _draw_bands(axes, bands, max(rows.values()) + 1.12, max(rows.values()) + 0.95)
    tallest = max(g.expansion for stream in rows for g in getattr(spec, stream))
    for stream, middle in rows.items():
        _draw_stream(axes, spec, stream, middle, places, (left, end), tallest)
    for g, kind in enumerate(spec.fusion):
        if kind != "none":
            _draw_fusion(axes, places[g][1] + 0.2, rows["dense"], rows["sparse"], kind)
    _write(axes, left + 0.1 / unit, top - 0.3, title or spec.name, 13, "black", weight="bold")
    _write(axes, left + 0.1 / unit, top - 0.65, _counts(spec, classes), color=LABEL)
    _draw_legend(figure, spec, width)
    return save_figure(figure, path)


def _places(spec):
    """Return where groups begin and end, the bands of the stages, and where the drawing ends."""
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
        axes.add_patch(Rectangle((left, bottom), *size, facecolor=BAND, edgecolor="none", zorder=0))
        _write(axes, (left + right) / 2, label, f"stage {stage}", color=LABEL, ha="center")


def _draw_stream(axes, spec, stream, middle, places, ends, tallest):
    from matplotlib.patches import Rectangle

    frames = spec.frames if stream == "dense" else spec.sparse_frames
    start, end = ends
    inside = start + 0.12 * (0 - start)
    _write(axes, inside, middle + 0.12, stream, 11, "black", weight="bold")
    _write(axes, inside, middle - 0.15, f"{frames} frames", 8.5, LABEL)
    axes.annotate("", (end, middle), (0, middle), zorder=1,
                  arrowprops={"arrowstyle": "-|>", "color": INK, "linewidth": 1.2})  # fmt: skip
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
        above, below = middle + height / 2 + 0.04, middle - TALLEST / 2 - 0.1
        look = {"ha": "center", "zorder": 4}
        _write(axes, centre, above, f"×{group.expansion:g}", 7.5, LABEL, va="bottom", **look)
        _write(axes, centre, below, str(group.filters), 8.5, INK, va="top", **look)
        if g in getattr(spec, f"attention_{stream}"):
            axes.scatter(right + 0.42, middle, marker="*", s=190, color=STAR, edgecolors=INK,
                         linewidths=0.7, zorder=5)  # fmt: skip


def _draw_fusion(axes, x, start, stop, kind):
    color, style, _ = FUSION_LINES[kind]
    axes.annotate("", (x, stop), (x, start), zorder=4, arrowprops={
        "arrowstyle": "-|>", "color": color, "linewidth": 2.0, "linestyle": style,
        "mutation_scale": 13, "shrinkA": 0, "shrinkB": 1,
    })  # fmt: skip


def _draw_legend(figure, spec, width):
    """Explain the colours of the kernels, then stars and arrows."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    groups = [*spec.sparse, *spec.dense]
    kernels = {(g.temporal_kernel, g.spatial_kernel): _color(g) for g in groups}
    handles = [
        Patch(color=color, label=f"{t}×{k}×{k}") for (t, k), color in sorted(kernels.items())
    ]
    if spec.attention_sparse or spec.attention_dense:
        handles.append(Line2D([], [], marker="*", color="none", markerfacecolor=STAR,
                              markeredgecolor=INK, markersize=13, label="attention"))  # fmt: skip
    for kind, (color, style, label) in FUSION_LINES.items():
        if kind in spec.fusion:
            handles.append(Line2D([], [], color=color, linestyle=style, linewidth=2, label=label))
    columns = min(len(handles), int(width / 1.55))
    figure.legend(
        handles=handles, loc="lower center", ncols=columns, frameon=False, fontsize=8.5,
        handlelength=1.8, columnspacing=1.5,
    )  # fmt: skip


def _color(group):
    """Return the colour of a kernel: the nearest hue for its frames, dark if larger than 3x3."""
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
