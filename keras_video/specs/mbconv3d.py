"""The mobile bottleneck of X3D and Auto-TSNet, resolved into rows.

Rows that bring a dense stream's video to the frames of a sparse one, and their names.
"""

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
    """A bottleneck: expand, convolve each channel, attend, project, add the shortcut.

    Rows that it does not have are None. The last activation, after the sum, is a ReLU.
    """

    name: str
    expansion: Conv
    feature: Depthwise
    squeeze_excite: SqueezeExcite | None
    projection: Conv
    shortcut: Conv | None

    @property
    def branch_rows(self):
        """The rows beside the shortcut, in the order of computation."""
        rows = (self.expansion, self.feature, self.squeeze_excite, self.projection)
        return [row for row in rows if row is not None]

    @property
    def rows(self):
        """All rows in the order of computation."""
        return ([self.shortcut] if self.shortcut else []) + self.branch_rows

    @property
    def filters(self):
        """int, channels that come out."""
        return self.projection.filters

    def run(self, steps, shape, kept=0):
        """Appends the steps on a video of `shape`; returns the shape that comes out."""
        shortcut = shape
        if self.shortcut:
            shortcut = run_rows(steps, [self.shortcut], shape, kept)
        # The shortcut stays alive until the branch is added to it.
        return run_rows(steps, self.branch_rows, shape, kept + prod(shortcut))


def mbconv3d(name, in_channels, filters, expansion, kernel, stride, squeeze_excite):
    """Resolves one block.

    Args:
        name: string, which the names of its rows begin with.
        in_channels, filters: ints, channels that go in and come out.
        expansion: float; the inside has `int(expansion * filters)` channels.
        kernel: 3 ints, of the depthwise convolution.
        stride: int, over height and width.
        squeeze_excite: bool. Its hidden width is the multiple of 8 next to a sixteenth of the
            inside.

    Returns:
        `MBConv3D`. It has a convolution as shortcut where the stride or the channels ask for it,
        with batch norm only where the channels change.
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
    """A convolution over frames with a stride; by `make` the one of SlowFast."""

    @classmethod
    def make(cls, name, channels, stride):
        """Five frames of the dense stream to one of twice its channels, every `stride` frames."""
        return cls(name, channels, 2 * channels, (5, 1, 1), (stride, 1, 1))


@dataclass(frozen=True)
class _Rearrangement(Row):
    """What picks or packs frames: no weights, no multiply-adds."""

    name: str
    channels: int
    stride: int

    @classmethod
    def make(cls, name, channels, stride):
        """The row for a stream of `channels`."""
        return cls(name, channels, stride)

    @property
    def filters(self):
        """int, channels that come out."""
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
    """The `stride` frames of every window side by side in the channels."""

    @property
    def filters(self):
        return self.channels * self.stride


# The fusions of SlowFast (Feichtenhofer et al. 2019, section 3.3) by their names in a spec.
FUSIONS = {
    "none": None,
    "time_strided_conv": TimeStridedConv,
    "time_to_channel": TimeToChannel,
    "time_strided_sampling": TimeStridedSampling,
}
