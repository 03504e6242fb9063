"""Pictures of a search and of what it found. Needs matplotlib (extra `plot`)."""

from keras_video.plotting.stream import COLORS, import_figure, save_figure

DPI = 120
NAMES = {"latency_ms": "latency (ms)", "memory_mb": "activations (MB)", "params": "parameters",
         "macs": "multiply-adds"}  # fmt: skip
GREY, PALE = "#777777", "#bbbbbb"


def plot_pareto(
    rows, front, path, cost="latency_ms", fitness="fitness", limit=None, rejected=(), title=None
):
    """Draws the networks of a search: what they are worth against what they cost.

    Args:
        rows: list of dicts with the two numbers; others are left out.
        front: list of rows, the Pareto front; it is drawn as a line.
        path: where the picture goes, for example `"pareto.png"` (or `.svg`, `.pdf`).
        cost, fitness: strings, names of the two numbers.
        limit: float, where networks are rejected; drawn as a line.
        rejected: list of costs of the networks that were measured and rejected; drawn in grey
            below the others, since nobody knows what they are worth.
        title: string above the picture.

    Returns:
        The path.

    Raises:
        ValueError: if no row has both numbers.
    """
    Figure = import_figure()
    rows = [row for row in rows if row.get(cost) is not None and row.get(fitness) is not None]
    if not rows:
        raise ValueError(f"rows: expected at least one with {cost!r} and {fitness!r}, got none.")
    rejected = [x for x in rejected if x == x and abs(x) != float("inf")]
    figure = Figure(figsize=(7.6, 5.0), dpi=DPI, layout="constrained")
    if rejected:
        axes, strip = figure.subplots(2, 1, sharex=True, height_ratios=(9, 1))
        strip.vlines(rejected, 0, 1, color=PALE, linewidth=1.4, alpha=0.7)
        strip.set_yticks([0.5], [f"{len(rejected)} rejected\nuntrained"], color=GREY, fontsize=8)
        strip.tick_params(axis="y", length=0)
        strip.set_ylim(-0.1, 1.1)
        strip.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(axis="x", length=0)
    else:
        axes = strip = figure.subplots()
    order = [float(row["trial"]) if str(row.get("trial", "")).isdigit() else 0 for row in rows]
    points = axes.scatter(
        [row[cost] for row in rows], [row[fitness] for row in rows], c=order, cmap="viridis_r",
        s=26, edgecolors="white", linewidths=0.5, zorder=3,
    )  # fmt: skip
    if len(set(order)) > 1:
        bar = figure.colorbar(points, ax=axes, label="trial", pad=0.01, aspect=30)
        bar.ax.yaxis.get_major_locator().set_params(integer=True)  # there is no trial 0.25
        bar.outline.set_visible(False)
    axes.plot(
        [row[cost] for row in front], [row[fitness] for row in front], drawstyle="steps-post",
        color=COLORS[1], linewidth=1.6, zorder=2, label="Pareto front",
    )  # fmt: skip
    if front:
        best = front[-1]
        axes.scatter(
            best[cost], best[fitness], s=130, facecolors="none", edgecolors=COLORS[1],
            linewidths=1.8, zorder=4, label=f"best: trial {best.get('trial', '')}",
        )  # fmt: skip
    if limit is not None:
        for part in dict.fromkeys((axes, strip)):
            part.axvline(limit, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.plot([], [], color=GREY, linewidth=1, linestyle=(0, (4, 3)), label=f"limit {limit:g}")
    numbers = [*(row[cost] for row in rows), *rejected]
    if min(numbers) > 0 and max(numbers) > 30 * min(numbers):
        axes.set_xscale("log")
    elif limit is not None and max(numbers) > 2.5 * limit:
        axes.set_xlim(right=2.5 * limit)  # how much too slow the slowest were is of no interest
    axes.legend(frameon=False, fontsize=8.5, loc="lower right")
    axes.grid(color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_ylabel(fitness)
    strip.set_xlabel(NAMES.get(cost, cost))
    axes.set_title(title or "Networks of the search", loc="left", weight="bold")
    return save_figure(figure, path)


def plot_family(steps, path, title=None):
    """Draws how a network came about: one bar per mutation, as long as what it brought.

    Args:
        steps: list of `Step` of `keras_video.tuner.search.results`, from the first ancestor to the
            network.
        path: where the picture goes.
        title: string above the picture.

    Returns:
        The path.
    """
    Figure = import_figure()
    count = len(steps)
    figure = Figure(figsize=(8.6, 1.5 + 0.42 * count), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    low = min(step.fitness for step in steps)
    high = max(step.fitness for step in steps)
    room = max(high - low, 1e-3 * max(abs(high), 1e-9))
    for row, step in enumerate(steps):
        before = steps[row - 1].fitness if row else step.fitness
        good = step.gain >= 0
        color = COLORS[2] if good else COLORS[1]
        axes.barh(row, step.fitness - before, left=before, height=0.5, color=color, zorder=3)
        if row:
            axes.plot([before] * 2, [row - 1, row + 0.25], color=PALE, linewidth=1, zorder=2)
        axes.plot(step.fitness, row, marker="o", color="#333333", markersize=4.5, zorder=4)
        costs = f"   {step.costs['latency_ms']:.3g} ms" if "latency_ms" in step.costs else ""
        text = f"{step.fitness:.4f}" if not row else f"{step.gain:+.4f}"
        axes.annotate(
            text + costs, (max(before, step.fitness), row), (7, 0), textcoords="offset points",
            va="center", fontsize=8.5, color="#333333" if not row else color,
        )  # fmt: skip
    names = [f"{step.mutation or 'random network'}   [{step.trial}]" for step in steps]
    axes.set_yticks(range(count), names, fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_xlim(low - 0.06 * room, high + 0.42 * room)
    axes.grid(axis="x", color="#eeeeee", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_xlabel("fitness")
    axes.set_title(title or "What each mutation brought", loc="left", weight="bold")
    return save_figure(figure, path)


def plot_history(rows, path, title=None):
    """Draws how a one-shot search went: accuracy and reward, cost, and entropy of the policy.

    Args:
        rows: list of dicts, one per chunk of training: `"reward"`, `"val_accuracy"`,
            `"policy_entropy"`, `"stage"`, and where there is a target `"cost_ratio"`; also
            `"mean_reward"` and so on, of the networks that were drawn.
        path: where the picture goes, for example `"search.png"`.
        title: string above the picture.

    Returns:
        The path.

    Raises:
        ValueError: if there are no rows.
    """
    Figure = import_figure()
    if not rows:
        raise ValueError("rows: expected at least one chunk of training, got none.")
    panels = [
        ("accuracy", (("val_accuracy", 2), ("mean_quality", None))),
        ("reward", (("reward", 0), ("mean_reward", None))),
        ("cost / target", (("cost_ratio", 1), ("mean_cost_ratio", None))),
        ("entropy (nats)", (("policy_entropy", 3),)),
    ]
    panels = [panel for panel in panels if any(panel[1][0][0] in row for row in rows)]
    figure = Figure(figsize=(7.6, 1.2 + 1.7 * len(panels)), dpi=DPI, layout="constrained")
    all_axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    steps = range(1, len(rows) + 1)
    borders = [i + 0.5 for i in range(1, len(rows)) if rows[i]["stage"] != rows[i - 1]["stage"]]
    for axes, (label, lines) in zip(all_axes, panels, strict=True):
        for name, color in lines:
            numbers = [row.get(name, float("nan")) for row in rows]
            drawn = color is None
            axes.plot(
                steps, numbers, color=PALE if drawn else COLORS[color], marker="o", markersize=3,
                linewidth=1.2 if drawn else 1.8, zorder=2 if drawn else 3,
                label="drawn" if drawn else "most probable",
            )  # fmt: skip
        for border in borders:
            axes.axvline(border, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        if label.startswith("cost"):
            axes.axhline(1.0, color=GREY, linewidth=1, zorder=1)
        if len(lines) > 1:
            axes.legend(frameon=False, fontsize=8)
        axes.set_ylabel(label)
        axes.grid(color="#eeeeee", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    all_axes[-1].set_xlabel("chunk")
    all_axes[-1].xaxis.get_major_locator().set_params(integer=True)
    all_axes[0].set_title(title or "The search, chunk by chunk", loc="left", weight="bold")
    return save_figure(figure, path)
