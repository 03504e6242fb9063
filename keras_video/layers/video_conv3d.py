"""Convolutions of videos, with batch norm and activation in the same layer.

`VideoConv3D` holds the computation, `CausalConv3D` and `DepthwiseConv3D` are two of its settings.
"""

import keras
from keras import ops

from keras_video.checks import check_choice, check_int, check_number
from keras_video.layers import convolution
from keras_video.layers.activations import ACTIVATIONS, lookup
from keras_video.layers.backend import normalize_batch
from keras_video.layers.frames import check_video, pad_frames, space_pads, triple, unfold_frames
from keras_video.layers.initializers import get_initializer
from keras_video.layers.streaming import StreamingLayer, past_spec, with_past
from keras_video.specs import conv_output_size

PADDINGS = ("same", "causal", "symmetric")


@keras.saving.register_keras_serializable("keras_video")
class VideoConv3D(StreamingLayer):
    """Convolve a video, then apply batch norm and activation if asked for.

    At inference batch norm is folded into the kernel and the bias, so that it costs no pass over
    the video. Frames are folded into the batch wherever the kernel does not mix them, so that the
    layer consists of rank 4 operations.

    Args:
        filters: int, number of output channels.
        kernel_size: int or 3 ints, extent over (frames, height, width).
        strides: int or 3 ints. The frame stride of causal layers must be 1, so that every chunk
            length is legal. That of depthwise layers must be 1 as well.
        padding: where the zeros lie. `"same"` is the rule of TensorFlow: of an odd number of zeros,
            the larger half comes behind. `"causal"` is `"same"` over height and width, and over
            frames puts all zeros in front. `"symmetric"` puts half the kernel on every side, as
            PyTorch networks do; the kernel must be odd.
        groups: int, channel groups; `groups = channels = filters` makes it depthwise.
        use_bias: bool or `None`, adds a per-channel offset. `None` means a bias exactly if there is
            no batch norm.
        batch_norm: bool, batch norm after the convolution.
        activation: `None`, `"swish"`, `"hard_swish"`, `"relu"` or `"relu6"`.
        kernel_initializer: initializer of the kernel.
        implementation: how a depthwise convolution is computed: `"auto"` chooses the fast form for
            the backend, `"taps"` sums 2D depthwise convolutions, `"shifted"` sums shifted
            multiply-adds, `"grouped"` is the grouped convolution of the backend. All give the same
            numbers within rounding.
        momentum: float in [0, 1), momentum of the moving statistics of the batch norm.
        epsilon: float above 0, added to the variance by the batch norm.
        gamma_initializer: initializer of the scale of the batch norm.

    Call arguments:
        inputs: float tensor `(batch, frames, height, width, channels)`.
        state: `None`, or, for causal kernels of more than one frame, the tensor returned by the
            last call, `(batch, kernel_size[0] - 1, height, width, channels)` in float32.
        training: bool, whether batch norm uses the statistics of the batch.

    Returns:
        `outputs` of shape `(batch, new_frames, new_height, new_width, filters)`, each extent being
        `ceil(extent / stride)`; with a state, the pair `(outputs, new_state)`.

    Example:
    >>> conv = keras_video.layers.VideoConv3D(16, (1, 3, 3), strides=(1, 2, 2))
    >>> conv(keras.random.normal((2, 6, 32, 32, 8))).shape
    (2, 6, 16, 16, 16)
    """

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="same",
        groups=1,
        use_bias=None,
        batch_norm=False,
        activation=None,
        kernel_initializer="he_normal",
        implementation="auto",
        momentum=0.99,
        epsilon=1e-3,
        gamma_initializer="ones",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = check_int("filters", filters)
        self.kernel_size = triple(kernel_size, "kernel_size")
        self.strides = triple(strides, "strides")
        self.padding = check_choice("padding", padding, PADDINGS)
        self.groups = check_int("groups", groups)
        if self.strides[0] != 1 and (padding == "causal" or self.depthwise):
            raise ValueError(
                f"strides: expected a frame stride of 1 in causal and depthwise layers, got "
                f"{strides!r}."
            )
        if padding == "symmetric" and any(k % 2 == 0 for k in self.kernel_size):
            raise ValueError(
                f"kernel_size: expected odd extents for padding='symmetric', got {kernel_size!r}."
            )
        self.use_bias = use_bias
        self.batch_norm = bool(batch_norm)
        self.activation = activation
        self._activation = lookup(ACTIVATIONS, "activation", activation)
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.implementation = check_choice(
            "implementation", implementation, convolution.IMPLEMENTATIONS
        )
        self.momentum = check_number("momentum", momentum, 0, below=1)
        self.epsilon = check_number("epsilon", epsilon, above=0)
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.norm = None
        if self.batch_norm:
            self.norm = keras.layers.BatchNormalization(
                momentum=momentum,
                epsilon=epsilon,
                gamma_initializer=gamma_initializer,
                dtype=self.dtype_policy,
                name="norm",
            )

    @property
    def depthwise(self):
        """bool, whether every channel has its own filter."""
        return self.groups > 1 and self.groups == self.filters

    def build(self, input_shape):
        check_video(self, input_shape)
        channels = input_shape[-1]
        if channels % self.groups or self.filters % self.groups:
            raise ValueError(
                f"groups: expected a divisor of the {channels} input channels and of the "
                f"{self.filters} filters, got {self.groups}."
            )
        self.kernel = self.add_weight(
            shape=(*self.kernel_size, channels // self.groups, self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
        )
        self.bias = None
        if self.use_bias or (self.use_bias is None and not self.batch_norm):
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias")
        if self.norm is not None:
            self.norm.build((None, None, None, self.filters))

    def state_spec(self, input_shape):
        if self.padding != "causal" or self.kernel_size[0] == 1:
            return None
        return past_spec(input_shape, self.kernel_size[0] - 1)

    def compute_output_shape(self, input_shape):
        check_video(self, input_shape)
        extents = (
            None if n is None else conv_output_size(n, s)
            for n, s in zip(input_shape[1:4], self.strides, strict=True)
        )
        return (input_shape[0], *extents, self.filters)

    def call(self, inputs, state=None, training=False):
        x = ops.cast(inputs, self.compute_dtype)
        frames = ops.shape(inputs)[1]
        if state is not None:
            self.check_state(state, inputs.shape)
        if self.padding == "causal":
            x, state = with_past(x, state, self.kernel_size[0] - 1)
        else:
            (pads,) = space_pads((frames,), self.kernel_size[:1], self.strides[:1], self.padding)
            x = pad_frames(x, *pads)
        outputs = self._transform(x, conv_output_size(frames, self.strides[0]), training)
        outputs = unfold_frames(outputs, inputs, self.strides[0])
        return outputs if state is None else (outputs, state)

    def _transform(self, x, frames, training):
        """Apply convolution, norm and activation; return `(batch * frames, h, w, filters)`."""
        batch_statistics = training and self.norm is not None and self.norm.trainable
        if batch_statistics:
            kernel, bias = self.kernel, self.bias
        else:
            kernel, bias = self.folded_weights()
        kernel = ops.cast(kernel, x.dtype)
        bias = None if bias is None else ops.cast(bias, x.dtype)
        space = "symmetric" if self.padding == "symmetric" else "same"
        y = convolution.convolve(
            x, kernel, bias, self.strides, self.groups, frames, self.implementation, space
        )
        if batch_statistics:
            y = normalize_batch(self.norm, y)
        return y if self._activation is None else self._activation(y)

    def folded_weights(self):
        """Return kernel and bias (or `None`) of convolution and batch norm at inference."""
        scale, bias = self.scale_and_bias()
        return self.kernel if scale is None else self.kernel * scale, bias

    def scale_and_bias(self):
        """Return scale and offset of every channel at inference, each `(filters,)` or `None`."""
        norm = self.norm
        if norm is None:
            return None, self.bias
        scale = norm.gamma * ops.rsqrt(norm.moving_variance + norm.epsilon)
        mean = norm.moving_mean if self.bias is None else norm.moving_mean - self.bias
        return scale, norm.beta - mean * scale

    def get_config(self):
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "groups": self.groups,
            "use_bias": self.use_bias,
            "batch_norm": self.batch_norm,
            "activation": self.activation,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "implementation": self.implementation,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "gamma_initializer": keras.initializers.serialize(self.gamma_initializer),
        }


@keras.saving.register_keras_serializable("keras_video")
class CausalConv3D(VideoConv3D):
    """Convolve a video without looking at the future.

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
            raise ValueError(
                "padding: expected 'causal'. Use VideoConv3D for other kinds of padding."
            )
        super().__init__(
            filters, kernel_size, strides, "causal", groups=groups, use_bias=use_bias, **kwargs
        )


@keras.saving.register_keras_serializable("keras_video")
class DepthwiseConv3D(VideoConv3D):
    """Convolve every channel of a video with its own filter.

    Keras has no such layer, and a grouped `Conv3D` is slow on CPUs and cannot run on mobile. Here
    one set of weights, in the layout of the grouped convolution, is computed in the form that is
    fast on the current backend (`benchmarks/depthwise.py`).

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
        super().__init__(1, kernel_size, strides, padding, **kwargs)  # `build` sets the filters

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
