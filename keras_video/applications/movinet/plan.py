"""A MoViNet table resolved into named rows: what the builder, the counters and converters read."""

from math import prod
from typing import NamedTuple

from keras_video.specs import Conv, Dense, Depthwise, Pool, Scale, SqueezeExcite, round_channels


class Step(NamedTuple):
    """One row at work: its multiply-adds, and the values alive while it runs."""

    name: str
    macs: int
    alive: int


class Block(NamedTuple):
    """A bottleneck, fully resolved. Rows that the variant or the shape does not need are None."""

    name: str
    expansion: Conv
    feature: Depthwise
    feature_temporal: Depthwise | None
    squeeze_excite: SqueezeExcite | None
    projection: Conv
    rezero: Scale
    skip_pool: Pool | None
    skip: Conv | None
    drop_rate: float

    @property
    def skip_rows(self):
        return [row for row in (self.skip_pool, self.skip) if row is not None]

    @property
    def branch_rows(self):
        rows = (self.expansion, self.feature, self.feature_temporal, self.squeeze_excite)
        return [row for row in (*rows, self.projection, self.rezero) if row is not None]


class Plan(NamedTuple):
    """A whole network as named rows."""

    stem: Conv
    blocks: tuple
    head: Conv
    hidden: Dense
    classifier: Dense

    def rows(self):
        """All rows in the order of computation."""
        blocks = [row for block in self.blocks for row in (*block.skip_rows, *block.branch_rows)]
        return [self.stem, *blocks, self.head, self.hidden, self.classifier]

    def trace(self, clip):
        """A `Step` for every row of an inference on `clip`, `(frames, height, width, channels)`."""
        steps = []

        def run(rows, shape, kept=0):
            for row in rows:
                output = row.output_shape(shape)
                alive = kept + prod(shape) + prod(output)
                steps.append(Step(row.name, row.macs(shape), alive))
                shape = output
            return shape

        shape = run([self.stem], tuple(clip))
        for block in self.blocks:
            skip = run(block.skip_rows, shape)
            # The skip value stays alive until the branch is added to it.
            shape = run(block.branch_rows, shape, prod(skip))
        shape = run([self.head], shape)
        run([self.hidden, self.classifier], shape[-1:])
        return steps

    def state_shapes(self, size, variant):
        """`{layer name: shapes}` of one stream's state; counts have the shape `()`."""
        shapes = {}
        shape = self.stem.output_shape((1, *size, 3))
        for block in self.blocks:
            for row in block.branch_rows:
                if isinstance(row, Conv) and row.kernel[0] > 1:
                    shapes[row.name] = ((row.kernel[0] - 1, *shape[1:]),)
                if isinstance(row, SqueezeExcite):
                    if variant.squeeze != "2d":
                        shapes[row.name] = ((row.channels,), ())
                    elif row.positions:
                        shapes[row.name] = ((),)
                shape = row.output_shape(shape)
        shapes["head_pool"] = ((self.head.filters,), ())
        return shapes


def resolve(config, classes):
    """The `Plan` of a `MoViNetConfig` for a number of classes."""
    stem = Conv("stem", 3, config.stem, (1, 3, 3), (1, 2, 2))
    depth = sum(len(stage) for stage in config.stages)
    blocks, channels = [], config.stem
    for b, stage in enumerate(config.stages):
        for i, spec in enumerate(stage):
            rate = config.variant.stochastic_depth * (len(blocks) + 1) / depth
            name = f"block{b}_layer{i}"
            blocks.append(resolve_block(name, channels, spec, config.variant, rate))
            channels = spec.filters
    head = Conv("head", channels, config.project)
    hidden = Dense("classifier_hidden", config.project, config.hidden)
    return Plan(stem, tuple(blocks), head, hidden, Dense("classifier", config.hidden, classes))


def resolve_block(name, channels, spec, variant, drop_rate=0.0):
    """The `Block` of a `Bottleneck` row.

    Args:
        name: string, which the names of its rows begin with.
        channels: int, those that go in.
        spec: `Bottleneck`.
        variant: `Variant`.
        drop_rate: float, of stochastic depth.
    """
    temporal = attention = None
    if spec.squeeze:
        attention = _squeeze_excite(f"{name}_squeeze_excite", spec.expand, variant)
    kernel = spec.kernel
    if variant.factorized and kernel[0] > 1:
        temporal = Depthwise(
            f"{name}_feature_temporal", spec.expand, spec.expand, (kernel[0], 1, 1)
        )
        kernel = (1, *kernel[1:])
    strided = spec.strides != (1, 1, 1)
    project_skip = strided or channels != spec.filters
    return Block(
        name=name,
        expansion=Conv(f"{name}_expansion", channels, spec.expand),
        feature=Depthwise(f"{name}_feature", spec.expand, spec.expand, kernel, spec.strides),
        feature_temporal=temporal,
        squeeze_excite=attention,
        projection=Conv(f"{name}_projection", spec.expand, spec.filters),
        rezero=Scale(f"{name}_rezero"),
        skip_pool=Pool(f"{name}_skip_pool", (1, 3, 3), spec.strides) if strided else None,
        skip=Conv(f"{name}_skip", channels, spec.filters) if project_skip else None,
        drop_rate=drop_rate,
    )


def _squeeze_excite(name, channels, variant):
    if variant.squeeze == "none":
        return None
    inputs = 2 if variant.squeeze == "2plus3d" else 1
    return SqueezeExcite(
        name,
        channels,
        hidden=round_channels(0.25 * channels * inputs),
        in_channels=channels * inputs,
        per_frame=variant.causal or variant.squeeze != "3d",
        positions=variant.causal and variant.positional_encoding,
    )
