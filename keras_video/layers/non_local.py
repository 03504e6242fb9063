"""`NonLocal`: attention between all positions of a clip."""

import keras
from keras import ops

from keras_video.checks import check_int
from keras_video.layers.frames import check_video
from keras_video.layers.initializers import get_initializer
from keras_video.layers.video_conv3d import VideoConv3D

PROJECTIONS = ("theta", "phi", "g")


@keras.saving.register_keras_serializable("keras_video")
class NonLocal(keras.layers.Layer):
    """Add to a video its attention over all frames and pixels.

    This is the embedded Gaussian form of Wang et al. 2018 ("Non-local neural networks", equations 2
    and 6): `x + BN(W softmax(theta(x) phi(x)^T) g(x))`, with 1x1x1 convolutions without bias. The
    scale of the batch norm starts at 0, so that the new layer is the identity. The matrix of the
    softmax has `(frames * height * width) ** 2` values for every clip.

    Args:
        filters: int, channels of the bottleneck.
        use_bias, batch_norm, momentum, epsilon: as for `VideoConv3D`, for the convolution at the
            end of the layer.
        kernel_initializer: initializer of all kernels, each drawn separately.

    Call arguments:
        inputs: float tensor `(batch, frames, height, width, channels)`.
        training: bool, whether batch norm uses the statistics of the batch.

    Returns:
        A tensor of the shape of the inputs.

    Example:
    >>> attention = keras_video.layers.NonLocal(4)
    >>> attention(keras.random.normal((2, 6, 4, 4, 16))).shape
    (2, 6, 4, 4, 16)
    """

    def __init__(
        self,
        filters,
        use_bias=None,
        batch_norm=True,
        momentum=0.99,
        epsilon=1e-3,
        kernel_initializer="he_normal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = check_int("filters", filters)
        self.use_bias = use_bias
        self.batch_norm = batch_norm
        self.momentum = momentum
        self.epsilon = epsilon
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.conv = None

    @property
    def norm(self):
        """The batch norm layer, or `None` before the layer is built."""
        return None if self.conv is None else self.conv.norm

    def build(self, input_shape):
        check_video(self, input_shape)
        channels = input_shape[-1]
        self.projections = []
        for name in PROJECTIONS:
            initializer = self.kernel_initializer.clone()
            shape = (channels, self.filters)
            self.projections.append(self.add_weight(shape, initializer, name=f"{name}_kernel"))
        self.conv = VideoConv3D(
            channels,
            1,
            use_bias=self.use_bias,
            batch_norm=self.batch_norm,
            momentum=self.momentum,
            epsilon=self.epsilon,
            kernel_initializer=self.kernel_initializer.clone(),
            dtype=self.dtype_policy,
            name="conv",
        )
        if self.norm is not None:
            self.norm.gamma_initializer = keras.initializers.Zeros()
        self.conv.build((*input_shape[:-1], self.filters))

    def compute_output_shape(self, input_shape):
        check_video(self, input_shape)
        return input_shape

    def call(self, inputs, training=False):
        frames, height, width, channels = ops.shape(inputs)[1:]
        x = ops.reshape(inputs, (-1, frames * height * width, channels))
        theta, phi, g = (ops.matmul(x, ops.cast(kernel, x.dtype)) for kernel in self.projections)
        y = ops.reshape(attend(theta, phi, g), (-1, frames, height, width, self.filters))
        return inputs + self.conv(y, training=training)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "use_bias": self.use_bias,
            "batch_norm": self.batch_norm,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def attend(theta, phi, g):
    """Compute `softmax(theta phi^T) g` of tensors `(batch, positions, filters)`."""
    scores = ops.matmul(theta, ops.transpose(phi, (0, 2, 1)))
    return ops.matmul(ops.softmax(scores, axis=-1), g)
