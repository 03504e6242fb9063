"""Auto-TSNet (Gong et al. 2021): two streams of a clip, one of few frames, one of many."""

import importlib

_OWNERS = {
    "AutoTSNet": "model",
    "AutoTSNetL": "model",
    "AutoTSNetLDagger": "model",
    "AutoTSNetM": "model",
    "AutoTSNetMDagger": "model",
    "AutoTSNetS": "model",
    "AutoTSNetSDagger": "model",
    "CONFIGS": "config",
    "Group": "config",
    "ManualTSNet55": "model",
    "ManualTSNet70": "model",
    "ManualTSNet85": "model",
    "RECORDS": "weights",
    "TwoStreamSpec": "config",
    "labels": "weights",
    "weights_record": "weights",
}

__all__ = sorted(_OWNERS)


def __getattr__(name):
    if name in _OWNERS:
        module = importlib.import_module(f"keras_video.applications.auto_tsnet.{_OWNERS[name]}")
        return getattr(module, name)
    raise AttributeError(f"module 'keras_video.applications.auto_tsnet' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
