"""`TwoStreamSuperNetwork`: the super-network of `TwoStreamSpace`."""

import keras
import numpy as np
from keras import ops

from keras_video.applications.auto_tsnet.config import STEM_FRAMES
from keras_video.applications.x3d.config import DEVIATION, MEAN
from keras_video.layers import TimeStridedSampling
from keras_video.layers.initializers import HeNormal
from keras_video.specs import TimeStridedConv
from keras_video.tuner.one_shot.masked import MaskedConv3D, MaskedDepthwise3D, Width, pick_width
from keras_video.tuner.one_shot.super_network import (
    SuperNetwork,
    fixed_indices,
    super_network,
)
from keras_video.tuner.one_shot.two_stream_blocks import (
    CONV,
    NORM,
    GroupOptions,
    GroupPicked,
    Joined,
    JoinedConv3D,
    MaskedFusion,
    MaskedGloRe,
    MaskedMBConv3D,
    flat,
    join,
    pair,
    plain,
)
from keras_video.tuner.spaces import two_stream_layout as layout
from keras_video.tuner.spaces.two_stream import TwoStreamSpace


@super_network.register(TwoStreamSpace)
class TwoStreamSuperNetwork(SuperNetwork):
    """The super-network of a `TwoStreamSpace`.

    A narrow layer uses the first channels of the widest layer. Each depthwise kernel has its own
    weights. Layers that read the sparse stream have separate rows for each kind of fusion. Fixed
    values are compiled in: a dense stream that is excluded is not computed, and a fixed group has
    its final size. Fusions and attentions that are searched are all computed, and multiplied by
    their selection.

    Args:
        space: `TwoStreamSpace`.
        fixed: dict of values that are compiled in.
        mode: `"switch"` or `"sum"`, how to choose between families of kernels, see
            `masked.depthwise.one_of`.
        dtype: dtype policy of the layers, for example `"mixed_bfloat16"`.

    Raises:
        ValueError: if the space does not have a fixed value.
    """

    def __init__(self, space, fixed=None, mode="switch", dtype=None):
        super().__init__(name=f"{space.name}_super_network", dtype=dtype)
        self.space, self.choices = space, space.choices
        self.index = fixed_indices(space.choices, fixed or {})
        values = {choice.name: choice.values for choice in space.choices}
        self.fixed = {name: values[name][index] for name, index in self.index.items()}
        frame, options = space.frame, {"dtype": self.dtype_policy}
        self.sampling = TimeStridedSampling(frame.stride, space.sparse_positions, name="sampling")
        self.blocks = []  # Keras tracks layers in lists and dicts, but not in lists inside dicts
        self.stems, self.temporal_stems, self.groups, self.options = {}, {}, {}, {}
        self.fusions, self.attentions, self.heads = {}, {}, {}
        # The dense stream comes first, as fusions widen the layers of the sparse stream.
        for stream in ("dense", "sparse"):
            self._add_stream(stream, mode, options)
        initializer = keras.initializers.RandomNormal(stddev=0.01)
        self.hidden = {
            stream: keras.layers.Dense(
                frame.hidden, use_bias=False, kernel_initializer=HeNormal(),
                name=f"{stream}_hidden", **options,
            )
            for stream in layout.STREAMS
        }  # fmt: skip
        self.dropout = keras.layers.Dropout(frame.dropout, **options) if frame.dropout else None
        self.classifier = keras.layers.Dense(
            space.num_classes, kernel_initializer=initializer, dtype="float32", name="classifier"
        )
        self.build()

    def _add_stream(self, stream, mode, options):
        space, values = self.space, {c.name: c.values for c in self.choices}
        frame, channels, seen = space.frame, space.stem(stream), {}
        common = {"padding": "symmetric", **options}
        self.stems[stream] = MaskedConv3D(
            3, channels, (1, 3, 3), (1, 2, 2), batch_norm=False, name=f"{stream}_stem", **common
        )
        self.temporal_stems[stream] = MaskedDepthwise3D(
            channels, [(STEM_FRAMES, 1, 1)], activation="relu", mode=mode,
            name=f"{stream}_stem_temporal", **common, **NORM,
        )  # fmt: skip
        for g, (stage, repeats) in enumerate(zip(frame.stages, frame.repeats, strict=True), 1):
            chosen = GroupOptions(*(values[layout.group(stream, g, f)] for f in layout.FIELDS))
            self.groups[stream, g], self.options[stream, g] = [], chosen
            for i in range(repeats):
                number = seen.get(stage, 0)
                seen[stage] = number + 1
                self.blocks.append(MaskedMBConv3D(
                    channels, chosen, 1 if number else 2, number % 2 == 0, i == 0, mode,
                    name=f"{stream}_group{g}_block{i}", **options,
                ))  # fmt: skip
                self.groups[stream, g].append(self.blocks[-1])
                channels = max(chosen.filters)
            nodes = channels
            if g in space.fusion_slots and stream == "dense":
                self.fusions[g] = MaskedFusion(
                    values[layout.fusion(g)], chosen.filters, frame.stride,
                    name=f"group{g}_fusion", **options,
                )  # fmt: skip
            elif g in space.fusion_slots:
                sizes = self.fusions[g].sizes.values()
                channels, nodes = channels + sum(sizes), nodes + max(sizes, default=0)
            if g in space.attention_slots:
                self.attentions[stream, g] = MaskedGloRe(
                    channels, nodes, name=f"{stream}_group{g}_attention", **options
                )
        self.heads[stream] = JoinedConv3D(
            channels, int(chosen.inner.max()), activation="relu", name=f"{stream}_head",
            **options, **NORM,
        )  # fmt: skip

    def build(self, *shapes):
        parts = (self.stems, self.temporal_stems, self.fusions, self.attentions, self.heads)
        for layer in [*self.blocks, *(layer for part in parts for layer in part.values())]:
            layer.build()
        self.sampling.built = True
        for stream in layout.STREAMS:
            self.hidden[stream].build((None, self.heads[stream].filters))
        self.classifier.build((None, self.space.frame.hidden))
        self.built = True
        for variable in _unused(self):
            variable.trainable = False  # they would have no gradients

    def call(self, clips, selection, training=True):
        chosen = {**selection, **self.index}
        clips = ops.cast(clips, self.compute_dtype)
        clips = clips * (1 / (255 * DEVIATION)) - MEAN / DEVIATION
        there, features = self._dense_share(chosen), {}
        if there is not False:
            features["dense"] = self._stem("dense", clips)
        features["sparse"] = self._stem("sparse", self.sampling(clips))
        joined = {s: Joined(np.arange(x.shape[-1])) for s, x in features.items()}
        for g in range(1, len(self.space.frame.stages) + 1):
            for stream in list(features):
                picked = self.picked(stream, g, chosen)
                x = features[stream]
                for block in self.groups[stream, g]:
                    x = block(x, joined=joined[stream], picked=picked)
                    joined[stream] = plain(picked.outputs)
                features[stream] = x
            if g in self.fusions and there is not False:
                joined["sparse"] = self.joined(g, chosen)
                x = [features["sparse"], *self.fusions[g](
                    features["dense"], kind=chosen[layout.fusion(g)],
                    filters=chosen[layout.group("dense", g, "filters")], share=there,
                )]  # fmt: skip
                features["sparse"] = x[0] if len(x) == 1 else ops.concatenate(x, axis=-1)
            for stream in features:
                features[stream] = self._attend(stream, g, features[stream], joined[stream], chosen)
        x = self._pool(features, joined, chosen, there)
        if self.dropout is not None:
            x = self.dropout(x, training=training)
        return self.classifier(x)

    def compute_output_shape(self, shape, *others):
        return (shape[0], self.space.num_classes)

    def _stem(self, stream, x):
        spatial, temporal = self.stems[stream], self.temporal_stems[stream]
        width = Width(spatial.filters)
        return temporal(spatial(x, width=width), width=width, kernel=0)

    def picked(self, stream, g, chosen):
        """Return the `GroupPicked` of a group, from choices that are ints or tensors."""
        return GroupPicked.of(
            self.options[stream, g],
            *(chosen[layout.group(stream, g, field)] for field in layout.FIELDS),
        )

    def _attend(self, stream, g, x, joined, chosen):
        choice = chosen.get(layout.attention(stream, g), 0)
        if isinstance(choice, int):
            return self.attentions[stream, g](x, joined=joined) if choice else x
        return self.attentions[stream, g](x, joined=joined, share=ops.cast(choice, "float32")[1])

    def _dense_share(self, chosen):
        """Return the weight of the dense stream: bool, or scalar tensor in 0..1."""
        choice = chosen[layout.DENSE]
        return bool(choice) if isinstance(choice, int) else ops.cast(choice, "float32")[1]

    def joined(self, g, chosen):
        """Return the `Joined` channels of the sparse stream after a group, fused ones included."""
        filters = self.options["sparse", g].filters
        parts = [(0, plain(pick_width(filters, chosen[layout.group("sparse", g, "filters")])))]
        there = self._dense_share(chosen)
        if g in self.fusions and there is not False:
            dense = chosen[layout.group("dense", g, "filters")]
            fused = self.fusions[g].channels(chosen[layout.fusion(g)], dense, there)
            parts += [(max(filters) + before, part) for _, before, part in fused]
        return join(parts)

    def _pool(self, features, joined, chosen, there):
        """Return the classifier's hidden layer, computed from the means of both streams."""
        last, total = len(self.space.frame.stages), 0.0
        for stream in layout.STREAMS:
            if stream not in features:
                continue
            inner = self.picked(stream, last, chosen).inner
            x = self.heads[stream](features[stream], joined=joined[stream], width=inner)
            x = ops.cast(ops.mean(ops.cast(x, "float32"), (1, 2, 3)), self.compute_dtype)
            if stream == "dense" and there is not True:
                x = x * ops.cast(there, x.dtype)
            kernel = ops.cast(self.hidden[stream].kernel, x.dtype)
            total = total + ops.matmul(x, kernel[: x.shape[-1]])
        return ops.relu(total)

    def part(self, values):
        config = self.space.to_config(values)
        # Inactive choices have no effect; they get their first value.
        chosen = {c.name: c.index(values[c.name]) if c.name in values else 0 for c in self.choices}
        plan, named = config.plan(self.space.num_classes), {}
        hidden = []
        for stream, rows in zip(layout.STREAMS, plan.streams, strict=False):
            spatial, temporal = self.stems[stream], self.temporal_stems[stream]
            channels = spatial.filters
            named |= flat({spatial.name: spatial.part(3, channels)})
            named |= flat({temporal.name: temporal.part(0, channels)})
            joined = Joined(np.arange(channels))
            for g, group in enumerate(rows.groups, 1):
                picked = self.picked(stream, g, chosen)
                for block, layers in zip(group.blocks, self.groups[stream, g], strict=True):
                    named |= layers.part(block, joined, picked.kernel)
                    joined = plain(picked.outputs)
                if stream == "sparse":
                    joined = self.joined(g, chosen)
                if isinstance(group.fusion, TimeStridedConv):
                    row, conv = group.fusion, self.fusions[g].conv
                    named |= flat({row.name: conv.part(row.in_channels, row.filters)})
                if group.attention is not None:
                    layer = self.attentions[stream, g]
                    named |= flat({group.attention.name: layer.part(joined)})
            named |= flat({rows.head.name: self.heads[stream].part(joined.rows, rows.head.filters)})
            kernel = ops.convert_to_numpy(self.hidden[stream].kernel)
            hidden.append(kernel[: rows.head.filters])
        named["classifier_hidden/kernel"] = np.concatenate(hidden)
        for name in ("kernel", "bias"):
            named[f"classifier/{name}"] = ops.convert_to_numpy(getattr(self.classifier, name))
        return named


def _unused(network):
    """Return the variables that are not used in any computation, given the fixed choices."""
    index, layers, found = network.index, [], []
    if index.get(layout.DENSE) == 0:
        parts = (network.stems, network.temporal_stems, network.heads, network.hidden)
        layers += [part["dense"] for part in parts] + list(network.fusions.values())
    for g, fusion in network.fusions.items():
        kind = index.get(layout.fusion(g))
        if kind is not None and fusion.kinds[kind] != CONV and fusion.conv is not None:
            layers.append(fusion.conv)
    for (stream, g), layer in network.attentions.items():
        absent = stream == "dense" and index.get(layout.DENSE) == 0
        if absent or index.get(layout.attention(stream, g)) == 0:
            layers.append(layer)
    before = {s: Joined(np.arange(network.space.stem(s))) for s in layout.STREAMS}
    for (stream, g), blocks in network.groups.items():
        if stream == "dense" and index.get(layout.DENSE) == 0:
            layers += blocks
            continue
        chosen = network.options[stream, g]
        filters, _, *kernel = (index.get(layout.group(stream, g, f)) for f in layout.FIELDS)
        outputs = None if filters is None else Width(chosen.filters[filters])
        kernel = None if None in kernel else pair(*kernel, chosen.kernel_sizes)
        joined, before[stream] = before[stream], None
        for block in blocks:
            found += block.unused(joined, outputs, kernel)
            joined = None if outputs is None else plain(outputs)
        if stream == "dense" or g not in network.fusions:
            before[stream] = joined
        elif outputs is not None and _fusion_is_fixed(network, g):
            before[stream] = network.joined(g, index)
    return found + [variable for layer in layers for variable in layer.trainable_variables]


def _fusion_is_fixed(network, g):
    """Return whether the fusion into the sparse stream after a group is fixed."""
    if network.index.get(layout.DENSE) == 0:
        return True
    names = (layout.DENSE, layout.fusion(g), layout.group("dense", g, "filters"))
    return all(name in network.index for name in names)
