"""`MaskedDepthwise3D`: a depthwise convolution whose kernel is one of several.

Kernels that fit into one box form a `Family`, which is computed as one convolution. `one_of`
chooses between families.
"""

from math import prod
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_video.checks import check_choice
from keras_video.layers import convolution
from keras_video.layers.activations import ACTIVATIONS, lookup
from keras_video.layers.frames import triple, unfold_frames
from keras_video.layers.initializers import HeNormal
from keras_video.tuner.one_shot.masked.conv import BatchStatisticsNorm, pad_past_and_future


class Family(NamedTuple):
    """Kernels that lie in one box.

    They are centred in the box. Causal kernels lie at its end along the frame axis.

    Args:
        members: tuple of ints, indices of the kernels among all kernels.
        kernels: tuple of kernel sizes, each three ints.
    """

    members: tuple
    kernels: tuple

    @property
    def box(self):
        """Smallest size that contains all kernels."""
        return tuple(map(max, zip(*self.kernels, strict=True)))

    def place(self, member, padding):
        """Return the slices of the box in which a kernel lies.

        Args:
            member: int, index of the kernel in the family.
            padding: `"same"`, `"causal"` or `"symmetric"`.
        """
        spare = [b - k for b, k in zip(self.box, self.kernels[member], strict=True)]
        starts = [n // 2 for n in spare]
        if padding == "causal":  # the last frame of a causal kernel is the present one
            starts[0] = spare[0]
        return tuple(
            slice(start, start + extent)
            for start, extent in zip(starts, self.kernels[member], strict=True)
        )

    def cells(self, padding):
        """Return a float32 array `(members, *box, 1, 1)`: 1 where a kernel has a weight, else 0."""
        cells = np.zeros((len(self.members), *self.box, 1, 1), "float32")
        for member in range(len(self.members)):
            cells[(member, *self.place(member, padding))] = 1.0
        return cells


def families(kernels):
    """Group kernels so that each group costs no more than its largest member.

    A kernel joins a group whose largest kernel is at least as large along every axis and has size 1
    along the same axes. The second condition is needed for strides: on an even number of pixels, a
    kernel of size 1 and one of size 3 are centred on different pixels.

    Args:
        kernels: sequence of kernel sizes, each three odd ints.

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


def one_of(branches, shares, operands, mode="switch"):
    """Return the sum of branches, of which usually only one is not zero.

    Args:
        branches: list of functions of `(x, own)`. The result of a branch is zero if its own operand
            is zero.
        shares: list of float32 scalar tensors with sum 1, the weights of the branches.
        operands: pair of `x` and a list with the own operand of each branch.
        mode: `"sum"` computes all branches. `"switch"` computes only the selected branch, or all of
            them if several are selected; it is faster (`benchmarks/super_network.py`).

    Returns:
        A tensor.
    """
    check_choice("mode", mode, MODES)
    x, owns = operands
    if len(branches) == 1:
        return branches[0](x, owns[0])

    def everything(x, *owns):
        return sum(branch(x, own) for branch, own in zip(branches, owns, strict=True))

    if mode == "sum":
        return everything(x, *owns)
    if keras.backend.backend() == "torch":
        # Without this, operands that a branch does not use have no gradient: optimizers warn.
        nothing = 0.0 * sum(ops.sum(own) for own in owns)
        owns = [own + nothing for own in owns]
    shares = ops.stack(shares)
    single = ops.max(shares) > 0.9999
    index = ops.where(single, ops.argmax(shares), len(branches))
    # Every branch gets all operands and uses its own.
    alone = [
        lambda x, *owns, i=i, branch=branch: branch(x, owns[i]) for i, branch in enumerate(branches)
    ]
    return switch(ops.cast(index, "int32"), [*alone, everything], x, *owns)


def switch(index, branches, *operands):
    """Call one of several branches, like `keras.ops.switch`. They must be linear in each operand.

    The default gradient of JAX passes the residuals of all branches from the forward to the
    backward pass. Linear branches need only their operands.
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

    Each kernel has its own weights, as in TuNAS: a small kernel is not part of a large one. The
    kernels of a family (see `families`) lie in one box. They are multiplied by their selection and
    added, so that each family is a single convolution. When a warm-up mixes kernels, the result of
    the mean kernel is the mean of the results.

    Args:
        channels: int, largest number of channels.
        kernels: tuple of kernel sizes, each three odd ints.
        strides: int or 3 ints. The frame stride must be 1.
        padding: `"same"`, `"causal"` or `"symmetric"`.
        batch_norm: bool.
        activation: name or `None`.
        epsilon: float, argument of the batch norm.
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
        check_choice("mode", mode, MODES)
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
        """Return an initializer that draws each kernel as if it were alone; other cells are 0."""

        def draw(shape, dtype=None):
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
        """Return the number of the family of a kernel, and its index in the family."""
        for f, family in enumerate(self.families):
            if kernel in family.members:
                return f, family.members.index(kernel)
        raise ValueError(
            f"kernel: expected an int from 0 to {len(self.kernels) - 1}, got {kernel!r}."
        )

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
        """Convolve with a kernel `(*kernel_size, 1, size)`; frames are folded into the batch."""
        frames, strides = x.shape[1], self.strides
        x = pad_past_and_future(x, kernel.shape[0], 1, self.padding)
        kernel = ops.cast(kernel, x.dtype)
        space = "symmetric" if self.padding == "symmetric" else "same"
        y, _ = convolution.depthwise(x, kernel, None, strides[1:], frames, space=space)
        return y

    def part(self, kernel, channels):
        """Return the weights of one kernel and the first channels, by the plain layer's names.

        Args:
            kernel: int, index of the kernel.
            channels: int.
        """
        array = ops.convert_to_numpy(self._fixed(kernel, channels))
        return {"kernel": array} | ({} if self.norm is None else self.norm.part(channels))
