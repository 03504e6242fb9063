"""An X3D resolved into named rows: what the builder, the counters and the converter read."""

from typing import NamedTuple

from keras_video.specs import Conv, Dense, Depthwise, mbconv3d, run_rows

STEM_FRAMES = 5  # of the stem's temporal kernel; the paper prints 3


class Plan(NamedTuple):
    """A whole network as named rows.

    Args:
        stem, stem_temporal: the spatial convolution, and behind it the temporal one, depthwise,
            which alone has a batch norm.
        blocks: tuple of `specs.MBConv3D`.
        head: 1x1x1 convolution to the width inside the last block.
        hidden, classifier: dense rows on the mean over the clip.
    """

    stem: Conv
    stem_temporal: Depthwise
    blocks: tuple
    head: Conv
    hidden: Dense
    classifier: Dense

    def rows(self):
        """All rows in the order of computation."""
        blocks = [row for block in self.blocks for row in block.rows]
        return [self.stem, self.stem_temporal, *blocks, self.head, self.hidden, self.classifier]

    def trace(self, clip):
        """A `Step` for every row of an inference on `clip`, `(frames, height, width, channels)`."""
        steps = []
        shape = run_rows(steps, [self.stem, self.stem_temporal], tuple(clip))
        for block in self.blocks:
            shape = block.run(steps, shape)
        shape = run_rows(steps, [self.head], shape)
        run_rows(steps, [self.hidden, self.classifier], shape[-1:])
        return steps


def resolve(config, classes):
    """The `Plan` of an `X3DConfig` for a number of classes."""
    blocks, channels = [], config.stem
    for s, (filters, depth) in enumerate(config.stages, 1):
        for i in range(depth):
            blocks.append(
                mbconv3d(
                    f"stage{s}_block{i}",
                    channels,
                    filters,
                    config.expansion,
                    kernel=(3, 3, 3),
                    stride=1 if i else 2,
                    squeeze_excite=i % 2 == 0,
                )
            )
            channels = filters
    inner = blocks[-1].expansion.filters
    return Plan(
        *stem_rows("stem", config.stem, STEM_FRAMES),
        tuple(blocks),
        Conv("head", channels, inner),
        Dense("classifier_hidden", inner, config.hidden, use_bias=False),
        Dense("classifier", config.hidden, classes),
    )


def stem_rows(name, filters, frames):
    """The spatial and the temporal convolution of a stem, nothing between the two."""
    return (
        Conv(name, 3, filters, (1, 3, 3), (1, 2, 2), norm=False, use_bias=False),
        Depthwise(f"{name}_temporal", filters, filters, (frames, 1, 1)),
    )
