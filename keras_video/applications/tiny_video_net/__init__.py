"""Tiny Video Networks (Piergiovanni et al. 2019): small clip networks found by evolution."""

from keras_video.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        ".pretrained": ("labels",),
        "config": ("CONFIGS", "TinyVideoBlock", "TinyVideoNetConfig"),
        "model": (
            "TinyVideoNet",
            "TinyVideoNet1",
            "TinyVideoNet2",
            "TinyVideoNet3",
            "TinyVideoNet4",
            "TinyVideoNet5Reconstruction",
            "TinyVideoNet6Reconstruction",
            "TinyVideoNetMobile1",
            "TinyVideoNetMobile2",
            "TinyVideoNetMovingDigits",
        ),
        "weights": ("RECORDS", "weights_record"),
    },
)
