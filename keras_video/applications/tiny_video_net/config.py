"""Tiny Video Networks as tables, resolved into named rows.

A `TinyVideoNetConfig` has one `TinyVideoBlock` per block. `config.plan(classes, frames)` resolves
them into a `Plan` of primitive rows. The builder, the counters, the weight converter and the search
space use it. The rows depend on the number of frames: a block has no temporal part once a single
frame is left.

The rows are those of the published code (google-research, `tiny_video_nets`). The paper
(Piergiovanni et al. 2019, "Tiny Video Networks", arXiv 1910.06961) shows only some of them, and its
tables have other parameters and FLOPs: see the model card.
"""

from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import NamedTuple

from keras_video.checks import check_choice, check_int, check_number
from keras_video.specs import (
    ContextGate,
    Conv,
    Dense,
    Depthwise,
    NonLocal,
    Pool,
    SqueezeExcite,
    Step,
    conv_output_size,
)

SPATIAL = ("std", "depth", "maxpool", "avgpool", "1std")
TEMPORAL = ("1d", "maxpool", "avgpool")
ACTIVATIONS = ("relu", "hard_swish", "linear")
HEADS = ("average", "per_frame")

# Keys of a published specification that the published code does not use.
BOOKKEEPING = {
    "current_size", "input_size", "output_size", "total_layers", "num_blocks", "inputs",
}  # fmt: skip
PUBLISHED_NAMES = {
    "spatial_type": "spatial", "temporal_type": "temporal", "inv-bottle": "inverted",
    "act": "activation", "spatial_act": "spatial_activation",
    "temporal_act": "temporal_activation",
}  # fmt: skip


@dataclass(frozen=True)
class TinyVideoBlock:
    """One block: spatial part, temporal part, expansion, gates and skip, repeated.

    Args:
        spatial: `"std"` (1x1 convolution, then a dense kernel), `"1std"` (the dense kernel alone),
            `"depth"` (1x1 convolution, then a depthwise kernel), `"maxpool"` or `"avgpool"`.
        spatial_kernel, spatial_stride: ints; kernel 1 means no spatial part and no stride.
        temporal: `"1d"` (a convolution over time that mixes channels), `"maxpool"` or `"avgpool"`.
        temporal_kernel, temporal_stride: ints; kernel 1 means no temporal part.
        filters: int, width of the convolutions.
        expand: int; the output of the block (inverted: its inside) has `filters * expand`
            channels. 0 means no expansion.
        repeats: int. Repeat 0 has the strides; odd repeats have no temporal part.
        skip: bool, adds the input through a 1x1 convolution if the number of frames is unchanged.
        squeeze: float in [0, 1], ratio of the hidden width of squeeze-excite; 0 for none.
        context_gate: bool.
        non_local: int, bottleneck width of a non-local layer; 0 for none.
        inverted: bool, whether to expand first and to end in a linear projection to `filters`.
        activation, spatial_activation, temporal_activation: `"relu"`, `"hard_swish"` or
            `"linear"`: at the end of the block, after spatial and after temporal convolutions.
    """

    spatial: str = "std"
    spatial_kernel: int = 3
    spatial_stride: int = 1
    temporal: str = "1d"
    temporal_kernel: int = 1
    temporal_stride: int = 1
    filters: int = 64
    expand: int = 1
    repeats: int = 1
    skip: bool = False
    squeeze: float = 0.0
    context_gate: bool = False
    non_local: int = 0
    inverted: bool = False
    activation: str = "relu"
    spatial_activation: str = "relu"
    temporal_activation: str = "relu"

    def __post_init__(self):
        choices = {
            "spatial": SPATIAL, "temporal": TEMPORAL, "activation": ACTIVATIONS,
            "spatial_activation": ACTIVATIONS, "temporal_activation": ACTIVATIONS,
        }  # fmt: skip
        for name, known in choices.items():
            check_choice(name, getattr(self, name), known)
        sizes = ("spatial_kernel", "spatial_stride", "temporal_kernel", "temporal_stride")
        for name in (*sizes, "filters", "repeats"):
            check_int(name, getattr(self, name), 1)
        for name in ("expand", "non_local"):
            check_int(name, getattr(self, name), 0)
        check_number("squeeze", self.squeeze, 0, 1)
        for name in ("skip", "context_gate", "inverted"):
            if getattr(self, name) not in (False, True):
                raise ValueError(f"{name}: expected a bool, got {getattr(self, name)!r}.")
            object.__setattr__(self, name, bool(getattr(self, name)))

    @property
    def expanded(self):
        """int, channels after the expansion."""
        return max(self.filters * self.expand, self.filters)


class Application(NamedTuple):
    """One repeat of a block as named rows, in the order of computation.

    Rows that it does not have are `None`. A gate that is computed in the layer of a convolution has
    the name of that convolution.

    Args:
        name: string, such as `"block0_repeat1"`.
        block: `TinyVideoBlock`.
        frames: int, number of output frames.
        widening: 1x1x1 convolution that opens an inverted block.
        pointwise: 1x1x1 convolution before a spatial kernel.
        spatial, temporal: convolution or pooling over space, and over time.
        expansion: 1x1x1 convolution without activation.
        squeeze_excite, context_gate, non_local: attention.
        projection: 1x1x1 convolution that closes an inverted block.
        skip: 1x1x1 convolution of the block's input, with the spatial stride.
    """

    name: str
    block: object
    frames: int
    widening: Conv | None = None
    pointwise: Conv | None = None
    spatial: Conv | Pool | None = None
    temporal: Conv | Pool | None = None
    expansion: Conv | None = None
    squeeze_excite: SqueezeExcite | None = None
    context_gate: ContextGate | None = None
    non_local: NonLocal | None = None
    projection: Conv | None = None
    skip: Conv | None = None

    @property
    def branch_rows(self):
        return [row for row in self[3:-1] if row is not None]

    @property
    def closing(self):
        """The convolution whose layer also adds the skip and applies the activation, or `None`."""
        return self.expansion if self.projection is None and not self.non_local else self.projection

    @property
    def output(self):
        """Name of the last layer of the block."""
        return self.closing.name if self.closing else self.name


class Plan(NamedTuple):
    """A whole network as named rows, in the order of computation."""

    applications: tuple
    classifier: Dense
    per_frame: bool

    def rows(self):
        """Return all rows in the order of computation."""
        rows = []
        for application in self.applications:
            rows += [application.skip] if application.skip else []
            rows += application.branch_rows
        return [*rows, self.classifier]

    def trace(self, clip):
        """Return a `specs.Step` for every row of an inference on a clip.

        Args:
            clip: `(frames, height, width, channels)`.
        """
        steps, shape = [], tuple(clip)
        for application in self.applications:
            kept, inputs = 0, shape
            if application.skip:
                _run([application.skip], inputs, 0, steps)
                # The skip value stays in memory until the branch is added to it.
                kept = prod(application.skip.output_shape(inputs))
            shape = _run(application.branch_rows, inputs, kept, steps)
        shape = (shape[0], shape[-1]) if self.per_frame else shape[-1:]
        _run([self.classifier], shape, 0, steps)
        return steps


def _run(rows, shape, kept, steps):
    for row in rows:
        output = row.output_shape(shape)
        alive = kept + prod(shape) + row.workspace(shape)
        # Gates are multiplied into a kernel or applied in place.
        alive += 0 if isinstance(row, (SqueezeExcite, ContextGate)) else prod(output)
        steps.append(Step(row.name, row.macs(shape), alive))
        shape = output
    return shape


def resolve(config, classes, frames=None):
    """Return the `Plan` of a `TinyVideoNetConfig` for a number of classes and frames."""
    applications, channels = [], 3
    frames = config.frames if frames is None else frames
    for b, block in enumerate(config.blocks):
        for repeat in range(block.repeats):
            name = f"block{b}_repeat{repeat}"
            application, channels = _apply(name, block, repeat, channels, frames)
            applications.append(application)
            frames = application.frames
    classifier = Dense("classifier", channels, classes)
    return Plan(tuple(applications), classifier, config.head == "per_frame")


def _apply(name, block, repeat, channels, frames):
    """Return one repeat of a block, and its output channels."""
    stride = 1 if repeat or block.spatial_kernel == 1 else block.spatial_stride
    inputs, rows = channels, {}
    width = block.expanded if block.inverted else block.filters
    if block.inverted and block.expand:
        rows["widening"] = Conv(f"{name}_widening", channels, block.expanded)
        channels = block.expanded
    spatial, channels = _spatial(name, block, stride, channels, width)
    rows |= spatial
    remaining = frames
    if repeat % 2 == 0 and frames > 1 and block.temporal_kernel > 1:
        kernel = (block.temporal_kernel, 1, 1)
        strides = (1 if repeat else block.temporal_stride, 1, 1)
        remaining = conv_output_size(frames, strides[0])
        if block.temporal == "1d":
            rows["temporal"] = Conv(f"{name}_temporal", channels, width, kernel, strides)
            channels = width
        else:
            kind = block.temporal.removesuffix("pool")
            rows["temporal"] = Pool(f"{name}_temporal", kernel, strides, kind)
    if block.expand and not block.inverted:
        rows["expansion"] = Conv(f"{name}_expansion", channels, block.expanded)
        channels = block.expanded
    rows |= _attention(name, block, channels)
    if block.expand and block.inverted:
        rows["projection"] = Conv(f"{name}_projection", channels, block.filters)
        channels = block.filters
    if block.skip and remaining == frames:
        rows["skip"] = Conv(f"{name}_skip", inputs, channels, strides=(1, stride, stride))
    return Application(name, block, remaining, **rows), channels


def _spatial(name, block, stride, channels, width):
    """Return the rows of the spatial part, and its output channels."""
    k = block.spatial_kernel
    kernel, strides = (1, k, k), (1, stride, stride)
    if k == 1:
        return {}, channels
    if block.spatial.endswith("pool"):
        kind = block.spatial.removesuffix("pool")
        return {"spatial": Pool(f"{name}_spatial", kernel, strides, kind)}, channels
    rows = {}
    if block.spatial != "1std":
        rows["pointwise"] = Conv(f"{name}_pointwise", channels, width)
        channels = width
    row = Depthwise if block.spatial == "depth" else Conv
    rows["spatial"] = row(f"{name}_spatial", channels, width, kernel, strides)
    return rows, width


def _attention(name, block, channels):
    """Return gates and non-local layer. Gates next to a convolution belong to its layer."""
    owner = None
    if block.expand and not block.inverted:
        owner = f"{name}_expansion"
    elif block.expand and not block.non_local:
        owner = f"{name}_projection"
    rows = {}
    if block.squeeze:
        hidden = max(int(channels * block.squeeze), 8)
        row = SqueezeExcite(owner or f"{name}_squeeze_excite", channels, hidden, channels)
        rows["squeeze_excite"] = row
    if block.context_gate:
        rows["context_gate"] = ContextGate(owner or f"{name}_context_gate", channels)
    if block.non_local:
        rows["non_local"] = NonLocal(f"{name}_non_local", channels, block.non_local)
    return rows


@dataclass(frozen=True)
class TinyVideoNetConfig:
    """A Tiny Video Network and the clips that it was made for.

    Args:
        name: string.
        frames, size, frame_stride: ints, number of frames, height and width in pixels, and step
            between sampled frames.
        blocks: tuple of `TinyVideoBlock`.
        dropout: float in [0, 1), before the last layer, in training.
        head: `"average"`: mean over space and time, then the classifier; `"per_frame"`: the
            classifier on every frame, then a sum over time weighted by a softmax of the logits.
    """

    name: str
    frames: int
    size: int
    frame_stride: int
    blocks: tuple
    dropout: float = 0.5
    head: str = "average"

    def __post_init__(self):
        for name in ("frames", "size", "frame_stride"):
            check_int(name, getattr(self, name), 1)
        check_choice("head", self.head, HEADS)
        check_number("dropout", self.dropout, 0, below=1)
        if not self.blocks or not all(isinstance(b, TinyVideoBlock) for b in self.blocks):
            raise ValueError(f"blocks: expected at least one TinyVideoBlock, got {self.blocks!r}.")

    @property
    def clip(self):
        """`(frames, height, width, 3)` that the network was made for."""
        return (self.frames, self.size, self.size, 3)

    def with_options(self, activation=None, **options):
        """Return the same network with some fields replaced.

        Args:
            activation: string, replaces the three activations of all blocks.
            **options: fields to replace.
        """
        for name in options:
            check_choice("options", name, [field.name for field in fields(self)] + ["activation"])
        config = replace(self, **options)
        if activation is None:
            return config
        three = ("activation", "spatial_activation", "temporal_activation")
        changed = dict.fromkeys(three, activation)
        return replace(config, blocks=tuple(replace(b, **changed) for b in config.blocks))

    def plan(self, classes=339, frames=None):
        """Return the `Plan` of named rows.

        Args:
            classes: int, outputs of the classifier.
            frames: int, number of frames of the clips. Default: that of the config.
        """
        return resolve(self, classes, frames)

    def trace(self, clip, classes=339):
        """Return the steps of one inference on a clip, see `utils.complexity`."""
        return self.plan(classes, clip[0]).trace(clip)

    def weight_shapes(self, classes=339, include_top=True, frames=None):
        """Return `{"layer/variable": shape}` of all weights, moving statistics included."""
        rows = self.plan(classes, frames).rows()
        rows = rows if include_top else rows[:-1]
        return {name: shape for row in rows for name, shape in row.weight_shapes().items()}

    def to_dict(self):
        """Return plain lists, numbers and strings, for JSON."""
        return {**asdict(self), "blocks": [asdict(block) for block in self.blocks]}

    @classmethod
    def from_dict(cls, values):
        """Create a config from `to_dict()`, or from a specification of the published code.

        Such a specification has `image_size`, `num_frames`, `frame_stride` and blocks with
        `spatial_type`, `temporal_type` and so on. Keys that the published code ignores are ignored.

        Raises:
            ValueError: for unknown, missing or invalid fields.
        """
        values = dict(values)
        if "num_frames" in values:
            values["frames"] = values.pop("num_frames")
            values["size"] = values.pop("image_size", None)
            values = {k: v for k, v in values.items() if k not in BOOKKEEPING}
        values.setdefault("name", "tiny_video_net")
        values.setdefault("frame_stride", 1)
        blocks = values.get("blocks")
        if not isinstance(blocks, (list, tuple)):
            raise ValueError(f"blocks: expected a list of blocks, got {blocks!r}.")
        values["blocks"] = tuple(_block_from(block) for block in blocks)
        _check_names("config", cls, values)
        return cls(**values)


def _block_from(values):
    if isinstance(values, TinyVideoBlock):
        return values
    published = "spatial_type" in values
    values = {PUBLISHED_NAMES.get(k, k): v for k, v in values.items() if k not in BOOKKEEPING}
    if published:  # where hard_swish is called hswish
        for name in ("activation", "spatial_activation", "temporal_activation"):
            values[name] = values.get(name, "relu").replace("hswish", "hard_swish")
        values["filters"], values["expand"] = int(values["filters"]), int(values["expand"])
    _check_names("blocks", TinyVideoBlock, values)
    return TinyVideoBlock(**values)


def _check_names(argument, cls, values):
    known = [f.name for f in fields(cls)]
    unknown = sorted(set(values) - set(known))
    required = {"frames", "size", "blocks"} if cls is TinyVideoNetConfig else set()
    missing = sorted(required - {k for k, v in values.items() if v is not None})
    if unknown or missing:
        raise ValueError(
            f"{argument}: expected the fields {known}, got unknown {unknown}, missing {missing}."
        )


def block(spatial, temporal, filters, expand, repeats, skip=0, squeeze=0.0, gate=0, **more):
    """Return one row of a table; `"std 4/2"` means kind, kernel / stride."""
    parts = {}
    for axis, text in (("spatial", spatial), ("temporal", temporal)):
        kind, sizes = text.split()
        kernel, stride = map(int, sizes.split("/"))
        parts |= {axis: kind, f"{axis}_kernel": kernel, f"{axis}_stride": stride}
    return TinyVideoBlock(
        **parts, filters=filters, expand=expand, repeats=repeats, skip=bool(skip),
        squeeze=squeeze, context_gate=bool(gate), **more,
    )  # fmt: skip


TVN1 = TinyVideoNetConfig(
    "tiny_video_net_1", frames=2, size=224, frame_stride=4, blocks=(
        block("std 4/2", "maxpool 2/2", 64, 4, 2, gate=1),
        block("maxpool 3/2", "1d 1/1", 128, 4, 1, squeeze=0.9067600752736579),
        block("depth 5/3", "avgpool 1/1", 128, 4, 2, skip=1, gate=1),
        block("std 3/2", "avgpool 1/1", 256, 8, 2, squeeze=0.7265534208526172, gate=1),
    ),
)  # fmt: skip

TVN2 = TinyVideoNetConfig(
    "tiny_video_net_2", frames=2, size=256, frame_stride=7, blocks=(
        block("depth 5/3", "1d 2/1", 64, 4, 3, skip=1, squeeze=0.06667482492426025, gate=1),
        block("std 4/2", "maxpool 2/2", 128, 4, 5, skip=1, squeeze=0.693452618624749, gate=1),
        block("depth 4/1", "1d 1/1", 1024, 1, 6),
        block("avgpool 3/2", "1d 1/1", 256, 4, 1, gate=1),
        block("avgpool 4/3", "1d 1/1", 512, 4, 6, squeeze=0.9472192794783585),
        block("depth 3/3", "maxpool 1/1", 512, 4, 4),
        block("maxpool 2/1", "maxpool 1/1", 348, 6, 1, gate=1),
    ),
)  # fmt: skip

TVN3 = TinyVideoNetConfig(
    "tiny_video_net_3", frames=8, size=160, frame_stride=2, blocks=(
        block("depth 3/2", "1d 5/2", 64, 3, 2, squeeze=0.6457257964198263, gate=1),
        block("depth 3/2", "1d 1/1", 256, 5, 4, skip=1, squeeze=0.9061418818635367),
        block("depth 5/4", "maxpool 3/2", 256, 2, 4, skip=1),
        block("std 3/2", "maxpool 3/3", 512, 5, 4, gate=1),
    ),
)  # fmt: skip

TVN4 = TinyVideoNetConfig(
    "tiny_video_net_4", frames=8, size=128, frame_stride=4, blocks=(
        block("std 5/2", "1d 3/2", 64, 4, 5, skip=1, squeeze=0.4775900391242449),
        block("depth 5/2", "maxpool 2/2", 256, 6, 4, gate=1),
        block("depth 5/3", "1d 1/1", 256, 8, 4, squeeze=0.25309102981899967, gate=1),
    ),
)  # fmt: skip

MOBILE1 = TinyVideoNetConfig(
    "tiny_video_net_mobile_1", frames=2, size=224, frame_stride=1, blocks=(
        block("depth 5/4", "1d 2/1", 32, 3, 4, squeeze=0.004598785768716973),
        block("depth 5/4", "maxpool 2/1", 128, 6, 4, squeeze=0.8589741047143076, inverted=True,
              spatial_activation="hard_swish", temporal_activation="hard_swish"),
    ),
)  # fmt: skip

MOBILE2 = replace(
    MOBILE1, name="tiny_video_net_mobile_2", blocks=(
        replace(MOBILE1.blocks[0], spatial_activation="hard_swish"),
        replace(MOBILE1.blocks[1], repeats=3),
    ),
)  # fmt: skip

# A reconstruction: only size, frames, stride, FLOPs and times of the authors' network are known.
TVN5 = TinyVideoNetConfig(
    "tiny_video_net_5_reconstruction", frames=16, size=160, frame_stride=4, blocks=(
        block("depth 5/2", "1d 5/5", 48, 4, 2, squeeze=0.25),
        block("std 3/2", "maxpool 2/1", 96, 4, 4, skip=1, gate=1),
        block("depth 5/1", "1d 3/1", 128, 4, 5, skip=1, squeeze=0.5),
        block("depth 5/2", "avgpool 3/2", 192, 4, 5, skip=1, gate=1),
        block("std 3/2", "1d 2/2", 256, 4, 3, squeeze=0.5, gate=1),
    ),
)  # fmt: skip
TVN6 = replace(TVN5, name="tiny_video_net_6_reconstruction", frames=32)

# Found by this library's own evolution (benchmarks/search_tvn.py, seed 1): at most 0.12 ms a clip.
DIGITS = TinyVideoNetConfig(
    "tiny_video_net_moving_digits", frames=4, size=32, frame_stride=5, dropout=0.0, blocks=(
        block("maxpool 5/3", "maxpool 2/1", 32, 1, 2, skip=1),
        block("depth 5/2", "1d 3/2", 32, 2, 2, squeeze=0.25),
    ),
)  # fmt: skip

# Networks with published weights.
CHARADES = tuple(c.name for c in (TVN1, TVN2, TVN3, MOBILE1))
CONFIGS = {c.name: c for c in (TVN1, TVN2, TVN3, TVN4, MOBILE1, MOBILE2, TVN5, TVN6, DIGITS)}
