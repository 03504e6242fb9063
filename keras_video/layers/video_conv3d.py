"""`VideoConv3D`: convolution, batch norm and activation of a video as one layer.

`CausalConv3D`: a convolution that does not look at the future.

`DepthwiseConv3D`: one filter per channel, over frames, height and width.
"""

import keras
from keras import ops

from keras_video.layers import convolution
from keras_video.layers.activations import ACTIVATIONS, lookup
from keras_video.layers.batch_norm import normalize_batch
from keras_video.layers.frames import check_video, pad_frames, triple, unfold_frames
from keras_video.layers.initializers import get_initializer
from keras_video.layers.streaming import StreamingLayer
from keras_video.specs import check_int, conv_output_size

PADDINGS = ("same", "causal", "symmetric")


@keras.saving.register_keras_serializable("keras_video")
class VideoConv3D(StreamingLayer):
    """Convolves a video, then batch norm and activation if asked for.

    At inference batch norm is folded into the kernel and the bias, so that it costs no pass over
    the video. Frames are folded into the batch wherever the kernel does not mix them: the layer
    consists of rank 4 operations.

    Args:
        filters: int, number of output channels.
        kernel_size: int or 3 ints, extent over (frames, height, width).
        strides: int or 3 ints. The frame stride of causal layers must be 1, so that every chunk
            length is legal; that of depthwise ones as well.
        padding: `"same"`, or `"causal"`: same in space, and over frames all zeros in front. Where
            `"same"` needs an odd number of zeros, the larger half comes behind. `"symmetric"`: half
            the kernel on every side, as networks from PyTorch have it, which is another place where
            strides meet even extents; the kernel must be odd.
        groups: int, channel groups; `groups = channels = filters` makes it depthwise.
        use_bias: bool or `None`, adds a per-channel offset. `None` means where there is no batch
            norm.
        batch_norm: bool, batch norm after the convolution.
        activation: `None`, `"swish"`, `"hard_swish"`, `"relu"` or `"relu6"`.
        kernel_initializer: initializer of the kernel.
        momentum, epsilon, gamma_initializer: those of the batch norm.
        implementation: how a depthwise convolution is computed: `"auto"` chooses the fast form for
            the backend, `"taps"` sums 2D depthwise convolutions, `"shifted"` sums shifted
            multiply-adds, `"grouped"` is the backend's own grouped convolution. The numbers agree
            within rounding.

    Call arguments:
        inputs: float tensor `(batch, frames, height, width, channels)`.
        state: `None`, or (causal kernels with more than one frame) the tensor returned by the last
            call, `(batch, kernel_size[0] - 1, height, width, channels)` in float32.
        training: bool; whether batch norm uses the statistics of the batch.

    Returns:
        `outputs` of shape `(batch, new_frames, new_height, new_width, filters)`, extents
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
        for argument, value in (("filters", filters), ("groups", groups)):
            check_int(argument, value)
        if not 0 <= momentum < 1:
            raise ValueError(f"momentum: expected a number in [0, 1), got {momentum!r}.")
        if not epsilon > 0:
            raise ValueError(f"epsilon: expected a number above 0, got {epsilon!r}.")
        if padding not in PADDINGS:
            raise ValueError(f"padding: expected one of {PADDINGS}, got {padding!r}.")
        if implementation not in convolution.IMPLEMENTATIONS:
            choices = convolution.IMPLEMENTATIONS
            raise ValueError(f"implementation: expected one of {choices}, got {implementation!r}.")
        self.filters = filters
        self.kernel_size = triple(kernel_size, "kernel_size")
        self.strides = triple(strides, "strides")
        self.padding = padding
        self.groups = groups
        if self.strides[0] != 1 and (padding == "causal" or self.depthwise):
            raise ValueError(f"strides: the frame stride must be 1, got {strides!r}.")
        if padding == "symmetric" and any(k % 2 == 0 for k in self.kernel_size):
            raise ValueError(
                "kernel_size: expected odd extents beside padding='symmetric', got "
                f"{kernel_size!r}."
            )
        self.use_bias = use_bias
        self.batch_norm = bool(batch_norm)
        self.activation = activation
        self._activation = lookup(ACTIVATIONS, "activation", activation)
        self.kernel_initializer = get_initializer(kernel_initializer)
        self.implementation = implementation
        self.momentum = momentum
        self.epsilon = epsilon
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
        """bool, whether every channel has a filter of its own."""
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
        shape = (input_shape[0], self.kernel_size[0] - 1, *input_shape[2:])
        return keras.KerasTensor(shape, "float32")

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
        past = self.kernel_size[0] - 1
        if state is not None:
            self.check_state(state, inputs.shape)
            x = ops.concatenate([ops.cast(state, x.dtype), x], axis=1)
            state = ops.cast(x[:, frames:], state.dtype)
        elif self.padding == "causal":
            x = pad_frames(x, past, 0)
        else:
            pads = convolution.space_pads(
                (frames,), self.kernel_size[:1], self.strides[:1], self._space
            )
            x = pad_frames(x, *pads[0])
        outputs = self._transform(x, conv_output_size(frames, self.strides[0]), training)
        outputs = unfold_frames(outputs, inputs, self.strides[0])
        return outputs if state is None else (outputs, state)

    def _transform(self, x, frames, training):
        """Convolution, norm and activation on rank 4: `(batch * frames, h, w, filters)`."""
        batch_statistics = training and self.norm is not None and self.norm.trainable
        if batch_statistics:
            kernel, bias = self.kernel, self.bias
        else:
            kernel, bias = self.folded_weights()
        kernel = ops.cast(kernel, x.dtype)
        bias = None if bias is None else ops.cast(bias, x.dtype)
        y = convolution.convolve(
            x, kernel, bias, self.strides, self.groups, frames, self.implementation, self._space
        )
        if batch_statistics:
            y = normalize_batch(self.norm, y)
        return y if self._activation is None else self._activation(y)

    @property
    def _space(self):
        return "symmetric" if self.padding == "symmetric" else "same"

    def folded_weights(self):
        """Kernel and bias (or `None`) that give convolution and batch norm at inference."""
        scale, bias = self.scale_and_bias()
        return self.kernel if scale is None else self.kernel * scale, bias

    def scale_and_bias(self):
        """What batch norm and bias do to every channel at inference: `(filters,)` or `None`."""
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
