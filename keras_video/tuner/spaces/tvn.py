"""`TVNSpace`: the search space of Tiny Video Networks."""

from dataclasses import replace
from functools import cached_property

from keras_video.applications.tiny_video_net.config import (
    ACTIVATIONS,
    SPATIAL,
    TEMPORAL,
    TinyVideoBlock,
    TinyVideoNetConfig,
)
from keras_video.applications.tiny_video_net.model import TinyVideoNet
from keras_video.checks import check_choice, check_int
from keras_video.specs import conv_output_size
from keras_video.tuner.spaces.base import Slots, Space, layer_features, values_of
from keras_video.tuner.spaces.ranges import Options, Site, Sites, ints, ratios, words

BOOLS = (False, True)
DEFAULTS = {
    "image_size": (32, 320, 32),
    "frames": (1, 32),
    "frame_stride": (1, 25),
    "blocks": (1, 8),
    "repeats": (1, 8),
    "spatial": ("std", "depth", "maxpool", "avgpool"),
    "spatial_kernel": (1, 8),
    "spatial_stride": (1, 8),
    "temporal": ("1d", "maxpool", "avgpool"),
    "temporal_kernel": (1, 8),
    "temporal_stride": (1, 8),
    "filters": (32, 2048),
    "expand": [1, 2, 3, 4, 5, 6, 8],
    "squeeze": (0.0, 1.0),
    "context_gate": BOOLS,
    "non_local": (4, 1024),
    "skip": BOOLS,
    "inverted": False,
    "activations": ("relu", "linear"),
}
MOBILE = {"inverted": BOOLS, "activations": ("relu", "hard_swish", "linear")}


# A site without effect is left out: a kernel of 1 removes its part of the block, stride included,
# and only convolutions have an activation of their own.
BLOCK = (
    Site("spatial_kernel", lambda kernel: kernel > 1, (
        Site("spatial", lambda kind: not kind.endswith("pool"), (Site("spatial_activation"),)),
        Site("spatial_stride"),
    )),
    Site("temporal_kernel", lambda kernel: kernel > 1, (
        Site("temporal", lambda kind: kind == "1d", (Site("temporal_activation"),)),
        Site("temporal_stride"),
    )),
    Site("filters"), Site("expand"), Site("repeats"), Site("skip"), Site("inverted"),
    Site("squeeze", bool, (Site("squeeze_ratio"),)),
    Site("context_gate"),
    Site("non_local", bool, (Site("bottleneck"),)),
    Site("activation"),
)  # fmt: skip
NETWORK = (
    Site("image_size"),
    Site("frames", lambda frames: frames > 1, (Site("frame_stride"),)),
)


class TVNSpace(Space):
    """The search space of Tiny Video Networks (Piergiovanni et al. 2019, section 3).

    Each range is a pair `(smallest, largest)`, both included; a triple with a step; a list of
    values; or one value, which is then fixed. The defaults are the ranges of the paper. Values are
    drawn uniformly. The hyperparameters are `image_size`, `frames`, `frame_stride` (if there is
    more than one frame), `num_blocks` and, for each block, `block_0/spatial_kernel` and so on.

    Args:
        num_classes: int.
        image_size: ints, height and width in pixels.
        frames: ints, frames in a clip.
        frame_stride: ints. The network takes every `frame_stride`-th frame of the video. (The paper
            gives the rate, 1 to 25 frames per second.)
        blocks: pair of ints, number of blocks.
        repeats: ints, number of repetitions of a block.
        spatial: some of `"std"`, `"depth"`, `"maxpool"`, `"avgpool"`, `"1std"`.
        spatial_kernel, spatial_stride: ints. A kernel of 1 removes the spatial part.
        temporal: some of `"1d"`, `"maxpool"`, `"avgpool"`.
        temporal_kernel, temporal_stride: ints. A kernel of 1 removes the temporal part.
        filters: ints.
        expand: ints, expansion factors. The paper does not give them; the defaults are those of the
            published networks.
        squeeze: floats from 0 to 1, ratio of squeeze-excite, if a block has it. 0 removes it from
            the space.
        context_gate, skip: `(False, True)`, or one of them.
        non_local: ints, bottleneck width of the non-local layer, if a block has one. 0 removes it
            from the space.
        inverted: `(False, True)`, or one of them: inverted bottlenecks. By default only the mobile
            space has them.
        activations: some of `"relu"`, `"hard_swish"`, `"linear"`, for the end of a block and for
            its spatial and temporal convolutions. By default only the mobile space has
            `"hard_swish"`.
        mobile: bool, selects the mobile space (TVN-M).
        include_preprocessing: bool, whether networks take pixels in 0..255 instead of 0..1.
        dropout: float in [0, 1), before the classifier.
        head: `"average"` or `"per_frame"`.
        video_frames: int, number of frames in the clips of the data. Networks that need more are
            invalid. `None` sets no limit.
        name: string.

    Raises:
        ValueError: naming the argument that is wrong.

    Example:
    >>> space = TVNSpace(16, image_size=(32, 64, 16), frames=[2, 4, 8], blocks=(1, 3))
    >>> hp = keras_tuner.HyperParameters()
    >>> space.declare(hp)
    >>> space.build(hp).output_shape
    (None, 16)
    """

    slots = (Slots("num_blocks", "block_"),)

    def __init__(
        self, num_classes, mobile=False, include_preprocessing=True, dropout=0.5, head="average",
        video_frames=None, name=None, **given,
    ):  # fmt: skip
        super().__init__(name=name or ("tvn_mobile" if mobile else "tvn"))
        defaults = DEFAULTS | (MOBILE if mobile else {})
        unknown = sorted(set(given) - set(defaults))
        if unknown:
            raise ValueError(f"arguments: expected some of {sorted(defaults)}, got {unknown}.")
        self.num_classes = check_int("num_classes", num_classes)
        self.video_frames = video_frames
        if video_frames is not None:
            check_int("video_frames", video_frames)
        self.include_preprocessing = bool(include_preprocessing)
        found = _read(defaults | given)
        self.blocks = found.pop("blocks").values
        self._network, self._block = Sites(NETWORK, found), Sites(BLOCK, found)
        self._latest = None
        # Fields that all networks share, checked by the config.
        self._frame = TinyVideoNetConfig(
            self.name, 1, 32, 1, blocks=(TinyVideoBlock(),), dropout=dropout, head=head
        )

    def declare(self, hp):
        self._network.declare(hp)
        hp.Int("num_blocks", self.blocks[0], self.blocks[-1])
        for i in range(self.blocks[-1]):
            with hp.conditional_scope("num_blocks", [n for n in self.blocks if n > i]):
                self._block.declare(hp, f"block_{i}/")

    def to_config(self, values):
        """Return the `TinyVideoNetConfig` of values.

        Raises:
            ValueError: naming the value that is missing or out of range.
        """
        values = values_of(values)
        network = self._network.read(values)
        network["size"] = network.pop("image_size")
        count = values.get("num_blocks")
        if count not in self.blocks:  # KerasTuner may return an int as a float
            raise ValueError(f"num_blocks: expected one of {self.blocks}, got {count!r}.")
        blocks = []
        for i in range(int(count)):
            fields = self._block.read(values, f"block_{i}/")
            fields["squeeze"] = fields.pop("squeeze_ratio", 0.0)
            fields["non_local"] = fields.pop("bottleneck", 0)
            blocks.append(TinyVideoBlock(**fields))
        return replace(self._frame, **network, blocks=tuple(blocks))

    def to_values(self, config):
        """Return the values of a `TinyVideoNetConfig`.

        Fields without effect on the network, such as the stride of a kernel of 1, have no value;
        `to_config` sets them to their defaults.

        Raises:
            ValueError: if the network is not in the space, naming the value that is out of range.
        """
        values = self._network.write({**vars(config), "image_size": config.size})
        values["num_blocks"] = len(config.blocks)
        check_choice("num_blocks", len(config.blocks), self.blocks)
        for i, block in enumerate(config.blocks):
            fields = {
                **vars(block),
                "squeeze": block.squeeze > 0,
                "squeeze_ratio": float(block.squeeze),
                "non_local": block.non_local > 0,
                "bottleneck": block.non_local,
            }
            values |= self._block.write(fields, f"block_{i}/")
        return values

    def invalid(self, values):
        try:
            config = self._counts(values).config
        except ValueError as error:
            return str(error)
        span = (config.frames - 1) * config.frame_stride + 1
        if self.video_frames and span > self.video_frames:
            return f"frame_stride: {span} frames are needed, clips have {self.video_frames}."
        size = config.size
        for i, block in enumerate(config.blocks):
            stride = block.spatial_stride if block.spatial_kernel > 1 else 1
            if stride > size:
                return f"block_{i}/spatial_stride: expected at most {size} pixels, got {stride}."
            size = conv_output_size(size, stride)
        return None

    def costs(self, values):
        """Return `{"macs": int, "params": int, "memory": bytes}` of one clip."""
        counts = self._counts(values)
        return {name: getattr(counts, name) for name in ("macs", "params", "memory")}

    def cost(self, values, name):
        return getattr(self._counts(values), name)

    def _counts(self, values):
        """Return the costs, cached for one network: each constraint asks about the same one."""
        values = values_of(values)
        if self._latest is None or self._latest[0] != values:
            self._latest = (values, _Counts(self.to_config(values), self.num_classes))
        return self._latest[1]

    def features(self, values):
        return layer_features(self.to_config(values), self.num_classes)

    def clip(self, values):
        config = self.to_config(values)
        return (*config.clip[:3], config.frame_stride)

    def build(self, hp):
        config = self.to_config(values_of(hp))
        return TinyVideoNet(
            config,
            classes=self.num_classes,
            input_shape=config.clip,
            include_preprocessing=self.include_preprocessing,
        )


class _Counts:
    """Costs of a network, each computed on first use."""

    def __init__(self, config, classes):
        self.config, self.classes = config, classes

    @cached_property
    def plan(self):
        return self.config.plan(self.classes)

    @cached_property
    def params(self):
        return sum(row.params for row in self.plan.rows())

    @cached_property
    def macs(self):
        return sum(step.macs for step in self._steps)

    @cached_property
    def memory(self):
        return 4 * max(step.alive for step in self._steps)

    @cached_property
    def _steps(self):
        return self.plan.trace(self.config.clip)


def _read(given):
    """Read the arguments: `{site: range}`."""
    numbers = (
        "image_size", "frames", "frame_stride", "blocks", "repeats", "spatial_kernel",
        "spatial_stride", "temporal_kernel", "temporal_stride", "filters", "expand",
    )  # fmt: skip
    found = {name: ints(name, given[name]) for name in numbers}
    blocks = found["blocks"].values
    if blocks != tuple(range(blocks[0], blocks[-1] + 1)):
        raise ValueError(f"blocks: expected consecutive numbers, got {given['blocks']!r}.")
    found["spatial"] = words("spatial", given["spatial"], SPATIAL)
    found["temporal"] = words("temporal", given["temporal"], TEMPORAL)
    for name in ("context_gate", "skip", "inverted"):
        found[name] = words(name, given[name], BOOLS)
    activations = words("activations", given["activations"], ACTIVATIONS)
    for name in ("activation", "spatial_activation", "temporal_activation"):
        found[name] = activations
    found["squeeze_ratio"] = ratios("squeeze", given["squeeze"])
    found["squeeze"] = _switch(found["squeeze_ratio"])
    found["bottleneck"] = ints("non_local", given["non_local"], least=0)
    found["non_local"] = _switch(found["bottleneck"])
    return found


def _switch(options):
    """Return the range of an on-off switch: only `False` if the single value is 0."""
    return Options([False] if options.fixed and not options.values[0] else BOOLS)
