"""Auto-TSNet (Gong et al. 2021): networks of two streams, one of few frames, one of many."""

from keras_video.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        ".pretrained": ("labels",),
        "config": ("CONFIGS", "Group", "TwoStreamSpec"),
        "model": (
            "AutoTSNet",
            "AutoTSNetL",
            "AutoTSNetLDagger",
            "AutoTSNetM",
            "AutoTSNetMDagger",
            "AutoTSNetS",
            "AutoTSNetSDagger",
            "ManualTSNet55",
            "ManualTSNet70",
            "ManualTSNet85",
        ),
        "weights": ("RECORDS", "weights_record"),
    },
)
