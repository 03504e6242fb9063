"""`TwoStreamSuperNetwork`: all networks of a `TwoStreamSpace` in one."""

import keras
import numpy as np
from keras import ops

from keras_video.applications.auto_tsnet.plan import STEM_FRAMES
from keras_video.applications.x3d.config import DEVIATION, MEAN
from keras_video.layers import TimeStridedSampling
from keras_video.layers.initializers import HeNormal
from keras_video.tuner.one_shot.masked import MaskedConv3D, MaskedDepthwise3D, Width, pick_width
from keras_video.tuner.one_shot.super_network import SuperNetwork, fixed_indices
from keras_video.tuner.one_shot.two_stream_blocks import (
    NORM,
    GroupOptions,
    GroupPicked,
    JoinedConv3D,
    MaskedMBConv3D,
)
from keras_video.tuner.one_shot.two_stream_channels import Joined, join, plain
from keras_video.tuner.one_shot.two_stream_joins import MaskedFusion, MaskedGloRe
from keras_video.tuner.one_shot.two_stream_parts import unused, weights_of
from keras_video.tuner.spaces import two_stream_layout as layout


class TwoStreamSuperNetwork(SuperNetwork):
    """Shared weights of all networks of a `TwoStreamSpace`, and how one of them is computed.

    Widths are the first channels of the widest layer, each kernel has weights of its own, and what
    reads the sparse stream has rows of its own for each kind of fusion. What is fixed is compiled
    in: without a dense stream there is none to compute, and a fixed group has the size of its
    network. Fusions and attentions that are searched are all computed, times how far they are
    selected.

    Args:
        space: `TwoStreamSpace`.
        fixed: dict of values that are compiled in.
        mode: `"switch"` or `"sum"`, how to choose between families of kernels.
        dtype: dtype policy of the layers.

    Raises:
        ValueError: if a fixed value is none of the space.
    """

    def __init__(self, space, fixed=None, mode="switch", dtype=None):
        super().__init__(name=f"{space.name}_super_network", dtype=dtype)
        self.space, self.choices = space, space.choices
        self.index = fixed_indices(space.choices, fixed or {})
        values = {choice.name: choice.values for choice in space.choices}
        self.fixed = {name: values[name][index] for name, index in self.index.items()}
        frame, options = space.frame, {"dtype": self.dtype_policy}
        self.sampling = TimeStridedSampling(frame.stride, space.sparse_positions, name="sampling")
        self.blocks = []  # Keras finds layers in lists and dicts, but not in lists within dicts
        self.stems, self.temporal_stems, self.groups, self.options = {}, {}, {}, {}
        self.fusions, self.attentions, self.heads = {}, {}, {}
        # Dense first: what is fused makes the sparse stream's layers wider.
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
        for variable in unused(self):
            variable.trainable = False  # gradients do not exist

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
        """`GroupPicked` of a group, from choices that are ints or tensors."""
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
        """How far there is a dense stream: bool, or scalar tensor."""
        choice = chosen[layout.DENSE]
        return bool(choice) if isinstance(choice, int) else ops.cast(choice, "float32")[1]

    def joined(self, g, chosen):
        """The channels of the sparse stream behind a group, with what is fused there."""
        filters = self.options["sparse", g].filters
        parts = [(0, plain(pick_width(filters, chosen[layout.group("sparse", g, "filters")])))]
        there = self._dense_share(chosen)
        if g in self.fusions and there is not False:
            dense = chosen[layout.group("dense", g, "filters")]
            fused = self.fusions[g].channels(chosen[layout.fusion(g)], dense, there)
            parts += [(max(filters) + before, part) for _, before, part in fused]
        return join(parts)

    def _pool(self, features, joined, chosen, there):
        """The hidden layer of the classifier on the means of both streams."""
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
        """The shared weights of one network, by the names of its plan.

        Args:
            values: dict of plain values by name of choice.

        Returns:
            Dict of arrays by `"layer/variable"`.
        """
        return weights_of(self, values)
