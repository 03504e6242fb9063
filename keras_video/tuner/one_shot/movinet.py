"""`MoViNetSuperNetwork`: the super-network of `MoViNetSpace`."""

import keras
import numpy as np
from keras import ops

from keras_video.layers.activations import ACTIVATIONS
from keras_video.layers.initializers import HeNormal
from keras_video.tuner.one_shot.masked import (
    BottleneckOptions,
    MaskedBottleneck,
    MaskedConv3D,
    Picked,
    fit,
    pick,
    pick_width,
)
from keras_video.tuner.one_shot.super_network import (
    SuperNetwork,
    fixed_indices,
    super_network,
)
from keras_video.tuner.spaces.movinet import MoViNetSpace
from keras_video.tuner.spaces.movinet_bases import STRIDES, extents


@super_network.register(MoViNetSpace)
class MoViNetSuperNetwork(SuperNetwork):
    """The super-network of a `MoViNetSpace`.

    A narrow layer uses the first channels of the widest layer. A layer is left out by not adding
    its branch. All kernels share the 1x1x1 convolutions and squeeze-excite, but each depthwise
    kernel has its own weights. There is no stochastic depth, because the number of layers is drawn
    already.

    Args:
        space: `MoViNetSpace`.
        fixed: dict of values that are compiled in.
        remat: bool, whether layers are computed again in the backward pass instead of keeping their
            activations.
        mode: `"switch"` or `"sum"`, how to choose between families of kernels, see
            `masked.depthwise.one_of`.
        dtype: dtype policy of the layers, for example `"mixed_bfloat16"`.

    Raises:
        ValueError: if the space does not have a fixed value.
    """

    def __init__(self, space, fixed=None, remat=False, mode="switch", dtype=None):
        super().__init__(name=f"{space.name}_super_network", dtype=dtype)
        self.space, self.remat = space, bool(remat)
        self.choices = space.choices
        self._index = fixed_indices(space.choices, fixed or {})
        values = {choice.name: choice.values for choice in space.choices}
        self.fixed = {name: values[name][index] for name, index in self._index.items()}
        variant, options = space.variant, {"dtype": self.dtype_policy}
        padding = {"padding": "causal" if variant.causal else "same"}
        active = {**options, **padding, "activation": variant.activation}
        width = max(values["stem/filters"])
        self.stem = MaskedConv3D(3, width, (1, 3, 3), (1, 2, 2), name="stem", **active)
        kernels = tuple(extents(kernel) for kernel in space.kernels)
        self.bottlenecks = []
        for b, most in enumerate(space.layers):
            filters = values[f"block{b}/filters"]
            chosen = BottleneckOptions(
                filters, values[f"block{b}/layer0/expand"], kernels, space.squeeze
            )
            for i in range(most):
                first = {"strides": STRIDES[b], "projected": True} if i == 0 else {}
                self.bottlenecks.append(MaskedBottleneck(
                    width, chosen, variant, mode=mode, name=f"block{b}_layer{i}",
                    **first, **options,
                ))  # fmt: skip
                width = max(filters)
        self.head = MaskedConv3D(width, max(values["head/filters"]), name="head", **active)
        self.hidden = keras.layers.Dense(
            space.hidden, kernel_initializer=HeNormal(), name="classifier_hidden",
            activation=ACTIVATIONS[variant.head_activation], **options,
        )  # fmt: skip
        self.dropout = None
        if variant.dropout:
            self.dropout = keras.layers.Dropout(variant.dropout, **options)
        initializer = keras.initializers.RandomNormal(stddev=0.01)
        self.classifier = keras.layers.Dense(
            space.num_classes, kernel_initializer=initializer, dtype="float32", name="classifier"
        )
        self.build()

    def build(self, *shapes):
        for layer in (self.stem, *self.bottlenecks, self.head):
            layer.build()
        self.hidden.build((None, self.head.filters))
        self.classifier.build((None, self.space.hidden))
        self.built = True

    def call(self, clips, selection, training=True):
        chosen = {**selection, **self._index}
        x = ops.cast(clips, self.compute_dtype)
        if self.space.include_preprocessing:
            x = x * (1 / 255.0)
        x = self.stem(x, width=self._width("stem/filters", chosen))
        before, bottlenecks = "stem/filters", iter(self.bottlenecks)
        for b, most in enumerate(self.space.layers):
            outputs = self._width(f"block{b}/filters", chosen)
            for i in range(most):
                layer = next(bottlenecks)
                counts = [float(count > i) for count in range(1, most + 1)]
                active = pick(counts, chosen[f"block{b}/layers"])
                if isinstance(active, float) and not active:
                    continue
                identity = False
                if i == 0 and STRIDES[b] == (1, 1, 1):
                    identity = self._same(before, f"block{b}/filters", chosen)
                name = f"block{b}/layer{i}"
                inner = (chosen[f"{name}/{kind}"] for kind in ("expand", "kernel", "squeeze"))
                active = True if isinstance(active, float) else active
                picked = Picked(outputs, *inner, active=active, identity=identity)
                x = self._apply(layer, x, picked)
            before = f"block{b}/filters"
        x = self.head(x, width=self._width("head/filters", chosen))
        x = ops.mean(ops.cast(x, "float32"), (1, 2, 3))
        x = self.hidden(fit(ops.cast(x, self.compute_dtype), self.head.filters))
        if self.dropout is not None:
            x = self.dropout(x, training=training)
        return self.classifier(x)

    def compute_output_shape(self, shape, *others):
        return (shape[0], self.space.num_classes)

    def _apply(self, layer, x, picked):
        if not self.remat:
            return layer(x, picked=picked)
        return keras.remat(lambda x: layer(x, picked=picked))(x)

    def _values(self, name):
        return next(choice.values for choice in self.choices if choice.name == name)

    def _width(self, name, chosen):
        return pick_width(self._values(name), chosen[name])

    def _same(self, first, second, chosen):
        """Return whether two choices select the same width: bool, or scalar tensor in 0..1."""
        values = self._values(first), self._values(second)
        table = np.equal.outer(*values).astype("float32")
        picked = chosen[first], chosen[second]
        if all(isinstance(index, int) for index in picked) or table.min() == table.max():
            indices = [index if isinstance(index, int) else 0 for index in picked]
            return bool(table[tuple(indices)])
        one_hots = [
            np.eye(len(options), dtype="float32")[index]
            if isinstance(index, int)
            else ops.cast(index, "float32")
            for index, options in zip(picked, values, strict=True)
        ]
        return ops.sum(one_hots[0] * ops.matmul(table, one_hots[1]))

    def part(self, values):
        plan = self.space.to_config(values).plan(self.space.num_classes)
        layers = {layer.name: layer for layer in self.bottlenecks}
        named = _named("stem", self.stem.part(3, plan.stem.filters))
        for rows in plan.blocks:
            kernel = self.space.kernels.index(values[f"{rows.name.replace('_', '/')}/kernel"])
            named |= layers[rows.name].part(rows.name, rows, kernel)
        head, hidden = plan.head, ops.convert_to_numpy(self.hidden.kernel)
        named |= _named("head", self.head.part(head.in_channels, head.filters))
        named["classifier_hidden/kernel"] = hidden[: head.filters]
        named["classifier_hidden/bias"] = ops.convert_to_numpy(self.hidden.bias)
        for name in ("kernel", "bias"):
            named[f"classifier/{name}"] = ops.convert_to_numpy(getattr(self.classifier, name))
        return named


def _named(layer, arrays):
    return {f"{layer}/{name}": array for name, array in arrays.items()}
