"""The scaled MoViNet search spaces, A0 to A5, and the rule by which they are made."""

from typing import NamedTuple


class MoViNetBase(NamedTuple):
    """What a search space multiplies.

    Args:
        stem, head: ints, base widths of the first and the last convolution.
        blocks: 5 ints, base widths of the blocks.
        layers: int, the largest number of layers of a block.
        clip: `(frames, height, width)`.
        frame_rate: float, frames per second.
    """

    stem: int
    blocks: tuple
    head: int
    layers: int
    clip: tuple
    frame_rate: float


def round_to_8(value):
    """The nearest multiple of 8, at least 8; halves are rounded up."""
    return max(8, int(value + 4) // 8 * 8)


BASES = {
    "A2": MoViNetBase(16, (24, 48, 96, 96, 192), 512, 10, (50, 224, 224), 5.0),
}
