"""Networks on phones and small computers: rewriting, LiteRT files, running them, quantization.

`LiteRTModel` needs NumPy and `ai_edge_litert` alone; nothing else is imported before it is used.
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
