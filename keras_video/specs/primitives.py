"""Primitive rows of an architecture: each knows its weights, its output shape and its costs.

Shapes are `(frames, height, width, channels)` tuples of ints without the batch axis. `macs` counts
one multiplication with its addition as one operation, which video papers call "FLOPs"; only
convolutions and dense layers are counted. `run_rows` applies rows one after the other.
"""

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

BATCH_NORM = ("gamma", "beta", "moving_mean", "moving_variance")


def conv_output_size(size, stride):
    """Return the extent after a `same` convolution: `ceil(size / stride)`."""
    return size if stride == 1 else -(-size // stride)


def round_channels(value, divisor=8):
    """Round a number of channels to a multiple of `divisor`, at most 10 % down."""
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


class Row:
    """Base class of rows, which counts the parameters of `weight_shapes()`."""

    def workspace(self, shape):
        """Return how many values the row holds in memory besides its input and output."""
        return 0

    @property
    def params(self):
        """int, number of parameters, moving statistics included."""
        return sum(prod(shape) for shape in self.weight_shapes().values())

    @property
    def trainable_params(self):
        """int, number of parameters without the moving statistics of batch norm."""
        return sum(
            prod(shape)
            for name, shape in self.weight_shapes().items()
            if not name.rsplit("/", 1)[-1].startswith("moving_")
        )


@dataclass(frozen=True)
class Conv(Row):
    """A `same` convolution, followed by batch norm if `norm`, else by a bias.

    `use_bias=False` leaves out the bias if there is no batch norm.
    """

    name: str
    in_channels: int
    filters: int
    kernel: tuple = (1, 1, 1)
    strides: tuple = (1, 1, 1)
    norm: bool = True
    use_bias: bool = True

    groups = 1

    def weight_shapes(self):
        kernel = (*self.kernel, self.in_channels // self.groups, self.filters)
        shapes = {f"{self.name}/kernel": kernel}
        if self.norm:
            return shapes | {f"{self.name}/{w}": (self.filters,) for w in BATCH_NORM}
        return shapes | ({f"{self.name}/bias": (self.filters,)} if self.use_bias else {})

    def output_shape(self, shape):
        extents = (conv_output_size(n, s) for n, s in zip(shape[:3], self.strides, strict=True))
        return (*extents, self.filters)

    def macs(self, shape):
        return prod(self.output_shape(shape)) * prod(self.kernel) * self.in_channels // self.groups


class Depthwise(Conv):
    """A depthwise convolution: one filter per channel, kernel shape `(*kernel, 1, channels)`."""

    @property
    def groups(self):
        return self.in_channels


@dataclass(frozen=True)
class Dense(Row):
    """A dense layer on the channels, with a bias unless `use_bias` is false."""

    name: str
    in_channels: int
    filters: int
    use_bias: bool = True

    def weight_shapes(self):
        shapes = {f"{self.name}/kernel": (self.in_channels, self.filters)}
        return shapes | ({f"{self.name}/bias": (self.filters,)} if self.use_bias else {})

    def output_shape(self, shape):
        return (*shape[:-1], self.filters)

    def macs(self, shape):
        return prod(self.output_shape(shape)) * self.in_channels


@dataclass(frozen=True)
class Pool(Row):
    """A pooling layer of `kind` `"avg"` or `"max"`, without weights and counted multiply-adds."""

    name: str
    kernel: tuple
    strides: tuple
    kind: str = "avg"

    def weight_shapes(self):
        return {}

    def output_shape(self, shape):
        extents = (conv_output_size(n, s) for n, s in zip(shape[:3], self.strides, strict=True))
        return (*extents, shape[3])

    def macs(self, shape):
        return 0


@dataclass(frozen=True)
class Scale(Row):
    """One trainable scalar."""

    name: str

    def weight_shapes(self):
        return {f"{self.name}/scale": ()}

    def output_shape(self, shape):
        return shape

    def macs(self, shape):
        return 0


@dataclass(frozen=True)
class SqueezeExcite(Row):
    """Two dense layers on pooled features, of every frame if `per_frame`, else of the clip."""

    name: str
    channels: int
    hidden: int
    in_channels: int
    per_frame: bool = False
    positions: bool = False

    def weight_shapes(self):
        shapes = {
            f"{self.name}/reduce_kernel": (self.in_channels, self.hidden),
            f"{self.name}/reduce_bias": (self.hidden,),
            f"{self.name}/expand_kernel": (self.hidden, self.channels),
            f"{self.name}/expand_bias": (self.channels,),
        }
        return shapes | ({f"{self.name}/position_scale": ()} if self.positions else {})

    def output_shape(self, shape):
        return shape

    def macs(self, shape):
        vectors = shape[0] if self.per_frame else 1
        return vectors * self.hidden * (self.in_channels + self.channels)


@dataclass(frozen=True)
class TemporalBlend(Row):
    """A weighted sum of neighbouring frames, for each channel separately.

    Args:
        name: string.
        channels: int.
        frames: int, number of blended frames.
        copies: int, number of equal frames for each frame of the shape. All of them are counted, as
            in the paper, even if the sum is computed once for all.
        fixed: bool, whether the weights are not trained.
    """

    name: str
    channels: int
    frames: int = 3
    copies: int = 1
    fixed: bool = False

    def weight_shapes(self):
        return {f"{self.name}/kernel": (self.frames, self.channels)}

    @property
    def trainable_params(self):
        return 0 if self.fixed else self.params

    def output_shape(self, shape):
        return shape

    def macs(self, shape):
        return self.copies * self.frames * prod(shape)


class Step(NamedTuple):
    """The costs of one row: its multiply-adds, and the values in memory while it runs."""

    name: str
    macs: int
    alive: int


def run_rows(steps, rows, shape, kept=0):
    """Append a `Step` for every row, each applied to the output of the row before it.

    Args:
        steps: list of `Step`, to which this function appends.
        rows: list of rows.
        shape: shape of the input, `(frames, height, width, channels)` or `(channels,)`.
        kept: int, number of values that stay in memory meanwhile, such as a shortcut.

    Returns:
        The output shape of the last row.
    """
    for row in rows:
        output = row.output_shape(shape)
        alive = kept + prod(shape) + row.workspace(shape) + prod(output)
        steps.append(Step(row.name, row.macs(shape), alive))
        shape = output
    return shape
