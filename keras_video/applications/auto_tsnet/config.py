"""Two-stream networks as plain data: what builder, counters and search spaces derive from.

Gong et al. 2021, "Searching for Two-Stream Models in Multivariate Space for Video Recognition",
arXiv 2108.12957: Table 1 gives the layout below, Section 3 the choices. What the paper leaves open
is filled from X3D (the block, the squeeze-excite, the head) and SlowFast (the fusions).
"""

from dataclasses import asdict, dataclass, fields, replace

from keras_video.applications.auto_tsnet.plan import resolve
from keras_video.specs import FUSIONS, check_int

# Of the eleven groups of either stream: blocks, and the stage they belong to.
REPEATS = (1, 2, 1, 4, 1, 3, 3, 4, 1, 3, 3)
STAGES = (1, 1, 2, 2, 3, 3, 3, 3, 4, 4, 4)


@dataclass(frozen=True)
class Group:
    """The design that all blocks of a group share.

    Args:
        filters: int, channels that come out of each block.
        expansion: float, channels inside a block for one of `filters`.
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
        value = self.expansion
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise ValueError(f"expansion: expected a number above 0, got {value!r}.")


@dataclass(frozen=True)
class TwoStreamSpec:
    """A two-stream network, or its sparse stream alone.

    Args:
        name: string.
        sparse: tuple of `Group`, the stream of few frames; the paper's have 11 groups.
        dense: as many, the stream of many frames; empty for a network without it.
        fusion: tuple of as many names of `specs.FUSIONS`: how, after each group, the dense stream's
            video joins the sparse one's channels. Empty for none.
        attention_sparse, attention_dense: tuples of ints, the groups (from 1) of either stream that
            global reasoning (`layers.GloRe`) follows, behind the fusion.
        sparse_stem, dense_stem: ints, channels of the stems.
        repeats, stages: tuples of ints: of each group its blocks, and the stage it belongs to, from
            1. The first block of a stage halves height and width, as the stem does.
        depth: int, factor of the number of blocks of every group.
        frames, stride: ints, frames of the dense clip, and how many of them there are for one of
            the sparse clip.
        size, frame_stride, resize_side: ints: height and width in pixels, every how many frames of
            the video the dense clip takes one, smaller side of the video before the crop.
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
            raise ValueError("dense: expected groups beside fusion or attention_dense, got none.")
        dropout = self.dropout
        if isinstance(dropout, bool) or not 0 <= dropout < 1:
            raise ValueError(f"dropout: expected a number in [0, 1), got {dropout!r}.")

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
        """int, by which height and width are divided: stem and stages halve them."""
        return 2 ** (1 + self.stages[-1])

    @property
    def sparse_frames(self):
        """int, frames of the sparse clip."""
        return self.frames // self.stride

    @property
    def clip(self):
        """`(frames, height, width, 3)` of the dense clip; without a dense stream, of the other."""
        frames = self.frames if self.dense else self.sparse_frames
        return (frames, self.size, self.size, 3)

    def with_options(self, **options):
        """The same network with some fields replaced; unknown names are an error."""
        known = [f.name for f in fields(self)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(f"options: expected names among {known}, got {unknown}.")
        return replace(self, **options)

    def sparse_alone(self):
        """The same network without its dense stream."""
        return replace(
            self, name=f"{self.name}_sparse", dense=(), fusion=(), attention_sparse=(),
            attention_dense=(),
        )  # fmt: skip

    def plan(self, classes=400):
        """Resolves the groups into a `Plan` of named rows for `classes` outputs."""
        return resolve(self, classes)

    def trace(self, clip, classes=400):
        """The steps of one inference on a clip as `clip` describes it, see `utils.complexity`."""
        return self.plan(classes).trace(clip, self.stride)

    def weight_shapes(self, classes=400, include_top=True):
        """`{"layer/variable": shape}` of every weight, moving statistics included."""
        rows = self.plan(classes).rows()
        rows = rows if include_top else rows[:-2]
        return {name: shape for row in rows for name, shape in row.weight_shapes().items()}

    def to_dict(self):
        """Plain lists, numbers and strings, for JSON."""
        values = asdict(self)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values):
        """Inverse of `to_dict`, also after a trip through JSON, where tuples become lists."""
        values = {k: tuple(v) if isinstance(v, (list, tuple)) else v for k, v in values.items()}
        for name in ("sparse", "dense"):
            groups = values.get(name, ())
            values[name] = tuple(g if isinstance(g, Group) else Group(**g) for g in groups)
        unknown = sorted(set(values) - {f.name for f in fields(cls)})
        if unknown:
            raise ValueError(f"spec: expected the fields of TwoStreamSpec, got {unknown}.")
        return cls(**values)
