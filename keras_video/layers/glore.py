"""`GloRe`: global reasoning between regions of a clip."""

import keras
from keras import ops

from keras_video.checks import check_int
from keras_video.layers import backend
from keras_video.layers.backend import normalize_batch
from keras_video.layers.frames import check_video
from keras_video.layers.initializers import get_initializer
from keras_video.layers.video_conv3d import VideoConv3D


@keras.saving.register_keras_serializable("keras_video")
class GloRe(keras.layers.Layer):
    """Add to a video what its regions learn from each other, however far apart they lie.

    This is the unit of Chen et al. 2019 ("Graph-Based Global Reasoning Networks", arXiv 1811.12814)
    in its form for videos. Every position belongs to each of `filters` nodes with a learned weight.
    A node has `2 * filters` states, the weighted sum of the states of its positions. The layer
    mixes the nodes, then the states, and returns them to the positions with the same weights. The
    scale of the batch norm starts at 0, so that the new layer is the identity.

    Gathering and returning are linear in the positions, so the small matrices are multiplied with
    one another first. That takes a third of the arithmetic of the formula as it is written.

    Args:
        filters: int, number of nodes, or `None` for as many as the inputs have channels.
        normalize: bool, divides the states of the nodes by the number of positions, so that they do
            not depend on the size of the clip.
        use_bias, batch_norm, momentum, epsilon: as for `VideoConv3D`, for the convolution at the
            end of the layer.
        kernel_initializer: initializer of all kernels, each drawn separately.

    Call arguments:
        inputs: float tensor `(batch, frames, height, width, channels)`.
        training: bool, whether batch norm uses the statistics of the batch.

    Returns:
        A tensor of the shape of the inputs.

    Example:
    >>> reasoning = keras_video.layers.GloRe(8)
    >>> reasoning(keras.random.normal((2, 6, 4, 4, 16))).shape
    (2, 6, 4, 4, 16)
    """

    def __init__(
        self,
        filters=None,
        normalize=True,
        use_bias=None,
        batch_norm=True,
        momentum=0.99,
        epsilon=1e-4,
        kernel_initializer="he_normal",
        **kwargs,
    ):
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.filters = None if filters is None else check_int("filters", filters)
        self.normalize = bool(normalize)
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
        nodes = channels if self.filters is None else self.filters
        states = 2 * nodes

        def kernel(name, *shape):
            return self.add_weight(shape, self.kernel_initializer.clone(), name=f"{name}_kernel")

        def bias(name, size):
            return self.add_weight((size,), "zeros", name=f"{name}_bias")

        self.state_kernel, self.state_bias = (
            kernel("state", channels, states),
            bias("state", states),
        )
        self.node_kernel, self.node_bias = kernel("node", channels, nodes), bias("node", nodes)
        self.mix_nodes_kernel = kernel("mix_nodes", nodes, nodes)
        self.mix_nodes_bias = bias("mix_nodes", nodes)
        self.mix_states_kernel = kernel("mix_states", states, states)
        self.conv = VideoConv3D(
            channels,
            1,
            use_bias=False if self.use_bias is None else self.use_bias,
            batch_norm=self.batch_norm,
            momentum=self.momentum,
            epsilon=self.epsilon,
            kernel_initializer=self.kernel_initializer.clone(),
            dtype=self.dtype_policy,
            name="conv",
        )
        if self.norm is not None:
            self.norm.gamma_initializer = keras.initializers.Zeros()
        self.conv.build((*input_shape[:-1], states))

    def compute_output_shape(self, input_shape):
        check_video(self, input_shape)
        return input_shape

    def call(self, inputs, training=False):
        x = ops.cast(inputs, self.compute_dtype)
        frames, height, width, channels = ops.shape(x)[1:]
        positions = frames * height * width
        flat = ops.reshape(x, (-1, positions, channels))
        weights = ops.matmul(flat, ops.cast(self.node_kernel, x.dtype))
        weights = weights + ops.cast(self.node_bias, x.dtype)
        states = self._reason(*(ops.cast(t, "float32") for t in (flat, weights)), positions)

        batch_statistics = training and self.norm is not None and self.norm.trainable
        kernel, bias = self.conv.kernel, self.conv.bias
        if not batch_statistics:
            kernel, bias = self.conv.folded_weights()
        kernel = ops.matmul(states, ops.cast(kernel, "float32")[0, 0, 0])
        y = ops.matmul(weights, ops.cast(kernel, x.dtype))
        y = ops.reshape(y, (-1, height, width, channels))
        y = y if bias is None else backend.add_bias(y, ops.cast(bias, x.dtype))
        if batch_statistics:
            y = normalize_batch(self.norm, y)
        return x + ops.reshape(y, (-1, frames, height, width, channels))

    def _reason(self, x, weights, positions):
        """Return the mixed states of the nodes, `(batch, nodes, states)`."""
        state_kernel, state_bias, mix_nodes, nodes_bias, mix_states = (
            ops.cast(w, "float32")
            for w in (
                self.state_kernel,
                self.state_bias,
                self.mix_nodes_kernel,
                self.mix_nodes_bias,
                self.mix_states_kernel,
            )
        )
        gathered = ops.matmul(ops.transpose(weights, (0, 2, 1)), x)
        states = ops.matmul(gathered, state_kernel)
        states = states + ops.sum(weights, axis=1)[:, :, None] * state_bias
        if self.normalize:
            states = states / ops.cast(positions, "float32")
        mixed = ops.matmul(ops.transpose(mix_nodes), states)
        states = ops.relu(states + mixed + nodes_bias[:, None])
        return ops.matmul(states, mix_states)

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "normalize": self.normalize,
            "use_bias": self.use_bias,
            "batch_norm": self.batch_norm,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
