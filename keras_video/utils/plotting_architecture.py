"""A picture of a Tiny Video Network: blocks, shapes, and where the work is done."""

from keras_video.utils.plotting import COLORS, import_figure, save_figure

KINDS = {
    "std": ("convolution", COLORS[0]),
    "1std": ("convolution", COLORS[0]),
    "depth": ("depthwise convolution", COLORS[2]),
    "maxpool": ("max pooling", COLORS[4]),
    "avgpool": ("average pooling", COLORS[4]),
    "1d": ("convolution", None),
}
GREY = "#555555"
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
        f"frame stride {config.frame_stride}", fontsize=9, color=GREY, va="center",
    )  # fmt: skip
    axes.text(BARS[0], 0.68, "multiply-adds", fontsize=9, color=GREY, va="center")
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
        title, lines = f"block {b}", _describe(block, applied[0])
        if block.repeats > 1:
            title += f"  ×{block.repeats}"
        kind = block.spatial if applied[0].spatial else None
        skip = any(application.skip for application in applied)
        rows.append({"title": title, "lines": lines, "shape": shape, "macs": macs,
                     "color": KINDS[kind][1] if kind else GREY, "skip": skip})  # fmt: skip
    how = "classifier on each frame, vote" if plan.per_frame else "mean over frames and pixels"
    lines = [
        f"{how}, dropout {config.dropout:g}",
        f"dense layer to {plan.classifier.filters} classes",
    ]
    rows.append({"title": "head", "lines": lines, "shape": (plan.classifier.filters,),
                 "macs": steps[-1].macs, "color": GREY, "skip": False})  # fmt: skip
    return rows


def _describe(block, first):
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
