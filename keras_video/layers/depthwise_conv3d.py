"""`DepthwiseConv3D`: one filter per channel, over frames, height and width."""

import keras

from keras_video.layers.video_conv3d import VideoConv3D


@keras.saving.register_keras_serializable("keras_video")
class DepthwiseConv3D(VideoConv3D):
    """Convolves every channel of a video with a filter of its own.

    Keras has no such layer, and a grouped `Conv3D` is slow on CPUs and cannot run on mobile. Here
    one set of weights, in the layout of the grouped convolution, is computed in the form that is
    fast on the backend at hand (`benchmarks/depthwise.py`).

    Args:
        kernel_size: int or 3 ints, extent over (frames, height, width).
        strides: int or 3 ints. The frame stride must be 1.
        padding: `"same"`, `"causal"` or `"symmetric"`, see `VideoConv3D`.
        **kwargs: `use_bias`, `batch_norm`, `activation`, `kernel_initializer` and `implementation`
            of `VideoConv3D`, and the arguments of every Keras layer.

    Call arguments:
        inputs: float tensor `(batch, frames, height, width, channels)`.
        state: `None`, or with causal padding the tensor returned by the last call.

    Returns:
        `outputs` of shape `(batch, frames, new_height, new_width, channels)`; with a state, the
        pair `(outputs, new_state)`.

    Example:
    >>> conv = keras_video.layers.DepthwiseConv3D((3, 3, 3), strides=(1, 2, 2))
    >>> conv(keras.random.normal((2, 6, 9, 8, 4))).shape
    (2, 6, 5, 4, 4)
    """

    def __init__(self, kernel_size, strides=1, padding="same", **kwargs):
        super().__init__(1, kernel_size, strides, padding, **kwargs)  # `build` knows the filters

    @property
    def depthwise(self):
        return True

    def build(self, input_shape):
        self.filters = self.groups = input_shape[-1]
        super().build(input_shape)

    def compute_output_shape(self, input_shape):
        return (*super().compute_output_shape(input_shape)[:-1], input_shape[-1])

    def get_config(self):
        config = super().get_config()
        return {k: v for k, v in config.items() if k not in ("filters", "groups")}
