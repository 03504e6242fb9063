"""`TwoStreamSpace`: the search space of Auto-TSNet, in the size of the paper or smaller."""

from dataclasses import replace

import keras

from keras_video.applications.auto_tsnet.config import REPEATS, STAGES, Group, TwoStreamSpec
from keras_video.applications.auto_tsnet.model import AutoTSNet
from keras_video.checks import check_choice, check_int, check_number
from keras_video.layers import TimeStridedSampling
from keras_video.layers.two_streams import POSITIONS
from keras_video.specs import FUSIONS
from keras_video.tuner.spaces import two_stream_costs
from keras_video.tuner.spaces import two_stream_layout as layout
from keras_video.tuner.spaces.base import layer_features, values_of
from keras_video.tuner.spaces.choices import Choice, ChoiceSpace, Stage
from keras_video.tuner.spaces.ranges import different, ints
from keras_video.utils import complexity

BOOLS = (False, True)
# Fields of the spec that all networks of a space share.
SHARED = (
    "sparse_stem", "dense_stem", "repeats", "stages", "depth", "frames", "stride", "size",
    "frame_stride", "hidden", "dropout",
)  # fmt: skip


class TwoStreamSpace(ChoiceSpace):
    """The search space of Auto-TSNet (Gong et al. 2021, arXiv 2108.12957, section 3.5, Table 1).

    The choices are, for each group of blocks in either stream, `sparse/group1/filters`,
    `.../expansion`, `.../temporal_kernel` and `.../spatial_kernel`; the kind of fusion of the dense
    into the sparse stream after a group, `fusion/group2`; and whether global reasoning follows a
    group, `attention/sparse_group6`. `dense_stream` says whether the network has a dense stream;
    the stages of a progressive search fix it.

    The defaults are the paper's space for clips of 32 frames of 160x160 pixels. A range of ints is
    a triple `(smallest, largest, step)`, a pair, a list of values, or one value.

    Args:
        num_classes: int.
        size: int, height and width of the clips in pixels.
        frames: int, frames in the clip of the dense stream.
        stride: int. The sparse stream takes one of `stride` frames of the dense stream.
        frame_stride: int. The dense stream takes every `frame_stride`-th frame of the video.
        width: float, factor of the paper's filters and stems, rounded to multiples of 4.
        repeats: tuple of ints, number of blocks in each group.
        stages: tuple of ints, the stage of each group, from 1. The first block of a stage halves
            height and width, as the stem does.
        sparse_filters, dense_filters: sequences of ranges of ints, one per group. Default: those of
            Table 1 for the group's stage.
        expansions: floats: a triple `(smallest, largest, step)`, a list, or one value.
        temporal_kernels, spatial_kernels: ranges of odd ints.
        fusions: names from `specs.FUSIONS`, with or without `"none"`.
        fusion_slots: ints, groups (from 1) that a fusion may follow. Default: all but the last.
        attention_slots: ints, groups of either stream that attention may follow. Default: six in
            stages 2 to 4; for other `stages`, all groups after stage 1.
        sparse_stem, dense_stem: ints, channels of the stems. Default: 24 and 8, times `width`.
        hidden: int, width of the classifier's hidden layer.
        dropout: float in [0, 1), before the last layer.
        sparse_positions: `"stride"` or `"spread"`, which frames of the dense clip the sparse stream
            takes, see `layers.TimeStridedSampling`.
        name: string.

    Raises:
        ValueError: naming the argument that is wrong.

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
        self.num_classes = check_int("num_classes", num_classes)
        check_number("width", width, above=0)
        self.sparse_positions = check_choice("sparse_positions", sparse_positions, POSITIONS)
        stems = dict(zip(layout.STREAMS, (sparse_stem, dense_stem), strict=True))
        for stream, stem in stems.items():
            if stem is None:
                (stems[stream],) = layout.scaled([layout.STEMS[stream]], width)
        repeats, stages = tuple(repeats), tuple(stages)
        groups = (Group(8),) * len(stages)
        # The spec checks its arguments. Its groups are placeholders.
        self.frame = TwoStreamSpec(
            self.name, groups, groups, repeats=repeats, stages=stages, size=size, frames=frames,
            stride=stride, frame_stride=frame_stride, resize_side=size, hidden=hidden,
            dropout=dropout, sparse_stem=stems["sparse"], dense_stem=stems["dense"],
        )  # fmt: skip
        if size < self.frame.reduction:
            raise ValueError(
                f"size: expected at least {self.frame.reduction} pixels, got {size}. The stages "
                "reduce height and width by that factor."
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
        # The first value holds until a stage searches the choice.
        fusions = different("fusions", fusions, FUSIONS)
        fusions = tuple(sorted(fusions, key=lambda kind: kind != "none"))
        for g in self.fusion_slots:
            self.choices.append(Choice(layout.fusion(g), fusions, when=when))
        for stream in layout.STREAMS:
            for g in self.attention_slots:
                conditions = when if stream == "dense" else ()
                self.choices.append(Choice(layout.attention(stream, g), BOOLS, when=conditions))
        self.choices = tuple(self.choices)

    def stem(self, stream):
        """Return the number of channels of a stream's stem."""
        return getattr(self.frame, f"{stream}_stem")

    def to_config(self, values):
        """Return the `TwoStreamSpec` of values.

        Raises:
            ValueError: naming the value that is missing, unknown or out of range.
        """
        values = values_of(values)
        known = {choice.name for choice in self.choices}
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"values: expected names among the space's choices, got {unknown}.")
        found = {}
        for choice in self.choices:
            if not choice.active(found):
                continue
            if choice.name not in values:
                raise ValueError(f"{choice.name}: expected one of {choice.values}, got no value.")
            found[choice.name] = choice.values[choice.index(values[choice.name])]
        numbers = range(1, len(self.frame.stages) + 1)
        attentions = {
            f"attention_{stream}": tuple(
                g for g in self.attention_slots if found.get(layout.attention(stream, g))
            )
            for stream in layout.STREAMS
        }
        streams = {
            stream: tuple(
                Group(*(found[layout.group(stream, g, field)] for field in layout.FIELDS))
                for g in numbers
            )
            for stream in layout.STREAMS[: 1 + found[layout.DENSE]]
        }
        fusions = tuple(found.get(layout.fusion(g), "none") for g in numbers)
        return replace(self.frame, **{"dense": (), **streams}, fusion=fusions, **attentions)

    def to_values(self, config):
        """Return the values of a `TwoStreamSpec`: the inverse of `to_config`.

        Raises:
            ValueError: if the network is not in the space, naming the field that differs.
        """
        for name in SHARED:
            if name == "dense_stem" and not config.dense:
                continue
            expected, got = getattr(self.frame, name), getattr(config, name)
            if got != expected:
                raise ValueError(f"{name}: expected {expected!r} in this space, got {got!r}.")
        fields = {layout.DENSE: bool(config.dense)}
        for stream in layout.STREAMS:
            for g, group in enumerate(getattr(config, stream), 1):
                fields |= {layout.group(stream, g, f): getattr(group, f) for f in layout.FIELDS}
            slots = getattr(config, f"attention_{stream}")
            _check_slots(f"attention_{stream}", slots, self.attention_slots)
            fields |= {layout.attention(stream, g): g in slots for g in self.attention_slots}
        fused = [g for g, kind in enumerate(config.fusion, 1) if kind != "none"]
        _check_slots("fusion", fused, self.fusion_slots)
        fields |= {layout.fusion(g): config.fusion[g - 1] for g in self.fusion_slots}
        return {
            choice.name: choice.values[choice.index(fields[choice.name])]
            for choice in self.choices
            if choice.active(fields)
        }

    def invalid(self, values):
        try:
            self.to_config(values)
        except ValueError as error:
            return str(error)
        return None

    def cost(self, values, name):
        """Return `"macs"` or `"memory"` in bytes for one clip, or `"params"` of the network.

        Parameters include moving statistics.
        """
        config = self.to_config(values)
        if name == "macs":
            return complexity.macs(config, classes=self.num_classes)
        if name == "params":
            return complexity.params(config, self.num_classes)
        return complexity.peak_activation_memory(config, classes=self.num_classes)

    def cost_table(self, name):
        """Return the exact `CostTable` of `"macs"` or `"params"`."""
        return two_stream_costs.cost_table(self, name)

    def features(self, values):
        return layer_features(self.to_config(values), self.num_classes)

    def clip(self, values):
        """Return the clip of the dense stream, which every network takes and samples itself."""
        frame = self.frame
        return (frame.frames, frame.size, frame.size, frame.frame_stride)

    def build(self, hp):
        """Return the uncompiled network. It takes the dense clip, with pixels in 0..255.

        Args:
            hp: `keras_tuner.HyperParameters`, any other object with `.values`, or a dict of values.
        """
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
        """Return the three stages of a progressive search (section 4.2).

        The first stage searches the sparse stream alone. The second searches the dense stream and
        the fusions, with the sparse stream that was found. The third searches where attention is.

        Args:
            targets: three numbers, multiply-adds. The defaults are the paper's, for its space.
            epochs: three ints, numbers of training chunks. The defaults are the paper's.

        Returns:
            Tuple of three `Stage`, for `Parsec(space, stages=...)`.

        Raises:
            ValueError: naming the argument that is wrong.
        """
        for argument, given in (("targets", targets), ("epochs", epochs)):
            if not isinstance(given, (list, tuple)) or len(given) != 3:
                raise ValueError(f"{argument}: expected three numbers, got {given!r}.")
        if not targets[0] <= targets[1] <= targets[2]:
            raise ValueError(
                "targets: expected numbers in ascending order, as each stage makes the network "
                f"larger, got {targets!r}."
            )
        there = {layout.DENSE: True}
        return (
            Stage("sparse", ("sparse/*",), epochs[0], targets[0], {layout.DENSE: False}),
            Stage("dense", ("dense/*", "fusion/*"), epochs[1], targets[1], there),
            Stage("attention", ("attention/*",), epochs[2], targets[2], there),
        )

    def one_step(self, target=2.5e9, epochs=1400):
        """Return a single stage that searches all choices, the baseline of the paper.

        Args:
            target: number, multiply-adds.
            epochs: int, number of training chunks.

        Returns:
            Tuple of one `Stage`.
        """
        return (Stage("all", ("*",), epochs, target, {layout.DENSE: True}),)


def _odd(argument, given):
    values = ints(argument, given).values
    if any(value % 2 == 0 for value in values):
        raise ValueError(f"{argument}: expected odd ints, got {given!r}.")
    return values


def _check_slots(argument, got, known):
    others = sorted(set(got) - set(known))
    if others:
        raise ValueError(f"{argument}: expected groups among {known} in this space, got {others}.")
