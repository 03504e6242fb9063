"""What the networks of `TwoStreamSpace` have in common, and where they differ: Table 1 as data.

Both ways between the values of a `TwoStreamSpace` and networks.

Sites: the places where the networks of a family differ, and which of them matter when.
"""

from dataclasses import replace
from typing import NamedTuple

from keras_video.applications.auto_tsnet.config import STAGES, Group
from keras_video.tuner.spaces import choices

STREAMS = ("sparse", "dense")
FIELDS = ("filters", "expansion", "temporal_kernel", "spatial_kernel")  # of a group
WIDTH_FIELDS = ("filters", "expansion")
DENSE = "dense_stream"  # the choice whether there is one

# Filters by stage: smallest, largest, step (Gong et al. 2021, Table 1).
FILTERS = {
    "sparse": ((32, 48, 8), (64, 88, 8), (128, 176, 16), (248, 344, 24)),
    "dense": ((8, 16, 8), (8, 24, 8), (16, 32, 8), (32, 56, 8)),
}
STEMS = {"sparse": 24, "dense": 8}
# The paper has two slots in each of the stages 2 to 4 and does not say after which groups.
ATTENTION_SLOTS = (3, 4, 6, 8, 10, 11)


def group(stream, number, field):
    """Name of the choice of a group's field; groups count from 1."""
    return f"{stream}/group{number}/{field}"


def fusion(number):
    """Name of the choice how the streams join after a group."""
    return f"fusion/group{number}"


def attention(stream, number):
    """Name of the choice whether global reasoning follows a group."""
    return f"attention/{stream}_group{number}"


def scaled(filters, width):
    """Numbers of channels times a factor, as multiples of 4 that differ."""
    if width == 1:
        return list(filters)
    return sorted({max(4, 4 * round(width * value / 4)) for value in filters})


def filters_of_groups(argument, given, stream, stages, width):
    """The filters to choose from, a list for each group.

    Args:
        argument: string, for messages.
        given: sequence of ranges, one per group, or `None` for those of Table 1.
        stream: `"sparse"` or `"dense"`.
        stages: tuple of ints, the stage of each group.
        width: float, factor of the filters of Table 1.

    Raises:
        ValueError: naming the argument.
    """
    if given is not None:
        if not isinstance(given, (list, tuple)) or len(given) != len(stages):
            raise ValueError(
                f"{argument}: expected {len(stages)} ranges, one for each group, got {given!r}."
            )
        return [list(choices.ints(argument, options).values) for options in given]
    table = FILTERS[stream]
    if stages[-1] > len(table):
        raise ValueError(
            f"{argument}: expected ranges beside more than {len(table)} stages, which Table 1 of "
            f"the paper has, got None beside {stages[-1]} stages."
        )
    found = [scaled(choices.ints(argument, table[stage - 1]).values, width) for stage in stages]
    if stream == "dense":
        found[0] = found[0][:1]  # the first group has no choice
    return found


def expansions_of(given):
    """Floats, from a triple `(smallest, largest, step)` or a list."""
    values = given
    if isinstance(given, tuple) and len(given) == 3 and all(_positive(v) for v in given):
        low, high, step = given
        values = [round(low + i * step, 6) for i in range(int((high - low) / step + 1e-6) + 1)]
    values = list(values) if isinstance(values, (list, tuple)) else [values]
    if not values or not all(_positive(v) for v in values) or len(set(values)) < len(values):
        raise ValueError(
            "expansions: expected a triple (smallest, largest, step), a list of different "
            f"values, or one value; numbers above 0. Got {given!r}."
        )
    return tuple(map(float, values))


def slots_of(argument, given, default, count):
    """Groups after which something may be, sorted."""
    slots = tuple(default if given is None else given)
    known = range(1, count + 1)
    if any(type(slot) is not int or slot not in known for slot in slots) or len(set(slots)) < len(
        slots
    ):
        raise ValueError(f"{argument}: expected different groups among 1..{count}, got {given!r}.")
    return tuple(sorted(slots))


def attention_slots_of(given, stages):
    """Those of the paper's layout, else every group after the first stage."""
    default = [g for g, stage in enumerate(stages, 1) if stage > 1]
    default = ATTENTION_SLOTS if tuple(stages) == STAGES else default
    return slots_of("attention_slots", given, default, len(stages))


def _positive(value):
    return type(value) in (int, float) and value > 0


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
            g for g in space.attention_slots if found.get(attention(stream, g))
        )
        for stream in STREAMS
    }
    streams = {
        stream: tuple(Group(*(found[group(stream, g, field)] for field in FIELDS)) for g in numbers)
        for stream in STREAMS[: 1 + found[DENSE]]
    }
    fusion = tuple(found.get(fusion(g), "none") for g in numbers)
    return replace(space.frame, **{"dense": (), **streams}, fusion=fusion, **attention)


def to_values(space, config):
    """The values of a `TwoStreamSpec`; see `TwoStreamSpace.to_values`."""
    for name in SHARED:
        if name == "dense_stem" and not config.dense:
            continue
        expected, got = getattr(space.frame, name), getattr(config, name)
        if got != expected:
            raise ValueError(f"{name}: expected {expected!r} in this space, got {got!r}.")
    fields = {DENSE: bool(config.dense)}
    for stream in STREAMS:
        for g, group in enumerate(getattr(config, stream), 1):
            fields |= {group(stream, g, f): getattr(group, f) for f in FIELDS}
        slots = getattr(config, f"attention_{stream}")
        _check_slots(f"attention_{stream}", slots, space.attention_slots)
        fields |= {attention(stream, g): g in slots for g in space.attention_slots}
    fused = [g for g, kind in enumerate(config.fusion, 1) if kind != "none"]
    _check_slots("fusion", fused, space.fusion_slots)
    fields |= {fusion(g): config.fusion[g - 1] for g in space.fusion_slots}
    values = {}
    for choice in space.choices:
        if choice.active(fields):
            values[choice.name] = choice.values[choice.index(fields[choice.name])]
    return values


def _check_slots(argument, got, known):
    others = sorted(set(got) - set(known))
    if others:
        raise ValueError(f"{argument}: expected groups among {known} in this space, got {others}.")


class Site(NamedTuple):
    """A place where networks differ.

    Args:
        name: string, that of a range.
        opens: function of the value chosen here: whether the `inner` sites matter.
        inner: tuple of `Site`.
    """

    name: str
    opens: object = None
    inner: tuple = ()


class Sites:
    """A tree of sites with their ranges, declared and read in the same order.

    A site with a single value is not declared. One that is not open has no value at all, so two
    sets of values differ only where the networks do.

    Args:
        tree: tuple of `Site`.
        ranges: dict of `Options` and `Reals` by site.
    """

    def __init__(self, tree, ranges):
        self.tree, self.ranges = tree, ranges

    def declare(self, hp, prefix=""):
        """Declares all sites on a `keras_tuner.HyperParameters`, each under its conditions."""
        self._declare(hp, prefix, self.tree)

    def _declare(self, hp, prefix, tree):
        for site in tree:
            options = self.ranges[site.name]
            if not options.fixed:
                options.declare(hp, prefix + site.name)
            opening = [value for value in options.values if site.opens(value)] if site.inner else []
            if opening and options.fixed:
                self._declare(hp, prefix, site.inner)
            elif opening:
                with hp.conditional_scope(prefix + site.name, opening):
                    self._declare(hp, prefix, site.inner)

    def read(self, values, prefix=""):
        """`{site: value}` of the open sites, fixed ones included.

        Args:
            values: dict of hyperparameter values.
            prefix: string, what their names begin with.

        Raises:
            ValueError: naming the value that is missing or out of its range.
        """

        def get(name):
            options = self.ranges[name]
            if options.fixed:
                return options.values[0]
            if prefix + name not in values:
                raise ValueError(f"{prefix}{name}: expected {options}, got no value.")
            return self._check(prefix + name, options.clean(values[prefix + name]), options)

        return self._select(get, self.tree)

    def write(self, fields, prefix=""):
        """The hyperparameter values of a network: the inverse of `read`.

        Args:
            fields: dict of values by site.
            prefix: string, what the names shall begin with.

        Raises:
            ValueError: naming the field that is out of its range.
        """
        found = self._select(fields.__getitem__, self.tree)
        for name, value in found.items():
            self._check(prefix + name, value, self.ranges[name])
        return {prefix + n: v for n, v in found.items() if not self.ranges[n].fixed}

    def _select(self, get, tree):
        found = {}
        for site in tree:
            value = found[site.name] = get(site.name)
            if site.inner and site.opens(value):
                found |= self._select(get, site.inner)
        return found

    def _check(self, name, value, options):
        if value not in options:
            raise ValueError(f"{name}: expected {options}, got {value!r}.")
        return value
