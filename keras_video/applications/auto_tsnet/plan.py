"""A two-stream network resolved into named rows: what the builder and the counters read."""

from math import prod
from typing import NamedTuple

from keras_video.applications.x3d.plan import stem_rows
from keras_video.specs import FUSIONS, Conv, Dense, GloRe, MBConv3D, mbconv3d, run_rows

STEM_FRAMES = 3  # of the stems' temporal kernel, as the paper's Table 1 has it


class Group(NamedTuple):
    """Blocks of one design, and what follows them; `None` where nothing does.

    Args:
        blocks: tuple of `specs.MBConv3D`.
        fusion: row of `specs.FUSIONS` from the dense stream, for a group of the sparse one.
        attention: `specs.GloRe`.
    """

    blocks: tuple
    fusion: object = None
    attention: GloRe | None = None

    @property
    def rows(self):
        """All rows in the order of computation."""
        rows = [row for block in self.blocks for row in block.rows]
        return rows + [row for row in (self.fusion, self.attention) if row is not None]


class Stream(NamedTuple):
    """A stream: stem, groups, and a 1x1x1 convolution before the mean over the clip."""

    stem: tuple
    groups: tuple
    head: Conv

    @property
    def rows(self):
        """All rows in the order of computation, those of the fusions among the sparse stream's."""
        return [*self.stem, *(row for group in self.groups for row in group.rows), self.head]


class Plan(NamedTuple):
    """A whole network as named rows; `dense` is `None` for the sparse stream alone."""

    sparse: Stream
    dense: Stream | None
    hidden: Dense
    classifier: Dense

    @property
    def streams(self):
        """The streams there are, in the order of their features in the classifier."""
        return [stream for stream in (self.sparse, self.dense) if stream is not None]

    def rows(self):
        """All rows: those of either stream, then the classifier's."""
        rows = [row for stream in self.streams for row in stream.rows]
        return [*rows, self.hidden, self.classifier]

    def trace(self, clip, stride):
        """A `Step` for every row of an inference on a clip.

        Args:
            clip: `(frames, height, width, channels)` of the dense clip; of the sparse one where
                there is no dense stream.
            stride: int, frames of the dense clip for one of the sparse one.
        """
        steps, dense = [], None
        sparse = tuple(clip)
        if self.dense is not None:
            sparse = (clip[0] // stride, *clip[1:])
            dense = run_rows(steps, self.dense.stem, tuple(clip), prod(sparse))
        sparse = run_rows(steps, self.sparse.stem, sparse, _size(dense))
        for i, group in enumerate(self.sparse.groups):
            if dense is not None:
                dense = _run(steps, self.dense.groups[i].blocks, dense, prod(sparse))
            sparse = _run(steps, group.blocks, sparse, _size(dense))
            if group.fusion is not None:
                fused = run_rows(steps, [group.fusion], dense, prod(sparse))
                sparse = (*sparse[:3], sparse[3] + fused[3])
            if group.attention is not None:
                run_rows(steps, [group.attention], sparse, _size(dense))
            if dense is not None and self.dense.groups[i].attention is not None:
                run_rows(steps, [self.dense.groups[i].attention], dense, prod(sparse))
        run_rows(steps, [self.sparse.head], sparse, _size(dense))
        if dense is not None:
            run_rows(steps, [self.dense.head], dense)
        run_rows(steps, [self.hidden, self.classifier], (self.hidden.in_channels,))
        return steps


def _run(steps, blocks, shape, kept):
    for block in blocks:
        shape = block.run(steps, shape, kept)
    return shape


def _size(shape):
    return 0 if shape is None else prod(shape)


def resolve(spec, classes):
    """The `Plan` of a `TwoStreamSpec` for a number of classes."""
    counts = [spec.depth * count for count in spec.repeats]
    layout = list(zip(spec.stages, counts, strict=True))
    dense, fusions = None, [None] * len(layout)
    if spec.dense:
        dense = _stream("dense", spec.dense, spec.dense_stem, layout, fusions, spec.attention_dense)
        fusions = [
            FUSIONS[kind] and FUSIONS[kind].make(f"group{g}_fusion", group.filters, spec.stride)
            for g, (kind, group) in enumerate(zip(spec.fusion, spec.dense, strict=True), 1)
        ]
    sparse = _stream(
        "sparse", spec.sparse, spec.sparse_stem, layout, fusions, spec.attention_sparse
    )
    pooled = sum(stream.head.filters for stream in (sparse, dense) if stream)
    hidden = Dense("classifier_hidden", pooled, spec.hidden, use_bias=False)
    return Plan(sparse, dense, hidden, Dense("classifier", spec.hidden, classes))


def _stream(prefix, groups, stem, layout, fusions, attention):
    resolved, channels, seen = [], stem, {}
    for g, (group, (stage, count)) in enumerate(zip(groups, layout, strict=True), 1):
        blocks = []
        for i in range(count):
            number = seen.get(stage, 0)  # of the block in its stage, through all its groups
            seen[stage] = number + 1
            block = _block(f"{prefix}_group{g}_block{i}", channels, group, number)
            blocks.append(block)
            channels = block.filters
        fusion = fusions[g - 1]
        channels += fusion.filters if fusion is not None else 0
        reasoning = None
        if g in attention:
            reasoning = GloRe(f"{prefix}_group{g}_attention", channels, channels)
        resolved.append(Group(tuple(blocks), fusion, reasoning))
    inner = resolved[-1].blocks[-1].expansion.filters
    head = Conv(f"{prefix}_head", channels, inner)
    return Stream(stem_rows(f"{prefix}_stem", stem, STEM_FRAMES), tuple(resolved), head)


def _block(name, channels, group, number) -> MBConv3D:
    """A block; the first of a stage has the stride, every other one of a stage attends."""
    spatial = group.spatial_kernel
    return mbconv3d(
        name,
        channels,
        group.filters,
        group.expansion,
        kernel=(group.temporal_kernel, spatial, spatial),
        stride=1 if number else 2,
        squeeze_excite=number % 2 == 0,
    )
