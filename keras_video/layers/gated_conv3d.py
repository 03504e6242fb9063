"""`GatedConv3D`: a 1x1x1 convolution with channel gates, a residual and an activation."""

import keras
from keras import ops

from keras_video.checks import check_choice, check_int
from keras_video.layers import backend
from keras_video.layers.activations import ACTIVATIONS, lookup
from keras_video.layers.backend import normalize_batch
from keras_video.layers.frames import check_video, fold_frames
from keras_video.layers.squeeze_excite import ContextGate, SqueezeExcite
from keras_video.layers.video_conv3d import VideoConv3D

GATED = ("outputs", "inputs")


@keras.saving.register_keras_serializable("keras_video")
class GatedConv3D(keras.layers.Layer):
    """Apply a pointwise convolution, batch norm, channel gates, a residual and an activation.

    The gates are those of `SqueezeExcite`, followed by those of `ContextGate`, both from means over
    the clip. As separate layers they would read and write the video again and again, which takes
    more time than the arithmetic. At inference the convolution with its batch norm is linear: the
    mean of its outputs follows from the mean of its inputs. So the gates are known before the
    convolution is computed, and become factors of its kernel.

    Args:
        filters: int, number of output channels.
        hidden: int, width inside the squeeze-excite; 0 for none.
        context_gate: bool, whether there is a context gate.
        gated: what the gates multiply: `"outputs"` of the batch norm, or `"inputs"` of the
            convolution.
        activation: `None`, `"relu"`, `"hard_swish"`, ..., applied to the sum with the residual.
        use_bias, batch_norm, momentum, epsilon, gamma_initializer: as for `VideoConv3D`.
        kernel_initializer: initializer of all kernels, each drawn separately.

    Call arguments:
        inputs: float tensor `(batch, frames, height, width, channels)`.
        residual: `None`, or a tensor of the shape of the outputs, which is added before the
            activation.
        training: bool, whether batch norm uses the statistics of the batch.

    Returns:
        A tensor `(batch, frames, height, width, filters)`.

    Example:
    >>> conv = keras_video.layers.GatedConv3D(16, hidden=8, context_gate=True, activation="relu")
    >>> conv(keras.random.normal((2, 6, 4, 4, 8))).shape
    (2, 6, 4, 4, 16)
    """

    def __init__(
        self,
        filters,
        hidden=0,
        context_gate=False,
        gated="outputs",
        activation=None,
        use_bias=None,
        batch_norm=True,
        momentum=0.99,
        epsilon=1e-3,
        kernel_initializer="he_normal",
        gamma_initializer="ones",
        **kwargs,
    ):
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.hidden = check_int("hidden", hidden, 0)
        self.gated = check_choice("gated", gated, GATED)
        policy = self.dtype_policy
        self.conv = VideoConv3D(
            filters,
            1,
            use_bias=use_bias,
            batch_norm=batch_norm,
            momentum=momentum,
            epsilon=epsilon,
            kernel_initializer=kernel_initializer,
            gamma_initializer=gamma_initializer,
            dtype=policy,
            name="conv",
        )
        initializer = self.conv.kernel_initializer
        self.squeeze_excite = self.context_gate = None
        if hidden:
            self.squeeze_excite = SqueezeExcite(
                hidden,
                activation="relu",
                kernel_initializer=initializer.clone(),
                dtype=policy,
                name="squeeze_excite",
            )
        if context_gate:
            self.context_gate = ContextGate(initializer.clone(), dtype=policy, name="context_gate")
        self.activation = activation
        self._activation = lookup(ACTIVATIONS, "activation", activation)

    @property
    def norm(self):
        """The batch norm layer, or `None`."""
        return self.conv.norm

    def build(self, inputs_shape, residual_shape=None):
        check_video(self, inputs_shape)
        self.conv.build(inputs_shape)
        channels = self.conv.filters if self.gated == "outputs" else inputs_shape[-1]
        for gate in (self.squeeze_excite, self.context_gate):
            if gate is not None:
                gate.build((*inputs_shape[:-1], channels))

    def compute_output_shape(self, inputs_shape, residual_shape=None):
        return self.conv.compute_output_shape(inputs_shape)

    def call(self, inputs, residual=None, training=False):
        x = ops.cast(inputs, self.compute_dtype)
        if training and self.norm is not None and self.norm.trainable:
            y = self._train(x)
        else:
            y = self._infer(x)
        if residual is not None:
            y = y + fold_frames(ops.cast(residual, y.dtype))
        y = y if self._activation is None else self._activation(y)
        return ops.reshape(y, (-1, *ops.shape(x)[1:4], self.conv.filters))

    def _train(self, x):
        """Compute step by step, because batch norm needs the whole batch first."""
        if self._has_gates and self.gated == "inputs":
            x = _multiply(x, self._gates(_means(x)))
        y = normalize_batch(self.norm, _pointwise(x, self.conv.kernel[0, 0, 0], self.conv.bias))
        if not self._has_gates or self.gated == "inputs":
            return y
        video = ops.reshape(y, (-1, *ops.shape(x)[1:4], y.shape[-1]))
        return fold_frames(_multiply(video, self._gates(_means(video))))

    def _infer(self, x):
        """Compute the gates first, and then everything else as one convolution."""
        kernel = ops.cast(self.conv.kernel[0, 0, 0], "float32")
        scale, bias = (
            None if w is None else ops.cast(w, "float32") for w in self.conv.scale_and_bias()
        )
        scale = 1.0 if scale is None else scale
        if not self._has_gates:
            return _pointwise(x, kernel * scale, bias)
        means = _means(x)
        if self.gated == "inputs":
            gates = self._gates(means)
            if x.shape[0] == 1:
                return _pointwise(x, kernel * ops.transpose(gates) * scale, bias)
            return _pointwise(_multiply(x, gates), kernel * scale, bias)
        means = ops.matmul(means, kernel) * scale
        gates = self._gates(means if bias is None else means + bias)
        if x.shape[0] == 1:
            bias = None if bias is None else bias * gates[0]
            return _pointwise(x, kernel * (scale * gates), bias)
        y = _pointwise(x, kernel * scale, bias)
        video = ops.reshape(y, (-1, *ops.shape(x)[1:4], y.shape[-1]))
        return fold_frames(_multiply(video, gates))

    @property
    def _has_gates(self):
        return self.squeeze_excite is not None or self.context_gate is not None

    def _gates(self, means):
        """Return the product of all gates, `(batch, channels)` in float32."""
        gates = 1.0
        for layer in (self.squeeze_excite, self.context_gate):
            if layer is not None:
                gates = gates * layer.gates(means * gates)
        return gates

    def get_config(self):
        conv = self.conv.get_config()
        names = ("filters", "use_bias", "batch_norm", "momentum", "epsilon")
        names += ("kernel_initializer", "gamma_initializer")
        return {
            **super().get_config(),
            **{name: conv[name] for name in names},
            "hidden": self.hidden,
            "context_gate": self.context_gate is not None,
            "gated": self.gated,
            "activation": self.activation,
        }


def _pointwise(x, kernel, bias):
    """Convolve in the dtype of the video; the frames of the outputs are folded into the batch."""
    kernel = ops.cast(kernel, x.dtype)
    bias = None if bias is None else ops.cast(bias, x.dtype)
    y, bias = backend.pointwise(fold_frames(x), kernel, bias)
    return y if bias is None else backend.add_bias(y, bias)


def _means(x):
    return ops.mean(ops.cast(x, "float32"), axis=(1, 2, 3))


def _multiply(x, gates):
    return x * ops.cast(gates, x.dtype)[:, None, None, None]
