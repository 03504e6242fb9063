"""keras_video: video understanding on a small budget, on Keras 3."""

import importlib

from keras_video._registration import register_with_keras

__version__ = "0.1.0"

_MODULES = (
    "applications",
    "checkpoints",
    "data",
    "datasets",
    "layers",
    "mobile",
    "models",
    "plotting",
    "specs",
    "training",
    "tuner",
    "utils",
)
_ATTRIBUTES = {"Stream": "keras_video.models", "evaluate": "keras_video.training"}

__all__ = sorted([*_MODULES, *_ATTRIBUTES])


def __getattr__(name):
    # Keras and its backend take seconds to import, so modules are imported on first use (PEP 562).
    if name in _MODULES:
        return importlib.import_module(f"keras_video.{name}")
    if name in _ATTRIBUTES:
        return getattr(importlib.import_module(_ATTRIBUTES[name]), name)
    raise AttributeError(f"module 'keras_video' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])


register_with_keras()
