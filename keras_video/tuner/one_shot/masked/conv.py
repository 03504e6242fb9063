"""Masked channels: `Width`, the batch norm that keeps them zero, and `MaskedConv3D`.

A masked layer takes a choice in one of two forms: as an int, the index of a fixed value that is
compiled in; or as a float tensor `(number of values,)` with sum 1, which is one-hot, or soft when a
warm-up mixes all values.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

from keras_video.layers import convolution
from keras_video.layers.activations import ACTIVATIONS, lookup
from keras_video.layers.backend import with_batch_statistics
from keras_video.layers.frames import pad_frames, space_pads, triple, unfold_frames
from keras_video.layers.initializers import get_initializer
from keras_video.specs import conv_output_size


@dataclass(frozen=True)  # not a tuple: Keras rejects tuples that mix tensors with other values
class Width:
    """The channels of a video that are computed, and the mask of those that are selected.

    Args:
        size: int, number of computed channels.
        mask: float32 tensor `(size,)`: ones for the selected channels, then zeros for the others;
            `None` if all are selected.
    """

    size: int
    mask: object = None

    def masked(self, vector):
        """Return the first `size` entries of a vector, times the mask."""
        vector = vector[: self.size]
        return vector if self.mask is None else vector * ops.cast(self.mask, vector.dtype)


def pick(table, chosen):
    """Return the entry that a choice selects from a table with one number per value.

    Args:
        table: sequence of numbers.
        chosen: int or tensor `(len(table),)`.

    Returns:
        The number itself for an int; else a scalar float32 tensor, the expected value.
    """
    if isinstance(chosen, int):
        return table[chosen]
    return ops.sum(ops.cast(chosen, "float32") * np.asarray(table, "float32"))


def pick_width(options, chosen):
    """Return the `Width` that a choice selects.

    Args:
        options: sequence of ints, number of channels for each value of the choice.
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
    """Return a video or features with `size` channels: cut, or padded with zeros at the end."""
    channels = x.shape[-1]
    if channels > size:
        return x[..., :size]
    if channels < size:
        return ops.pad(x, ((0, 0),) * (len(x.shape) - 1) + ((0, size - channels),))
    return x


class BatchStatisticsNorm(keras.layers.Layer):
    """Batch norm with the statistics of the batch, in training and in inference.

    It has no moving statistics. Those of one network of a super-network are useless for another,
    and updates are not possible inside a branch or a recomputed part of the step.

    Args:
        channels: int, largest number of channels.
        epsilon: float, added to the variance.
        gamma_initializer: initializer of the scale.

    Call arguments:
        x: tensor `(batch, height, width, width.size)`.
        width: `Width`. Channels that are not selected are zero in the output.

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
        """Return `{"gamma": array, "beta": array}` of the first channels."""
        return {
            name: ops.convert_to_numpy(getattr(self, name))[:channels] for name in ("gamma", "beta")
        }


class MaskedConv3D(keras.layers.Layer):
    """Convolution, batch norm and activation of a video, like `layers.VideoConv3D`.

    Args:
        in_channels, filters: ints, largest numbers of input and output channels.
        kernel_size: int or 3 ints.
        strides: int or 3 ints.
        padding: `"same"`, `"causal"` or `"symmetric"`, as for `layers.VideoConv3D`.
        batch_norm: bool. The layer has no bias in either case.
        activation: name or `None`. It must map zero to zero, as all of this library do.
        kernel_initializer: initializer of the kernel.
        epsilon, gamma_initializer: arguments of the batch norm.

    Call arguments:
        x: tensor `(batch, frames, height, width, channels)` with the first of the `in_channels`
            channels. Channels that are not selected must be zero.
        width: `Width` of the output.

    Returns:
        A tensor `(batch, new_frames, new_height, new_width, width.size)`. Channels that are not
        selected are zero.
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
        """Return the weights of the first channels, by the names of the plain layer."""
        kernel = ops.convert_to_numpy(self.kernel)[..., :in_channels, :filters]
        return {"kernel": kernel} | ({} if self.norm is None else self.norm.part(filters))


def pad_past_and_future(x, kernel_frames, stride, padding):
    """Pad with the frames of zeros that a temporal kernel needs."""
    if padding == "causal":
        return pad_frames(x, kernel_frames - 1, 0)
    space = "symmetric" if padding == "symmetric" else "same"
    return pad_frames(x, *space_pads(x.shape[1:2], (kernel_frames,), (stride,), space)[0])
