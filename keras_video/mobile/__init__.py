"""Models on phones and small computers: rewriting, quantization, LiteRT files, running them.

Modules are imported on first use: `LiteRTModel` needs only NumPy and `ai_edge_litert`.
"""

import importlib

_ATTRIBUTES = {
    "LiteRTModel": "runner",
    "deployed_int8": "quantization.after_training",
    "export_litert": "export",
    "inspect": "file",
    "mobile_form": "rewriting",
    "quantize_aware": "quantization.aware",
}

__all__ = sorted(_ATTRIBUTES)


def __getattr__(name):
    if name in _ATTRIBUTES:
        return getattr(importlib.import_module(f"{__name__}.{_ATTRIBUTES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
