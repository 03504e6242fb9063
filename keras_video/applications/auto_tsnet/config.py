"""Two-stream networks as tables, resolved into named rows.

A `TwoStreamSpec` has one `Group` row per group of blocks of each stream. `plan(classes)` resolves
them into a `Plan` of primitive rows. The builder, the counters and the search space use it.

Gong et al. 2021, "Searching for Two-Stream Models in Multivariate Space for Video Recognition",
arXiv 2108.12957: Table 1 gives the layout, Section 3 the choices. What the paper leaves open is
taken from X3D (the block, squeeze-excite, the head) and SlowFast (the fusions).

The searched networks are published as a drawing (Figure 3), not as a table. `auto_tsnet_s` is a
reconstruction: a network of the paper's search space that agrees with the description of the figure
(kernels of one frame and of 5x5 pixels in most groups, four fusions in stages 1 to 3, two
attentions in stage 3 of the sparse stream, none in the dense stream) and has the published
parameters and multiply-adds at all sizes, within 2.5 %. Other networks meet this as well, so the
accuracies in the paper do not apply to it.
"""

from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import NamedTuple

from keras_video.applications.x3d.config import stem_rows
from keras_video.checks import check_choice, check_int, check_number
from keras_video.specs import FUSIONS, Conv, Dense, GloRe, MBConv3D, mbconv3d, run_rows

STEM_FRAMES = 3  # temporal kernel of the stems (Table 1)
# Of the eleven groups of each stream: number of blocks, and stage.
REPEATS = (1, 2, 1, 4, 1, 3, 3, 4, 1, 3, 3)
STAGES = (1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4)


@dataclass(frozen=True)
class Group:
    """The design of all blocks of a group.

    Args:
        filters: int, output channels of each block.
        expansion: float, ratio of the inner channels of a block to `filters`.
        temporal_kernel, spatial_kernel: odd ints, of the depthwise convolution.
    """

    filters: int
    expansion: float = 2.25
    temporal_kernel: int = 3
    spatial_kernel: int = 3

    def __post_init__(self):
        for name in ("filters", "temporal_kernel", "spatial_kernel"):
            check_int(name, getattr(self, name))
        for name in ("temporal_kernel", "spatial_kernel"):
            if getattr(self, name) % 2 == 0:
                raise ValueError(f"{name}: expected an odd int, got {getattr(self, name)}.")
        check_number("expansion", self.expansion, above=0)


class ResolvedGroup(NamedTuple):
    """A group as named rows; rows that it does not have are `None`.

    Args:
        blocks: tuple of `specs.MBConv3D`.
        fusion: row of `specs.FUSIONS` from the dense stream, in a group of the sparse stream.
        attention: `specs.GloRe`.
    """

    blocks: tuple
    fusion: object = None
    attention: GloRe | None = None

    @property
    def rows(self):
        """Return all rows in the order of computation."""
        rows = [row for block in self.blocks for row in block.rows]
        return rows + [row for row in (self.fusion, self.attention) if row is not None]


class Stream(NamedTuple):
    """A stream: stem, groups, and a 1x1x1 convolution before pooling."""

    stem: tuple
    groups: tuple
    head: Conv

    @property
    def rows(self):
        """Return all rows in the order of computation; fusions belong to the sparse stream."""
        return [*self.stem, *(row for group in self.groups for row in group.rows), self.head]


class Plan(NamedTuple):
    """A whole network as named rows; `dense` is `None` for the sparse stream alone."""

    sparse: Stream
    dense: Stream | None
    hidden: Dense
    classifier: Dense

    @property
    def streams(self):
        """The existing streams, in the order of their features in the classifier."""
        return [stream for stream in (self.sparse, self.dense) if stream is not None]

    def rows(self):
        """Return all rows: those of the streams, then those of the classifier."""
        rows = [row for stream in self.streams for row in stream.rows]
        return [*rows, self.hidden, self.classifier]

    def trace(self, clip, stride):
        """Return a `specs.Step` for every row of an inference on a clip.

        Args:
            clip: `(frames, height, width, channels)` of the dense clip, or of the sparse clip if
                there is no dense stream.
            stride: int, frames of the dense clip per frame of the sparse clip.
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
    """Return the `Plan` of a `TwoStreamSpec` for a number of classes."""
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
            number = seen.get(stage, 0)  # of the block in its stage
            seen[stage] = number + 1
            block = _block(f"{prefix}_group{g}_block{i}", channels, group, number)
            blocks.append(block)
            channels = block.filters
        fusion = fusions[g - 1]
        channels += fusion.filters if fusion is not None else 0
        reasoning = None
        if g in attention:
            reasoning = GloRe(f"{prefix}_group{g}_attention", channels, channels)
        resolved.append(ResolvedGroup(tuple(blocks), fusion, reasoning))
    inner = resolved[-1].blocks[-1].expansion.filters
    head = Conv(f"{prefix}_head", channels, inner)
    return Stream(stem_rows(f"{prefix}_stem", stem, STEM_FRAMES), tuple(resolved), head)


def _block(name, channels, group, number) -> MBConv3D:
    """Return a block. The first of a stage has the stride, every second one squeeze-excite."""
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


@dataclass(frozen=True)
class TwoStreamSpec:
    """A two-stream network, or a sparse stream alone, and the clips that it was made for.

    Args:
        name: string.
        sparse: tuple of `Group`, the stream of few frames; 11 groups in the paper.
        dense: tuple of as many `Group`, the stream of many frames; empty for no dense stream.
        fusion: tuple of as many names in `specs.FUSIONS`: how the dense stream is added to the
            channels of the sparse stream after each group. Empty for no fusion.
        attention_sparse, attention_dense: tuples of ints, the groups (from 1) of each stream that
            are followed by global reasoning (`layers.GloRe`), after the fusion.
        sparse_stem, dense_stem: ints, channels of the stems.
        repeats, stages: tuples of ints, number of blocks of each group, and its stage, from 1. The
            stem and the first block of each stage halve height and width.
        depth: int, factor of the number of blocks of each group.
        frames, stride: ints, frames of the dense clip, and frames of the dense clip per frame of
            the sparse clip.
        size, frame_stride, resize_side: ints, height and width in pixels, step between sampled
            frames of the dense clip, smaller side of the video before the crop.
        hidden: int, width of the classifier's hidden layer.
        dropout: float in [0, 1), before the last layer, in training.
    """

    name: str
    sparse: tuple
    dense: tuple = ()
    fusion: tuple = ()
    attention_sparse: tuple = ()
    attention_dense: tuple = ()
    sparse_stem: int = 24
    dense_stem: int = 8
    repeats: tuple = REPEATS
    stages: tuple = STAGES
    depth: int = 1
    frames: int = 32
    stride: int = 8
    size: int = 160
    frame_stride: int = 2
    resize_side: int = 182
    hidden: int = 2048
    dropout: float = 0.5

    def __post_init__(self):
        for name in (
            "sparse_stem", "dense_stem", "depth", "frames", "stride", "size", "frame_stride",
            "resize_side", "hidden",
        ):  # fmt: skip
            check_int(name, getattr(self, name))
        if self.frames % self.stride:
            raise ValueError(
                f"frames: expected a multiple of the stride, {self.stride}, got {self.frames}."
            )
        self._check_groups()
        if not self.dense and (set(self.fusion) != {"none"} or self.attention_dense):
            raise ValueError("dense: expected groups for fusion or attention_dense, got none.")
        check_number("dropout", self.dropout, 0, below=1)

    def _check_groups(self):
        count = len(self.stages)
        if not self.fusion:
            object.__setattr__(self, "fusion", ("none",) * count)
        steps = [b - a for a, b in zip((0, *self.stages), self.stages, strict=False)]
        if not count or self.stages[0] != 1 or any(step not in (0, 1) for step in steps):
            raise ValueError(f"stages: expected 1, 1, 2, ... in order, got {self.stages!r}.")
        if len(self.repeats) != count:
            raise ValueError(f"repeats: expected {count} ints, got {self.repeats!r}.")
        for repeats in self.repeats:
            check_int("repeats", repeats)
        for name in ("sparse", "dense"):
            groups = getattr(self, name)
            wanted = (count,) if name == "sparse" else (0, count)
            if len(groups) not in wanted or not all(isinstance(g, Group) for g in groups):
                raise ValueError(f"{name}: expected {count} of Group, got {groups!r}.")
        if len(self.fusion) != count or any(f not in FUSIONS for f in self.fusion):
            raise ValueError(f"fusion: expected {count} of {tuple(FUSIONS)}, got {self.fusion!r}.")
        for name in ("attention_sparse", "attention_dense"):
            if any(g not in range(1, count + 1) for g in getattr(self, name)):
                raise ValueError(
                    f"{name}: expected groups among 1..{count}, got {getattr(self, name)!r}."
                )

    @property
    def reduction(self):
        """int, factor by which height and width are reduced."""
        return 2 ** (1 + self.stages[-1])

    @property
    def sparse_frames(self):
        """int, frames of the sparse clip."""
        return self.frames // self.stride

    @property
    def clip(self):
        """`(frames, height, width, 3)` of the dense clip, or of the sparse clip if it is alone."""
        frames = self.frames if self.dense else self.sparse_frames
        return (frames, self.size, self.size, 3)

    def with_options(self, **options):
        """Return the same network with some fields replaced."""
        for name in options:
            check_choice("options", name, [field.name for field in fields(self)])
        return replace(self, **options)

    def sparse_alone(self):
        """Return the same network without its dense stream."""
        return replace(
            self, name=f"{self.name}_sparse", dense=(), fusion=(), attention_sparse=(),
            attention_dense=(),
        )  # fmt: skip

    def plan(self, classes=400):
        """Return the `Plan` of named rows for `classes` outputs."""
        return resolve(self, classes)

    def trace(self, clip, classes=400):
        """Return the steps of one inference on a clip like `clip`, see `utils.complexity`."""
        return self.plan(classes).trace(clip, self.stride)

    def weight_shapes(self, classes=400, include_top=True):
        """Return `{"layer/variable": shape}` of all weights, moving statistics included."""
        rows = self.plan(classes).rows()
        rows = rows if include_top else rows[:-2]
        return {name: shape for row in rows for name, shape in row.weight_shapes().items()}

    def to_dict(self):
        """Return plain lists, numbers and strings, for JSON."""
        values = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values):
        """Create a spec from `to_dict()`; tuples may have become lists, as in JSON."""
        values = {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in values.items()}
        for name in ("sparse", "dense"):
            groups = values.get(name, ())
            values[name] = tuple(g if isinstance(g, Group) else Group(**g) for g in groups)
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"spec: expected the fields of TwoStreamSpec, got {unknown}.")
        return cls(**values)


def fused_after(*groups, kind="time_strided_conv"):
    """Return the `fusion` of a spec that has one kind of fusion after some groups."""
    return tuple(kind if g in groups else "none" for g in range(1, len(STAGES) + 1))


S = TwoStreamSpec(
    "auto_tsnet_s",
    sparse=(
        Group(32, 5.25, 1, 3), Group(48, 1.5, 1, 5),
        Group(88, 3.75, 1, 5), Group(64, 1.5, 1, 3),
        Group(128, 2.25, 1, 5), Group(176, 2.25, 3, 3), Group(128, 1.5, 1, 3),
        Group(160, 1.5, 1, 5),
        Group(272, 3.0, 3, 5), Group(296, 2.25, 1, 5), Group(272, 2.25, 5, 5),
    ),
    dense=(
        Group(8, 6.0, 1, 3), Group(8, 1.5, 3, 3),
        Group(8, 6.0, 1, 3), Group(8, 3.0, 1, 5),
        Group(24, 2.25, 5, 3), Group(16, 2.25, 1, 5), Group(24, 1.5, 1, 5),
        Group(32, 2.25, 1, 5),
        Group(56, 1.5, 3, 5), Group(48, 1.5, 1, 5), Group(40, 5.25, 1, 5),
    ),
    fusion=fused_after(2, 4, 6, 8),
    attention_sparse=(6, 8),
)  # fmt: skip
M = replace(S, name="auto_tsnet_m", size=224, resize_side=256)
L = replace(S, name="auto_tsnet_l", depth=2, size=312, resize_side=356)


def dagger(spec):
    """Return the network without attention, which the paper marks with a dagger."""
    return replace(spec, name=f"{spec.name}_dagger", attention_sparse=(), attention_dense=())


def manual(share, sparse_scale, dense_scale):
    """Return two X3D-S with scaled widths; the sparse stream does `share` percent of the work."""

    def widths(scale):
        return [max(8, 8 * round(width * scale / 8)) for width in (24, 48, 96, 192)]

    sparse, dense = widths(sparse_scale), widths(dense_scale)
    return TwoStreamSpec(
        f"manual_tsnet_{share}",
        sparse=tuple(Group(sparse[stage - 1]) for stage in STAGES),
        dense=tuple(Group(dense[stage - 1]) for stage in STAGES),
        fusion=fused_after(2, 4, 6, 8, 11),
        sparse_stem=sparse[0],
        dense_stem=dense[0],
    )


MANUAL = (manual(85, 1.72, 0.14), manual(70, 1.54, 0.28), manual(55, 1.38, 0.38))

# Top-1 on Kinetics-400 in percent, as reported in the paper: searched networks with 10 clips of 3
# crops, manual networks with 10 clips of the centre crop.
PAPER_TOP1 = {
    "auto_tsnet_s_dagger": 74.6,
    "auto_tsnet_s": 75.4,
    "auto_tsnet_m_dagger": 76.6,
    "auto_tsnet_m": 77.3,
    "auto_tsnet_l_dagger": 78.3,
    "auto_tsnet_l": 78.9,
    "manual_tsnet_85": 72.8,
    "manual_tsnet_70": 73.2,
    "manual_tsnet_55": 72.4,
}

CONFIGS = {c.name: c for pair in (S, M, L) for c in (pair, dagger(pair))}
CONFIGS |= {c.name: c for c in MANUAL}
