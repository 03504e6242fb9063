"""`Width`: how many channels of a video are computed, and which of them count.

A choice is given to the masked layers in one of two forms: as an int, the index of a value that is
fixed and compiled in, or as a float tensor `(number of values,)` that sums to one: one-hot, or soft
where a warm-up mixes all values.
"""

from dataclasses import dataclass

import numpy as np
from keras import ops


@dataclass(frozen=True)  # Keras refuses tuples of tensors and other things
class Width:
    """Channels of a video.

    Args:
        size: int, how many are computed.
        mask: float32 tensor `(size,)`, one for those that count, zero for the others, which stand
            behind them; `None` where all count.
    """

    size: int
    mask: object = None

    def masked(self, vector):
        """The first `size` entries of a vector, times the mask."""
        vector = vector[: self.size]
        return vector if self.mask is None else vector * ops.cast(self.mask, vector.dtype)


def pick(table, chosen):
    """What a choice selects from a table with one entry per value.

    Args:
        table: sequence of numbers.
        chosen: int or tensor `(len(table),)`.

    Returns:
        The entry of a fixed choice; else a scalar float32 tensor, its expectation.
    """
    if isinstance(chosen, int):
        return table[chosen]
    return ops.sum(ops.cast(chosen, "float32") * np.asarray(table, "float32"))


def pick_width(options, chosen):
    """The `Width` that a choice selects.

    Args:
        options: sequence of ints, channels for each value of the choice.
        chosen: int or tensor `(len(options),)`.
    """
    options = [int(option) for option in options]
    if isinstance(chosen, int):
        return Width(options[chosen])
    size = max(options)
    if set(options) == {size}:
        return Width(size)
    table = (np.arange(size) < np.array(options)[:, None]).astype("float32")
    return Width(size, ops.matmul(ops.cast(chosen, "float32"), table))


def fit(x, size):
    """A video or features with `size` channels: the first ones, or zeros behind."""
    channels = x.shape[-1]
    if channels > size:
        return x[..., :size]
    if channels < size:
        return ops.pad(x, ((0, 0),) * (len(x.shape) - 1) + ((0, size - channels),))
    return x
