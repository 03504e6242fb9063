"""`CausalConv3D`: a convolution that does not look at the future."""

import keras

from keras_video.layers.video_conv3d import VideoConv3D


@keras.saving.register_keras_serializable("keras_video")
class CausalConv3D(VideoConv3D):
    """Convolves a video without looking at the future.

    Output frame `t` depends on input frames `t - kernel_size[0] + 1 .. t` only (Kondratyuk et al.
    2021, section 3.2, equation 3). Called on a clip, the layer pads the past with zeros. Called
    with a `state`, it uses the remembered frames instead, so that feeding a video in chunks of any
    length gives the frames that one call on the whole video would give.

    Args:
        filters: int, number of output channels.
        kernel_size: int or 3 ints, extent over (frames, height, width).
        strides: int or 3 ints. The frame stride must be 1, so that every chunk length is legal.
        groups: int, channel groups; `groups = channels = filters` makes it depthwise.
        use_bias: bool, adds a per-channel offset. Batch-normalised blocks leave it off.
        **kwargs: `batch_norm`, `activation`, `kernel_initializer` and `implementation` of
            `VideoConv3D`, and the arguments of every Keras layer.

    Call arguments:
        inputs: float tensor `(batch, frames, height, width, channels)`.
        state: `None`, or the tensor returned by the last call, of shape
            `(batch, kernel_size[0] - 1, height, width, channels)`.

    Returns:
        `outputs` of shape `(batch, frames, new_height, new_width, filters)`; with a state, the pair
        `(outputs, new_state)`.

    Example:
    >>> conv = keras_video.layers.CausalConv3D(16, (3, 5, 5), strides=(1, 2, 2))
    >>> conv(keras.random.normal((2, 6, 32, 32, 8))).shape
    (2, 6, 16, 16, 16)
    """

    def __init__(self, filters, kernel_size, strides=1, groups=1, use_bias=None, **kwargs):
        if kwargs.pop("padding", "causal") != "causal":
            raise ValueError("padding: expected 'causal'; VideoConv3D has 'same'.")
        super().__init__(
            filters, kernel_size, strides, "causal", groups=groups, use_bias=use_bias, **kwargs
        )
