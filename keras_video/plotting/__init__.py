"""Plots of streams, evaluations, searches and architectures, and annotated videos.

Needs matplotlib (extra `plot`), for videos also PyAV (extra `video`).
"""

from keras_video.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "architectures": ("plot_architecture", "plot_movinets", "plot_two_streams"),
        "evaluation": ("plot_accuracy_over_frames", "plot_confusion"),
        "overlays": ("AnnotatedVideo", "annotate_video", "plot_saliency"),
        "search": ("plot_family", "plot_pareto"),
        "stream": ("plot_stream",),
    },
)
