"""`TwoStreamSpace`: the search space of Auto-TSNet, whole or small."""

from keras_video.applications.auto_tsnet.config import REPEATS, STAGES, Group, TwoStreamSpec
from keras_video.layers.two_streams import POSITIONS
from keras_video.specs import FUSIONS
from keras_video.tuner.spaces import choices
from keras_video.tuner.spaces import two_stream_layout as layout
from keras_video.tuner.spaces.base import layer_features, values_of
from keras_video.tuner.spaces.choices import Choice, ChoiceSpace
from keras_video.tuner.spaces.two_stream_layout import to_config, to_values
from keras_video.utils import complexity

BOOLS = (False, True)


class TwoStreamSpace(ChoiceSpace):
    """Two-stream networks (Gong et al. 2021, arXiv 2108.12957, section 3.5 and Table 1).

    Searched are, for every group of blocks of either stream, `sparse/group1/filters`,
    `.../expansion`, `.../temporal_kernel` and `.../spatial_kernel`; after groups how the dense
    stream joins the sparse one, `fusion/group2`; and where global reasoning follows,
    `attention/sparse_group6`. `dense_stream` says whether there is a dense stream at all: the
    stages of a progressive search fix it.

    The defaults are the paper's space for clips of 32 frames of 160x160 pixels. Ranges of ints are
    a triple `(smallest, largest, step)`, a pair, a list of values, or one value.

    Args:
        num_classes: int.
        size: int, height and width of the clips in pixels.
        frames, stride: ints, frames of the dense clip, and how many of them there are for one of
            the sparse clip.
        frame_stride: int, every how many frames of the video the dense clip takes one.
        width: float, factor of the paper's filters and stems, rounded to multiples of 4.
        repeats, stages: tuples of ints: of each group its blocks, and the stage it belongs to, from
            1. The first block of a stage halves height and width, as the stem does.
        sparse_filters, dense_filters: sequences of ranges of ints, one per group. Default: those of
            Table 1 for the group's stage.
        expansions: floats, a triple `(smallest, largest, step)`, a list, or one value.
        temporal_kernels, spatial_kernels: ranges of odd ints.
        fusions: some of the names of `specs.FUSIONS`, `"none"` among them or not.
        fusion_slots: ints, the groups (from 1) after which streams may join. Default: all but the
            last.
        attention_slots: ints, the groups of either stream that attention may follow. Default: six
            in the stages 2 to 4; where `stages` are others, all behind the first stage.
        sparse_stem, dense_stem: ints, channels of the stems. Default: 24 and 8, times `width`.
        hidden: int, width of the classifier's hidden layer.
        dropout: float in [0, 1), before the last layer.
        sparse_positions: which frames the sparse clip takes of the dense one, `"stride"` or
            `"spread"`, see `layers.TimeStridedSampling`.
        name: string.

    Raises:
        ValueError: naming the argument that is out of its range.

    Example:
    >>> space = TwoStreamSpace(400)
    >>> values = space.to_values(keras_video.applications.auto_tsnet.CONFIGS["auto_tsnet_s"])
    >>> space.costs(values)["macs"]
    2457982856
    """

    def __init__(
        self, num_classes, size=160, frames=32, stride=8, frame_stride=2, width=1.0,
        repeats=REPEATS, stages=STAGES, sparse_filters=None, dense_filters=None,
        expansions=(1.5, 6.0, 0.75), temporal_kernels=(1, 5, 2), spatial_kernels=(3, 5, 2),
        fusions=tuple(FUSIONS), fusion_slots=None, attention_slots=None, sparse_stem=None,
        dense_stem=None, hidden=2048, dropout=0.5, sparse_positions="stride", name=None,
    ):  # fmt: skip
        super().__init__(name=name or "two_stream")
        self.num_classes = _one_int("num_classes", num_classes)
        if type(width) not in (int, float) or not width > 0:
            raise ValueError(f"width: expected a number above 0, got {width!r}.")
        if sparse_positions not in POSITIONS:
            raise ValueError(
                f"sparse_positions: expected one of {POSITIONS}, got {sparse_positions!r}."
            )
        self.sparse_positions = sparse_positions
        stems = dict(zip(layout.STREAMS, (sparse_stem, dense_stem), strict=True))
        for stream, stem in stems.items():
            if stem is None:
                (stems[stream],) = layout.scaled([layout.STEMS[stream]], width)
        repeats, stages = tuple(repeats), tuple(stages)
        groups = (Group(8),) * len(stages)
        # Checks what it is given; its groups are never used.
        self.frame = TwoStreamSpec(
            self.name, groups, groups, repeats=repeats, stages=stages, size=size, frames=frames,
            stride=stride, frame_stride=frame_stride, resize_side=size, hidden=hidden,
            dropout=dropout, sparse_stem=stems["sparse"], dense_stem=stems["dense"],
        )  # fmt: skip
        if size < self.frame.reduction:
            raise ValueError(
                f"size: expected at least {self.frame.reduction} pixels, which the stages reduce "
                f"to 1, got {size}."
            )
        kernels = {
            "temporal_kernel": _odd("temporal_kernels", temporal_kernels),
            "spatial_kernel": _odd("spatial_kernels", spatial_kernels),
        }
        expansions = layout.expansions_of(expansions)
        given = zip(layout.STREAMS, (sparse_filters, dense_filters), strict=True)
        self.choices = [Choice(layout.DENSE, BOOLS)]
        for stream, filters in given:
            when = ((layout.DENSE, (True,)),) if stream == "dense" else ()
            filters = layout.filters_of_groups(f"{stream}_filters", filters, stream, stages, width)
            for g, options in enumerate(filters, 1):
                fields = {"filters": tuple(options), "expansion": expansions, **kernels}
                for field, values in fields.items():
                    tag = "filters" if field in layout.WIDTH_FIELDS else "op"
                    self.choices.append(Choice(layout.group(stream, g, field), values, tag, when))
        count, when = len(stages), ((layout.DENSE, (True,)),)
        self.fusion_slots = layout.slots_of("fusion_slots", fusion_slots, range(1, count), count)
        self.attention_slots = layout.attention_slots_of(attention_slots, stages)
        fusions = choices.words("fusions", fusions, FUSIONS).values
        # First comes what a choice takes before its time.
        fusions = tuple(sorted(fusions, key=lambda kind: kind != "none"))
        for g in self.fusion_slots:
            self.choices.append(Choice(layout.fusion(g), fusions, when=when))
        for stream in layout.STREAMS:
            for g in self.attention_slots:
                conditions = when if stream == "dense" else ()
                self.choices.append(Choice(layout.attention(stream, g), BOOLS, when=conditions))
        self.choices = tuple(self.choices)

    def stem(self, stream):
        """int, channels of a stream's stem."""
        return getattr(self.frame, f"{stream}_stem")

    def to_config(self, values):
        """The `TwoStreamSpec` that values stand for.

        Raises:
            ValueError: naming the value that is missing, unknown or out of its range.
        """
        return to_config(self, values_of(values))

    def to_values(self, config):
        """The values of a `TwoStreamSpec`: the inverse of `to_config`.

        Raises:
            ValueError: if the network is not in the space, naming where it leaves it.
        """
        return to_values(self, config)

    def invalid(self, values):
        try:
            self.to_config(values)
        except ValueError as error:
            return str(error)
        return None

    def cost(self, values, name):
        """`"macs"`, `"params"` (moving statistics included) or `"memory"` in bytes, of one clip."""
        config = self.to_config(values)
        if name == "macs":
            return complexity.macs(config, classes=self.num_classes)
        if name == "params":
            return complexity.params(config, self.num_classes)
        return complexity.peak_activation_memory(config, classes=self.num_classes)

    def cost_table(self, name):
        """The exact `CostTable` of `"macs"` or `"params"`."""
        from keras_video.tuner.spaces.two_stream_costs import cost_table

        return cost_table(self, name)

    def features(self, values):
        return layer_features(self.to_config(values), self.num_classes)

    def clip(self, values):
        """That of the dense stream, also where there is none: networks choose their frames."""
        frame = self.frame
        return (frame.frames, frame.size, frame.size, frame.frame_stride)

    def build(self, hp):
        """The uncompiled network. It takes the dense clip, with pixels in 0..255.

        Args:
            hp: `keras_tuner.HyperParameters`, anything else with `.values`, or a dict of values.
        """
        import keras

        from keras_video.applications.auto_tsnet import AutoTSNet
        from keras_video.layers import TimeStridedSampling

        config = self.to_config(hp)
        options = {"classes": self.num_classes}
        shape = (*self.clip(None)[:3], 3)
        if config.dense:
            positions = self.sparse_positions
            return AutoTSNet(config, input_shape=shape, sparse_positions=positions, **options)
        frames = keras.Input(shape, name="frames")
        sampling = TimeStridedSampling(config.stride, self.sparse_positions, name="sparse_frames")
        model = AutoTSNet(config, input_tensor=sampling(frames), **options)
        info = {"clip": shape, "frames": shape[0], "frame_stride": config.frame_stride}
        model._set_info({**model.info, **info})
        return model

    def stages(self, targets=(1.4e9, 2.0e9, 2.5e9), epochs=(800, 400, 200)):
        """The progressive search of section 4.2: what is searched when, under which target.

        First the sparse stream, alone; then the dense stream and the fusions beside the sparse
        stream that was found; then the places of attention.

        Args:
            targets: three numbers, multiply-adds. The defaults are the paper's, for its space.
            epochs: three ints, chunks of training. The defaults are the paper's.

        Returns:
            Tuple of three `Stage`, for `Parsec(space, stages=...)`.

        Raises:
            ValueError: naming the argument.
        """
        from keras_video.tuner.one_shot.plan import Stage

        for argument, given in (("targets", targets), ("epochs", epochs)):
            if not isinstance(given, (list, tuple)) or len(given) != 3:
                raise ValueError(f"{argument}: expected three numbers, got {given!r}.")
        if not targets[0] <= targets[1] <= targets[2]:
            raise ValueError(
                "targets: expected numbers that do not fall, as every stage adds to the network "
                f"before, got {targets!r}."
            )
        there = {layout.DENSE: True}
        return (
            Stage("sparse", ("sparse/*",), epochs[0], targets[0], {layout.DENSE: False}),
            Stage("dense", ("dense/*", "fusion/*"), epochs[1], targets[1], there),
            Stage("attention", ("attention/*",), epochs[2], targets[2], there),
        )

    def one_step(self, target=2.5e9, epochs=1400):
        """All choices of a two-stream network in one stage, as the paper's control has it.

        Args:
            target: number, multiply-adds.
            epochs: int, chunks of training.

        Returns:
            Tuple of one `Stage`.
        """
        from keras_video.tuner.one_shot.plan import Stage

        return (Stage("all", ("*",), epochs, target, {layout.DENSE: True}),)

    def super_network(self, fixed=None):
        from keras_video.tuner.one_shot.two_stream import TwoStreamSuperNetwork

        return TwoStreamSuperNetwork(self, fixed)


def _one_int(argument, value):
    return choices.ints(argument, [value]).values[0]


def _odd(argument, given):
    values = choices.ints(argument, given).values
    if any(value % 2 == 0 for value in values):
        raise ValueError(f"{argument}: expected odd ints, got {given!r}.")
    return values
