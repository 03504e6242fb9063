"""Plots of streams, evaluations, searches and architectures. Needs matplotlib (extra `plot`)."""

import importlib

_OWNERS = {
    "plot_accuracy_over_frames": "evaluation",
    "plot_architecture": "architectures",
    "plot_confusion": "evaluation",
    "plot_family": "search",
    "plot_movinets": "architectures",
    "plot_pareto": "search",
    "plot_stream": "stream",
    "plot_two_streams": "architectures",
}

__all__ = sorted(_OWNERS)


def __getattr__(name):
    if name in _OWNERS:
        return getattr(importlib.import_module(f"{__name__}.{_OWNERS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
