"""The row of temporal aggregation: weights per channel and frame distance."""

from dataclasses import dataclass
from math import prod

from keras_video.specs.primitives import Row


@dataclass(frozen=True)
class TemporalBlend(Row):
    """A weighted sum of neighbouring frames, each channel on its own.

    Args:
        name: string.
        channels: int.
        frames: int, how many are blended.
        copies: int, equal frames that each frame of the shape stands for. All of them are counted,
            as the paper does, also where the sum is computed from one of them.
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
