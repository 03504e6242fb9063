"""X3D (Feichtenhofer 2020): clip networks grown from a small image network, one axis at a time."""

import importlib

_OWNERS = {
    "CONFIGS": "config",
    "RECORDS": "weights",
    "X3D": "model",
    "X3DConfig": "config",
    "X3DL": "model",
    "X3DM": "model",
    "X3DS": "model",
    "X3DXL": "model",
    "X3DXS": "model",
    "labels": "weights",
    "preprocess_input": "weights",
    "weights_record": "weights",
}

__all__ = sorted(_OWNERS)


def __getattr__(name):
    if name in _OWNERS:
        module = importlib.import_module(f"keras_video.applications.x3d.{_OWNERS[name]}")
        return getattr(module, name)
    raise AttributeError(f"module 'keras_video.applications.x3d' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
