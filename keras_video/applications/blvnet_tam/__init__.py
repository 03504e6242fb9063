"""bLVNet-TAM (Fan et al. 2019): big-little networks of clips with temporal aggregation."""

import importlib

_OWNERS = {
    "BLVNetTAM": "model",
    "BLVNetTAM101": "model",
    "BLVNetTAM152": "model",
    "BLVNetTAM50": "model",
    "BLVNetTAMConfig": "config",
    "CONFIGS": "config",
    "DATA_SETS": "weights",
    "RECORDS": "weights",
    "labels": "weights",
    "preprocess_input": "weights",
    "weights_record": "weights",
}

__all__ = sorted(_OWNERS)


def __getattr__(name):
    if name in _OWNERS:
        module = importlib.import_module(f"keras_video.applications.blvnet_tam.{_OWNERS[name]}")
        return getattr(module, name)
    raise AttributeError(f"module 'keras_video.applications.blvnet_tam' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
