"""Channels of two-stream super-networks: which rows of a kernel they meet, and which count.

Behind a fusion the sparse stream's channels lie in parts: its own, then those of each kind of
fusion. So a kernel that reads them has rows of its own for every kind, and a narrow network uses
the first rows of each part.
"""

from dataclasses import dataclass

import numpy as np
from keras import ops

from keras_video.specs import FUSIONS
from keras_video.tuner.one_shot.masked import fit, pick_width


@dataclass(frozen=True)
class Joined:
    """Channels of a video that are computed, as parts of all that there may be.

    Args:
        rows: int array, their places among all.
        mask: float32 tensor of as many, one for those that count; `None` where all do.
    """

    rows: np.ndarray
    mask: object = None

    @property
    def size(self):
        """int, how many are computed."""
        return len(self.rows)

    @property
    def first(self):
        """bool, whether they are the first ones of all."""
        return bool((self.rows == np.arange(self.size)).all())

    @property
    def count(self):
        """How many count: int or float32 scalar tensor."""
        return self.size if self.mask is None else ops.sum(self.mask)

    def take(self, array, axis=0):
        """The entries of a weight that belong to these channels."""
        if self.first:
            place = (slice(None),) * (axis % len(array.shape))
            return array[(*place, slice(0, self.size))]
        return ops.take(array, self.rows, axis=axis)

    def masked(self, vector):
        """The entries of a vector, times the mask."""
        vector = self.take(vector)
        return vector if self.mask is None else vector * ops.cast(self.mask, vector.dtype)

    def compact(self, x, size):
        """A video with the channels that count in front, in their order, and `size` in all."""
        if self.mask is None:
            return fit(x, size)
        place = ops.cumsum(self.mask) - 1.0
        distance = ops.abs(place[:, None] - ops.arange(size, dtype="float32"))
        table = ops.cast(distance < 0.5, "float32")
        return ops.matmul(x, ops.cast(table * self.mask[:, None], x.dtype))


def plain(width):
    """The `Joined` of the channels of a `Width`, nothing beside them."""
    return Joined(np.arange(width.size), width.mask)


def join(parts):
    """Parts side by side.

    Args:
        parts: list of pairs: the number of rows before a part, and its `Joined`.
    """
    rows = np.concatenate([start + part.rows for start, part in parts])
    if all(part.mask is None for _, part in parts):
        return Joined(rows)
    masks = [np.ones(p.size, "float32") if p.mask is None else p.mask for _, p in parts]
    return Joined(rows, ops.concatenate([ops.convert_to_tensor(m, "float32") for m in masks]))


def fused_sizes(kinds, channels, stride):
    """How many rows each kind of fusion has: dict of ints, in the order of `kinds`.

    Args:
        kinds: names of `specs.FUSIONS`.
        channels: int, the dense stream's, at most.
        stride: int, frames of the dense stream for one of the sparse one.
    """
    rows = {kind: FUSIONS[kind] for kind in kinds if FUSIONS[kind] is not None}
    return {kind: row.make("", channels, stride).filters for kind, row in rows.items()}


def fused(kind, filters, channels, chosen, stride):
    """The channels that a kind of fusion brings.

    Args:
        kind: one of `specs.FUSIONS`, not `"none"`.
        filters: tuple of ints, those of the dense stream's group.
        channels: int, the most of them.
        chosen: the choice among the filters, int or tensor.
        stride: int.
    """
    if kind == "time_to_channel":  # the channels of each frame in the window, one after the other
        width = pick_width(filters, chosen)
        rows = (np.arange(stride)[:, None] * channels + np.arange(width.size)).reshape(-1)
        return Joined(rows, None if width.mask is None else ops.tile(width.mask, [stride]))
    return plain(pick_width([FUSIONS[kind].make("", n, stride).filters for n in filters], chosen))


def pick_width_of_two(table, first, second):
    """The `Width` that two choices select.

    Args:
        table: 2D array of ints.
        first, second: the choices of its rows and columns, ints or tensors.
    """
    table = np.asarray(table)
    if isinstance(first, int):
        return pick_width(table[first], second)
    if isinstance(second, int):
        return pick_width(table[:, second], first)
    return pick_width(table.reshape(-1), pair(first, second, table.shape))


def pair(first, second, sizes):
    """Two choices as one among all pairs, the second's values running fastest."""
    if isinstance(first, int) and isinstance(second, int):
        return first * sizes[1] + second
    first, second = (
        ops.convert_to_tensor(np.eye(size, dtype="float32")[choice])
        if isinstance(choice, int)
        else ops.cast(choice, "float32")
        for choice, size in zip((first, second), sizes, strict=True)
    )
    return ops.reshape(first[:, None] * second, (-1,))


def times(mask, share, size):
    """A mask times a scalar; `None` and `True` stand for ones."""
    if share is True:
        return mask
    ones = np.ones(size, "float32") if mask is None else mask
    return ops.cast(ones, "float32") * ops.cast(share, "float32")
