"""Families of depthwise kernels: those that are computed as one convolution."""

from math import prod
from typing import NamedTuple

import numpy as np


class Family(NamedTuple):
    """Kernels that lie within one box, centred; over frames at its end if they are causal.

    Args:
        members: tuple of ints, places of the kernels among all.
        kernels: tuple of their extents, each three ints.
    """

    members: tuple
    kernels: tuple

    @property
    def box(self):
        """Extents that hold all kernels."""
        return tuple(map(max, zip(*self.kernels, strict=True)))

    def place(self, member, padding):
        """Slices of the box where a kernel lies.

        Args:
            member: int, place of the kernel in the family.
            padding: `"same"`, `"causal"` or `"symmetric"`.
        """
        spare = [b - k for b, k in zip(self.box, self.kernels[member], strict=True)]
        starts = [n // 2 for n in spare]
        if padding == "causal":  # the last of a kernel's frames is the present one
            starts[0] = spare[0]
        return tuple(
            slice(start, start + extent)
            for start, extent in zip(starts, self.kernels[member], strict=True)
        )

    def cells(self, padding):
        """Float32 array `(members, *box, 1, 1)`: one where a kernel has a weight, else zero."""
        cells = np.zeros((len(self.members), *self.box, 1, 1), "float32")
        for member in range(len(self.members)):
            cells[(member, *self.place(member, padding))] = 1.0
        return cells


def families(kernels):
    """Groups kernels so that each group costs no more than its largest member.

    A kernel joins one that is as large along every axis, and has the same axes of a single weight:
    with a stride, a kernel of one pixel and one of three are centred on different pixels of an even
    number.

    Args:
        kernels: sequence of three odd ints each.

    Returns:
        Tuple of `Family`.

    Example:
    >>> [family.box for family in families([(1, 3, 3), (3, 3, 3), (5, 3, 3), (7, 1, 1)])]
    [(5, 3, 3), (7, 1, 1), (1, 3, 3)]
    """
    groups = []
    for place in sorted(range(len(kernels)), key=lambda i: -prod(kernels[i])):
        kernel = kernels[place]
        for group in groups:
            largest = kernels[group[0]]
            same = all((k == 1) == (n == 1) for k, n in zip(kernel, largest, strict=True))
            if same and all(k <= n for k, n in zip(kernel, largest, strict=True)):
                group.append(place)
                break
        else:
            groups.append([place])
    return tuple(Family(tuple(group), tuple(kernels[i] for i in group)) for group in groups)
