"""X3D (Feichtenhofer 2020): clip networks grown from a small image network, one axis at a time."""

from keras_video.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        ".pretrained": ("labels",),
        "config": ("CONFIGS", "X3DConfig"),
        "model": ("X3D", "X3DL", "X3DM", "X3DS", "X3DXL", "X3DXS"),
        "weights": ("RECORDS", "preprocess_input", "weights_record"),
    },
)
