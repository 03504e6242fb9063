"""Plots of streams, evaluations, searches and architectures. Needs matplotlib (extra `plot`)."""

from keras_video.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "architectures": ("plot_architecture", "plot_movinets", "plot_two_streams"),
        "evaluation": ("plot_accuracy_over_frames", "plot_confusion"),
        "search": ("plot_family", "plot_pareto"),
        "stream": ("plot_stream",),
    },
)
