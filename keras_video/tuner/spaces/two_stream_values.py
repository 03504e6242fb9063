"""Both ways between the values of a `TwoStreamSpace` and networks."""

from dataclasses import replace

from keras_video.applications.auto_tsnet.config import Group
from keras_video.tuner.spaces import two_stream_layout as layout

# What networks of one space share; a spec that differs there is not in the space.
SHARED = (
    "sparse_stem", "dense_stem", "repeats", "stages", "depth", "frames", "stride", "size",
    "frame_stride", "hidden", "dropout",
)  # fmt: skip


def to_config(space, values):
    """The `TwoStreamSpec` that values stand for; see `TwoStreamSpace.to_config`."""
    known = {choice.name for choice in space.choices}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise ValueError(f"values: expected names among the space's choices, got {unknown}.")
    found = {}
    for choice in space.choices:
        if not choice.active(found):
            continue
        if choice.name not in values:
            raise ValueError(f"{choice.name}: expected one of {choice.values}, got no value.")
        found[choice.name] = choice.values[choice.index(values[choice.name])]
    numbers = range(1, len(space.frame.stages) + 1)
    attention = {
        f"attention_{stream}": tuple(
            g for g in space.attention_slots if found.get(layout.attention(stream, g))
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
    fusion = tuple(found.get(layout.fusion(g), "none") for g in numbers)
    return replace(space.frame, **{"dense": (), **streams}, fusion=fusion, **attention)


def to_values(space, config):
    """The values of a `TwoStreamSpec`; see `TwoStreamSpace.to_values`."""
    for name in SHARED:
        if name == "dense_stem" and not config.dense:
            continue
        expected, got = getattr(space.frame, name), getattr(config, name)
        if got != expected:
            raise ValueError(f"{name}: expected {expected!r} in this space, got {got!r}.")
    fields = {layout.DENSE: bool(config.dense)}
    for stream in layout.STREAMS:
        for g, group in enumerate(getattr(config, stream), 1):
            fields |= {layout.group(stream, g, f): getattr(group, f) for f in layout.FIELDS}
        slots = getattr(config, f"attention_{stream}")
        _check_slots(f"attention_{stream}", slots, space.attention_slots)
        fields |= {layout.attention(stream, g): g in slots for g in space.attention_slots}
    fused = [g for g, kind in enumerate(config.fusion, 1) if kind != "none"]
    _check_slots("fusion", fused, space.fusion_slots)
    fields |= {layout.fusion(g): config.fusion[g - 1] for g in space.fusion_slots}
    values = {}
    for choice in space.choices:
        if choice.active(fields):
            values[choice.name] = choice.values[choice.index(fields[choice.name])]
    return values


def _check_slots(argument, got, known):
    others = sorted(set(got) - set(known))
    if others:
        raise ValueError(f"{argument}: expected groups among {known} in this space, got {others}.")
