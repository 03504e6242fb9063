"""The scaled MoViNet search spaces, A0 to A5, and the rule by which they are made.

The paper scales its space by coefficients found in a small random search, "with an initial target
of 300 MFLOPs per frame", so that the expected size of a sampled network roughly doubles or halves
from one space to the next (section 3.1); the coefficients are in an appendix that is not public.
The rule here is ours:

- Clips (frames, size, rate) are those of the published networks.
- Widths are multiplied by `1.1**x` and the largest number of layers by `1.2**x`, the proportion of
  EfficientNet (Tan and Le 2019); widths are rounded to multiples of 8, layers to whole numbers.
- `x` is the one for which the median of uniformly drawn networks is nearest to 300 million
  multiply-adds a frame, doubled for each space above A2 and halved for each below.
- A2 is the paper's own space, as it stands.
"""

from typing import NamedTuple

from keras_video.applications.movinet.config import (
    S1,
    S2,
)


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


PAPER = MoViNetBase(16, (24, 48, 96, 96, 192), 512, 10, (50, 224, 224), 5.0)
CLIPS = {
    "A0": ((50, 172, 172), 5.0),
    "A1": ((50, 172, 172), 5.0),
    "A2": ((50, 224, 224), 5.0),
    "A3": ((120, 256, 256), 12.0),
    "A4": ((80, 290, 290), 8.0),
    "A5": ((120, 320, 320), 12.0),
}
TARGETS = {name: 300e6 * 2.0 ** (i - 2) for i, name in enumerate(CLIPS)}
# What `fitted` finds; a test computes some of it again.
COEFFICIENTS = {"A0": -3.5, "A1": -1.75, "A2": 0.0, "A3": 0.75, "A4": 1.75, "A5": 3.5}


def scaled(name, coefficient):
    """A scaled space.

    Args:
        name: `"A0"` to `"A5"`, whose clip it takes.
        coefficient: float, the `x` of the rule.

    Returns:
        `MoViNetBase`.
    """

    def widen(width):
        return round_to_8(width * 1.1**coefficient)

    return MoViNetBase(
        widen(PAPER.stem), tuple(map(widen, PAPER.blocks)), widen(PAPER.head),
        max(1, round(PAPER.layers * 1.2**coefficient)), *CLIPS[name],
    )  # fmt: skip


BASES = {name: scaled(name, COEFFICIENTS[name]) for name in CLIPS}


STRIDES = (S2, S2, S2, S1, S2)  # of the first layer of each block


def extents(kernel):
    """`(3, 5, 5)` of `"3x5x5"`."""
    return tuple(int(extent) for extent in kernel.split("x"))
