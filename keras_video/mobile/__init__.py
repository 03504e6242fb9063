"""Models on phones and small computers: rewriting, quantization, LiteRT files, running them.

Modules are imported on first use: `LiteRTModel` needs only NumPy and `ai_edge_litert`.
"""

from keras_video.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "export": ("export_litert",),
        "file": ("inspect",),
        "quantization.after_training": ("deployed_int8",),
        "quantization.aware": ("quantize_aware",),
        "rewriting": ("mobile_form",),
        "runner": ("LiteRTModel",),
    },
)
