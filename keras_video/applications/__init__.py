"""Model builders by name, in the manner of `keras.applications`."""

from keras_video.lazy import lazy_names

__all__, __getattr__, __dir__ = lazy_names(
    __name__,
    {
        "auto_tsnet": (
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
        "blvnet_tam": ("BLVNetTAM50", "BLVNetTAM101", "BLVNetTAM152"),
        "movinet": (
            "MoViNetA0",
            "MoViNetA1",
            "MoViNetA2",
            "MoViNetA3",
            "MoViNetA4",
            "MoViNetA5",
            "MoViNetA6",
            "MoViNetT0",
        ),
        "tiny_video_net": (
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
        "x3d": ("X3D", "X3DL", "X3DM", "X3DS", "X3DXL", "X3DXS"),
    },
    modules=("auto_tsnet", "blvnet_tam", "movinet", "tiny_video_net", "x3d"),
)
