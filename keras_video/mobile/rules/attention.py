"""Rules for layers with gates or attention."""

import keras
import numpy as np

from keras_video.layers import ContextGate, GatedConv3D, NonLocal, PositionalEncoding, SqueezeExcite
from keras_video.layers.non_local import PROJECTIONS
from keras_video.mobile.primitives import AddPositions, Attention, RepeatFrames
from keras_video.mobile.rules.convolution import convolve, video_conv
from keras_video.mobile.rules.pooling import pixel_means, running_mean
from keras_video.mobile.rules.registry import (
    FLOAT,
    Features,
    activate,
    add,
    array,
    pointwise_kernel,
    rule,
)

# Hard gates are `factor * relu6(scale * x + 3)`, as `(scale, factor)`. The scale and the 3 are
# folded into the kernel before the gate, the factor into the kernel after it.
HARD_GATES = {
    "hard_sigmoid": (1.0, 1 / 6),
    "hard_sigmoid_keras2": (1.2, 1 / 6),
    "hard_sigmoid_tf_models": (1.0, 0.16667),
}


@rule(SqueezeExcite)
def squeeze_excite(rewriter, layer, features):
    """Multiply by gates from channels pooled over the clip, each frame, or the frames so far."""
    name = layer.name
    if rewriter.stream and not layer.causal and layer.squeeze != "2d":
        raise ValueError(
            f"model: expected a causal network for a stream, got {name}, which looks ahead."
        )
    pooled = _pool(rewriter, layer, features)
    y = _multiply(rewriter, features, _gates(rewriter, layer, pooled, name), name)
    return activate(rewriter, y, layer.output_activation, f"{name}_output")


@rule(ContextGate)
def context_gate(rewriter, layer, features):
    """Multiply by gates from the mean of the clip."""
    means = _clip_means(rewriter, features, layer.name)
    gates = _context_gates(rewriter, layer, means, layer.name)
    return _multiply(rewriter, features, gates, layer.name)


@rule(GatedConv3D)
def gated_conv(rewriter, layer, features, residual=None):
    """Convolve with gates before or after, add the residual, activate."""
    name, before = layer.name, layer.gated == "inputs"
    if before:
        features = _both_gates(rewriter, layer, features)
    if before or not (layer.squeeze_excite or layer.context_gate):
        return pointwise(rewriter, layer.conv, features, residual, layer.activation, name)
    y = video_conv(rewriter, renamed(layer.conv, name), features)
    y = _both_gates(rewriter, layer, y)
    return _closed(rewriter, y, residual, layer.activation, name)


def pointwise(rewriter, conv, features, residual, activation, name):
    """Apply an inner convolution under the name of its layer, add the residual, activate."""
    y = video_conv(rewriter, renamed(conv, name), features)
    return _closed(rewriter, y, residual, activation, name)


def _closed(rewriter, y, residual, activation, name):
    if residual is not None:
        y = add(rewriter, (y, residual), f"{name}_sum", name)
    return activate(rewriter, y, activation, name)


@rule(NonLocal)
def non_local(rewriter, layer, features):
    """Attend over all positions, between 1x1 convolutions."""
    name = layer.name
    _, height, width, _ = features.shape
    parts = []
    for part, kernel in zip(PROJECTIONS, layer.projections, strict=True):
        kernel = pointwise_kernel(kernel)
        bias = np.zeros(kernel.shape[-1], "float32")
        y = convolve(features, kernel, bias, name=f"{name}_{part}")
        parts.append(rewriter.by_frames(y, f"{name}_{part}"))
    y = Attention(name=f"{name}_attention", **FLOAT)(parts)
    y = Features(rewriter.by_pixels(y, height, width, name), features.frames)
    y = video_conv(rewriter, renamed(layer.conv, f"{name}_conv"), y)
    return add(rewriter, (features, y), name)


@rule(PositionalEncoding)
def positional_encoding(rewriter, layer, features):
    """Add the encoding of the frame number to the features of each frame."""
    return _add_positions(rewriter, features, layer.scale, layer.name)


def _pool(rewriter, layer, features):
    """Return the features that the gates are computed from: of the clip or of every frame."""
    name = layer.name
    if layer.squeeze == "3d" and not layer.causal:
        return _clip_means(rewriter, features, name)
    frames = pixel_means(features, f"{name}_means")
    if layer.squeeze == "2d":
        pooled = frames
    else:
        means = running_mean(rewriter, frames, name, keep_frames=layer.causal)
        if not layer.causal:
            repeat = RepeatFrames(frames.frames, name=f"{name}_repeated", **FLOAT)
            means = frames._replace(tensor=repeat(means.tensor))
        pooled = means
        if layer.squeeze == "2plus3d":
            parts = [means.tensor, frames.tensor]
            tensor = keras.layers.Concatenate(name=f"{name}_pooled", **FLOAT)(parts)
            pooled = frames._replace(tensor=tensor)
    if not layer.positional_encoding:
        return pooled
    return _add_positions(rewriter, pooled, layer.position_scale, f"{name}_positions")


def _add_positions(rewriter, features, scale, name):
    """Add positions. The encoding is divided by the pending factor, which multiplies it later."""
    layer = AddPositions(features.frames, name=name, **FLOAT)
    inputs = features.tensor
    if rewriter.stream:
        inputs = [inputs, rewriter.clock("position", features.frames)]
    y = layer(inputs)
    layer.set_weights([array(scale) / features.factor])
    return features._replace(tensor=y, conv=None)


def _clip_means(rewriter, features, name):
    """Return the mean over all frames and pixels, `(batch, 1, 1, channels)`."""
    x = rewriter.by_frames(features, f"{name}_means")
    pool = keras.layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_means", **FLOAT)
    return features._replace(tensor=pool(x), frames=1, conv=None)


def _gates(rewriter, layer, pooled, name):
    """Apply the two dense layers of a squeeze-excite to pooled features."""
    kernel, bias = pointwise_kernel(layer.reduce_kernel), array(layer.reduce_bias)
    inside = layer.activation if layer.activation in ("relu", "relu6") else None
    y = convolve(pooled, kernel, bias, activation=inside, name=f"{name}_reduce")
    if not inside:
        y = activate(rewriter, y, layer.activation, f"{name}_reduce")
    y = y._replace(conv=None)
    kernel, bias = pointwise_kernel(layer.expand_kernel), array(layer.expand_bias)
    if layer.gate == "sigmoid":
        y = convolve(y, kernel, bias, name=f"{name}_expand")
        return activate(rewriter, y, "sigmoid", f"{name}_expand")
    scale, factor = HARD_GATES[layer.gate]
    kernel, bias = scale * kernel, scale * bias + np.float32(3.0)
    y = convolve(y, kernel, bias, activation="relu6", name=f"{name}_expand")
    return y._replace(factor=factor, conv=None)


def _context_gates(rewriter, layer, means, name):
    kernel, bias = pointwise_kernel(layer.gate_kernel), array(layer.gate_bias)
    y = convolve(means, kernel, bias, name=f"{name}_gate")
    return activate(rewriter, y, "sigmoid", f"{name}_gate")


def _both_gates(rewriter, layer, features):
    """Apply the squeeze-excite, then the context gate; each looks at what it multiplies."""
    if layer.squeeze_excite is not None:
        name = f"{layer.name}_squeeze_excite"
        means = _clip_means(rewriter, features, name)
        gates = _gates(rewriter, layer.squeeze_excite, means, name)
        features = _multiply(rewriter, features, gates, name)
    if layer.context_gate is not None:
        name = f"{layer.name}_context_gate"
        means = _clip_means(rewriter, features, name)
        gates = _context_gates(rewriter, layer.context_gate, means, name)
        features = _multiply(rewriter, features, gates, name)
    return features


def _multiply(rewriter, features, gates, name):
    """Multiply features by gates of every frame or of the clip; both factors stay pending."""
    factor = features.factor * gates.factor
    multiply = keras.layers.Multiply(name=name, **FLOAT)
    if gates.frames == features.frames:
        y = multiply([features.tensor, gates.tensor])
    else:
        _, height, width, _ = features.shape
        y = multiply([rewriter.by_frames(features, name), gates.tensor])
        y = rewriter.by_pixels(y, height, width, name)
    return features._replace(tensor=y, factor=factor, conv=None)


def renamed(conv, name):
    """Copy the inner convolution of a layer under another name."""
    twin = type(conv).from_config({**conv.get_config(), "name": name})
    twin.build((None, None, None, None, conv.kernel.shape[-2] * conv.groups))
    twin.set_weights(conv.get_weights())
    return twin
