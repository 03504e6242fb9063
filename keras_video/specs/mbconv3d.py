"""Rows of X3D and Auto-TSNet: the mobile bottleneck, and the fusions of two streams."""

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

from keras_video.specs.primitives import (
    Conv,
    Depthwise,
    Row,
    SqueezeExcite,
    round_channels,
    run_rows,
)


class MBConv3D(NamedTuple):
    """A bottleneck: expansion, depthwise convolution, attention, projection, shortcut.

    Rows that a block does not have are `None`. The activation after the sum is a ReLU.
    """

    name: str
    expansion: Conv
    feature: Depthwise
    squeeze_excite: SqueezeExcite | None
    projection: Conv
    shortcut: Conv | None

    @property
    def branch_rows(self):
        """list, the rows without the shortcut, in the order of computation."""
        rows = (self.expansion, self.feature, self.squeeze_excite, self.projection)
        return [row for row in rows if row is not None]

    @property
    def rows(self):
        """list, all rows in the order of computation."""
        return ([self.shortcut] if self.shortcut else []) + self.branch_rows

    @property
    def filters(self):
        """int, number of output channels."""
        return self.projection.filters

    def run(self, steps, shape, kept=0):
        """Append the steps for a video of `shape`; return the output shape."""
        shortcut = shape
        if self.shortcut:
            shortcut = run_rows(steps, [self.shortcut], shape, kept)
        # The shortcut stays in memory until the branch is added to it.
        return run_rows(steps, self.branch_rows, shape, kept + prod(shortcut))


def mbconv3d(name, in_channels, filters, expansion, kernel, stride, squeeze_excite):
    """Resolve one block into rows.

    Args:
        name: string, prefix of the names of the rows.
        in_channels, filters: ints, numbers of input and output channels.
        expansion: float; the block has `int(expansion * filters)` inner channels.
        kernel: 3 ints, kernel of the depthwise convolution.
        stride: int, stride over height and width.
        squeeze_excite: bool. Its hidden width is a sixteenth of the inner channels, rounded to a
            multiple of 8.

    Returns:
        `MBConv3D`. The shortcut is a convolution if the block has a stride or changes the number of
        channels, with batch norm only if it changes the number of channels.
    """
    inner, strides = int(expansion * filters), (1, stride, stride)
    attention = shortcut = None
    if squeeze_excite:
        hidden = round_channels(inner / 16)
        attention = SqueezeExcite(f"{name}_squeeze_excite", inner, hidden, inner)
    if stride > 1 or in_channels != filters:
        norm = in_channels != filters
        shortcut = Conv(
            f"{name}_shortcut", in_channels, filters, strides=strides, norm=norm, use_bias=False
        )
    return MBConv3D(
        name=name,
        expansion=Conv(f"{name}_expansion", in_channels, inner),
        feature=Depthwise(f"{name}_feature", inner, inner, kernel, strides),
        squeeze_excite=attention,
        projection=Conv(f"{name}_projection", inner, filters),
        shortcut=shortcut,
    )


class TimeStridedConv(Conv):
    """A convolution over frames with a stride; `make` returns the one of SlowFast."""

    @classmethod
    def make(cls, name, channels, stride):
        """Return the row from five frames to one frame with twice the channels."""
        return cls(name, channels, 2 * channels, (5, 1, 1), (stride, 1, 1))


@dataclass(frozen=True)
class _Rearrangement(Row):
    """Base class of rows that take or pack frames, without weights and multiply-adds."""

    name: str
    channels: int
    stride: int

    @classmethod
    def make(cls, name, channels, stride):
        """Return the row for a stream of `channels`."""
        return cls(name, channels, stride)

    @property
    def filters(self):
        """int, number of output channels."""
        return self.channels

    def weight_shapes(self):
        return {}

    def output_shape(self, shape):
        return (shape[0] // self.stride, *shape[1:3], self.filters)

    def macs(self, shape):
        return 0


class TimeStridedSampling(_Rearrangement):
    """Every `stride`-th frame."""


class TimeToChannel(_Rearrangement):
    """The `stride` frames of every window, concatenated in the channels."""

    @property
    def filters(self):
        return self.channels * self.stride


# Fusions of SlowFast (Feichtenhofer et al. 2019, section 3.3) by their names in a specification.
FUSIONS = {
    "none": None,
    "time_strided_conv": TimeStridedConv,
    "time_to_channel": TimeToChannel,
    "time_strided_sampling": TimeStridedSampling,
}
