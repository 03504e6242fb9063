"""A Tiny Video Network resolved into named rows: what is there for a certain number of frames.

Builder, counters and converter read these rows. They depend on the number of frames, because a
block has no temporal part once a single frame is left.
"""

from math import prod
from typing import NamedTuple

from keras_video.specs import (
    ContextGate,
    Conv,
    Dense,
    Depthwise,
    NonLocal,
    Pool,
    SqueezeExcite,
    conv_output_size,
)


class Step(NamedTuple):
    """One row at work: its multiply-adds, and the values alive while it runs."""

    name: str
    macs: int
    alive: int


class Application(NamedTuple):
    """A block applied once; its fields in the order of computation.

    Rows that it does not have are None. The gates carry the name of the convolution they are
    computed with, if there is one.

    Args:
        name: string, such as `"block0_repeat1"`.
        block: `TinyVideoBlock`.
        frames: int, frames that come out.
        widening: 1x1x1 convolution that opens an inverted block.
        pointwise: 1x1x1 convolution before a spatial kernel.
        spatial, temporal: the two main parts.
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
        """The convolution that skip and activation are computed with, or `None`."""
        return self.expansion if self.projection is None and not self.non_local else self.projection

    @property
    def output(self):
        """Name of the layer that the block ends in."""
        return self.closing.name if self.closing else self.name


class Plan(NamedTuple):
    """A whole network as named rows."""

    applications: tuple
    classifier: Dense
    per_frame: bool

    def rows(self):
        """All rows in the order of computation."""
        rows = []
        for application in self.applications:
            rows += [application.skip] if application.skip else []
            rows += application.branch_rows
        return [*rows, self.classifier]

    def trace(self, clip):
        """A `Step` for every row of an inference on `clip`, `(frames, height, width, channels)`."""
        steps, shape = [], tuple(clip)
        for application in self.applications:
            kept, inputs = 0, shape
            if application.skip:
                _run([application.skip], inputs, 0, steps)
                # The skip value stays alive until the branch is added to it.
                kept = prod(application.skip.output_shape(inputs))
            shape = _run(application.branch_rows, inputs, kept, steps)
        shape = (shape[0], shape[-1]) if self.per_frame else shape[-1:]
        _run([self.classifier], shape, 0, steps)
        return steps


def _run(rows, shape, kept, steps):
    for row in rows:
        output = row.output_shape(shape)
        alive = kept + prod(shape) + row.workspace(shape)
        # Gates are factors of a kernel, or are applied in place.
        alive += 0 if isinstance(row, (SqueezeExcite, ContextGate)) else prod(output)
        steps.append(Step(row.name, row.macs(shape), alive))
        shape = output
    return shape


def resolve(config, classes, frames=None):
    """The `Plan` of a `TinyVideoNetConfig` for a number of classes and of frames."""
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
    """One application of a block, and the channels that come out."""
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
    """The rows of the spatial part, and the channels that come out."""
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
    """Gates and non-local layer. Gates beside a convolution belong to its layer."""
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
