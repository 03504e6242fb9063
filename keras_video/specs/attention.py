"""Rows of attention without a stream: gates by context, and positions that look at each other."""

from dataclasses import dataclass
from math import prod

from keras_video.specs.primitives import BATCH_NORM, Row


@dataclass(frozen=True)
class ContextGate(Row):
    """One dense layer on the mean of the clip."""

    name: str
    channels: int

    def weight_shapes(self):
        return {
            f"{self.name}/gate_kernel": (self.channels, self.channels),
            f"{self.name}/gate_bias": (self.channels,),
        }

    def output_shape(self, shape):
        return shape

    def macs(self, shape):
        return self.channels**2


@dataclass(frozen=True)
class NonLocal(Row):
    """Attention between all positions of a clip through a bottleneck of `filters` channels."""

    name: str
    channels: int
    filters: int

    def weight_shapes(self):
        shapes = {}
        for part in ("theta", "phi", "g"):
            shapes[f"{self.name}/{part}_kernel"] = (self.channels, self.filters)
        shapes[f"{self.name}/kernel"] = (1, 1, 1, self.filters, self.channels)
        return shapes | {f"{self.name}/{w}": (self.channels,) for w in BATCH_NORM}

    def output_shape(self, shape):
        return shape

    def macs(self, shape):
        positions = prod(shape[:3])
        return positions * self.filters * (4 * self.channels + 2 * positions)

    def workspace(self, shape):
        positions = prod(shape[:3])
        return positions * (3 * self.filters + positions)
