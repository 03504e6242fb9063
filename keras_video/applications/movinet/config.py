"""MoViNet architectures as tables, resolved into named rows.

A `MoViNetConfig` has one `Bottleneck` row per layer and a `Variant`. `plan(classes)` resolves both
into a `Plan` of primitive rows. The builder, the counters and the weight converters use it.

The rows are those of the released models (`official/projects/movinet`). The appendix of the paper
(Kondratyuk et al. 2021, "MoViNets: Mobile Video Networks for Efficient Video Recognition", arXiv
2103.11511) describes them only roughly.
"""

from dataclasses import asdict, dataclass, field, fields, replace
from math import prod
from typing import NamedTuple

from keras_video.checks import check_choice, check_number
from keras_video.specs import (
    Conv,
    Dense,
    Depthwise,
    Pool,
    Scale,
    SqueezeExcite,
    round_channels,
    run_rows,
)

K13, K15, K33, K53 = (1, 3, 3), (1, 5, 5), (3, 3, 3), (5, 3, 3)
S1, S2 = (1, 1, 1), (1, 2, 2)
REDUCTION = 32

CHOICES = {
    "conv": ("3d", "2plus1d", "3d_2plus1d"),
    "squeeze": ("3d", "2d", "2plus3d", "none"),
    "activation": ("swish", "hard_swish", "relu", "relu6"),
    "head_activation": ("swish", "hard_swish", "relu", "relu6"),
    "gate": ("sigmoid", "hard_sigmoid", "hard_sigmoid_keras2", "hard_sigmoid_tf_models"),
}


@dataclass(frozen=True)
class Bottleneck:
    """One mobile bottleneck layer: expand, depthwise convolution, squeeze-excite, project.

    Args:
        filters: int, output channels.
        expand: int, channels inside the layer.
        kernel, strides: 3 ints, of the depthwise convolution over (frames, height, width).
        squeeze: bool, whether the layer has squeeze-excite. All layers of published models do.
    """

    filters: int
    expand: int
    kernel: tuple = K33
    strides: tuple = S1
    squeeze: bool = True


@dataclass(frozen=True)
class Variant:
    """Options that apply to all layers of an architecture.

    Args:
        causal: bool, whether a frame depends on earlier frames only; required for streaming.
        conv: `"3d"` (one kernel over frames, height, width), or `"2plus1d"` (spatial kernel, batch
            norm, activation, then temporal kernel with its own batch norm). The official name
            `"3d_2plus1d"` means the same as `"2plus1d"`.
        squeeze: input of squeeze-excite: `"3d"` mean over the clip (causal: over the past), `"2d"`
            mean of each frame, `"2plus3d"` both; `"none"` for no squeeze-excite.
        activation, head_activation: `"swish"`, `"hard_swish"`, `"relu"` or `"relu6"`, in the
            backbone and after the hidden layer of the classifier.
        gate: `"sigmoid"`, `"hard_sigmoid"` (`relu6(x + 3) / 6`), `"hard_sigmoid_keras2"`
            (`clip(0.2 x + 0.5, 0, 1)`, most likely used to train the published stream weights) or
            `"hard_sigmoid_tf_models"` (`relu6(x + 3) * 0.16667`, in the current official source).
        positional_encoding: bool, adds frame positions to the input of squeeze-excite. As in the
            official code, only causal models use it.
        dropout: float in [0, 1), before the last layer, in training.
        stochastic_depth: float in [0, 1), drop rate of the last residual branch; the rates of
            earlier branches grow linearly up to it.
    """

    causal: bool = False
    conv: str = "3d"
    squeeze: str = "3d"
    activation: str = "swish"
    gate: str = "sigmoid"
    head_activation: str = "swish"
    positional_encoding: bool = False
    dropout: float = 0.5
    stochastic_depth: float = 0.2

    def __post_init__(self):
        for name, choices in CHOICES.items():
            check_choice(name, getattr(self, name), choices)
        for name in ("dropout", "stochastic_depth"):
            check_number(name, getattr(self, name), 0, below=1)

    @property
    def factorized(self):
        """bool, whether spatial and temporal kernels are separate."""
        return self.conv != "3d"


class Block(NamedTuple):
    """A bottleneck as named rows; rows that it does not need are `None`."""

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
    """A whole network as named rows, in the order of computation."""

    stem: Conv
    blocks: tuple
    head: Conv
    hidden: Dense
    classifier: Dense

    def rows(self):
        """Return all rows in the order of computation."""
        blocks = [row for block in self.blocks for row in (*block.skip_rows, *block.branch_rows)]
        return [self.stem, *blocks, self.head, self.hidden, self.classifier]

    def trace(self, clip):
        """Return a `specs.Step` for every row of an inference on a clip.

        Args:
            clip: `(frames, height, width, channels)`.
        """
        steps = []
        shape = run_rows(steps, [self.stem], tuple(clip))
        for block in self.blocks:
            skip = run_rows(steps, block.skip_rows, shape)
            # The skip value stays in memory until the branch is added to it.
            shape = run_rows(steps, block.branch_rows, shape, prod(skip))
        shape = run_rows(steps, [self.head], shape)
        run_rows(steps, [self.hidden, self.classifier], shape[-1:])
        return steps

    def state_shapes(self, size, variant):
        """Return `{layer name: shapes}` of the state of one stream; counts have the shape `()`."""
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
    """Return the `Plan` of a `MoViNetConfig` for a number of classes."""
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
    """Return the `Block` of a `Bottleneck`.

    Args:
        name: string, prefix of the names of its rows.
        channels: int, input channels.
        spec: `Bottleneck`.
        variant: `Variant`.
        drop_rate: float, rate of stochastic depth.
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


@dataclass(frozen=True)
class MoViNetConfig:
    """An architecture and its variant.

    Args:
        name: string, for example `"movinet_a0"`.
        clip: `(frames, height, width, 3)`, clip that the published model was evaluated on.
        frame_rate: float, frames per second of that clip.
        resize_side: int, the smaller side of the video before the centre crop to `clip`.
        stem, project, hidden: ints, filters of the stem, of the head's projection and of the
            classifier's hidden layer.
        stages: tuple of blocks, each a tuple of `Bottleneck` rows.
        variant: `Variant`.
    """

    name: str
    clip: tuple
    frame_rate: float
    resize_side: int
    stem: int
    project: int
    hidden: int
    stages: tuple
    variant: Variant = field(default_factory=Variant)

    def with_options(self, **options):
        """Return the same architecture with some fields of `variant` replaced."""
        for name in options:
            check_choice("options", name, [field.name for field in fields(Variant)])
        return replace(self, variant=replace(self.variant, **options))

    def streaming(self):
        """Return the published stream variant: causal, (2+1)D, hard activations."""
        positions = self.name in ("movinet_a3", "movinet_a4", "movinet_a5")
        dropout = 0.2 if self.name == "movinet_a1" else self.variant.dropout
        return self.with_options(
            causal=True,
            conv="2plus1d",
            squeeze="2plus3d",
            activation="hard_swish",
            gate="hard_sigmoid_keras2",
            positional_encoding=positions,
            dropout=dropout,
        )

    def plan(self, classes=600):
        """Return the `Plan` of named rows for `classes` outputs."""
        return resolve(self, classes)

    def trace(self, clip, classes=600):
        """Return the steps of one inference on a clip, see `utils.complexity`."""
        return self.plan(classes).trace(clip)

    def state_shapes(self, size):
        """Return `{layer name: shapes}` of the state of one stream, without the batch.

        Args:
            size: `(height, width)` of the frames.
        """
        if not self.variant.causal:
            raise ValueError(f"config: expected a causal variant, got that of {self.name}.")
        return self.plan().state_shapes(size, self.variant)

    def weight_shapes(self, classes=600, include_top=True):
        """Return `{"layer/variable": shape}` of all weights, moving statistics included."""
        rows = self.plan(classes).rows()
        rows = rows if include_top else rows[:-2]
        return {name: shape for row in rows for name, shape in row.weight_shapes().items()}

    def to_dict(self):
        """Return plain lists, numbers and strings, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Create a config from `to_dict()`; tuples may have become lists, as in JSON."""
        stages = tuple(
            tuple(
                Bottleneck(
                    **{
                        **row,
                        "kernel": tuple(row["kernel"]),
                        "strides": tuple(row["strides"]),
                    }
                )
                for row in stage
            )
            for stage in values["stages"]
        )
        variant = Variant(**values["variant"])
        changed = {"stages": stages, "variant": variant, "clip": tuple(values["clip"])}
        return cls(**{**values, **changed})


def stage(filters, strides, *layers):
    """Return one row of the paper's tables; its first layer has the strides."""
    return tuple(
        Bottleneck(filters, expand, kernel, S1 if i else strides)
        for i, (expand, kernel) in enumerate(layers)
    )


A0 = MoViNetConfig(
    "movinet_a0", clip=(50, 172, 172, 3), frame_rate=5.0, resize_side=192,
    stem=8, project=480, hidden=2048, variant=Variant(dropout=0.2),
    stages=(
        stage(8, S2, (24, K15)),
        stage(32, S2, (80, K33), (80, K33), (80, K33)),
        stage(56, S2, (184, K53), (112, K33), (184, K33)),
        stage(56, S1, (184, K53), (184, K33), (184, K33), (184, K33)),
        stage(104, S2, (384, K53), (280, K15), (280, K15), (344, K15)),
    ),
)  # fmt: skip

A1 = MoViNetConfig(
    "movinet_a1", clip=(50, 172, 172, 3), frame_rate=5.0, resize_side=192,
    stem=16, project=600, hidden=2048, stages=(
        stage(16, S2, (40, K15), (40, K33)),
        stage(40, S2, (96, K33), (120, K33), (96, K33), (96, K33)),
        stage(64, S2, (216, K53), (128, K33), (216, K33), (168, K33), (216, K33)),
        stage(64, S1, (216, K53), (216, K33), (216, K33), (128, K33), (128, K15), (216, K33)),
        stage(136, S2, (456, K53), (360, K15), (360, K15), (360, K15), (456, K15), (456, K33),
              (544, K13)),
    ),
)  # fmt: skip

A2 = MoViNetConfig(
    "movinet_a2", clip=(50, 224, 224, 3), frame_rate=5.0, resize_side=256,
    stem=16, project=640, hidden=2048, stages=(
        stage(16, S2, (40, K15), (40, K33), (64, K33)),
        stage(40, S2, (96, K33), (120, K33), (96, K33), (96, K33), (120, K33)),
        stage(72, S2, (240, K53), (160, K33), (240, K33), (192, K33), (240, K33)),
        stage(72, S1, (240, K53), (240, K33), (240, K33), (240, K33), (144, K15), (240, K33)),
        stage(144, S2, (480, K53), (384, K15), (384, K15), (480, K15), (480, K15), (480, K33),
              (576, K13)),
    ),
)  # fmt: skip

A3 = MoViNetConfig(
    "movinet_a3", clip=(120, 256, 256, 3), frame_rate=12.0, resize_side=288,
    stem=16, project=744, hidden=2048, stages=(
        stage(16, S2, (40, K15), (40, K33), (64, K33), (40, K33)),
        stage(48, S2, (112, K33), (144, K33), (112, K33), (112, K15), (144, K33), (144, K33)),
        stage(80, S2, (240, K53), (152, K33), (240, K33), (192, K33), (240, K33)),
        stage(88, S1, (264, K53), (264, K33), (264, K33), (264, K33), (160, K15), (264, K33),
              (264, K33), (264, K33)),
        stage(168, S2, (560, K53), (448, K15), (448, K15), (560, K15), (560, K15), (560, K33),
              (448, K15), (448, K15), (560, K33), (672, K13)),
    ),
)  # fmt: skip

A4 = MoViNetConfig(
    "movinet_a4", clip=(80, 290, 290, 3), frame_rate=8.0, resize_side=320,
    stem=24, project=856, hidden=2048, stages=(
        stage(24, S2, (64, K15), (64, K33), (96, K33), (64, K33), (96, K33), (64, K33)),
        stage(56, S2, (168, K33), (168, K33), (136, K33), (136, K33), (168, K33), (168, K33),
              (168, K33), (136, K15), (136, K33)),
        stage(96, S2, (320, K53), (160, K33), (320, K33), (192, K33), (320, K33), (160, K33),
              (320, K33), (256, K33), (320, K33)),
        stage(96, S1, (320, K53), (320, K33), (320, K33), (320, K33), (192, K15), (320, K33),
              (320, K33), (192, K33), (320, K33), (320, K33)),
        stage(192, S2, (640, K53), (512, K15), (512, K15), (640, K15), (640, K15), (640, K33),
              (512, K15), (512, K15), (640, K15), (768, K15), (640, K15), (640, K33), (768, K33)),
    ),
)  # fmt: skip

A5 = MoViNetConfig(
    "movinet_a5", clip=(120, 320, 320, 3), frame_rate=12.0, resize_side=368,
    stem=24, project=992, hidden=2048, stages=(
        stage(24, S2, (64, K15), (64, K15), (96, K33), (64, K33), (96, K33), (64, K33)),
        stage(64, S2, (192, K53), (152, K33), (152, K33), (152, K33), (192, K33), (192, K33),
              (192, K33), (152, K33), (152, K33), (192, K33), (192, K33)),
        stage(112, S2, (376, K53), (224, K33), (376, K33), (376, K33), (296, K33), (376, K33),
              (224, K33), (376, K33), (376, K33), (296, K33), (376, K33), (376, K33), (376, K33)),
        stage(120, S1, (376, K53), (376, K33), (376, K33), (376, K33), (224, K15), (376, K33),
              (376, K33), (224, K33), (376, K33), (376, K33), (376, K33)),
        stage(224, S2, (744, K53), (744, K33), (600, K15), (600, K15), (744, K15), (744, K15),
              (744, K33), (896, K15), (600, K15), (600, K15), (896, K15), (744, K15), (744, K33),
              (896, K15), (600, K15), (600, K15), (744, K15), (744, K33)),
    ),
)  # fmt: skip

T0 = MoViNetConfig(
    "movinet_t0", clip=(25, 160, 160, 3), frame_rate=2.5, resize_side=176,
    stem=8, project=240, hidden=1024, variant=Variant(dropout=0.2), stages=(
        stage(8, S2, (16, K15)),
        stage(32, S2, (72, K33), (72, K15)),
        stage(56, S2, (112, K53), (112, K15), (112, K33)),
        stage(56, S1, (184, K53), (184, K15), (184, K33), (184, K33)),
        stage(104, S2, (344, K53), (344, K15), (344, K15), (344, K33)),
    ),
)  # fmt: skip

CONFIGS = {config.name: config for config in (T0, A0, A1, A2, A3, A4, A5)}
