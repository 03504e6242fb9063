"""bLVNet-TAM: one table from which builder, counters and converter derive.

The rows are those of the published code (IBM/bLVNet-TAM), which differs from the paper (Fan et al.
2019, "More Is Less: Learning Efficient Video Representations by Big-Little Network and Depthwise
Temporal Aggregation", NeurIPS) in where the frames are aggregated and halved.
"""

from dataclasses import asdict, dataclass, fields, replace

from keras_video.applications.blvnet_tam.plan import resolve
from keras_video.specs import check_int

TEMPORAL = ("tam", "shift", "none")


@dataclass(frozen=True)
class BLVNetTAMConfig:
    """A bLVNet-TAM.

    Args:
        name: string.
        blocks: four ints, the depths of the stages of the residual network it is made from. Of
            those of the first three stages one block fuses the branches and the others are the big
            branch, so they are at least 2.
        num_frames: int, frames of a clip, an even number: consecutive frames form the pairs of the
            two branches. No weight depends on it.
        size: int, height and width in pixels of the published clips.
        alpha: int, by which the little branch is narrower; a divisor of `width`.
        beta: int, by which the little branch is shallower.
        blending_frames: int, temporal extent of an aggregation.
        dropout: float in [0, 1), before the classifier, in training.
        input_channels: int, 3 for colours, 10 for five steps of optical flow.
        width: int, channels of the first convolution; all others are in proportion.
        temporal: `"tam"`, `"shift"` for the fixed weights of TSM in its places, or `"none"`.
    """

    name: str
    blocks: tuple
    num_frames: int = 16
    size: int = 224
    alpha: int = 2
    beta: int = 4
    blending_frames: int = 3
    dropout: float = 0.5
    input_channels: int = 3
    width: int = 64
    temporal: str = "tam"

    frame_rate = None
    resize_side = 256
    sampling = "blvnet_tam"

    def __post_init__(self):
        names = ("num_frames", "size", "alpha", "beta", "blending_frames", "input_channels")
        for name in (*names, "width"):
            check_int(name, getattr(self, name))
        if self.num_frames % 2:
            raise ValueError(f"num_frames: expected an even number, got {self.num_frames}.")
        if self.width % self.alpha:
            raise ValueError(
                f"alpha: expected a divisor of the width {self.width}, by which the little branch "
                f"is narrower, got {self.alpha}."
            )
        if self.temporal not in TEMPORAL:
            raise ValueError(f"temporal: expected one of {TEMPORAL}, got {self.temporal!r}.")
        if self.temporal == "shift" and self.blending_frames != 3:
            raise ValueError(
                f"blending_frames: expected 3 beside a shift, got {self.blending_frames}."
            )
        number = isinstance(self.dropout, (int, float)) and not isinstance(self.dropout, bool)
        if not number or not 0 <= self.dropout < 1:
            raise ValueError(f"dropout: expected a number in [0, 1), got {self.dropout!r}.")
        if not isinstance(self.blocks, (list, tuple)) or len(self.blocks) != 4:
            raise ValueError(f"blocks: expected the depths of four stages, got {self.blocks!r}.")
        for depth, least in zip(self.blocks, (2, 2, 2, 1), strict=True):
            check_int("blocks", depth, least)
        object.__setattr__(self, "blocks", tuple(self.blocks))

    @property
    def clip(self):
        """`(frames, height, width, channels)` that the network was published for."""
        return (self.num_frames, self.size, self.size, self.input_channels)

    def with_options(self, **options):
        """The same network with some fields replaced."""
        known = [f.name for f in fields(self)]
        unknown = sorted(set(options) - set(known))
        if unknown:
            raise ValueError(f"options: expected names among {known}, got {unknown}.")
        return replace(self, **options)

    def plan(self, classes=174):
        """Resolves the table into a `Plan` of named rows for a number of classes."""
        return resolve(self, classes)

    def trace(self, clip, classes=174):
        """The steps of one inference on a clip, see `utils.complexity`."""
        if clip[0] % 2:
            raise ValueError(f"clip: expected an even number of frames, got {tuple(clip)}.")
        return self.plan(classes).trace(clip)

    def weight_shapes(self, classes=174, include_top=True):
        """`{"layer/variable": shape}` of every weight, moving statistics included."""
        rows = self.plan(classes).rows()
        rows = rows if include_top else rows[:-1]
        return {name: shape for row in rows for name, shape in row.weight_shapes().items()}

    def to_dict(self):
        """Plain lists, numbers and strings, for JSON."""
        return {**asdict(self), "blocks": list(self.blocks)}

    @classmethod
    def from_dict(cls, values):
        """A config from `to_dict()`; raises a `ValueError` for unknown, missing or bad fields."""
        known = {f.name for f in fields(cls)}
        wrong = sorted(set(values) ^ known & (set(values) | {"name", "blocks"}))
        if wrong:
            raise ValueError(f"config: expected the fields {sorted(known)}, got {sorted(values)}.")
        return cls(**values)


R50 = BLVNetTAMConfig("blvnet_tam_50", (3, 4, 6, 3))
R101 = BLVNetTAMConfig("blvnet_tam_101", (4, 8, 18, 3))
R152 = BLVNetTAMConfig("blvnet_tam_152", (5, 12, 30, 3))  # in the published code, never trained
CONFIGS = {c.name: c for c in (R50, R101, R152)}
