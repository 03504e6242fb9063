"""The mobile bottleneck of X3D and Auto-TSNet, resolved into rows."""

from math import prod
from typing import NamedTuple

from keras_video.specs.primitives import Conv, Depthwise, SqueezeExcite, round_channels
from keras_video.specs.steps import run_rows


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
