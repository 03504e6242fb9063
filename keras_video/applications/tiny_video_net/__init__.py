"""Tiny Video Networks (Piergiovanni et al. 2019): small clip networks found by evolution."""

import importlib

_OWNERS = {
    "CONFIGS": "config",
    "RECORDS": "weights",
    "TinyVideoBlock": "config",
    "TinyVideoNet": "model",
    "TinyVideoNet1": "builders",
    "TinyVideoNet2": "builders",
    "TinyVideoNet3": "builders",
    "TinyVideoNet4": "builders",
    "TinyVideoNet5Reconstruction": "builders",
    "TinyVideoNet6Reconstruction": "builders",
    "TinyVideoNetConfig": "config",
    "TinyVideoNetMobile1": "builders",
    "TinyVideoNetMobile2": "builders",
    "TinyVideoNetMovingDigits": "builders",
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
