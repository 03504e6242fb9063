"""A picture of a Tiny Video Network: blocks, shapes, and where the work is done.

A picture of MoViNets side by side: kernels, widths and squeeze-excite of every layer.

A picture of a two-stream network, in the manner of Figure 3 of Auto-TSNet's paper.
"""

from keras_video.plotting.stream import COLORS, import_figure, save_figure
from keras_video.utils.complexity import macs, params

KINDS = {
    "std": ("convolution", COLORS[0]),
    "1std": ("convolution", COLORS[0]),
    "depth": ("depthwise convolution", COLORS[2]),
    "maxpool": ("max pooling", COLORS[4]),
    "avgpool": ("average pooling", COLORS[4]),
    "1d": ("convolution", None),
}
DARK_GREY = "#555555"
# Inches: the picture, one block, left and right of the boxes, of the bars.
WIDTH, ROW, BOX, BARS = 9.8, 1.12, (0.55, 6.35), (6.9, 9.1)
DPI = 120


def plot_architecture(config, path, classes=10, title=None):
    """Draws the blocks of a network with the shapes between them and their share of the work.

    Args:
        config: `TinyVideoNetConfig`.
        path: where the picture goes, for example `"network.png"` (or `.svg`, `.pdf`).
        classes: int.
        title: string above the picture; default the config's name.

    Returns:
        The path.
    """
    Figure = import_figure()
    plan = config.plan(classes)
    steps = config.trace(config.clip, classes)
    total, params = sum(s.macs for s in steps), sum(row.params for row in plan.rows())
    rows = _rows(config, plan, steps)
    height = 1.35 + ROW * len(rows)
    figure = Figure(figsize=(WIDTH, height), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, WIDTH)
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    axes.text(BOX[0], 0.38, title or config.name, fontsize=13, weight="bold", va="center")
    axes.text(
        BOX[0], 0.68, f"{_number(total)} multiply-adds, {_number(params)} parameters, "
        f"frame stride {config.frame_stride}", fontsize=9, color=DARK_GREY, va="center",
    )  # fmt: skip
    axes.text(BARS[0], 0.68, "multiply-adds", fontsize=9, color=DARK_GREY, va="center")
    _draw_shape(axes, 1.08, config.clip, first=True)
    most = max(row["macs"] for row in rows)
    for place, row in enumerate(rows):
        _draw_row(axes, 1.25 + ROW * place, row, total, most)
    return save_figure(figure, path)


def _rows(config, plan, steps):
    """What is drawn of each block, and of the head, from the plan."""
    rows, shape = [], config.clip
    for b, block in enumerate(config.blocks):
        applied = [a for a in plan.applications if a.name.startswith(f"block{b}_")]
        for application in applied:
            for row in application.branch_rows:
                shape = row.output_shape(shape)
        macs = sum(step.macs for step in steps if step.name.startswith(f"block{b}_"))
        # The first application tells what is left of a block: time may be used up.
        title, lines = f"block {b}", _describe_block(block, applied[0])
        if block.repeats > 1:
            title += f"  ×{block.repeats}"
        kind = block.spatial if applied[0].spatial else None
        skip = any(application.skip for application in applied)
        rows.append({"title": title, "lines": lines, "shape": shape, "macs": macs,
                     "color": KINDS[kind][1] if kind else DARK_GREY, "skip": skip})  # fmt: skip
    how = "classifier on each frame, vote" if plan.per_frame else "mean over frames and pixels"
    lines = [
        f"{how}, dropout {config.dropout:g}",
        f"dense layer to {plan.classifier.filters} classes",
    ]
    rows.append({"title": "head", "lines": lines, "shape": (plan.classifier.filters,),
                 "macs": steps[-1].macs, "color": DARK_GREY, "skip": False})  # fmt: skip
    return rows


def _describe_block(block, first):
    """Up to three lines on what a block does."""
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
    axes.add_patch(FancyBboxPatch(
        (left, top), right - left, bottom - top, boxstyle=style, facecolor=row["color"],
        alpha=0.13, edgecolor="none",
    ))  # fmt: skip
    axes.add_patch(FancyBboxPatch(
        (left, top), right - left, bottom - top, boxstyle=style, facecolor="none",
        edgecolor=row["color"], linewidth=1.3,
    ))  # fmt: skip
    axes.text(left + 0.15, middle, row["title"], fontsize=10.5, weight="bold", va="center",
              color=row["color"])  # fmt: skip
    axes.text(left + 1.3, middle, "\n".join(row["lines"]), fontsize=8.3, va="center",
              linespacing=1.45)  # fmt: skip
    if row["skip"]:
        axes.add_patch(FancyArrowPatch(
            (left, top - 0.09), (left, bottom + 0.09), arrowstyle="->", mutation_scale=9,
            connectionstyle="arc3,rad=0.45", color=COLORS[3], linewidth=1.4,
        ))  # fmt: skip
        axes.text(left - 0.36, middle, "skip", rotation=90, fontsize=8, color=COLORS[3],
                  ha="center", va="center")  # fmt: skip
    _draw_shape(axes, bottom + 0.13, row["shape"], top=bottom)
    share = row["macs"] / max(total, 1)
    length = (BARS[1] - BARS[0]) * row["macs"] / max(most, 1)
    axes.barh(middle, length, 0.3, left=BARS[0], color=row["color"], alpha=0.85)
    percent = f"{100 * share:.{0 if share >= 0.1 else 1}f} %" if share >= 5e-4 else "< 0.1 %"
    axes.text(BARS[0] + length + 0.08, middle, percent, fontsize=9, va="center")


def _draw_shape(axes, y, shape, first=False, top=None):
    text = " × ".join(map(str, shape))
    if first:
        text += "   frames × height × width × channels"
    arrow = {"arrowstyle": "->", "color": "#777777", "linewidth": 1.1}
    axes.annotate("", (3.0, y + 0.17), (3.0, top or y - 0.08), arrowprops=arrow)
    axes.text(3.15, y + 0.03, text, fontsize=8.5, color="#333333", va="center")


def _number(value):
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}"
    return str(value)


# One colour per kind of kernel: over pixels, over frames, over both.
KERNEL_KINDS = {
    (False, True): ("over pixels", COLORS[0]),
    (True, False): ("over frames", COLORS[2]),
    (True, True): ("over both", COLORS[3]),
    (False, False): ("of one pixel", "#777777"),
}
COLUMN, LAYER_ROW, BLOCK_GAP, HEADER, LEFT = 3.7, 0.30, 0.22, 1.25, 0.35  # inches


def plot_movinets(configs, path, classes=600):
    """Draws every layer as a bar: as long as its width inside, its colour the kind of kernel.

    Args:
        configs: dict of `MoViNetConfig` by title, drawn from left to right.
        path: where the picture goes, for example `"found.png"` (or `.svg`, `.pdf`).
        classes: int.

    Returns:
        The path.
    """
    Figure = import_figure()
    depths = [max(len(c.stages[b]) for c in configs.values()) for b in range(_blocks(configs))]
    height = HEADER + sum(LAYER_ROW * depth + BLOCK_GAP for depth in depths) + 0.75
    figure = Figure(figsize=(LEFT + COLUMN * len(configs), height), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, LEFT + COLUMN * len(configs))
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    widest = max(row.expand for c in configs.values() for stage in c.stages for row in stage)
    for place, (title, config) in enumerate(configs.items()):
        left = LEFT + COLUMN * place
        _describe_movinet(axes, left, title, config, classes)
        top = HEADER
        for b, depth in enumerate(depths):
            _draw_block(axes, left, top, b, config.stages[b], widest)
            top += LAYER_ROW * depth + BLOCK_GAP
        axes.text(left, top + 0.05, f"head {config.project}, hidden {config.hidden}", fontsize=8.5,
                  color=DARK_GREY, va="center")  # fmt: skip
    _kernel_legend(axes, height - 0.25)
    return save_figure(figure, path)


def _blocks(configs):
    counts = {len(config.stages) for config in configs.values()}
    if len(counts) != 1:
        raise ValueError(f"configs: expected as many blocks in each, got {sorted(counts)}.")
    return counts.pop()


def _describe_movinet(axes, left, title, config, classes):
    from keras_video.utils import complexity

    macs = complexity.macs(config, classes=classes)
    params = complexity.params(config, classes)
    frames, height, width = config.clip[:3]
    axes.text(left, 0.3, title, fontsize=12.5, weight="bold", va="center")
    lines = [f"{macs / 1e6:,.1f} M multiply-adds, {params / 1e6:,.2f} M parameters",
             f"{frames} frames of {height}×{width}, stem {config.stem}"]  # fmt: skip
    axes.text(left, 0.72, "\n".join(lines), fontsize=8.5, color=DARK_GREY, va="center")


def _draw_block(axes, left, top, number, stage, widest):
    axes.text(left - 0.12, top - 0.02, f"{number}", fontsize=8.5, weight="bold", ha="center",
              va="center", color=DARK_GREY)  # fmt: skip
    for i, row in enumerate(stage):
        y = top + LAYER_ROW * i
        color = KERNEL_KINDS[(row.kernel[0] > 1, row.kernel[1] > 1)][1]
        length = 1.75 * row.expand / widest
        axes.barh(y, length, 0.72 * LAYER_ROW, left=left, color=color, alpha=0.8, linewidth=0)
        text = f"{'×'.join(map(str, row.kernel))}  {row.expand} → {row.filters}"
        if not row.squeeze:
            text += "  no SE"
        axes.text(left + length + 0.07, y, text, fontsize=8, va="center")


def _kernel_legend(axes, y):
    x = LEFT
    for name, color in list(KERNEL_KINDS.values())[:3]:
        axes.barh(y, 0.18, 0.16, left=x, color=color, alpha=0.8)
        axes.text(x + 0.26, y, f"kernel {name}", fontsize=8, va="center")
        x += 1.35
    axes.text(x, y, "length: width inside", fontsize=8, va="center", color=DARK_GREY)


MID_GREY, BAND, TEXT = "#666666", "#f3f3f3", "#222222"
STAR = "#e6a700"
# A hue for the frames that a kernel sees, light for 3x3 and dark for larger pictures.
HUES = {1: ("#8ec3e8", "#1f6fa8"), 3: ("#a6d8a8", "#2b8a3e"), 5: ("#f3b49f", "#c4472b")}
FUSION_LINES = {
    "time_strided_conv": (COLORS[3], "-", "strided convolution"),
    "time_strided_sampling": (COLORS[8], (0, (4, 2)), "strided sampling"),
    "time_to_channel": (COLORS[7], (0, (1, 1.5)), "time to channel"),
}
# Units of the drawing: a block, the spaces between blocks, groups and stages, a row.
BLOCK, GAP, GROUP_GAP, STAGE_GAP, STREAM_ROW, TALLEST = 0.52, 0.09, 0.78, 0.42, 2.3, 1.3
# Inches: the blocks at most, the names of the streams, the picture at least, a unit of height.
WIDEST_INCHES, LABELS, NARROWEST, HEIGHT = 12.4, 1.0, 7.0, 0.72


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
    rows = {"sparse": 0.0, **({"dense": STREAM_ROW} if spec.dense else {})}
    top, bottom = max(rows.values()) + 2.1, -1.95
    unit = min(0.8, WIDEST_INCHES / end)
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
    axes.text(left + 0.1 / unit, top - 0.65, _counts(spec, classes), fontsize=9, color=MID_GREY,
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
        axes.add_patch(Rectangle((left, bottom), *size, facecolor=BAND, edgecolor="none", zorder=0))
        axes.text((left + right) / 2, label, f"stage {stage}", fontsize=9, color=MID_GREY,
                  ha="center", va="center")  # fmt: skip


def _draw_stream(axes, spec, stream, middle, places, ends, tallest):
    from matplotlib.patches import Rectangle

    frames = spec.frames if stream == "dense" else spec.sparse_frames
    start, end = ends
    text = {"va": "center", "ha": "left"}
    inside = start + 0.12 * (0 - start)
    axes.text(inside, middle + 0.12, stream, fontsize=11, weight="bold", **text)
    axes.text(inside, middle - 0.15, f"{frames} frames", fontsize=8.5, color=MID_GREY, **text)
    axes.annotate("", (end, middle), (0, middle), zorder=1,
                  arrowprops={"arrowstyle": "-|>", "color": TEXT, "linewidth": 1.2})  # fmt: skip
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
                  color=MID_GREY, ha="center", va="bottom", zorder=4)  # fmt: skip
        axes.text(centre, middle - TALLEST / 2 - 0.1, str(group.filters), fontsize=8.5, color=TEXT,
                  ha="center", va="top", zorder=4)  # fmt: skip
        if g in getattr(spec, f"attention_{stream}"):
            axes.scatter(right + 0.42, middle, marker="*", s=190, color=STAR, edgecolors=TEXT,
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
                              markeredgecolor=TEXT, markersize=13, label="attention"))  # fmt: skip
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
