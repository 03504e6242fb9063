"""Rules of the layers between the streams of a network, and of global reasoning."""

import keras
import numpy as np
from keras import ops

from keras_video.layers import GloRe, TimeStridedSampling, TimeToChannelFusion
from keras_video.layers.two_streams import frames_spread
from keras_video.mobile.primitives import FrameSlice, NodeGather, NodeScatter
from keras_video.mobile.rules.convolution import convolve
from keras_video.mobile.rules.registry import Features, rule

FLOAT = {"dtype": "float32"}


@rule(TimeStridedSampling)
def time_strided_sampling(rewriter, layer, features):
    """One slice of every so many frames, or one for every frame that is taken."""
    name, frames = layer.name, features.frames
    _clips_only(rewriter, layer)
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
    """The first, the second, ... frames of the windows side by side in the channels."""
    name, stride = layer.name, layer.stride
    _clips_only(rewriter, layer)
    x = rewriter.by_frames(features, name)
    parts = [
        FrameSlice(i, features.frames, stride, name=f"{name}_slice{i}", **FLOAT)(x)
        for i in range(stride)
    ]
    return _by_pixels(rewriter, features, _concatenate(parts, -1, name), name)


@rule(GloRe)
def glo_re(rewriter, layer, features):
    """Convolutions of the positions and of the nodes, and two products of matrices."""
    name = layer.name
    _clips_only(rewriter, layer)
    x = Features(rewriter.plain(features, f"{name}_input"), features.frames)
    _, height, width, _ = x.shape
    weights = convolve(
        x, _kernel(layer.node_kernel), _numpy(layer.node_bias), name=f"{name}_weights"
    )
    weights = rewriter.by_frames(weights, f"{name}_weights")
    share = 1 / (x.frames * height * width) if layer.normalize else 1.0
    kernel, bias = _kernel(layer.state_kernel), _numpy(layer.state_bias)
    states = convolve(x, share * kernel, share * bias, name=f"{name}_states")
    states = rewriter.by_frames(states, f"{name}_states")
    nodes = NodeGather(name=f"{name}_nodes", **FLOAT)([states, weights])

    # Nodes are the channels while they are mixed, and what they know already is added.
    kernel = _numpy(layer.mix_nodes_kernel)
    kernel = (kernel + np.eye(len(kernel), dtype="float32"))[None, None]
    nodes = Features(nodes, 1)
    mixed = convolve(
        nodes, kernel, _numpy(layer.mix_nodes_bias), activation="relu", name=f"{name}_mixed"
    )
    by_node = keras.layers.Permute((1, 3, 2), name=f"{name}_by_node", **FLOAT)(mixed.tensor)

    kernel, bias = layer.conv.folded_weights()
    kernel = (_numpy(layer.mix_states_kernel) @ _numpy(kernel)[0, 0, 0])[None, None]
    bias = np.zeros(kernel.shape[-1], "float32") if bias is None else _numpy(bias)
    told = convolve(Features(by_node, 1), kernel, np.zeros_like(bias), name=f"{name}_told")
    scatter = NodeScatter(name=f"{name}_scattered", **FLOAT)
    y = scatter([weights, told.tensor])
    scatter.set_weights([bias])
    y = rewriter.by_pixels(y, height, width, name)
    y = keras.layers.Add(name=name, **FLOAT)([x.tensor, y])
    return Features(y, x.frames)


def _clips_only(rewriter, layer):
    if rewriter.stream:
        raise ValueError(f"model: expected a network for a stream, but {layer.name} takes clips.")


def _by_pixels(rewriter, features, x, name):
    """The image of frames and pixels `x` as frames of the size of `features`."""
    _, height, width, _ = features.shape
    y = rewriter.by_pixels(x, height, width, name)
    return features._replace(tensor=y, frames=x.shape[1], conv=None)


def _concatenate(parts, axis, name):
    if len(parts) == 1:
        return parts[0]
    return keras.layers.Concatenate(axis=axis, name=f"{name}_joined", **FLOAT)(parts)


def _kernel(weight):
    """A matrix as a 1x1 kernel."""
    return _numpy(weight)[None, None]


def _numpy(weight):
    return np.asarray(ops.convert_to_numpy(weight), "float32")
