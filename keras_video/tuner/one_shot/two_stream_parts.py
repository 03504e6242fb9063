"""What of a two-stream super-network one network has, and what the fixed choices leave unused."""

import numpy as np
from keras import ops

from keras_video.specs import TimeStridedConv
from keras_video.tuner.one_shot.masked import Width
from keras_video.tuner.one_shot.two_stream_blocks import flat
from keras_video.tuner.one_shot.two_stream_channels import Joined, pair, plain
from keras_video.tuner.one_shot.two_stream_joins import CONV
from keras_video.tuner.spaces import two_stream_layout as layout


def weights_of(network, values):
    """The shared weights of one network, by the names of its plan.

    Args:
        network: `TwoStreamSuperNetwork`.
        values: dict of plain values by name of choice.

    Returns:
        Dict of arrays by `"layer/variable"`.
    """
    config = network.space.to_config(values)
    # What is not active has no effect, and its first value here.
    chosen = {c.name: c.index(values[c.name]) if c.name in values else 0 for c in network.choices}
    plan, named = config.plan(network.space.num_classes), {}
    hidden = []
    for stream, rows in zip(layout.STREAMS, plan.streams, strict=False):
        spatial, temporal = network.stems[stream], network.temporal_stems[stream]
        channels = spatial.filters
        named |= flat({spatial.name: spatial.part(3, channels)})
        named |= flat({temporal.name: temporal.part(0, channels)})
        joined = Joined(np.arange(channels))
        for g, group in enumerate(rows.groups, 1):
            picked = network.picked(stream, g, chosen)
            for block, layers in zip(group.blocks, network.groups[stream, g], strict=True):
                named |= layers.part(block, joined, picked.kernel)
                joined = plain(picked.outputs)
            if stream == "sparse":
                joined = network.joined(g, chosen)
            if isinstance(group.fusion, TimeStridedConv):
                row, conv = group.fusion, network.fusions[g].conv
                named |= flat({row.name: conv.part(row.in_channels, row.filters)})
            if group.attention is not None:
                layer = network.attentions[stream, g]
                named |= flat({group.attention.name: layer.part(joined)})
        named |= flat({rows.head.name: network.heads[stream].part(joined.rows, rows.head.filters)})
        kernel = ops.convert_to_numpy(network.hidden[stream].kernel)
        hidden.append(kernel[: rows.head.filters])
    named["classifier_hidden/kernel"] = np.concatenate(hidden)
    for name in ("kernel", "bias"):
        named[f"classifier/{name}"] = ops.convert_to_numpy(getattr(network.classifier, name))
    return named


def unused(network):
    """Variables that nothing is computed with, given what is fixed."""
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
        elif outputs is not None and _fixed_behind(network, g):
            before[stream] = network.joined(g, index)
    return found + [variable for layer in layers for variable in layer.trainable_variables]


def _fixed_behind(network, g):
    """bool, whether it is certain what joins the sparse stream behind a group."""
    if network.index.get(layout.DENSE) == 0:
        return True
    names = (layout.DENSE, layout.fusion(g), layout.group("dense", g, "filters"))
    return all(name in network.index for name in names)
