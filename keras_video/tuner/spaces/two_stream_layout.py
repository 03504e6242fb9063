"""Layout of the two-stream search space: names of its choices, and the values of Table 1.

Source: Gong et al. 2021 (Auto-TSNet), arXiv 2108.12957.
"""

from keras_video.applications.auto_tsnet.config import STAGES
from keras_video.tuner.spaces.ranges import different, ints

STREAMS = ("sparse", "dense")
FIELDS = ("filters", "expansion", "temporal_kernel", "spatial_kernel")  # fields of a group
WIDTH_FIELDS = ("filters", "expansion")
DENSE = "dense_stream"  # name of the choice whether the dense stream exists

# Filters by stage: smallest, largest, step (Table 1).
FILTERS = {
    "sparse": ((32, 48, 8), (64, 88, 8), (128, 176, 16), (248, 344, 24)),
    "dense": ((8, 16, 8), (8, 24, 8), (16, 32, 8), (32, 56, 8)),
}
STEMS = {"sparse": 24, "dense": 8}
# The paper has two attention slots in each of stages 2 to 4, but does not name the groups.
ATTENTION_SLOTS = (3, 4, 6, 8, 10, 11)


def group(stream, number, field):
    """Return the name of the choice of a group's field. Groups are numbered from 1."""
    return f"{stream}/group{number}/{field}"


def fusion(number):
    """Return the name of the choice of the fusion after a group."""
    return f"fusion/group{number}"


def attention(stream, number):
    """Return the name of the choice whether global reasoning follows a group."""
    return f"attention/{stream}_group{number}"


def scaled(filters, width):
    """Multiply numbers of channels by a factor and round to different multiples of 4."""
    if width == 1:
        return list(filters)
    return sorted({max(4, 4 * round(width * value / 4)) for value in filters})


def filters_of_groups(argument, given, stream, stages, width):
    """Return the filters to choose from, a list for each group.

    Args:
        argument: string, for error messages.
        given: sequence of ranges, one per group; `None` uses Table 1.
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
        return [list(ints(argument, options).values) for options in given]
    table = FILTERS[stream]
    if stages[-1] > len(table):
        raise ValueError(
            f"{argument}: expected a range for each group, got None. The defaults, Table 1 of the "
            f"paper, have {len(table)} stages, and stages has {stages[-1]}."
        )
    found = [scaled(ints(argument, table[stage - 1]).values, width) for stage in stages]
    if stream == "dense":
        found[0] = found[0][:1]  # the paper fixes the filters of the first dense group
    return found


def expansions_of(given):
    """Read floats above 0: a triple `(smallest, largest, step)`, a list, or one value."""
    values = given
    if isinstance(given, tuple) and len(given) == 3 and all(_positive(v) for v in given):
        low, high, step = given
        values = [round(low + i * step, 6) for i in range(int((high - low) / step + 1e-6) + 1)]
    values = list(values) if isinstance(values, (list, tuple)) else [values]
    if not values or not all(_positive(v) for v in values) or len(set(values)) < len(values):
        raise ValueError(
            "expansions: expected a triple (smallest, largest, step), a list of different values, "
            f"or one value, all numbers above 0, got {given!r}."
        )
    return tuple(map(float, values))


def slots_of(argument, given, default, count):
    """Read the numbers of groups that have a slot; return them sorted."""
    slots = tuple(default if given is None else given)
    return tuple(sorted(different(argument, slots, range(1, count + 1)))) if slots else ()


def attention_slots_of(given, stages):
    """Read attention slots. Default: those of the paper; for other `stages`, all after stage 1."""
    default = [g for g, stage in enumerate(stages, 1) if stage > 1]
    default = ATTENTION_SLOTS if tuple(stages) == STAGES else default
    return slots_of("attention_slots", given, default, len(stages))


def _positive(value):
    return type(value) in (int, float) and value > 0
