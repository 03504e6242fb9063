"""Rules for convolutions: 3D kernels become 2D kernels."""

import keras
import numpy as np

from keras_video.layers import ReZero, StochasticDepth, VideoConv3D
from keras_video.layers.frames import same_pads, space_pads
from keras_video.mobile.primitives import FrameSlice
from keras_video.mobile.rules.registry import (
    FLOAT,
    Features,
    activate,
    array,
    keras_activation,
    nothing,
    pointwise_kernel,
    rule,
)

INSIDE = ("relu", "relu6")  # activations that runtimes compute inside the convolution

rule(StochasticDepth)(nothing)


@rule(ReZero)
def rezero(rewriter, layer, features):
    """Fold the scale into the kernel before it."""
    return rewriter.scaled(features, float(array(layer.scale)), layer.name)


@rule(VideoConv3D)
def video_conv(rewriter, layer, features):
    """Convolve over pixels, over frames, or over both as a sum of 2D kernels."""
    kernel, bias = (None if w is None else array(w) for w in layer.folded_weights())
    bias = np.zeros(kernel.shape[-1], "float32") if bias is None else bias
    taps, *extents = kernel.shape[:3]
    stride, *strides = layer.strides
    inside = layer.activation if layer.activation in INSIDE else None
    if taps == 1:
        if stride > 1:
            features = _every(rewriter, features, stride, layer.name)
        y = convolve(
            features, kernel[0], bias, strides, layer.groups, inside, layer.name, layer.padding
        )
    elif extents == strides == [1, 1]:
        y = _over_frames(rewriter, layer, features, kernel[:, :, 0], bias, inside)
    else:
        y, inside = _by_taps(rewriter, layer, features, kernel, bias), None
    if layer.activation is None or inside:
        return y._replace(conv=None) if inside else y
    return activate(rewriter, y, layer.activation, layer.name)


@rule(keras.layers.Dense)
def dense(rewriter, layer, features):
    """Convolve features with a 1x1 kernel."""
    kernel = pointwise_kernel(layer.kernel)
    bias = array(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1], "float32")
    name = keras_activation(layer)
    inside = name if name in INSIDE else None
    y = convolve(features, kernel, bias, activation=inside, name=layer.name)
    return y._replace(conv=None) if inside else activate(rewriter, y, name, layer.name)


def convolve(
    features, kernel, bias, strides=(1, 1), groups=1, activation=None, name=None, space="same"
):
    """Convolve with a 2D kernel that takes over the pending factor of its input.

    Args:
        features: `Features`.
        kernel: array `(height, width, channels / groups, filters)`.
        bias: array `(filters,)`.
        strides: 2 ints.
        groups: int, channel groups.
        activation: one of `INSIDE`, or `None`.
        name: string, of the layer.
        space: string, padding of the image: `"symmetric"` for half the kernel on every side;
            anything else is `"same"`.

    Returns:
        `Features`.
    """
    x, padding = _padded(features.tensor, kernel.shape[:2], strides, name, space)
    layer = convolution(kernel, features.shape[-1], groups, strides, padding, activation, name)
    y = layer(x)
    fill(layer, kernel * features.factor, bias)
    return features._replace(tensor=y, factor=1.0, conv=layer)


def convolution(kernel, channels, groups, strides, padding, activation, name):
    """Return the Keras layer for a 2D kernel, without weights."""
    options = {"strides": tuple(strides), "padding": padding, "activation": activation}
    options |= {"name": name, **FLOAT}
    if groups > 1 and groups == channels == kernel.shape[-1]:
        options["depthwise_initializer"] = "zeros"
        return keras.layers.DepthwiseConv2D(kernel.shape[:2], **options)
    options |= {"groups": groups, "kernel_initializer": "zeros"}
    return keras.layers.Conv2D(kernel.shape[-1], kernel.shape[:2], **options)


def fill(layer, kernel, bias):
    """Set the weights of a built convolution."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel = np.swapaxes(kernel, 2, 3)
    layer.set_weights([kernel, bias])


def _padded(x, kernel, strides, name, space):
    """Return the image and the padding for Keras, with explicit zeros if Keras pads otherwise.

    Keras pads otherwise for strides wider than the kernel, and for symmetric padding.
    """
    same = same_pads(x.shape[1:3], kernel, strides)
    pads = space_pads(x.shape[1:3], kernel, strides, space)
    if pads == same and all(s <= k for s, k in zip(strides, kernel, strict=True)):
        return x, "same"
    if pads != ((0, 0), (0, 0)):
        x = keras.layers.ZeroPadding2D(pads, name=f"{name}_padded", **FLOAT)(x)
    return x, "valid"


def _over_frames(rewriter, layer, features, kernel, bias, activation):
    """Convolve over frames only, with a kernel `(taps, 1)` on the image of frames and pixels."""
    _, height, width, channels = features.shape
    window = _window(rewriter, layer, features, len(kernel))
    strides = (layer.strides[0], 1)
    conv = convolution(kernel, channels, layer.groups, strides, "valid", activation, layer.name)
    y = conv(window)
    fill(conv, kernel * features.factor, bias)
    frames = y.shape[1]
    y = rewriter.by_pixels(y, height, width, layer.name)
    return Features(y, frames, conv=conv)


def _by_taps(rewriter, layer, features, kernel, bias):
    """Convolve over frames and pixels by a sum of 2D kernels, one for each tap over frames."""
    _, height, width, _ = features.shape
    stride, *strides = layer.strides
    window = _window(rewriter, layer, features, len(kernel))
    frames = (window.shape[1] - len(kernel)) // stride + 1
    terms = []
    for i, tap in enumerate(kernel):
        name = f"{layer.name}_tap{i}"
        stop = i + (frames - 1) * stride + 1
        x = FrameSlice(i, stop, stride, name=f"{name}_slice", **FLOAT)(window)
        x = features._replace(tensor=rewriter.by_pixels(x, height, width, name), frames=frames)
        offset = bias if i == 0 else np.zeros_like(bias)
        y = convolve(x, tap, offset, strides, layer.groups, name=name, space=layer.padding)
        terms.append(y.tensor)
    y = keras.layers.Add(name=layer.name, **FLOAT)(terms)
    return Features(y, frames)


def _window(rewriter, layer, features, taps):
    """Return the frames that a kernel needs, `(batch, more frames, height * width, channels)`."""
    name = f"{layer.name}_window"
    x = rewriter.by_frames(features, layer.name)
    if rewriter.stream:
        if layer.padding != "causal":
            raise ValueError(
                f"model: expected a causal network for a stream, got {layer.name}, which looks "
                "ahead."
            )
        past = rewriter.state(f"{layer.name}_past", (1, taps - 1, *x.shape[2:]))
        rewriter.keep(f"{layer.name}_past", x)
        return keras.layers.Concatenate(axis=1, name=name, **FLOAT)([past, x])
    before, after = taps - 1, 0
    if layer.padding != "causal":
        extent, stride = (features.frames,), layer.strides[:1]
        ((before, after),) = space_pads(extent, (taps,), stride, layer.padding)
    if before == after == 0:
        return x
    return keras.layers.ZeroPadding2D(((before, after), (0, 0)), name=name, **FLOAT)(x)


def _every(rewriter, features, stride, name):
    """Take the first of every `stride` frames."""
    _, height, width, _ = features.shape
    x = rewriter.by_frames(features, name)
    x = FrameSlice(0, features.frames, stride, name=f"{name}_slice", **FLOAT)(x)
    y = rewriter.by_pixels(x, height, width, name)
    return features._replace(tensor=y, frames=x.shape[1], conv=None)
