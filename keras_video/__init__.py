"""keras_video: video understanding on a small budget, on Keras 3."""

from keras_video._registration import register_with_keras
from keras_video.lazy import lazy_names

__version__ = "0.1.0"

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {"models": ("Stream",), "training": ("evaluate",)},
    modules=(
        "applications",
        "checkpoints",
        "data",
        "datasets",
        "hub",
        "layers",
        "mobile",
        "models",
        "plotting",
        "specs",
        "training",
        "tuner",
        "utils",
    ),
)

register_with_keras()
