"""`MoViNetSpace`: the search space of MoViNets, with choices of width, depth and layers."""

from dataclasses import replace

from keras_video.applications.movinet.config import (
    CONFIGS,
    S1,
    Bottleneck,
    MoViNetConfig,
    Variant,
)
from keras_video.applications.movinet.model import MoViNet
from keras_video.checks import check_choice, check_int, check_number
from keras_video.tuner.spaces import movinet_costs
from keras_video.tuner.spaces.base import Slots, layer_features, values_of
from keras_video.tuner.spaces.choices import Choice, ChoiceSpace
from keras_video.tuner.spaces.movinet_bases import BASES, STRIDES, MoViNetBase, extents, round_to_8
from keras_video.tuner.spaces.ranges import different
from keras_video.utils import complexity

KERNELS = ("1x3x3", "1x5x5", "1x7x7", "5x1x1", "7x1x1", "3x3x3", "5x3x3")
MULTIPLIERS = (0.75, 1.0, 1.25)
EXPANSIONS = (1.5, 2.0, 2.5, 3.0, 3.5, 4.0)


class MoViNetSpace(ChoiceSpace):
    """The search space of MoViNets (Kondratyuk et al. 2021, section 3.1, Table 1).

    A network has five blocks of bottlenecks. The choices are: the widths of the stem, of each block
    and of the head (`multipliers` times a base width, rounded to the nearest multiple of 8); the
    number of layers in each block; and for each layer its kernel, its inner width, and whether it
    has squeeze-excite. The first layer of every block except the fourth halves height and width.

    The inner width is a multiplier times the *base* width of the block, not times the chosen width
    of the block, with the same rounding. "Relative to c^base" in the paper may mean either. This
    reading explains 25 of the 26 widths of MoViNet-A2 (Table 5; the exception is 155, which is 160
    in the released network), the other reading explains 7.

    Widths are given in channels, as in the tables of the paper. The names are `block0/filters`,
    `block0/layers`, `block0/layer0/kernel`, `block0/layer0/expand` and `block0/layer0/squeeze`.

    Args:
        base: `"A0"` to `"A5"`, name of a scaled space (see `movinet_bases`; `"A2"` is the space of
            the paper), or a `MoViNetBase`.
        num_classes: int.
        clip: input clips `(frames, height, width)`. Default: those of the base.
        causal: bool, whether networks can stream. They then have the variant of the published
            stream models, and the super-network is causal, too.
        layers: int or 5 ints, largest number of layers in each block. Default: that of the base.
        kernels: some of `KERNELS`, or other strings of three odd extents.
        multipliers: floats, factors of the base widths of stem, blocks and head.
        expansions: floats, factors of the base width inside the layers.
        squeeze: `True`, `False` or both: whether layers have squeeze-excite.
        hidden: int, width of the classifier's hidden layer.
        include_preprocessing: bool, whether networks take pixels in 0..255 instead of 0..1.
        frame_stride: int. Networks take every `frame_stride`-th frame of the clips in the data.
        name: string.
        **options: fields of `applications.movinet.Variant`, such as `dropout=0.2`.

    Raises:
        ValueError: naming the argument that is wrong.

    Example:
    >>> space = MoViNetSpace("A0", num_classes=16, clip=(8, 48, 48), layers=3)
    >>> hp = keras_tuner.HyperParameters()
    >>> space.declare(hp)
    >>> space.build(hp).output_shape
    (None, 16)
    """

    def __init__(
        self, base="A2", num_classes=600, clip=None, causal=False, layers=None, kernels=KERNELS,
        multipliers=MULTIPLIERS, expansions=EXPANSIONS, squeeze=(True, False), hidden=2048,
        include_preprocessing=True, frame_stride=1, name=None, **options,
    ):  # fmt: skip
        super().__init__(name=name or "movinet")
        if not isinstance(base, MoViNetBase):
            base = BASES[check_choice("base", base, BASES)]
        self.base = base
        self.num_classes = check_int("num_classes", num_classes)
        self.frames, self.height, self.width = _clip(base.clip if clip is None else clip)
        self.frame_stride = check_int("frame_stride", frame_stride)
        self.include_preprocessing = bool(include_preprocessing)
        self.kernels = _kernels(kernels)
        self.layers = _layers(base.layers if layers is None else layers)
        self.squeeze = different("squeeze", squeeze, (True, False))
        multipliers = _positive("multipliers", multipliers)
        expansions = _positive("expansions", expansions)
        self.hidden = check_int("hidden", hidden)
        self._stem, *self._filters, self._head = (
            _widths(width, multipliers) for width in (base.stem, *base.blocks, base.head)
        )
        self._expand = [_widths(width, expansions) for width in base.blocks]
        frame = MoViNetConfig(
            self.name, (self.frames, self.height, self.width, 3), base.frame_rate,
            resize_side=round(8 * min(self.height, self.width) / 7),
            stem=0, project=0, hidden=self.hidden, stages=(), variant=Variant(),
        )  # fmt: skip
        frame = frame.streaming() if causal else frame
        self._frame = frame.with_options(**options)
        if self._frame.variant.positional_encoding:
            raise ValueError("positional_encoding: expected False in this space, got True.")
        self.choices = tuple(self._choices())
        self.slots = tuple(
            Slots(f"block{b}/layers", f"block{b}/layer")
            for b, most in enumerate(self.layers)
            if most > 1
        )

    @property
    def variant(self):
        """`applications.movinet.Variant` of all networks of the space."""
        return self._frame.variant

    def _choices(self):
        yield Choice("stem/filters", self._stem, "filters")
        for b, most in enumerate(self.layers):
            yield Choice(f"block{b}/filters", self._filters[b], "filters")
            yield Choice(f"block{b}/layers", tuple(range(1, most + 1)), "op")
            for i in range(most):
                name = f"block{b}/layer{i}"
                # Every block has its first layer.
                counts = tuple(range(i + 1, most + 1))
                when = ((f"block{b}/layers", counts),) if i else ()
                yield Choice(f"{name}/kernel", self.kernels, "op", when)
                yield Choice(f"{name}/expand", self._expand[b], "filters", when)
                yield Choice(f"{name}/squeeze", self.squeeze, "op", when)
        yield Choice("head/filters", self._head, "filters")

    def to_config(self, values):
        """Return the `MoViNetConfig` of values.

        Raises:
            ValueError: naming the value that is missing or out of range.
        """
        values, read = values_of(values), {}
        for choice in self.choices:
            if choice.active(read):
                if choice.name not in values:
                    raise ValueError(
                        f"{choice.name}: expected one of {choice.values}, got no value."
                    )
                value = values[choice.name]
                # KerasTuner may return an int as a float.
                read[choice.name] = choice.values[choice.index(value)]
        stages = []
        for b in range(len(self.layers)):
            rows = []
            for i in range(read[f"block{b}/layers"]):
                name = f"block{b}/layer{i}"
                rows.append(Bottleneck(
                    read[f"block{b}/filters"], read[f"{name}/expand"],
                    extents(read[f"{name}/kernel"]), S1 if i else STRIDES[b],
                    read[f"{name}/squeeze"],
                ))  # fmt: skip
            stages.append(tuple(rows))
        return replace(
            self._frame, stem=read["stem/filters"], project=read["head/filters"],
            stages=tuple(stages),
        )  # fmt: skip

    def to_values(self, config):
        """Return the values of a `MoViNetConfig`. Its clip, variant and hidden layer are ignored.

        Raises:
            ValueError: if the network is not in the space, naming the first choice that differs.
        """
        values, reasons = self._compare(config)
        if reasons:
            raise ValueError(reasons[0])
        return values

    def leaves(self, config):
        """Return a list of sentences that say where a `MoViNetConfig` is outside of the space."""
        return self._compare(config)[1]

    def _compare(self, config):
        given = {"stem/filters": config.stem, "head/filters": config.project}
        reasons = []
        if len(config.stages) != len(self.layers):
            return {}, [f"blocks: expected {len(self.layers)}, got {len(config.stages)}."]
        for b, stage in enumerate(config.stages):
            given |= {f"block{b}/filters": stage[0].filters, f"block{b}/layers": len(stage)}
            for i, row in enumerate(stage):
                name = f"block{b}/layer{i}"
                given |= {f"{name}/kernel": "x".join(map(str, row.kernel)),
                          f"{name}/expand": row.expand, f"{name}/squeeze": row.squeeze}  # fmt: skip
                strides = S1 if i else STRIDES[b]
                if row.strides != strides or row.filters != stage[0].filters:
                    reasons.append(
                        f"{name}: expected {stage[0].filters} filters and strides {strides}, got "
                        f"{row.filters} and {row.strides}."
                    )
        for choice in self.choices:
            if choice.name in given and given[choice.name] not in choice.values:
                reasons.append(
                    f"{choice.name}: expected one of {choice.values}, got {given[choice.name]!r}."
                )
        return given, reasons

    def invalid(self, values):
        try:
            self.to_config(values)
        except ValueError as error:
            return str(error)
        return None

    def cost(self, values, name):
        config = self.to_config(values)
        if name == "macs":
            return complexity.macs(config, classes=self.num_classes)
        if name == "params":
            return complexity.params(config, self.num_classes)
        if name == "memory":
            return complexity.peak_activation_memory(config, classes=self.num_classes)
        raise ValueError(f"name: expected 'macs', 'params' or 'memory', got {name!r}.")

    def cost_table(self, name):
        if name == "memory":
            raise ValueError(
                "name: expected 'macs' or 'params', got 'memory', which is a maximum and not a sum "
                "over layers: use cost(values, 'memory')."
            )
        if name not in movinet_costs.COUNTS:
            raise ValueError(f"name: expected 'macs' or 'params', got {name!r}.")
        return movinet_costs.table(self, movinet_costs.COUNTS[name])

    def features(self, values):
        return layer_features(self.to_config(values), self.num_classes)

    def clip(self, values):
        return (self.frames, self.height, self.width, self.frame_stride)

    def build(self, hp):
        config = self.to_config(values_of(hp))
        return MoViNet(
            config,
            classes=self.num_classes,
            input_shape=config.clip,
            include_preprocessing=self.include_preprocessing,
        )


def published():
    """Compare the released A0 to A5 with the scaled spaces.

    Returns:
        `{(network, base): list of sentences}`, see `MoViNetSpace.leaves`.
    """
    return {
        (config.name, base): MoViNetSpace(base).leaves(config)
        for config in CONFIGS.values()
        for base in BASES
        if config.name != "movinet_t0"
    }


def _widths(base, multipliers):
    """Return the different widths, in order."""
    return tuple(dict.fromkeys(round_to_8(base * m) for m in multipliers))


def _clip(clip):
    sizes = tuple(clip) if isinstance(clip, (list, tuple)) else ()
    if len(sizes) != 3:
        raise ValueError(f"clip: expected (frames, height, width), got {clip!r}.")
    return tuple(
        check_int("clip", size, least) for size, least in zip(sizes, (1, 32, 32), strict=True)
    )


def _layers(layers):
    counts = (layers,) * 5 if isinstance(layers, int) else tuple(layers)
    if len(counts) != 5:
        raise ValueError(f"layers: expected an int or 5 ints, one per block, got {layers!r}.")
    return tuple(check_int("layers", count) for count in counts)


def _kernels(kernels):
    kernels = tuple(kernels) if isinstance(kernels, (list, tuple)) else (kernels,)
    for kernel in kernels:
        parts = kernel.split("x") if isinstance(kernel, str) else ()
        odd = all(part.isdigit() and int(part) % 2 for part in parts)
        if len(parts) != 3 or not odd or parts[1] != parts[2]:
            raise ValueError(
                "kernels: expected strings such as '3x5x5', odd extents over frames, height and "
                f"width, the last two alike, got {kernel!r}."
            )
    return different("kernels", kernels)


def _positive(name, given):
    values = different(name, given)
    return tuple(check_number(name, value, above=0) for value in values)
