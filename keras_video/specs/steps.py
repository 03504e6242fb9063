"""Rows at work, one after the other: what each costs, and what is alive meanwhile."""

from math import prod
from typing import NamedTuple


class Step(NamedTuple):
    """One row at work: its multiply-adds, and the values alive while it runs."""

    name: str
    macs: int
    alive: int


def run_rows(steps, rows, shape, kept=0):
    """Appends a `Step` for every row, each on the output of the one before it.

    Args:
        steps: list.
        rows: rows.
        shape: of the input, `(frames, height, width, channels)` or `(channels,)`.
        kept: int, values that stay alive all the while, such as a shortcut.

    Returns:
        The shape that comes out.
    """
    for row in rows:
        output = row.output_shape(shape)
        alive = kept + prod(shape) + row.workspace(shape) + prod(output)
        steps.append(Step(row.name, row.macs(shape), alive))
        shape = output
    return shape
