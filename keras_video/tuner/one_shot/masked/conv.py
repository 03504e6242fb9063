"""`MaskedConv3D`: a dense convolution of which some channels count.

`MaskedDepthwise3D`: a depthwise convolution whose kernel is one of several.

`BatchStatisticsNorm`: batch norm without moving statistics, of channels that may not count.

`Width`: how many channels of a video are computed, and which of them count.

A choice is given to the masked layers in one of two forms: as an int, the index of a value that is
fixed and compiled in, or as a float tensor `(number of values,)` that sums to one: one-hot, or soft
where a warm-up mixes all values.

Families of depthwise kernels: those that are computed as one convolution.

`one_of`: the branch that is selected, or the sum of all where a warm-up mixes them.
"""

from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_video.layers import convolution
from keras_video.layers.activations import ACTIVATIONS, lookup
from keras_video.layers.batch_norm import with_batch_statistics
from keras_video.layers.frames import pad_frames, triple, unfold_frames
from keras_video.layers.initializers import HeNormal, get_initializer
from keras_video.specs import conv_output_size


class BatchStatisticsNorm(keras.layers.Layer):
    """Normalises with the statistics of the batch, in training and out of it.

    It keeps no moving statistics: those of one network of a super-network say nothing about
    another, and there is nothing to update inside a branch or a recomputed part of the step.

    Args:
        channels: int, how many there are at most.
        epsilon: float, added to the variance.
        gamma_initializer: initializer of the scale.

    Call arguments:
        x: tensor `(batch, height, width, width.size)`.
        width: `Width`. Channels that do not count come out as zeros.

    Returns:
        A tensor of the same shape and dtype.
    """

    def __init__(self, channels, epsilon=1e-3, gamma_initializer="ones", **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        self.channels, self.epsilon = channels, epsilon
        self.gamma_initializer = keras.initializers.get(gamma_initializer)

    def build(self, *shapes):
        self.gamma = self.add_weight((self.channels,), self.gamma_initializer, name="gamma")
        self.beta = self.add_weight((self.channels,), "zeros", name="beta")

    def call(self, x, width):
        gamma, beta = (width.masked(ops.convert_to_tensor(v)) for v in (self.gamma, self.beta))
        y, _, _ = with_batch_statistics(ops.cast(x, "float32"), gamma, beta, self.epsilon)
        return ops.cast(y, x.dtype)

    def part(self, channels):
        """`{"gamma": array, "beta": array}` of the first channels."""
        return {
            name: ops.convert_to_numpy(getattr(self, name))[:channels] for name in ("gamma", "beta")
        }


class MaskedConv3D(keras.layers.Layer):
    """Convolution, batch norm and activation of a video, as `layers.VideoConv3D`.

    Args:
        in_channels, filters: ints, how many there are at most.
        kernel_size: int or 3 ints.
        strides: int or 3 ints.
        padding: `"same"`, `"causal"` or `"symmetric"`, as for `layers.VideoConv3D`.
        batch_norm: bool. There is a bias neither with nor without.
        activation: name or `None`; it must leave zero at zero, as all of ours do.
        kernel_initializer: initializer of the kernel.
        epsilon, gamma_initializer: those of the batch norm.

    Call arguments:
        x: tensor `(batch, frames, height, width, channels)` with the first channels of
            `in_channels`; those that do not count are zeros.
        width: `Width` of what comes out.

    Returns:
        A tensor `(batch, new_frames, new_height, new_width, width.size)`, zeros in the channels
        that do not count.
    """

    def __init__(
        self, in_channels, filters, kernel_size=1, strides=1, padding="same", batch_norm=True,
        activation=None, kernel_initializer="he_normal", epsilon=1e-3, gamma_initializer="ones",
        **kwargs,
    ):  # fmt: skip
        super().__init__(**{"autocast": False, **kwargs})
        self.in_channels, self.filters = in_channels, filters
        self.kernel_size = triple(kernel_size, "kernel_size")
        self.strides = triple(strides, "strides")
        self.padding = padding
        self.kernel_initializer = get_initializer(kernel_initializer)
        self._activation = lookup(ACTIVATIONS, "activation", activation)
        self.norm = None
        if batch_norm:
            self.norm = BatchStatisticsNorm(
                filters, epsilon, gamma_initializer, dtype=self.dtype_policy, name="norm"
            )

    def build(self, *shapes):
        shape = (*self.kernel_size, self.in_channels, self.filters)
        self.kernel = self.add_weight(shape, self.kernel_initializer, name="kernel")
        if self.norm is not None:
            self.norm.build()

    def call(self, x, width):
        inputs = x
        x = pad_past_and_future(ops.cast(x, self.compute_dtype), self.kernel_size[0],
                                self.strides[0], self.padding)  # fmt: skip
        kernel = ops.cast(self.kernel, x.dtype)[..., : x.shape[-1], : width.size]
        if self.norm is None and width.mask is not None:
            kernel = kernel * ops.cast(width.mask, x.dtype)
        frames = conv_output_size(inputs.shape[1], self.strides[0])
        space = "symmetric" if self.padding == "symmetric" else "same"
        y = convolution.convolve(x, kernel, None, self.strides, 1, frames, space=space)
        y = y if self.norm is None else self.norm(y, width=width)
        y = y if self._activation is None else self._activation(y)
        return unfold_frames(y, inputs, self.strides[0])

    def part(self, in_channels, filters):
        """The weights of the first channels: `{"kernel": array, ...}`, as the plain layer's."""
        kernel = ops.convert_to_numpy(self.kernel)[..., :in_channels, :filters]
        return {"kernel": kernel} | ({} if self.norm is None else self.norm.part(filters))


def pad_past_and_future(x, kernel_frames, stride, padding):
    """Adds the frames of zeros that a temporal kernel needs."""
    if padding == "causal":
        return pad_frames(x, kernel_frames - 1, 0)
    space = "symmetric" if padding == "symmetric" else "same"
    return pad_frames(
        x, *convolution.space_pads(x.shape[1:2], (kernel_frames,), (stride,), space)[0]
    )


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


MODES = ("switch", "sum")


def check_mode(mode):
    """Raises `ValueError` for a mode that `one_of` does not know."""
    if mode not in MODES:
        raise ValueError(f"mode: expected one of {MODES}, got {mode!r}.")


def one_of(branches, shares, operands, mode="switch"):
    """The sum of branches, of which most often only one is not zero.

    Args:
        branches: list of functions of `(x, own)`. Each is zero where its own operand is.
        shares: list of float32 scalar tensors that sum to one: how far each is selected.
        operands: the pair of `x` and a list with each branch's own operand.
        mode: `"sum"` computes all branches; `"switch"` the selected one alone, or all where
            several are selected, which is faster (`benchmarks/super_network.py`).

    Returns:
        A tensor.
    """
    check_mode(mode)
    x, owns = operands
    if len(branches) == 1:
        return branches[0](x, owns[0])

    def everything(x, *owns):
        return sum(branch(x, own) for branch, own in zip(branches, owns, strict=True))

    if mode == "sum":
        return everything(x, *owns)
    if keras.backend.backend() == "torch":
        # What a branch does not use would have no gradient at all, which optimizers warn of.
        nothing = 0.0 * sum(ops.sum(own) for own in owns)
        owns = [own + nothing for own in owns]
    shares = ops.stack(shares)
    single = ops.max(shares) > 0.9999
    index = ops.where(single, ops.argmax(shares), len(branches))
    # A branch is handed all operands: its own is one of them.
    alone = [
        lambda x, *owns, i=i, branch=branch: branch(x, owns[i]) for i, branch in enumerate(branches)
    ]
    return switch(ops.cast(index, "int32"), [*alone, everything], x, *owns)


def switch(index, branches, *operands):
    """`keras.ops.switch` of branches that are linear in each operand.

    JAX's own gradient of a branch hands what all branches keep from the forward pass to the
    backward pass. Linear branches need their operands alone.
    """
    if keras.backend.backend() != "jax":
        return ops.switch(index, branches, *operands)
    import jax

    def pull(branch):
        return lambda gradient, *operands: jax.vjp(branch, *operands)[1](gradient)

    @jax.custom_vjp
    def chosen(index, *operands):
        return jax.lax.switch(index, branches, *operands)

    def backward(kept, gradient):
        index, *operands = kept
        pulls = [pull(branch) for branch in branches]
        return (None, *jax.lax.switch(index, pulls, gradient, *operands))

    chosen.defvjp(lambda *args: (chosen(*args), args), backward)
    return chosen(index, *operands)


class MaskedDepthwise3D(keras.layers.Layer):
    """A depthwise convolution with one of several kernels, batch norm and activation.

    Each kernel has weights of its own, as in TuNAS: a small one is no part of a large one. Kernels
    of a family (`families`) lie in one box, are multiplied by how far they are selected and added
    up, so that each family is a single convolution. Where a warm-up mixes kernels, the result is
    that of the mean kernel, which is the mean of the results.

    Args:
        channels: int, how many there are at most.
        kernels: tuple of three odd ints each.
        strides: int or 3 ints; the frame stride must be 1.
        padding: `"same"`, `"causal"` or `"symmetric"`.
        batch_norm: bool.
        activation: name or `None`.
        epsilon: that of the batch norm.
        mode: how to choose between families, see `one_of`.

    Call arguments:
        x: tensor `(batch, frames, height, width, size)`.
        width: `Width` of the channels.
        kernel: int or tensor `(number of kernels,)`, the choice.

    Returns:
        A tensor `(batch, frames, new_height, new_width, size)`.
    """

    def __init__(
        self, channels, kernels, strides=1, padding="same", batch_norm=True, activation=None,
        epsilon=1e-3, mode="switch", **kwargs,
    ):  # fmt: skip
        super().__init__(**{"autocast": False, **kwargs})
        self.channels, self.padding = channels, padding
        self.kernels = tuple(triple(kernel, "kernels") for kernel in kernels)
        if any(extent % 2 == 0 for kernel in self.kernels for extent in kernel):
            raise ValueError(f"kernels: expected odd extents, got {self.kernels}.")
        self.strides = triple(strides, "strides")
        self.families = families(self.kernels)
        check_mode(mode)
        self.mode = mode
        self._activation = lookup(ACTIVATIONS, "activation", activation)
        self.norm = None
        if batch_norm:
            self.norm = BatchStatisticsNorm(channels, epsilon, dtype=self.dtype_policy, name="norm")

    def build(self, *shapes):
        self.boxes = []
        for f, family in enumerate(self.families):
            shape = (len(family.members), *family.box, 1, self.channels)
            weight = self.add_weight(shape, self._initializer(family), name=f"family{f}_kernel")
            self.boxes.append(weight)
        if self.norm is not None:
            self.norm.build()

    def _initializer(self, family):
        """Every kernel is drawn as it would be alone; the rest of its box stays zero."""

        def draw(shape, dtype=None):
            import numpy as np

            boxes = np.zeros(shape, "float32")
            for member, kernel in enumerate(family.kernels):
                drawn = HeNormal()((*kernel, *shape[-2:]), "float32")
                place = (member, *family.place(member, self.padding))
                boxes[place] = ops.convert_to_numpy(drawn)
            return ops.convert_to_tensor(boxes, dtype)

        return draw

    def call(self, x, width, kernel):
        inputs = x
        x = ops.cast(x, self.compute_dtype)
        if isinstance(kernel, int):
            y = self._convolve(x, self._fixed(kernel, width.size))
        else:
            y = self._selected(x, ops.cast(kernel, "float32"))
        y = y if self.norm is None else self.norm(y, width=width)
        y = y if self._activation is None else self._activation(y)
        return unfold_frames(y, inputs)

    def _find(self, kernel):
        """The family of a kernel, by number, and its place in it."""
        for f, family in enumerate(self.families):
            if kernel in family.members:
                return f, family.members.index(kernel)
        raise ValueError(f"kernel: expected one of {len(self.kernels)}, got {kernel!r}.")

    def _fixed(self, kernel, size):
        f, member = self._find(kernel)
        place = self.families[f].place(member, self.padding)
        return ops.convert_to_tensor(self.boxes[f])[(member, *place)][..., :size]

    def _selected(self, x, selection):
        kernels, shares = [], []
        for family, box in zip(self.families, self.boxes, strict=True):
            chosen = ops.stack([selection[member] for member in family.members])
            cells = ops.reshape(chosen, (-1, 1, 1, 1, 1, 1)) * family.cells(self.padding)
            weights = ops.convert_to_tensor(box)[..., : x.shape[-1]]
            kernels.append(ops.sum(weights * cells, axis=0))
            shares.append(ops.sum(chosen))
        branches = [self._convolve] * len(kernels)
        return one_of(branches, shares, (x, kernels), self.mode)

    def _convolve(self, x, kernel):
        """The convolution with a kernel `(*extents, 1, size)`, frames folded into the batch."""
        frames, strides = x.shape[1], self.strides
        x = pad_past_and_future(x, kernel.shape[0], 1, self.padding)
        kernel = ops.cast(kernel, x.dtype)
        space = "symmetric" if self.padding == "symmetric" else "same"
        y, _ = convolution.depthwise(x, kernel, None, strides[1:], frames, space=space)
        return y

    def part(self, kernel, channels):
        """The weights of a kernel and the first channels, as the plain layer's.

        Args:
            kernel: int, which one.
            channels: int.
        """
        array = ops.convert_to_numpy(self._fixed(kernel, channels))
        return {"kernel": array} | ({} if self.norm is None else self.norm.part(channels))


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
