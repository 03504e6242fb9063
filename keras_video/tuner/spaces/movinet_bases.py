"""The scaled MoViNet search spaces A0 to A5.

The paper scales its space by coefficients found in a small random search, "with an initial target
of 300 MFLOPs per frame". The expected size of a sampled network roughly doubles or halves from one
space to the next (section 3.1). The coefficients are in an appendix that is not public, so this
file uses its own rule:

- Clips (frames, size, rate) are those of the published networks.
- Widths are multiplied by `1.1**x` and the largest number of layers by `1.2**x`, as in EfficientNet
  (Tan and Le 2019). Widths are rounded to multiples of 8, numbers of layers to ints.
- `x` is chosen so that the median of uniformly drawn networks is nearest to 300 million
  multiply-adds per frame for A2, twice as many for each space above and half for each below.
- A2 is the space of the paper, unchanged.
"""

from typing import NamedTuple

from keras_video.applications.movinet.config import S1, S2

STRIDES = (S2, S2, S2, S1, S2)  # strides of the first layer of each block


class MoViNetBase(NamedTuple):
    """The base sizes that a search space multiplies.

    Args:
        stem, head: ints, base widths of the first and last convolution.
        blocks: 5 ints, base widths of the blocks.
        layers: int, largest number of layers in a block.
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
    """Round to the nearest multiple of 8, at least 8. Halves are rounded up."""
    return max(8, int(value + 4) // 8 * 8)


def extents(kernel):
    """Return the kernel size `(3, 5, 5)` for `"3x5x5"`."""
    return tuple(int(extent) for extent in kernel.split("x"))


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
# Computed by benchmarks/movinet_bases.py; a test checks two of them.
COEFFICIENTS = {"A0": -3.5, "A1": -1.75, "A2": 0.0, "A3": 0.75, "A4": 1.75, "A5": 3.5}


def scaled(name, coefficient):
    """Scale the space of the paper.

    Args:
        name: `"A0"` to `"A5"`, selects the clip.
        coefficient: float, the `x` of the rule above.

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
