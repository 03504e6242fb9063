"""A picture of MoViNets side by side: kernels, widths and squeeze-excite of every layer."""

from keras_video.utils.plotting import COLORS, import_figure, save_figure

# One colour per kind of kernel: over pixels, over frames, over both.
KINDS = {
    (False, True): ("over pixels", COLORS[0]),
    (True, False): ("over frames", COLORS[2]),
    (True, True): ("over both", COLORS[3]),
    (False, False): ("of one pixel", "#777777"),
}
GREY = "#555555"
COLUMN, ROW, GAP, TOP, LEFT = 3.7, 0.30, 0.22, 1.25, 0.35  # inches
DPI = 120


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
    height = TOP + sum(ROW * depth + GAP for depth in depths) + 0.75
    figure = Figure(figsize=(LEFT + COLUMN * len(configs), height), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(0, LEFT + COLUMN * len(configs))
    axes.set_ylim(height, 0)
    axes.set_axis_off()
    widest = max(row.expand for c in configs.values() for stage in c.stages for row in stage)
    for place, (title, config) in enumerate(configs.items()):
        left = LEFT + COLUMN * place
        _describe(axes, left, title, config, classes)
        top = TOP
        for b, depth in enumerate(depths):
            _draw_block(axes, left, top, b, config.stages[b], widest)
            top += ROW * depth + GAP
        axes.text(left, top + 0.05, f"head {config.project}, hidden {config.hidden}", fontsize=8.5,
                  color=GREY, va="center")  # fmt: skip
    _legend(axes, height - 0.25)
    return save_figure(figure, path)


def _blocks(configs):
    counts = {len(config.stages) for config in configs.values()}
    if len(counts) != 1:
        raise ValueError(f"configs: expected as many blocks in each, got {sorted(counts)}.")
    return counts.pop()


def _describe(axes, left, title, config, classes):
    from keras_video.utils import complexity

    macs = complexity.macs(config, classes=classes)
    params = complexity.params(config, classes)
    frames, height, width = config.clip[:3]
    axes.text(left, 0.3, title, fontsize=12.5, weight="bold", va="center")
    lines = [f"{macs / 1e6:,.1f} M multiply-adds, {params / 1e6:,.2f} M parameters",
             f"{frames} frames of {height}×{width}, stem {config.stem}"]  # fmt: skip
    axes.text(left, 0.72, "\n".join(lines), fontsize=8.5, color=GREY, va="center")


def _draw_block(axes, left, top, number, stage, widest):
    axes.text(left - 0.12, top - 0.02, f"{number}", fontsize=8.5, weight="bold", ha="center",
              va="center", color=GREY)  # fmt: skip
    for i, row in enumerate(stage):
        y = top + ROW * i
        color = KINDS[(row.kernel[0] > 1, row.kernel[1] > 1)][1]
        length = 1.75 * row.expand / widest
        axes.barh(y, length, 0.72 * ROW, left=left, color=color, alpha=0.8, linewidth=0)
        text = f"{'×'.join(map(str, row.kernel))}  {row.expand} → {row.filters}"
        if not row.squeeze:
            text += "  no SE"
        axes.text(left + length + 0.07, y, text, fontsize=8, va="center")


def _legend(axes, y):
    x = LEFT
    for name, color in list(KINDS.values())[:3]:
        axes.barh(y, 0.18, 0.16, left=x, color=color, alpha=0.8)
        axes.text(x + 0.26, y, f"kernel {name}", fontsize=8, va="center")
        x += 1.35
    axes.text(x, y, "length: width inside", fontsize=8, va="center", color=GREY)
