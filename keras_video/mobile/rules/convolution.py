"""Rules of the convolutions: 3D kernels as 2D ones."""

import keras
import numpy as np
from keras import ops

from keras_video.layers import ReZero, StochasticDepth, VideoConv3D
from keras_video.layers.frames import same_pads, space_pads
from keras_video.mobile.primitives import FrameSlice
from keras_video.mobile.rules.registry import Features, activate, keras_activation, nothing, rule

INSIDE = ("relu", "relu6")  # activations that runtimes compute inside the convolution

rule(StochasticDepth)(nothing)


@rule(ReZero)
def rezero(rewriter, layer, features):
    """The scalar becomes part of the kernel before it."""
    return rewriter.scaled(features, float(ops.convert_to_numpy(layer.scale)), layer.name)


@rule(VideoConv3D)
def video_conv(rewriter, layer, features):
    """Kernels over space as they are; over frames as images of frames and pixels; else by taps."""
    kernel, bias = (None if w is None else _numpy(w) for w in layer.folded_weights())
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
    """A 1x1 convolution of features."""
    kernel = _numpy(layer.kernel)[None, None]
    bias = _numpy(layer.bias) if layer.use_bias else np.zeros(kernel.shape[-1], "float32")
    name = keras_activation(layer)
    inside = name if name in INSIDE else None
    y = convolve(features, kernel, bias, activation=inside, name=layer.name)
    return y._replace(conv=None) if inside else activate(rewriter, y, name, layer.name)


def convolve(
    features, kernel, bias, strides=(1, 1), groups=1, activation=None, name=None, space="same"
):
    """A 2D convolution that takes the factor of its input.

    Args:
        features: `Features`.
        kernel: array `(height, width, channels / groups, filters)`.
        bias: array `(filters,)`.
        space: `"symmetric"` for half the kernel on every side; all else is `"same"`.

    Returns:
        `Features`.
    """
    x, padding = _padded(features.tensor, kernel.shape[:2], strides, name, space)
    layer = convolution(kernel, features.shape[-1], groups, strides, padding, activation, name)
    y = layer(x)
    fill(layer, kernel * features.factor, bias)
    return features._replace(tensor=y, factor=1.0, conv=layer)


def convolution(kernel, channels, groups, strides, padding, activation, name):
    """The Keras layer for a 2D kernel, still without weights."""
    options = {"strides": tuple(strides), "padding": padding, "activation": activation}
    options |= {"dtype": "float32", "name": name}
    if groups > 1 and groups == channels == kernel.shape[-1]:
        options["depthwise_initializer"] = "zeros"
        return keras.layers.DepthwiseConv2D(kernel.shape[:2], **options)
    options |= {"groups": groups, "kernel_initializer": "zeros"}
    return keras.layers.Conv2D(kernel.shape[-1], kernel.shape[:2], **options)


def fill(layer, kernel, bias):
    """Sets the weights of a built convolution."""
    if isinstance(layer, keras.layers.DepthwiseConv2D):
        kernel = np.swapaxes(kernel, 2, 3)
    layer.set_weights([kernel, bias])


def _padded(x, kernel, strides, name, space):
    """The image and the padding to use: by hand where it is not that of Keras.

    That is where strides are wider than kernels, and where half the kernel differs from `same`.
    """
    same = same_pads(x.shape[1:3], kernel, strides)
    pads = space_pads(x.shape[1:3], kernel, strides, space)
    if pads == same and all(s <= k for s, k in zip(strides, kernel, strict=True)):
        return x, "same"
    if pads != ((0, 0), (0, 0)):
        x = keras.layers.ZeroPadding2D(pads, dtype="float32", name=f"{name}_padded")(x)
    return x, "valid"


def _over_frames(rewriter, layer, features, kernel, bias, activation):
    """A kernel over frames alone, `(taps, 1)` on the image of frames and pixels."""
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
    """A kernel over frames and pixels: the sum of 2D kernels, each on frames of its own."""
    _, height, width, _ = features.shape
    stride, *strides = layer.strides
    window = _window(rewriter, layer, features, len(kernel))
    frames = (window.shape[1] - len(kernel)) // stride + 1
    terms = []
    for i, tap in enumerate(kernel):
        name = f"{layer.name}_tap{i}"
        stop = i + (frames - 1) * stride + 1
        x = FrameSlice(i, stop, stride, dtype="float32", name=f"{name}_slice")(window)
        x = features._replace(tensor=rewriter.by_pixels(x, height, width, name), frames=frames)
        offset = bias if i == 0 else np.zeros_like(bias)
        y = convolve(x, tap, offset, strides, layer.groups, name=name, space=layer.padding)
        terms.append(y.tensor)
    y = keras.layers.Add(dtype="float32", name=layer.name)(terms)
    return Features(y, frames)


def _window(rewriter, layer, features, taps):
    """`(batch, more frames, height * width, channels)`: with the frames that a kernel needs."""
    name = f"{layer.name}_window"
    x = rewriter.by_frames(features, layer.name)
    if rewriter.stream:
        if layer.padding != "causal":
            raise ValueError(
                f"model: expected a causal network for a stream, but {layer.name} looks ahead."
            )
        past = rewriter.state(f"{layer.name}_past", (1, taps - 1, *x.shape[2:]))
        rewriter.keep(f"{layer.name}_past", x)
        return keras.layers.Concatenate(axis=1, dtype="float32", name=name)([past, x])
    before, after = taps - 1, 0
    if layer.padding != "causal":
        extent, stride = (features.frames,), layer.strides[:1]
        ((before, after),) = space_pads(extent, (taps,), stride, layer.padding)
    if before == after == 0:
        return x
    return keras.layers.ZeroPadding2D(((before, after), (0, 0)), dtype="float32", name=name)(x)


def _every(rewriter, features, stride, name):
    """The first of every `stride` frames."""
    _, height, width, _ = features.shape
    x = rewriter.by_frames(features, name)
    x = FrameSlice(0, features.frames, stride, dtype="float32", name=f"{name}_slice")(x)
    y = rewriter.by_pixels(x, height, width, name)
    return features._replace(tensor=y, frames=x.shape[1], conv=None)


def _numpy(weight):
    return np.asarray(ops.convert_to_numpy(weight), "float32")
