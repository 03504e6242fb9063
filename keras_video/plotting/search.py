"""Plots of a search: fitness against cost, ancestors of a network, course of a one-shot search."""

import math

from keras_video.plotting.figures import (
    COLORS,
    DASHED,
    DPI,
    GREY,
    PALE,
    TEXT,
    heading,
    import_figure,
    save_figure,
    tidy,
)

NAMES = {"latency_ms": "latency (ms)", "memory_mb": "activations (MB)", "params": "parameters",
         "macs": "multiply-adds"}  # fmt: skip


def plot_pareto(
    rows, front, path, cost="latency_ms", fitness="fitness", limit=None, rejected=(), title=None
):
    """Plot the networks of a search: fitness against cost.

    Args:
        rows: list of dicts with the two numbers. Rows without them are left out.
        front: list of rows, the Pareto front, drawn as a line.
        path: string or path of the image, for example `"pareto.png"` (or `.svg`, `.pdf`).
        cost, fitness: strings, names of the two numbers.
        limit: float, the limit of the cost, drawn as a line.
        rejected: list of the costs of networks that were measured and rejected. Their fitness is
            unknown, so they are drawn in a grey strip below the others.
        title: string above the plot.

    Returns:
        The path.

    Raises:
        ValueError: if no row has both numbers.
    """
    Figure = import_figure()
    rows = [row for row in rows if row.get(cost) is not None and row.get(fitness) is not None]
    if not rows:
        raise ValueError(f"rows: expected at least one with {cost!r} and {fitness!r}, got none.")
    rejected = [x for x in rejected if math.isfinite(x)]
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
        bar.ax.yaxis.get_major_locator().set_params(integer=True)  # trials have whole numbers
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
            part.axvline(limit, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
        axes.plot([], [], color=GREY, linewidth=1, linestyle=DASHED, label=f"limit {limit:g}")
    numbers = [*(row[cost] for row in rows), *rejected]
    if min(numbers) > 0 and max(numbers) > 30 * min(numbers):
        axes.set_xscale("log")
    elif limit is not None and max(numbers) > 2.5 * limit:
        axes.set_xlim(right=2.5 * limit)  # the slowest networks would squeeze the others
    # Below the axes: the networks may lie anywhere in them.
    figure.legend(*axes.get_legend_handles_labels(), frameon=False, fontsize=8.5, ncols=3,
                  loc="outside lower center")  # fmt: skip
    tidy(axes)
    axes.set_ylabel(fitness)
    strip.set_xlabel(NAMES.get(cost, cost))
    heading(axes, title or "Networks of the search")
    return save_figure(figure, path)


def plot_family(steps, path, title=None):
    """Plot the ancestors of a network: one bar per mutation, as long as its gain in fitness.

    Args:
        steps: list of `Step` from `keras_video.tuner.family_tree`, from the first ancestor to the
            network.
        path: string or path of the image.
        title: string above the plot.

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
        axes.plot(step.fitness, row, marker="o", color=TEXT, markersize=4.5, zorder=4)
        costs = f"   {step.costs['latency_ms']:.3g} ms" if "latency_ms" in step.costs else ""
        text = f"{step.fitness:.4f}" if not row else f"{step.gain:+.4f}"
        axes.annotate(
            text + costs, (max(before, step.fitness), row), (7, 0), textcoords="offset points",
            va="center", fontsize=8.5, color=TEXT if not row else color,
        )  # fmt: skip
    names = [f"{step.mutation or 'random network'}   [{step.trial}]" for step in steps]
    axes.set_yticks(range(count), names, fontsize=9)
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(count - 0.4, -0.6)
    axes.set_xlim(low - 0.06 * room, high + 0.42 * room)
    tidy(axes, "x", hide=("top", "right", "left"))
    axes.set_xlabel("fitness")
    heading(axes, title or "What each mutation brought")
    return save_figure(figure, path)


def plot_history(rows, path, title=None):
    """Plot the course of a one-shot search: accuracy, reward, cost, and entropy of the policy.

    Args:
        rows: list of dicts, one per chunk of training, as from `keras_video.tuner.search_history`:
            `"reward"`, `"val_accuracy"`, `"policy_entropy"` in nats, `"stage"`, and `"cost_ratio"`
            if there is a target; also `"mean_reward"` and so on, the means of the drawn networks.
        path: string or path of the image, for example `"search.png"`.
        title: string above the plot.

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
            )  # fmt: skip
        for border in borders:
            axes.axvline(border, color=GREY, linewidth=1, linestyle=DASHED, zorder=1)
        if label.startswith("cost"):
            axes.axhline(1.0, color=GREY, linewidth=1, zorder=1)
        axes.set_ylabel(label)
        tidy(axes)
    all_axes[-1].set_xlabel("chunk")
    all_axes[-1].xaxis.get_major_locator().set_params(integer=True)
    heading(all_axes[0], title or "The search, chunk by chunk")
    labels = ["in colour: the most probable network", "grey: the mean of those drawn"]
    handles = all_axes[0].plot([], [], color=COLORS[2]) + all_axes[0].plot([], [], color=PALE)
    figure.legend(handles, labels, frameon=False, fontsize=8.5, ncols=2,
                  loc="outside lower center")  # fmt: skip
    return save_figure(figure, path)
