"""Layers for videos `(batch, frames, height, width, channels)`, on every Keras backend.

Layers that mix frames can stream: `layer(x)` takes `x` as a whole video, and `layer(x, state)`
continues a video and returns `(y, new_state)`. See `StreamingLayer`.
"""

from keras_video.layers.activations import ACTIVATIONS, GATES
from keras_video.layers.big_little_merge import BigLittleMerge
from keras_video.layers.cumulative_avg_pool import CumulativeAvgPool
from keras_video.layers.gated_conv3d import GatedConv3D
from keras_video.layers.glore import GloRe
from keras_video.layers.non_local import NonLocal
from keras_video.layers.pooling import (
    FrameMeans,
    FrameVote,
    SpatialAvgPool,
    SpatialMaxPool,
    TemporalPool,
)
from keras_video.layers.residual import ReZero, StochasticDepth
from keras_video.layers.squeeze_excite import ContextGate, PositionalEncoding, SqueezeExcite
from keras_video.layers.streaming import StreamBuffer, StreamingLayer
from keras_video.layers.temporal_aggregation import TemporalAggregation
from keras_video.layers.two_streams import (
    TimeStridedConvFusion,
    TimeStridedSampling,
    TimeToChannelFusion,
)
from keras_video.layers.video_conv3d import CausalConv3D, DepthwiseConv3D, VideoConv3D
from keras_video.lazy import listing

__all__ = [
    "ACTIVATIONS",
    "BigLittleMerge",
    "CausalConv3D",
    "ContextGate",
    "CumulativeAvgPool",
    "DepthwiseConv3D",
    "FrameMeans",
    "FrameVote",
    "GATES",
    "GatedConv3D",
    "GloRe",
    "NonLocal",
    "PositionalEncoding",
    "ReZero",
    "SpatialAvgPool",
    "SpatialMaxPool",
    "SqueezeExcite",
    "StochasticDepth",
    "StreamBuffer",
    "StreamingLayer",
    "TemporalAggregation",
    "TemporalPool",
    "TimeStridedConvFusion",
    "TimeStridedSampling",
    "TimeToChannelFusion",
    "VideoConv3D",
]
__dir__ = listing(__all__)
