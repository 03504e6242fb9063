"""Networks by name, in the manner of `keras.applications`."""

import importlib

_FAMILIES = {
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
}
_OWNERS = {name: family for family, names in _FAMILIES.items() for name in names}

__all__ = sorted([*_FAMILIES, *_OWNERS])


def __getattr__(name):
    if name in _FAMILIES:
        return importlib.import_module(f"keras_video.applications.{name}")
    if name in _OWNERS:
        return getattr(importlib.import_module(f"keras_video.applications.{_OWNERS[name]}"), name)
    raise AttributeError(f"module 'keras_video.applications' has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *__all__])
