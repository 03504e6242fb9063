"""Plots of a search: what is drawn where."""

import random

import pytest

pytest.importorskip("matplotlib")

from keras_video.plotting import search  # noqa: E402


@pytest.fixture
def figures(monkeypatch):
    """Figures instead of files."""
    made = []
    monkeypatch.setattr(search, "save_figure", lambda figure, path: made.append(figure))
    return made


def assert_legend_is_free(figure):
    """Check that the legend lies inside of the figure and covers no axes."""
    figure.canvas.draw()
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert box.x0 >= 0 and box.y0 >= 0 and box.x1 <= figure.bbox.x1
    for axes in figure.axes:
        assert axes.get_legend() is None
        assert not box.overlaps(axes.get_window_extent())


@pytest.mark.parametrize("rejected", [[], [2.1, 3.0]])
def test_the_legend_of_the_front_covers_no_network(figures, rejected):
    draw = random.Random(0)
    rows = [
        {"trial": str(i), "latency_ms": draw.random() * 2, "fitness": draw.random()}
        for i in range(40)
    ]
    search.plot_pareto(rows, rows[:3], "a.png", limit=2.0, rejected=rejected)
    assert_legend_is_free(figures[0])
    texts = [text.get_text() for text in figures[0].legends[0].get_texts()]
    assert texts == ["Pareto front", "best: trial 2", "limit 2"]


def test_the_legend_of_a_history_covers_no_line(figures):
    row = {"val_accuracy": 0.5, "mean_quality": 0.4, "reward": 1, "mean_reward": 0.9, "stage": 0}
    row |= {"cost_ratio": 1.1, "mean_cost_ratio": 1.2, "policy_entropy": 3}
    search.plot_history([row, row], "a.png")
    assert_legend_is_free(figures[0])
