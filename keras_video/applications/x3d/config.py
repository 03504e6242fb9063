"""X3D architectures, each given by a few factors, resolved into named rows.

`config.plan(classes)` resolves the factors of an `X3DConfig` into a `Plan` of primitive rows, from
which the builder, the counters and the weight converter are derived.

Feichtenhofer 2020, "X3D: Expanding Architectures for Efficient Video Recognition", arXiv
2004.04730. Where the paper's table and the published code differ, the code is followed. XL is not
in the code; its factors give the paper's parameters and multiply-adds.
"""

from dataclasses import asdict, dataclass, fields, replace
from math import ceil
from typing import NamedTuple

from keras_video.checks import check_choice, check_int, check_number
from keras_video.specs import Conv, Dense, Depthwise, mbconv3d, round_channels, run_rows

STEM_FRAMES = 5  # temporal kernel of the stem; the paper says 3
BASE_WIDTH = 12  # channels of the stem and the first stage; each further stage doubles them
BASE_DEPTHS = (1, 2, 5, 3)
REDUCTION = 32
# Of pixels in [0, 1], the same for all colours.
MEAN, DEVIATION = 0.45, 0.225


class Plan(NamedTuple):
    """A whole network as named rows, in the order of computation.

    Args:
        stem, stem_temporal: spatial convolution, then depthwise temporal convolution. Only the
            second has batch norm.
        blocks: tuple of `specs.MBConv3D`.
        head: 1x1x1 convolution to the inner width of the last block.
        hidden, classifier: dense layers on the mean over the clip.
    """

    stem: Conv
    stem_temporal: Depthwise
    blocks: tuple
    head: Conv
    hidden: Dense
    classifier: Dense

    def rows(self):
        """Return all rows in the order of computation."""
        blocks = [row for block in self.blocks for row in block.rows]
        return [self.stem, self.stem_temporal, *blocks, self.head, self.hidden, self.classifier]

    def trace(self, clip):
        """Return a `specs.Step` for every row of an inference on a clip.

        Args:
            clip: `(frames, height, width, channels)`.
        """
        steps = []
        shape = run_rows(steps, [self.stem, self.stem_temporal], tuple(clip))
        for block in self.blocks:
            shape = block.run(steps, shape)
        shape = run_rows(steps, [self.head], shape)
        run_rows(steps, [self.hidden, self.classifier], shape[-1:])
        return steps


def stem_rows(name, filters, frames):
    """Return the spatial and the temporal convolution of a stem."""
    return (
        Conv(name, 3, filters, (1, 3, 3), (1, 2, 2), norm=False, use_bias=False),
        Depthwise(f"{name}_temporal", filters, filters, (frames, 1, 1)),
    )


def resolve(config, classes):
    """Return the `Plan` of an `X3DConfig` for a number of classes."""
    blocks, channels = [], config.stem
    for s, (filters, depth) in enumerate(config.stages, 1):
        for i in range(depth):
            blocks.append(
                mbconv3d(
                    f"stage{s}_block{i}",
                    channels,
                    filters,
                    config.expansion,
                    kernel=(3, 3, 3),
                    stride=1 if i else 2,
                    squeeze_excite=i % 2 == 0,
                )
            )
            channels = filters
    inner = blocks[-1].expansion.filters
    return Plan(
        *stem_rows("stem", config.stem, STEM_FRAMES),
        tuple(blocks),
        Conv("head", channels, inner),
        Dense("classifier_hidden", inner, config.hidden, use_bias=False),
        Dense("classifier", config.hidden, classes),
    )


@dataclass(frozen=True)
class X3DConfig:
    """An architecture and the clips that it was published for.

    Args:
        name: string, for example `"x3d_s"`.
        frames, size, frame_stride: ints, number of frames, height and width in pixels, and step
            between sampled frames, in training and for centre crops.
        resize_side: int, smaller side of the video before the crop to `size`; also the size of the
            crops if three crops cover the longer side.
        width, depth: floats, factors of the channels and of the number of blocks.
        expansion: float, ratio of the inner channels of a block to its output channels.
        hidden: int, width of the classifier's hidden layer.
        dropout: float in [0, 1), before the last layer, in training.
    """

    name: str
    frames: int
    size: int
    frame_stride: int
    resize_side: int
    width: float = 2.0
    depth: float = 2.2
    expansion: float = 2.25
    hidden: int = 2048
    dropout: float = 0.5

    def __post_init__(self):
        for name in ("frames", "size", "frame_stride", "resize_side", "hidden"):
            check_int(name, getattr(self, name))
        for name in ("width", "depth", "expansion"):
            check_number(name, getattr(self, name), above=0)
        check_number("dropout", self.dropout, 0, below=1)

    @property
    def clip(self):
        """`(frames, height, width, 3)` of the published clips."""
        return (self.frames, self.size, self.size, 3)

    @property
    def stem(self):
        """int, channels of the stem."""
        return round_channels(BASE_WIDTH * self.width)

    @property
    def stages(self):
        """`(channels, blocks)` of every stage."""
        widths = [BASE_WIDTH]
        for _ in BASE_DEPTHS[1:]:
            widths.append(round_channels(2 * widths[-1]))
        return tuple(
            (round_channels(width * self.width), ceil(depth * self.depth))
            for width, depth in zip(widths, BASE_DEPTHS, strict=True)
        )

    def with_options(self, **options):
        """Return the same network with some fields replaced."""
        for name in options:
            check_choice("options", name, [field.name for field in fields(self)])
        return replace(self, **options)

    def plan(self, classes=400):
        """Return the `Plan` of named rows for `classes` outputs."""
        return resolve(self, classes)

    def trace(self, clip, classes=400):
        """Return the steps of one inference on a clip, see `utils.complexity`."""
        return self.plan(classes).trace(clip)

    def weight_shapes(self, classes=400, include_top=True):
        """Return `{"layer/variable": shape}` of all weights, moving statistics included."""
        rows = self.plan(classes).rows()
        rows = rows if include_top else rows[:-2]
        return {name: shape for row in rows for name, shape in row.weight_shapes().items()}

    def to_dict(self):
        """Return plain numbers and strings, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Create a config from `to_dict()`."""
        return cls(**values)


XS = X3DConfig("x3d_xs", frames=4, size=160, frame_stride=12, resize_side=182)
S = X3DConfig("x3d_s", frames=13, size=160, frame_stride=6, resize_side=182)
M = X3DConfig("x3d_m", frames=16, size=224, frame_stride=5, resize_side=256)
L = X3DConfig("x3d_l", frames=16, size=312, frame_stride=5, resize_side=356, depth=5.0)
XL = replace(L, name="x3d_xl", width=2.9)

CONFIGS = {config.name: config for config in (XS, S, M, L, XL)}
