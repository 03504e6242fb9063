"""bLVNet-TAM architectures, resolved into named rows.

`plan(classes)` resolves a `BLVNetTAMConfig` into a `Plan` of primitive rows. The builder, the
counters and the weight converter use it. The rows are those of the published code
(IBM/bLVNet-TAM). The paper (Fan et al. 2019, "More Is Less: Learning Efficient Video
Representations by Big-Little Network and Depthwise Temporal Aggregation", NeurIPS) differs in where
frames are aggregated and halved.

After the stem both frames of a pair have the same features, so the model computes them once per
pair. Multiply-adds are counted as in the paper, which counts temporal aggregation for both frames
and the classifier for every pair. The model needs fewer.
"""

from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import NamedTuple

from keras_video.checks import check_choice, check_int, check_number
from keras_video.specs import Conv, Dense, Pool, TemporalBlend, run_rows

K33, S2 = (1, 3, 3), (1, 2, 2)


TEMPORAL = ("tam", "shift", "none")


class Residual(NamedTuple):
    """A bottleneck block as named rows; rows that it does not have are `None`.

    Args:
        name: string.
        temporal: `TemporalBlend` of the input.
        reduce, spatial, expand: the three convolutions.
        pool, shortcut: applied to the input before it is added at the end.
        relu: bool, whether a ReLU follows the sum.
    """

    name: str
    temporal: TemporalBlend | None
    reduce: Conv
    spatial: Conv
    expand: Conv
    pool: Pool | None
    shortcut: Conv | None
    relu: bool

    @property
    def skip_rows(self):
        return [row for row in (self.pool, self.shortcut) if row is not None]

    def rows(self):
        temporal = [self.temporal] if self.temporal else []
        return [*temporal, *self.skip_rows, self.reduce, self.spatial, self.expand]


class Stem(NamedTuple):
    """A convolution of all frames, then the first big and little branch."""

    conv: Conv
    temporal: TemporalBlend | None
    big: Conv
    little: tuple
    merge: Conv
    fusion: Conv

    def rows(self):
        temporal = [self.temporal] if self.temporal else []
        return [self.conv, *temporal, self.big, *self.little, self.merge, self.fusion]


class BigLittle(NamedTuple):
    """A stage with a big and a little branch; `merge` projects the little one."""

    temporal: TemporalBlend | None
    big: tuple
    little: tuple
    merge: Conv
    fusion: Residual

    def rows(self):
        temporal = [self.temporal] if self.temporal else []
        branches = [row for block in (*self.big, *self.little) for row in block.rows()]
        return [*temporal, *branches, self.merge, *self.fusion.rows()]


class Plan(NamedTuple):
    """A whole network as named rows, in the order of computation."""

    stem: Stem
    stages: tuple
    last: tuple
    classifier: Dense

    def rows(self):
        """Return all rows in the order of computation."""
        parts = (self.stem, *self.stages, *self.last)
        return [*(row for part in parts for row in part.rows()), self.classifier]

    def trace(self, clip):
        """Return a `specs.Step` for every row of an inference on a clip.

        Args:
            clip: `(frames, height, width, channels)`.
        """
        steps = []
        shape = _trace_stem(self.stem, tuple(clip), steps)
        for stage in self.stages:
            shape = _trace_stage(stage, shape, steps)
        for block in self.last:
            shape = _trace_residual(block, shape, 0, steps)
        run_rows(steps, [self.classifier], (shape[0], shape[-1]))
        return steps


def _trace_residual(block, shape, kept, steps):
    if block.temporal:
        # Without skip rows the input itself is added, so it stays in memory.
        before = 0 if block.skip_rows else prod(shape)
        shape = run_rows(steps, [block.temporal], shape, kept)
        kept += before
    skip = run_rows(steps, block.skip_rows, shape, kept)
    kept += prod(skip) if block.skip_rows or not block.temporal else 0
    return run_rows(steps, [block.reduce, block.spatial, block.expand], shape, kept)


def _trace_stem(stem, shape, steps):
    shape = run_rows(steps, [stem.conv], shape)
    if stem.temporal:
        run_rows(steps, [stem.temporal], shape)
    half = (shape[0] // 2, *shape[1:])
    big = prod(run_rows(steps, [stem.big], half, prod(half)))
    shape = run_rows(steps, stem.little, half, big)
    shape = run_rows(steps, [stem.merge], shape, big)
    return run_rows(steps, [stem.fusion], shape)


def _trace_stage(stage, shape, steps):
    other = prod(shape)  # the input of the little branch
    if stage.temporal:
        run_rows(steps, [stage.temporal], shape, other)
    big = shape
    for block in stage.big:
        big = _trace_residual(block, big, other, steps)
    for block in stage.little:
        shape = _trace_residual(block, shape, prod(big), steps)
    shape = run_rows(steps, [stage.merge], shape, prod(big))
    return _trace_residual(stage.fusion, shape, 0, steps)


def resolve(config, classes):
    """Return the `Plan` of a `BLVNetTAMConfig` for a number of classes."""
    width, stages = config.width, []
    for k, (depth, filters) in enumerate(zip(config.blocks, (4, 8, 16), strict=False), 1):
        stages.append(_stage(f"stage{k}", config, width, filters * config.width, depth, k < 3))
        width = filters * config.width
    last = []
    for i in range(config.blocks[3]):
        temporal = _temporal(f"stage4_block{i}_temporal", config, width)
        block = _residual(
            f"stage4_block{i}", width, 32 * config.width, strided=i == 0, temporal=temporal
        )
        last.append(block)
        width = 32 * config.width
    classifier = Dense("classifier", width, classes)
    return Plan(_stem(config), tuple(stages), tuple(last), classifier)


def _temporal(name, config, channels, copies=1):
    if config.temporal == "none":
        return None
    fixed = config.temporal == "shift"
    return TemporalBlend(name, channels, config.blending_frames, copies, fixed)


def _stem(config):
    width, little = config.width, config.width // config.alpha
    return Stem(
        conv=Conv("stem", config.input_channels, width, (1, 7, 7), S2),
        temporal=_temporal("stem_temporal", config, width),
        big=Conv("stem_big", width, width, K33, S2),
        little=(
            Conv("stem_little0", width, little, K33),
            Conv("stem_little1", little, little, K33, S2),
        ),
        merge=Conv("stem_merge", little, width),
        fusion=Conv("stem_fusion", width, width),
    )


def _stage(name, config, channels, filters, depth, strided):
    big, little, inputs = [], [], channels
    for i in range(depth - 1):
        relu = i == 0 or i < depth - 2  # the last of several blocks has its ReLU after the merge
        big.append(_residual(f"{name}_big{i}", inputs, filters, strided=i == 0, relu=relu))
        inputs = filters
    narrow, inputs = filters // config.alpha, channels
    for i in range(max(1, depth // config.beta - 1)):
        little.append(_residual(f"{name}_little{i}", inputs, narrow))
        inputs = narrow
    return BigLittle(
        temporal=_temporal(f"{name}_temporal", config, channels, copies=2),
        big=tuple(big),
        little=tuple(little),
        merge=Conv(f"{name}_merge", narrow, filters),
        fusion=_residual(f"{name}_fusion", filters, filters, strided=strided),
    )


def _residual(name, channels, filters, strided=False, temporal=None, relu=True):
    inner = filters // 4
    strides = S2 if strided else (1, 1, 1)
    projected = channels != filters
    return Residual(
        name=name,
        temporal=temporal,
        reduce=Conv(f"{name}_reduce", channels, inner),
        spatial=Conv(f"{name}_spatial", inner, inner, K33, strides),
        expand=Conv(f"{name}_expand", inner, filters),
        pool=Pool(f"{name}_pool", K33, S2) if strided else None,
        shortcut=Conv(f"{name}_shortcut", channels, filters) if projected else None,
        relu=relu,
    )


@dataclass(frozen=True)
class BLVNetTAMConfig:
    """A bLVNet-TAM and the clips that it was published for.

    Args:
        name: string.
        blocks: four ints, numbers of blocks in the stages of the underlying residual network. In
            the first three stages the last block fuses the branches and the others form the big
            branch, so there are at least 2.
        num_frames: even int, number of frames of a clip. Consecutive frames form pairs. The
            weights do not depend on it.
        size: int, height and width in pixels of the published clips.
        alpha: int, the little branch has `1 / alpha` of the channels; a divisor of `width`.
        beta: int, the little branch has `1 / beta` of the blocks.
        blending_frames: int, temporal extent of an aggregation.
        dropout: float in [0, 1), before the classifier, in training.
        input_channels: int, 3 for colours, 10 for five steps of optical flow.
        width: int, channels of the first convolution; all others are multiples of it.
        temporal: `"tam"` for temporal aggregation, `"shift"` for the fixed weights of TSM in the
            same places, or `"none"`.
    """

    name: str
    blocks: tuple
    num_frames: int = 16
    size: int = 224
    alpha: int = 2
    beta: int = 4
    blending_frames: int = 3
    dropout: float = 0.5
    input_channels: int = 3
    width: int = 64
    temporal: str = "tam"

    frame_rate = None
    resize_side = 256
    sampling = "blvnet_tam"

    def __post_init__(self):
        names = ("num_frames", "size", "alpha", "beta", "blending_frames", "input_channels")
        for name in (*names, "width"):
            check_int(name, getattr(self, name))
        if self.num_frames % 2:
            raise ValueError(f"num_frames: expected an even number, got {self.num_frames}.")
        if self.width % self.alpha:
            raise ValueError(
                f"alpha: expected a divisor of the width {self.width}, got {self.alpha}."
            )
        check_choice("temporal", self.temporal, TEMPORAL)
        if self.temporal == "shift" and self.blending_frames != 3:
            raise ValueError(
                f"blending_frames: expected 3 for temporal='shift', got {self.blending_frames}."
            )
        check_number("dropout", self.dropout, 0, below=1)
        if not isinstance(self.blocks, (list, tuple)) or len(self.blocks) != 4:
            raise ValueError(f"blocks: expected four ints, got {self.blocks!r}.")
        for depth, least in zip(self.blocks, (2, 2, 2, 1), strict=True):
            check_int("blocks", depth, least)
        object.__setattr__(self, "blocks", tuple(self.blocks))

    @property
    def clip(self):
        """`(frames, height, width, channels)` of the published clips."""
        return (self.num_frames, self.size, self.size, self.input_channels)

    def with_options(self, **options):
        """Return the same network with some fields replaced."""
        for name in options:
            check_choice("options", name, [field.name for field in fields(self)])
        return replace(self, **options)

    def plan(self, classes=174):
        """Return the `Plan` of named rows for a number of classes."""
        return resolve(self, classes)

    def trace(self, clip, classes=174):
        """Return the steps of one inference on a clip, see `utils.complexity`."""
        if clip[0] % 2:
            raise ValueError(f"clip: expected an even number of frames, got {tuple(clip)}.")
        return self.plan(classes).trace(clip)

    def weight_shapes(self, classes=174, include_top=True):
        """Return `{"layer/variable": shape}` of all weights, moving statistics included."""
        rows = self.plan(classes).rows()
        rows = rows if include_top else rows[:-1]
        return {name: shape for row in rows for name, shape in row.weight_shapes().items()}

    def to_dict(self):
        """Return plain lists, numbers and strings, for JSON."""
        return {**asdict(self), "blocks": list(self.blocks)}

    @classmethod
    def from_dict(cls, values):
        """Create a config from `to_dict()`.

        Raises:
            ValueError: for unknown, missing or invalid fields.
        """
        known = {f.name for f in fields(cls)}
        wrong = sorted(set(values) ^ known & (set(values) | {"name", "blocks"}))
        if wrong:
            raise ValueError(f"config: expected the fields {sorted(known)}, got {sorted(values)}.")
        return cls(**values)


R50 = BLVNetTAMConfig("blvnet_tam_50", (3, 4, 6, 3))
R101 = BLVNetTAMConfig("blvnet_tam_101", (4, 8, 18, 3))
R152 = BLVNetTAMConfig("blvnet_tam_152", (5, 12, 30, 3))  # in the published code, never trained
CONFIGS = {c.name: c for c in (R50, R101, R152)}
