"""The families of models, and the names of their models in different places. No Keras here."""

import importlib
from typing import NamedTuple


class Family(NamedTuple):
    """Names and facts of a family, to find a model by its name.

    Args:
        module: string, prefix of the names of its configs.
        builder: string, prefix of the names of its builders.
        title: string, prefix of the names in printed texts.
        streams: bool, whether its models can stream.
        classes: int, number of classes for which sizes and costs are printed.
        folder: string, the folder in `applications`. Default: `module`.
        short: string, prefix of the short names on the command line.
    """

    module: str
    builder: str
    title: str
    streams: bool
    classes: int
    folder: str = ""
    short: str = ""

    @property
    def package(self):
        """The module with `CONFIGS`, `weights_record` and `labels`."""
        return importlib.import_module(f"keras_video.applications.{self.folder or self.module}")

    @property
    def configs(self):
        """`{name: config}` of the family."""
        configs = self.package.CONFIGS
        return {name: c for name, c in configs.items() if name.startswith(f"{self.module}_")}

    def record(self, name, weights, streaming=False):
        """Return the `WeightsRecord` of published weights, or raise a `ValueError`."""
        if self.streams:
            return self.package.weights_record(name, weights, streaming)
        if streaming:
            raise ValueError(f"model: expected a model that can stream, got {title(name)}.")
        return self.package.weights_record(name, weights)


FAMILIES = (
    Family("movinet", "MoViNet", "MoViNet-", streams=True, classes=600),
    Family("tiny_video_net", "TinyVideoNet", "TVN-", streams=False, classes=339, short="tvn"),
    Family("x3d", "X3D", "X3D-", streams=False, classes=400, short="x3d"),
    Family("blvnet_tam", "BLVNetTAM", "bLVNet-TAM-", streams=False, classes=174, short="blvnet"),
    Family("auto_tsnet", "AutoTSNet", "Auto-TSNet-", False, classes=400, short="autotsnet"),
    Family(
        "manual_tsnet",
        "ManualTSNet",
        "Manual-TSNet-",
        False,
        classes=400,
        folder="auto_tsnet",
        short="manualtsnet",
    ),
)


def all_configs():
    """Return `{name: config}` of all families."""
    return {name: config for family in FAMILIES for name, config in family.configs.items()}


def family_of(name):
    """Return the `Family` of the name of a config."""
    return next(family for family in FAMILIES if name.startswith(f"{family.module}_"))


def title(name):
    """Return `MoViNet-A2` for `movinet_a2`, `TVN-Mobile-1` for `tiny_video_net_mobile_1`."""
    return family_of(name).title + "-".join(_parts(name))


def builder_name(name):
    """Return `MoViNetA2` for `movinet_a2`, `TinyVideoNetMobile1` for `tiny_video_net_mobile_1`."""
    return family_of(name).builder + "".join(_parts(name))


def full_name(model, configs):
    """Return the key of `configs` for `"A2"`, `"MoViNetA2"`, `"movinet_a2"`, `"TVN1"`, ...

    Raises:
        ValueError: if there is no such model; lists the short names.
    """
    names = {_short(name): name for name in configs}
    if _short(model) not in names:
        known = ", ".join(short.upper() for short in names)
        raise ValueError(f"model: expected one of {known}, got {model!r}.")
    return names[_short(model)]


def _parts(name):
    parts = name[len(family_of(name).module) + 1 :].split("_")
    return [part.upper() if len(part) <= 2 else part.capitalize() for part in parts]


def _short(name):
    """Return `a2`, `tvn1` or `blvnet50` for any way to write a name."""
    letters = name.lower().translate(str.maketrans("", "", "_- "))
    for family in FAMILIES:
        letters = letters.replace(family.builder.lower(), family.short)
    return letters
