"""MoViNet (Kondratyuk et al. 2021): mobile video networks for clips and streams."""

from keras_video.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        ".pretrained": ("labels",),
        "config": ("CONFIGS", "MoViNetConfig", "Variant"),
        "model": (
            "MoViNet",
            "MoViNetA0",
            "MoViNetA1",
            "MoViNetA2",
            "MoViNetA3",
            "MoViNetA4",
            "MoViNetA5",
            "MoViNetA6",
            "MoViNetT0",
            "streaming_twin",
        ),
        "weights": ("RECORDS", "decode_predictions", "preprocess_input", "weights_record"),
    },
)
