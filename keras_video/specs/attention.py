"""Rows of attention in clips: context gates, non-local attention and global reasoning."""

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


@dataclass(frozen=True)
class GloRe(Row):
    """Global reasoning with `filters` nodes, each of `2 * filters` states."""

    name: str
    channels: int
    filters: int

    def weight_shapes(self):
        channels, nodes, states = self.channels, self.filters, 2 * self.filters
        shapes = {
            f"{self.name}/state_kernel": (channels, states),
            f"{self.name}/state_bias": (states,),
            f"{self.name}/node_kernel": (channels, nodes),
            f"{self.name}/node_bias": (nodes,),
            f"{self.name}/mix_nodes_kernel": (nodes, nodes),
            f"{self.name}/mix_nodes_bias": (nodes,),
            f"{self.name}/mix_states_kernel": (states, states),
            f"{self.name}/kernel": (1, 1, 1, states, channels),
        }
        return shapes | {f"{self.name}/{w}": (channels,) for w in BATCH_NORM}

    def output_shape(self, shape):
        return shape

    def macs(self, shape):
        """Return the multiply-adds of the formula in the paper; the layer needs fewer."""
        channels, nodes, states = self.channels, self.filters, 2 * self.filters
        maps = channels * (states + nodes) + states * channels
        exchange = 2 * states * nodes
        return prod(shape[:3]) * (maps + exchange) + nodes * states * (nodes + states)

    def workspace(self, shape):
        nodes = self.filters
        return prod(shape[:3]) * nodes + 2 * nodes * (nodes + self.channels)
