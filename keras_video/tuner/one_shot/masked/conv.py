"""`MaskedConv3D`: a dense convolution of which some channels count."""

import keras
from keras import ops

from keras_video.layers import convolution
from keras_video.layers.activations import ACTIVATIONS, lookup
from keras_video.layers.frames import pad_frames, triple, unfold_frames
from keras_video.layers.initializers import get_initializer
from keras_video.specs import conv_output_size
from keras_video.tuner.one_shot.masked.norm import BatchStatisticsNorm


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
