"""`MaskedDepthwise3D`: a depthwise convolution whose kernel is one of several."""

import keras
from keras import ops

from keras_video.layers import convolution
from keras_video.layers.activations import ACTIVATIONS, lookup
from keras_video.layers.frames import triple, unfold_frames
from keras_video.layers.initializers import HeNormal
from keras_video.tuner.one_shot.masked.conv import pad_past_and_future
from keras_video.tuner.one_shot.masked.families import families
from keras_video.tuner.one_shot.masked.norm import BatchStatisticsNorm
from keras_video.tuner.one_shot.masked.switching import check_mode, one_of


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
