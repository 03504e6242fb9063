"""Rules for pooling layers: over pixels, over frames, over both."""

import keras

from keras_video.layers import (
    CumulativeAvgPool,
    FrameMeans,
    FrameVote,
    SpatialAvgPool,
    SpatialMaxPool,
    TemporalPool,
)
from keras_video.layers.frames import same_pads
from keras_video.mobile.primitives import (
    FrameAvgPool,
    FrameMaxPool,
    FramesPool,
    Refold,
    RunningMean,
)
from keras_video.mobile.rules.registry import FLOAT, check_clips, rule


@rule(SpatialAvgPool)
def spatial_avg_pool(rewriter, layer, features):
    """Average within every frame."""
    twin = FrameAvgPool(layer.pool_size, layer.strides, layer.padding, name=layer.name, **FLOAT)
    return features._replace(tensor=twin(features.tensor), conv=None)


@rule(SpatialMaxPool)
def spatial_max_pool(rewriter, layer, features):
    """Take the maximum within every frame. Pending factors are above 0 and stay pending."""
    twin = FrameMaxPool(layer.pool_size, layer.strides, layer.padding, name=layer.name, **FLOAT)
    return features._replace(tensor=twin(features.tensor), conv=None)


@rule(TemporalPool)
def temporal_pool(rewriter, layer, features):
    """Pool over frames, by Keras' layers if no window reaches over the end."""
    check_clips(rewriter, layer)
    _, height, width, _ = features.shape
    size, stride = layer.pool_size, layer.strides
    x = rewriter.by_frames(features, layer.name)
    if same_pads((features.frames,), (size,), (stride,)) == ((0, 0),):
        pools = {"max": keras.layers.MaxPooling2D, "avg": keras.layers.AveragePooling2D}
        pool = pools[layer.mode]((size, 1), (stride, 1), name=layer.name, **FLOAT)
    else:
        pool = FramesPool(size, stride, layer.mode, name=layer.name, **FLOAT)
    y = pool(x)
    frames = y.shape[1]
    y = rewriter.by_pixels(y, height, width, layer.name)
    return features._replace(tensor=y, frames=frames, conv=None)


@rule(FrameMeans)
def frame_means(rewriter, layer, features):
    """Average the pixels of every frame."""
    return pixel_means(features, layer.name)


@rule(keras.layers.GlobalAveragePooling1D)
def mean_over_frames(rewriter, layer, features):
    """Average features over frames."""
    check_clips(rewriter, layer)
    if layer.data_format != "channels_last":
        raise ValueError(
            f"model: expected {layer.name} with data_format='channels_last', got "
            f"{layer.data_format!r}."
        )
    x = rewriter.by_frames(features, layer.name)
    y = keras.layers.GlobalAveragePooling2D(keepdims=True, name=layer.name, **FLOAT)(x)
    return features._replace(tensor=y, frames=1, conv=None)


@rule(CumulativeAvgPool)
def cumulative_avg_pool(rewriter, layer, features):
    """Average the pixels, then the frames so far."""
    means = pixel_means(features, layer.name)
    return running_mean(rewriter, means, layer.name, layer.keep_frames)


@rule(keras.layers.GlobalMaxPooling3D)
def global_max_pooling(rewriter, layer, features):
    """Take the maximum over all frames and pixels."""
    check_clips(rewriter, layer)
    x = rewriter.by_frames(features, layer.name)
    y = keras.layers.GlobalMaxPooling2D(keepdims=True, name=layer.name, **FLOAT)(x)
    return features._replace(tensor=y, frames=1, conv=None)


@rule(FrameVote)
def frame_vote(rewriter, layer, features):
    """Apply the same layer to `(batch, frames, classes)`."""
    x = rewriter.plain(features, f"{layer.name}_input")
    x = Refold((features.frames, x.shape[-1]), name=f"{layer.name}_frames", **FLOAT)(x)
    y = FrameVote(name=layer.name, **FLOAT)(x)
    y = Refold((1, 1, y.shape[-1]), name=f"{layer.name}_pixels", **FLOAT)(y)
    return features._replace(tensor=y, frames=1, factor=1.0, conv=None)


def pixel_means(features, name):
    """Average the pixels, to `(batch * frames, 1, 1, channels)`."""
    pool = keras.layers.GlobalAveragePooling2D(keepdims=True, name=name, **FLOAT)
    return features._replace(tensor=pool(features.tensor), conv=None)


def running_mean(rewriter, features, name, keep_frames):
    """Average features over the frames so far."""
    frames = features.frames
    layer = RunningMean(frames, keep_frames, name=f"{name}_running", **FLOAT)
    frames = frames if keep_frames else 1
    if not rewriter.stream:
        return features._replace(tensor=layer(features.tensor), frames=frames)
    channels = features.shape[-1]
    mean = rewriter.state(f"{name}_mean", (1, 1, 1, channels))
    clock = rewriter.clock("inverse_count", features.frames)
    y = layer([features.tensor, mean, clock])
    kept = y
    if frames > 1:  # the runner keeps the last of them
        kept = Refold((frames, 1, channels), name=f"{name}_mean_frames", **FLOAT)(y)
    rewriter.keep(f"{name}_mean", kept)
    return features._replace(tensor=y, frames=frames)
