"""Layers that compute in float32 what int8 would give: for calibration, training and conversion.

Activations are rounded to 256 levels of one range per tensor, which contains zero. Kernels are
rounded to 255 levels per output channel, symmetric around zero (Jacob et al. 2018, arXiv
1712.05877, section 3; Krishnamoorthi 2018, arXiv 1806.08342, section 2). Gradients pass the
rounding unchanged.
"""

import keras
import numpy as np
from keras import ops

from keras_video.checks import check_number

LEVELS = 255  # steps between the ends of an activation's range
KERNEL_LEVELS = 127  # steps from zero to the largest weight of a channel


@keras.saving.register_keras_serializable("keras_video")
class FakeQuantize(keras.layers.Layer):
    """Round activations to the 256 values that int8 has for a range.

    Args:
        limits: `(smallest, largest)`, a known range, or `None` for a learned one. A learned range
            follows the extremes of the training batches; with `trainable = False` it stays. Before
            the first batch it lets its input pass.
        momentum: float in [0, 1), how much of the old range remains in a training step.

    Call arguments:
        inputs: float tensor of any shape.
        training: bool, whether a learned range follows the inputs.

    Returns:
        A tensor of the shape of the inputs.

    Example:
    >>> FakeQuantize(limits=(0.0, 255.0))(keras.ops.array([-3.0, 1.4, 300.0]))
    [0.0, 1.0, 255.0]
    """

    def __init__(self, limits=None, momentum=0.99, **kwargs):
        super().__init__(**kwargs)
        check_number("momentum", momentum, 0, below=1)
        self.limits = None if limits is None else holding_zero(*limits)
        self.momentum = momentum

    def build(self, input_shape):
        if self.limits is None:
            options = {"shape": (), "initializer": "zeros", "trainable": False}
            self.smallest = self.add_weight(name="smallest", **options)
            self.largest = self.add_weight(name="largest", **options)

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs, training=False):
        if self.limits is not None:
            return fake_quantize(inputs, *self.limits)
        if training and self.trainable:
            self._follow(ops.stop_gradient(inputs))
        smallest, largest = map(ops.convert_to_tensor, (self.smallest, self.largest))
        known = largest > smallest
        outputs = fake_quantize(inputs, smallest, ops.where(known, largest, smallest + 1.0))
        return ops.where(known, outputs, inputs)

    def _follow(self, inputs):
        lowest = ops.minimum(ops.min(inputs), 0.0)
        highest = ops.maximum(ops.max(inputs), 0.0)
        known = ops.convert_to_tensor(self.largest) > ops.convert_to_tensor(self.smallest)
        keep = ops.where(known, self.momentum, 0.0)
        self.smallest.assign(keep * self.smallest + (1.0 - keep) * lowest)
        self.largest.assign(keep * self.largest + (1.0 - keep) * highest)

    def get_limits(self):
        """Return `(smallest, largest)` as floats."""
        if self.limits is not None:
            return self.limits
        return tuple(float(ops.convert_to_numpy(v)) for v in (self.smallest, self.largest))

    def set_limits(self, smallest, largest):
        """Set a learned range, for example to the result of a calibration."""
        for variable, value in zip(
            (self.smallest, self.largest), holding_zero(smallest, largest), strict=True
        ):
            variable.assign(value)

    def get_config(self):
        return {**super().get_config(), "limits": self.limits, "momentum": self.momentum}


class _Rounding:
    """Base of the convolutions with rounded kernels.

    Kernels of mobile forms include the constant factors before them, such as 1/255. Such small
    weights do not suit the usual learning rates. The weights are therefore stored divided by
    `kernel_scale`, a power of two, which brings them to the size of an initialised kernel without
    any rounding.
    """

    AXIS = None  # axis of the output channels in the kernel

    def __init__(self, *args, kernel_scale=1.0, **kwargs):
        super().__init__(*args, **kwargs)
        self.kernel_scale = kernel_scale

    def rounded_kernel(self):
        return round_kernel(self.kernel * self.kernel_scale, self.AXIS)

    def get_plain_weights(self):
        """Return kernel and bias as a layer without rounding has them."""
        kernel, *bias = self.get_weights()
        return [kernel * np.float32(self.kernel_scale), *bias]

    def set_plain_weights(self, weights):
        kernel, *bias = weights
        self.set_weights([kernel / np.float32(self.kernel_scale), *bias])

    def get_config(self):
        return {**super().get_config(), "kernel_scale": self.kernel_scale}


@keras.saving.register_keras_serializable("keras_video")
class QuantizedConv2D(_Rounding, keras.layers.Conv2D):
    """`Conv2D` whose kernel is rounded to int8.

    Args:
        *args, **kwargs: those of `Conv2D`.
        kernel_scale: float, factor of the stored kernel.
    """

    AXIS = 3

    def convolution_op(self, inputs, kernel):
        return super().convolution_op(inputs, self.rounded_kernel())


@keras.saving.register_keras_serializable("keras_video")
class QuantizedDepthwiseConv2D(_Rounding, keras.layers.DepthwiseConv2D):
    """`DepthwiseConv2D` whose kernel is rounded to int8, see `QuantizedConv2D`."""

    AXIS = 2

    def call(self, inputs):
        outputs = ops.depthwise_conv(
            inputs,
            self.rounded_kernel(),
            self.strides,
            self.padding,
            self.data_format,
            self.dilation_rate,
        )
        outputs = outputs if self.bias is None else outputs + self.bias
        return outputs if self.activation is None else self.activation(outputs)


def usual_scale(kernel, depthwise):
    """Return the power of two between the size of a kernel and that of its He initialisation."""
    size = np.sqrt(np.mean(np.square(kernel, dtype="float64")))
    inputs = np.prod(kernel.shape[:2] if depthwise else kernel.shape[:3])
    return float(2.0 ** np.round(np.log2(size / np.sqrt(2 / inputs)))) if size > 0 else 1.0


def fake_quantize(inputs, smallest, largest):
    """Round to 256 levels of a range, on TensorFlow by an operation that the converter knows."""
    return keras.quantizers.fake_quant_with_min_max_vars(inputs, smallest, largest)


def round_kernel(kernel, axis):
    """Round a kernel to int8, with one step size for each entry along `axis`."""
    kernel = ops.convert_to_tensor(kernel)
    others = tuple(i for i in range(len(kernel.shape)) if i != axis)
    step = ops.max(ops.abs(kernel), axis=others, keepdims=True) / KERNEL_LEVELS
    step = ops.maximum(step, 1e-12)
    return kernel + ops.stop_gradient(ops.round(kernel / step) * step - kernel)


def rounded_weights(layer):
    """Return the weights of a convolution, with its kernel rounded to int8."""
    kernel, *bias = layer.get_weights()
    axis = 2 if isinstance(layer, keras.layers.DepthwiseConv2D) else 3
    return [ops.convert_to_numpy(round_kernel(kernel, axis)), *bias]


def fake_quantize_array(x, smallest, largest):
    """Compute `fake_quantize` of a NumPy array, with an exact zero as int8 has it."""
    step = np.float32((largest - smallest) / LEVELS)
    if step <= 0:
        return np.zeros_like(x)
    zero = np.round(-smallest / step)
    return (np.clip(np.round(x / step) + zero, 0, LEVELS) - zero).astype("float32") * step


def holding_zero(smallest, largest):
    """Return a range as floats, widened to contain zero, which int8 has to store exactly."""
    smallest, largest = min(float(smallest), 0.0), max(float(largest), 0.0)
    if not smallest < largest < float("inf") or smallest == -float("inf"):
        raise ValueError(
            f"limits: expected a finite range that is not empty, got ({smallest}, {largest})."
        )
    return smallest, largest
