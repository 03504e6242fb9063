"""MoViNet (Kondratyuk et al. 2021): mobile video networks for clips and streams."""

import importlib

_OWNERS = {
    "CONFIGS": "config",
    "MoViNetConfig": "config",
    "Variant": "config",
    "MoViNet": "model",
    "MoViNetA0": "model",
    "MoViNetA1": "model",
    "MoViNetA2": "model",
    "MoViNetA3": "model",
    "MoViNetA4": "model",
    "MoViNetA5": "model",
    "MoViNetA6": "model",
    "MoViNetT0": "model",
    "RECORDS": "weights",
    "decode_predictions": "weights",
    "labels": "weights",
    "preprocess_input": "weights",
    "weights_record": "weights",
}

__all__ = sorted(_OWNERS)


def __getattr__(name):
    if name in _OWNERS:
        module = importlib.import_module(f"keras_video.applications.movinet.{_OWNERS[name]}")
        return getattr(module, name)
    raise AttributeError(f"module 'keras_video.applications.movinet' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
