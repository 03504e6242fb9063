"""Cost tables of `MoViNetSpace`: the cost of each part of a network, for all its widths."""

from typing import NamedTuple

import numpy as np

from keras_video.applications.movinet.config import S1, Bottleneck, resolve_block
from keras_video.specs import Conv, Dense
from keras_video.tuner.spaces.costs import CostTable
from keras_video.tuner.spaces.movinet_bases import STRIDES, extents


class Part(NamedTuple):
    """Consecutive rows of a network whose cost is counted, or measured, together.

    Args:
        kind: `"stem"`, `"skip"`, `"expansion"`, `"feature"`, `"squeeze_excite"`, `"projection"`,
            `"head"` or `"classifier"`.
        rows: tuple of rows of `keras_video.specs`.
        shape: input shape `(frames, height, width, channels)`; `(channels,)` for the classifier.
    """

    kind: str
    rows: tuple
    shape: tuple

    def sum(self, count):
        """Return the sum of `count(row, shape)` over the rows."""
        total, shape = 0, self.shape
        for row in self.rows:
            total += count(row, shape)
            shape = row.output_shape(shape)
        return total


COUNTS = {
    "macs": lambda part: part.sum(lambda row, shape: row.macs(shape)),
    "params": lambda part: part.sum(lambda row, shape: row.params),
}


def table(space, count):
    """Return the `CostTable` of a space.

    Args:
        space: `MoViNetSpace`.
        count: function that returns the cost of a `Part`, a number.
    """
    return CostTable(space.choices, list(terms(space, count)))


def terms(space, count):
    """Yield the terms of the table: pairs `(names, array)`, see `CostTable`."""
    choices = {choice.name: choice.values for choice in space.choices}
    shape = (space.frames, space.height, space.width, 3)
    before, inputs = "stem/filters", choices["stem/filters"]
    stem = [Conv("stem", 3, f, (1, 3, 3), (1, 2, 2)) for f in inputs]
    yield (before,), [count(Part("stem", (row,), shape)) for row in stem]
    shape = stem[0].output_shape(shape)
    kernels = [extents(kernel) for kernel in space.kernels]
    for b, strides in enumerate(STRIDES):
        filters, expand = choices[f"block{b}/filters"], choices[f"block{b}/layer0/expand"]
        layer = _Layer(space, count, shape, strides, filters, expand, kernels)
        yield from layer.terms(f"block{b}", 0, before, inputs)
        shape = layer.output_shape
        after = _Layer(space, count, shape, S1, filters, expand, kernels)
        yield from after.more_terms(f"block{b}", space.layers[b])
        before, inputs = f"block{b}/filters", filters
    heads = choices["head/filters"]
    yield (
        (before, "head/filters"),
        [
            [count(Part("head", (Conv("head", c, f),), (*shape[:3], c))) for f in heads]
            for c in inputs
        ],
    )
    hidden = space.hidden
    last = Dense("classifier", hidden, space.num_classes)
    yield (
        ("head/filters",),
        [
            count(Part("classifier", (Dense("classifier_hidden", f, hidden), last), (f,)))
            for f in heads
        ],
    )


class _Layer:
    """Costs of the parts of a layer, for all its widths and kernels."""

    def __init__(self, space, count, shape, strides, filters, expand, kernels):
        self.space, self.count, self.shape, self.strides = space, count, shape, strides
        self.filters, self.expand, self.kernels = filters, expand, kernels

    @property
    def output_shape(self):
        """Output shape; its number of channels has no meaning."""
        return self._block(8, 8, 8, self.kernels[0]).feature.output_shape(self.shape)

    def _block(self, inputs, filters, expand, kernel=(1, 1, 1), squeeze=True):
        row = Bottleneck(filters, expand, kernel, self.strides, squeeze)
        return resolve_block("layer", inputs, row, self.space.variant)

    def _cost(self, kind, rows, channels, shape=None):
        rows = tuple(row for row in rows if row is not None)
        shape = self.shape if shape is None else shape
        return self.count(Part(kind, rows, (*shape[:3], channels))) if rows else 0

    def _expansion(self, inputs):
        return [
            [self._cost("expansion", [self._block(c, 8, e).expansion], c) for e in self.expand]
            for c in inputs
        ]

    def _skip(self, inputs):
        return [
            [self._cost("skip", self._block(c, f, 8).skip_rows, c) for f in self.filters]
            for c in inputs
        ]

    def _feature(self):
        def cost(kernel, e):
            block = self._block(8, 8, e, kernel)
            return self._cost("feature", [block.feature, block.feature_temporal], e)

        return [[cost(kernel, e) for e in self.expand] for kernel in self.kernels]

    def _squeeze(self):
        def cost(squeeze, e):
            row = self._block(8, 8, e, squeeze=squeeze).squeeze_excite
            return self._cost("squeeze_excite", [row], e, self.output_shape)

        return [[cost(squeeze, e) for e in self.expand] for squeeze in self.space.squeeze]

    def _projection(self):
        def cost(e, f):
            block = self._block(8, f, e)
            return self._cost("projection", [block.projection, block.rezero], e, self.output_shape)

        return [[cost(e, f) for f in self.filters] for e in self.expand]

    def terms(self, block, i, before, inputs):
        """Yield the terms of a block's first layer. `before` is the choice of its input widths."""
        name, filters = f"{block}/layer{i}", f"{block}/filters"
        yield (before, f"{name}/expand"), self._expansion(inputs)
        yield (before, filters), self._skip(inputs)
        yield from self._inner_terms(name, filters)

    def _inner_terms(self, name, filters):
        yield (f"{name}/kernel", f"{name}/expand"), self._feature()
        yield (f"{name}/squeeze", f"{name}/expand"), self._squeeze()
        yield (f"{name}/expand", filters), self._projection()

    def more_terms(self, block, most):
        """Yield the terms of the other layers. They count if the block has enough layers."""
        if most == 1:
            return
        filters = f"{block}/filters"
        # All these layers share the same arrays.
        costs = [((filters, "{}/expand"), self._expansion(self.filters))]
        costs += self._inner_terms("{}", filters)
        for i in range(1, most):
            there = np.array([float(count > i) for count in range(1, most + 1)])
            for names, array in costs:
                names = tuple(name.format(f"{block}/layer{i}") for name in names)
                yield (f"{block}/layers", *names), np.multiply.outer(there, array)
