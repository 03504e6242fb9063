"""Cost tables of `TwoStreamSpace`: multiply-adds and parameters as sums of table entries."""

import numpy as np

from keras_video.applications.auto_tsnet.config import STEM_FRAMES
from keras_video.applications.x3d.config import stem_rows
from keras_video.specs import FUSIONS, Conv, Dense, GloRe, conv_output_size, mbconv3d
from keras_video.tuner.spaces.costs import CostTable
from keras_video.tuner.spaces.two_stream_layout import DENSE, attention, fusion, group

COUNTS = {"macs": lambda row, shape: row.macs(shape), "params": lambda row, shape: row.params}


def cost_table(space, cost):
    """Return the exact `CostTable` of a `TwoStreamSpace`.

    The input channels of a group depend on the filters of the previous group and on the fusion
    there. Only the expansion and the shortcut of the first block depend on them. All other costs
    depend on the choices of one group.

    Args:
        space: `TwoStreamSpace`.
        cost: `"macs"` or `"params"`.

    Raises:
        ValueError: for other costs, which are not sums over layers.
    """
    if cost not in COUNTS:
        raise ValueError(f"name: expected one of {sorted(COUNTS)}, got {cost!r}.")
    terms = _Terms(space, COUNTS[cost])
    for stream in ("sparse", "dense"):
        terms.add_stream(stream)
    terms.add((), lambda: [(Dense("", space.frame.hidden, space.num_classes), (1,))])
    return CostTable(space.choices, terms.terms, terms.constant)


class _Terms:
    """Collects the terms of a table: arrays over the values of a few choices."""

    def __init__(self, space, count):
        self.space, self.count = space, count
        self.values = {choice.name: choice.values for choice in space.choices}
        self.terms, self.constant = [], 0.0

    def add(self, names, rows):
        """Add one term.

        Args:
            names: tuple of names of choices.
            rows: function of one value of each choice. It returns pairs of a row and its input
                shape.
        """
        array = np.zeros([len(self.values[name]) for name in names])
        for place in np.ndindex(array.shape):
            chosen = (self.values[name][i] for name, i in zip(names, place, strict=True))
            array[place] = sum(self.count(row, shape) for row, shape in rows(*chosen))
        if names:
            self.terms.append((names, array))
        else:
            self.constant += float(array)

    def add_of(self, stream, names, rows):
        """Add one term of a stream. Terms of the dense stream count only if it exists."""
        if stream == "sparse":
            return self.add(names, rows)
        return self.add((DENSE, *names), lambda dense, *chosen: rows(*chosen) if dense else [])

    def add_stream(self, stream):
        frame, channels = self.space.frame, self.space.stem(stream)
        frames = frame.frames if stream == "dense" else frame.sparse_frames
        stem = stem_rows("", channels, STEM_FRAMES)
        self.add_of(stream, (), lambda: _at(stem, (frames, frame.size, frame.size, 3)))
        side, seen = conv_output_size(frame.size, 2), {}
        for g, (stage, repeats) in enumerate(zip(frame.stages, frame.repeats, strict=True), 1):
            first = seen.get(stage, 0)
            seen[stage] = first + repeats
            self._add_blocks(stream, g, (frames, side, side), range(first, first + repeats))
            side = side if first else conv_output_size(side, 2)
            self._add_after(stream, g, (frames, side, side))
        names = tuple(group(stream, g, field) for field in ("filters", "expansion"))
        before, channels_of = self._channels(stream, g)

        def head(*chosen):
            filters, expansion = chosen[-2:]
            inner, channels = int(expansion * filters), channels_of(*chosen[:-2])
            pooled = Dense("", inner, frame.hidden, use_bias=False)
            conv = Conv("", channels, inner)
            return [(conv, (frames, side, side, channels)), (pooled, (inner,))]

        self.add_of(stream, (*before, *names), head)

    def _add_blocks(self, stream, g, shape, numbers):
        """Add the blocks of a group.

        Args:
            stream: `"sparse"` or `"dense"`.
            g: int, number of the group.
            shape: input shape `(frames, height, width)`.
            numbers: range, numbers of the blocks within their stage.
        """
        before, channels_of = self._channels(stream, g - 1)
        filters, *others = (
            group(stream, g, field)
            for field in ("filters", "expansion", "temporal_kernel", "spatial_kernel")
        )
        stride = 1 if numbers[0] else 2
        small = tuple(n if stride == 1 else conv_output_size(n, 2) for n in shape[1:])

        def inside(filters, expansion, temporal, spatial):
            pairs = []
            for number in numbers:
                strides = 1 if number else 2
                block = mbconv3d(
                    "", filters, filters, expansion, (temporal, spatial, spatial), strides,
                    number % 2 == 0,
                )  # fmt: skip
                first = number == numbers[0]
                start = shape if first else (shape[0], *small)
                pairs += _at(block.branch_rows, (*start, filters))[1 if first else 0 :]
            return pairs

        def expansion(*chosen):
            channels, filters = channels_of(*chosen[:-2]), chosen[-2]
            return [(Conv("", channels, int(chosen[-1] * filters)), (*shape, channels))]

        def shortcut(*chosen):
            channels = channels_of(*chosen[:-1])
            row = mbconv3d("", channels, chosen[-1], 1, (1, 1, 1), stride, False).shortcut
            return [] if row is None else [(row, (*shape, channels))]

        self.add_of(stream, (filters, *others), inside)
        self.add_of(stream, (*before, filters, others[0]), expansion)
        self.add_of(stream, (*before, filters), shortcut)

    def _add_after(self, stream, g, shape):
        """Add fusion and attention after a group."""
        space = self.space
        if stream == "dense" and g in space.fusion_slots:

            def fused(kind, filters):
                row = _fusion(kind, filters, space.frame.stride)
                return [] if row is None else [(row, (*shape, filters))]

            self.add_of("dense", (fusion(g), group("dense", g, "filters")), fused)
        if g in space.attention_slots:
            names, channels_of = self._channels(stream, g)

            def reasoning(there, *chosen):
                channels = channels_of(*chosen)
                row = GloRe("", channels, channels)
                return [(row, (*shape, channels))] if there else []

            self.add_of(stream, (attention(stream, g), *names), reasoning)

    def _channels(self, stream, g):
        """Return how the channels after a group, fused ones included, depend on choices.

        Returns:
            Tuple of names of choices, and a function from their values to the number of channels.
        """
        space = self.space
        if g == 0:
            return (), lambda: space.stem(stream)
        names = (group(stream, g, "filters"),)
        if stream == "dense" or g not in space.fusion_slots:
            return names, lambda filters: filters

        def joined(filters, dense, kind, dense_filters):
            row = _fusion(kind, dense_filters, space.frame.stride) if dense else None
            return filters if row is None else filters + row.filters

        return (*names, DENSE, fusion(g), group("dense", g, "filters")), joined


def _fusion(kind, channels, stride):
    row = FUSIONS[kind]
    return None if row is None else row.make("", channels, stride)


def _at(rows, shape):
    """Return pairs of each row and its input shape; the rows run one after the other."""
    pairs = []
    for row in rows:
        pairs.append((row, shape))
        shape = row.output_shape(shape)
    return pairs
