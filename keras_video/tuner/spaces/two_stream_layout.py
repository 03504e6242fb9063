"""What the networks of `TwoStreamSpace` have in common, and where they differ: Table 1 as data."""

from keras_video.applications.auto_tsnet.config import STAGES
from keras_video.tuner.spaces import ranges

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
        return [list(ranges.ints(argument, options).values) for options in given]
    table = FILTERS[stream]
    if stages[-1] > len(table):
        raise ValueError(
            f"{argument}: expected ranges beside more than {len(table)} stages, which Table 1 of "
            f"the paper has, got None beside {stages[-1]} stages."
        )
    found = [scaled(ranges.ints(argument, table[stage - 1]).values, width) for stage in stages]
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
