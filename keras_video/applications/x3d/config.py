"""X3D architectures: two factors each, from which builder, counters and converter derive.

Feichtenhofer 2020, "X3D: Expanding Architectures for Efficient Video Recognition", arXiv
2004.04730. Where the paper's table and the published code differ the code counts: its stem has five
frames in its temporal kernel. XL is not in the code; its factors give the paper's parameters and
multiply-adds.

An X3D resolved into named rows: what the builder, the counters and the converter read.
"""

from dataclasses import asdict, dataclass, fields, replace
from math import ceil
from typing import NamedTuple

from keras_video.specs import Conv, Dense, Depthwise, check_int, mbconv3d, round_channels, run_rows

STEM_FRAMES = 5  # of the stem's temporal kernel; the paper prints 3


class Plan(NamedTuple):
    """A whole network as named rows.

    Args:
        stem, stem_temporal: the spatial convolution, and behind it the temporal one, depthwise,
            which alone has a batch norm.
        blocks: tuple of `specs.MBConv3D`.
        head: 1x1x1 convolution to the width inside the last block.
        hidden, classifier: dense rows on the mean over the clip.
    """

    stem: Conv
    stem_temporal: Depthwise
    blocks: tuple
    head: Conv
    hidden: Dense
    classifier: Dense

    def rows(self):
        """All rows in the order of computation."""
        blocks = [row for block in self.blocks for row in block.rows]
        return [self.stem, self.stem_temporal, *blocks, self.head, self.hidden, self.classifier]

    def trace(self, clip):
        """A `Step` for every row of an inference on `clip`, `(frames, height, width, channels)`."""
        steps = []
        shape = run_rows(steps, [self.stem, self.stem_temporal], tuple(clip))
        for block in self.blocks:
            shape = block.run(steps, shape)
        shape = run_rows(steps, [self.head], shape)
        run_rows(steps, [self.hidden, self.classifier], shape[-1:])
        return steps


def resolve(config, classes):
    """The `Plan` of an `X3DConfig` for a number of classes."""
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


def stem_rows(name, filters, frames):
    """The spatial and the temporal convolution of a stem, nothing between the two."""
    return (
        Conv(name, 3, filters, (1, 3, 3), (1, 2, 2), norm=False, use_bias=False),
        Depthwise(f"{name}_temporal", filters, filters, (frames, 1, 1)),
    )


BASE_WIDTH = 12  # of the stem and of the first stage; every further stage doubles it
BASE_DEPTHS = (1, 2, 5, 3)
REDUCTION = 32
# Of pixels in [0, 1], all colours alike.
MEAN, DEVIATION = 0.45, 0.225


@dataclass(frozen=True)
class X3DConfig:
    """An architecture, and the clips it was made for.

    Args:
        name: string, for example `"x3d_s"`.
        frames, size, frame_stride: ints: number of frames, height and width in pixels, and every
            how many frames of the video one is taken, in training and for centre crops.
        resize_side: int, the smaller side of the video before the crop to `size`; also the size of
            the crops where three of them cover the longer side.
        width, depth: floats, factors of channels and of blocks.
        expansion: float, channels inside a block for one at its end.
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
            value = getattr(self, name)
            check_int(name, value)
        for name in ("width", "depth", "expansion"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
                raise ValueError(f"{name}: expected a number above 0, got {value!r}.")
        dropout = self.dropout
        if (
            isinstance(dropout, bool)
            or not isinstance(dropout, (int, float))
            or not 0 <= dropout < 1
        ):
            raise ValueError(f"dropout: expected a number in [0, 1), got {dropout!r}.")

    @property
    def clip(self):
        """`(frames, height, width, 3)` that the network was made for."""
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
        """The same network with some fields replaced; unknown names are an error."""
        known = [f.name for f in fields(self)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(f"options: expected names among {known}, got {unknown}.")
        return replace(self, **options)

    def plan(self, classes=400):
        """Resolves the factors into a `Plan` of named rows for `classes` outputs."""
        return resolve(self, classes)

    def trace(self, clip, classes=400):
        """The steps of one inference on a clip, see `utils.complexity`."""
        return self.plan(classes).trace(clip)

    def weight_shapes(self, classes=400, include_top=True):
        """`{"layer/variable": shape}` of every weight, moving statistics included."""
        rows = self.plan(classes).rows()
        rows = rows if include_top else rows[:-2]
        return {name: shape for row in rows for name, shape in row.weight_shapes().items()}

    def to_dict(self):
        """Plain numbers and strings, for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values):
        """Inverse of `to_dict`."""
        return cls(**values)


XS = X3DConfig("x3d_xs", frames=4, size=160, frame_stride=12, resize_side=182)
S = X3DConfig("x3d_s", frames=13, size=160, frame_stride=6, resize_side=182)
M = X3DConfig("x3d_m", frames=16, size=224, frame_stride=5, resize_side=256)
L = X3DConfig("x3d_l", frames=16, size=312, frame_stride=5, resize_side=356, depth=5.0)
XL = replace(L, name="x3d_xl", width=2.9)

CONFIGS = {config.name: config for config in (XS, S, M, L, XL)}
