"""Tiny Video Networks (Piergiovanni et al. 2019): small clip networks found by evolution."""

import importlib

_OWNERS = {
    "CONFIGS": "config",
    "RECORDS": "weights",
    "TinyVideoBlock": "config",
    "TinyVideoNet": "model",
    "TinyVideoNet1": "model",
    "TinyVideoNet2": "model",
    "TinyVideoNet3": "model",
    "TinyVideoNet4": "model",
    "TinyVideoNet5Reconstruction": "model",
    "TinyVideoNet6Reconstruction": "model",
    "TinyVideoNetConfig": "config",
    "TinyVideoNetMobile1": "model",
    "TinyVideoNetMobile2": "model",
    "TinyVideoNetMovingDigits": "model",
    "labels": "weights",
    "weights_record": "weights",
}

__all__ = sorted(_OWNERS)


def __getattr__(name):
    if name in _OWNERS:
        module = importlib.import_module(f"keras_video.applications.tiny_video_net.{_OWNERS[name]}")
        return getattr(module, name)
    raise AttributeError(
        f"module 'keras_video.applications.tiny_video_net' has no attribute {name!r}"
    )


def __dir__():
    return sorted([*globals(), *__all__])
