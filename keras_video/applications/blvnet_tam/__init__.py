"""bLVNet-TAM (Fan et al. 2019): big-little networks of clips with temporal aggregation."""

from keras_video.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        ".pretrained": ("labels",),
        "config": ("BLVNetTAMConfig", "CONFIGS"),
        "model": ("BLVNetTAM", "BLVNetTAM101", "BLVNetTAM152", "BLVNetTAM50"),
        "weights": ("DATA_SETS", "RECORDS", "preprocess_input", "weights_record"),
    },
)
