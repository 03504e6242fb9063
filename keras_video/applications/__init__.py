"""Model builders by name, in the manner of `keras.applications`."""

import importlib
import sys


def lazy_names(package, owners, with_modules=False):
    """Return `__all__`, `__getattr__` and `__dir__` for the `__init__.py` of a package.

    Importing the package then imports none of its modules, so that configs and weight records can
    be read without Keras.

    Args:
        package: string, the package's `__name__`.
        owners: dict, module to a tuple of the public names that it defines. The module is relative
            to the package; `".name"` is a module next to the package.
        with_modules: bool, whether these modules are public names, too.

    Example:
    >>> __all__, __getattr__, __dir__ = lazy_names(__name__, {"config": ("CONFIGS",)})
    """
    modules = {name: module for module, names in owners.items() for name in names}
    public = sorted([*modules, *(owners if with_modules else ())])

    def __getattr__(name):
        if name in modules:
            return getattr(importlib.import_module(f".{modules[name]}", package), name)
        if with_modules and name in owners:
            return importlib.import_module(f".{name}", package)
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def __dir__():
        return sorted({*vars(sys.modules[package]), *public})

    return public, __getattr__, __dir__


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
    with_modules=True,
)
