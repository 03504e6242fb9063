"""Rules for layers of big-little networks: temporal aggregation, merge of branches."""

import keras
import numpy as np

from keras_video.layers import BigLittleMerge, TemporalAggregation
from keras_video.layers.temporal_aggregation import OF_PAIR
from keras_video.mobile.primitives import FrameSlice, Grow, Refold
from keras_video.mobile.rules.attention import pointwise
from keras_video.mobile.rules.convolution import INSIDE, convolution, fill
from keras_video.mobile.rules.registry import (
    FLOAT,
    Features,
    activate,
    add,
    array,
    check_clips,
    rule,
    rule_for,
)


@rule(TemporalAggregation)
def temporal_aggregation(rewriter, layer, features, of_pair=None):
    """Blend frames by a depthwise kernel; equal pairs have one for each of their two frames."""
    name = layer.name
    check_clips(rewriter, layer)
    if layer.blend != "sum" or layer.num_frames is not None:
        raise ValueError(
            f"model: expected {name} with blend='sum' and num_frames=None, got {layer.blend!r} and "
            f"{layer.num_frames}, which have no mobile form."
        )
    wanted = OF_PAIR[:2] if of_pair in (None, "both") else (of_pair,)
    kernel = array(layer.kernel) * features.factor
    taps = dict(zip(layer.distances, kernel, strict=True))
    if layer.equal_pairs:
        outputs = tuple(
            _blend(rewriter, layer, features, _of_pairs(taps, frame), f"{name}_{frame}")
            for frame in wanted
        )
        if of_pair is None:
            return _joined(outputs, name)
    else:
        y = _blend(rewriter, layer, features, taps, name)
        if of_pair is None:
            return y
        outputs = tuple(_frame_of_pairs(rewriter, y, frame, f"{name}_{frame}") for frame in wanted)
    return outputs if of_pair == "both" else outputs[0]


@rule(BigLittleMerge)
def big_little_merge(rewriter, layer, little, big=None):
    """Enlarge the big branch, project the little one, add, activate, fuse."""
    name = layer.name
    if big is not None and big.shape[1:3] != little.shape[1:3]:
        x = rewriter.plain(big, f"{name}_big")
        grow = Grow(little.shape[1:3], name=f"{name}_grown", **FLOAT)
        big = big._replace(tensor=grow(x), factor=1.0, conv=None)
    if layer.projection is not None:
        y = pointwise(rewriter, layer.conv, little, big, layer.activation, name)
    elif big is None:
        y = activate(rewriter, little, layer.activation, name)
    else:
        y = add(rewriter, (little, big), f"{name}_sum", name)
        y = activate(rewriter, y, layer.activation, name)
    if layer.fusion is None:
        return y
    return rule_for(layer.fusion)(rewriter, layer.fusion, y._replace(conv=None))


def _of_pairs(taps, frame):
    """Return the weights by distance in pairs, for the first or the second frame of each pair."""
    merged = {}
    for distance, weights in taps.items():
        later = (distance + OF_PAIR.index(frame)) // 2
        merged[later] = merged.get(later, 0) + weights
    return merged


def _blend(rewriter, layer, features, taps, name):
    """Sum the frames at these distances with weights, then activate."""
    _, height, width, channels = features.shape
    first, last = min(taps), max(taps)
    nothing = np.zeros(channels, "float32")
    kernel = np.stack([taps.get(i, nothing) for i in range(first, last + 1)])
    x = rewriter.by_frames(features, name)
    before, after = max(-first, 0), max(last, 0)
    if before or after:
        pad = keras.layers.ZeroPadding2D(((before, after), (0, 0)), name=f"{name}_padded", **FLOAT)
        x = pad(x)
    # If all distances have the same sign, the window does not contain the frame itself.
    start, count = before + first, features.frames + last - first
    if (start, count) != (0, x.shape[1]):
        x = FrameSlice(start, start + count, name=f"{name}_window", **FLOAT)(x)
    inside = layer.activation if layer.activation in INSIDE else None
    conv = convolution(kernel[:, None, None], channels, channels, (1, 1), "valid", inside, name)
    y = conv(x)
    fill(conv, kernel[:, None, None], nothing)
    y = Features(rewriter.by_pixels(y, height, width, name), features.frames)
    return y if inside else activate(rewriter, y, layer.activation, name)


def _frame_of_pairs(rewriter, features, frame, name):
    """Take the first or the second of every two frames."""
    _, height, width, _ = features.shape
    x = rewriter.by_frames(features, name)
    x = FrameSlice(OF_PAIR.index(frame), features.frames, 2, name=name, **FLOAT)(x)
    y = rewriter.by_pixels(x, height, width, name)
    return features._replace(tensor=y, frames=x.shape[1], conv=None)


def _joined(outputs, name):
    """Interleave first and second frames."""
    frames, (_, height, width, channels) = outputs[0].frames, outputs[0].shape
    parts = [
        Refold((1, height * width, channels), name=f"{name}_part{i}", **FLOAT)(y.tensor)
        for i, y in enumerate(outputs)
    ]
    pairs = keras.layers.Concatenate(axis=1, name=f"{name}_pairs", **FLOAT)(parts)
    shape = (height, width, channels)
    y = Refold(shape, name=f"{name}_joined", **FLOAT)(pairs)
    return outputs[0]._replace(tensor=y, frames=2 * frames)
