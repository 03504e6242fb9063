"""Rules for layers between the two streams of a network, and for global reasoning."""

import keras
import numpy as np

from keras_video.layers import GloRe, TimeStridedSampling, TimeToChannelFusion
from keras_video.layers.two_streams import frames_spread
from keras_video.mobile.primitives import FrameSlice, NodeGather, NodeScatter
from keras_video.mobile.rules.convolution import convolve
from keras_video.mobile.rules.registry import (
    FLOAT,
    Features,
    array,
    check_clips,
    pointwise_kernel,
    rule,
)


@rule(TimeStridedSampling)
def time_strided_sampling(rewriter, layer, features):
    """Take every n-th frame by one slice, or spread frames by one slice each."""
    name, frames = layer.name, features.frames
    check_clips(rewriter, layer)
    x = rewriter.by_frames(features, name)
    if layer.positions == "stride":
        x = FrameSlice(0, frames, layer.stride, name=f"{name}_slice", **FLOAT)(x)
    else:
        numbers = frames_spread(frames, layer.stride)
        x = _concatenate(
            [FrameSlice(i, i + 1, name=f"{name}_slice{i}", **FLOAT)(x) for i in numbers],
            1,
            name,
        )
    return _by_pixels(rewriter, features, x, name)


@rule(TimeToChannelFusion)
def time_to_channel(rewriter, layer, features):
    """Join the frames of every window in the channels."""
    name, stride = layer.name, layer.stride
    check_clips(rewriter, layer)
    x = rewriter.by_frames(features, name)
    parts = [
        FrameSlice(i, features.frames, stride, name=f"{name}_slice{i}", **FLOAT)(x)
        for i in range(stride)
    ]
    return _by_pixels(rewriter, features, _concatenate(parts, -1, name), name)


@rule(GloRe)
def glo_re(rewriter, layer, features):
    """Gather positions into nodes, mix nodes and states, scatter them to the positions."""
    name = layer.name
    check_clips(rewriter, layer)
    x = Features(rewriter.plain(features, f"{name}_input"), features.frames)
    _, height, width, _ = x.shape
    weights = convolve(
        x, pointwise_kernel(layer.node_kernel), array(layer.node_bias), name=f"{name}_weights"
    )
    weights = rewriter.by_frames(weights, f"{name}_weights")
    share = 1 / (x.frames * height * width) if layer.normalize else 1.0
    kernel, bias = pointwise_kernel(layer.state_kernel), array(layer.state_bias)
    states = convolve(x, share * kernel, share * bias, name=f"{name}_states")
    states = rewriter.by_frames(states, f"{name}_states")
    nodes = NodeGather(name=f"{name}_nodes", **FLOAT)([states, weights])

    # Nodes are the channels here. The identity in the kernel is the residual connection.
    kernel = array(layer.mix_nodes_kernel)
    kernel = (kernel + np.eye(len(kernel), dtype="float32"))[None, None]
    nodes = Features(nodes, 1)
    mixed = convolve(
        nodes, kernel, array(layer.mix_nodes_bias), activation="relu", name=f"{name}_mixed"
    )
    by_node = keras.layers.Permute((1, 3, 2), name=f"{name}_by_node", **FLOAT)(mixed.tensor)

    kernel, bias = layer.conv.folded_weights()
    kernel = (array(layer.mix_states_kernel) @ array(kernel)[0, 0, 0])[None, None]
    bias = np.zeros(kernel.shape[-1], "float32") if bias is None else array(bias)
    told = convolve(Features(by_node, 1), kernel, np.zeros_like(bias), name=f"{name}_told")
    scatter = NodeScatter(name=f"{name}_scattered", **FLOAT)
    y = scatter([weights, told.tensor])
    scatter.set_weights([bias])
    y = rewriter.by_pixels(y, height, width, name)
    y = keras.layers.Add(name=name, **FLOAT)([x.tensor, y])
    return Features(y, x.frames)


def _by_pixels(rewriter, features, x, name):
    """Return the image of frames and pixels `x` as frames of the size of `features`."""
    _, height, width, _ = features.shape
    y = rewriter.by_pixels(x, height, width, name)
    return features._replace(tensor=y, frames=x.shape[1], conv=None)


def _concatenate(parts, axis, name):
    if len(parts) == 1:
        return parts[0]
    return keras.layers.Concatenate(axis=axis, name=f"{name}_joined", **FLOAT)(parts)
