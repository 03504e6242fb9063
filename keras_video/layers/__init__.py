"""Layers for videos, `(batch, frames, height, width, channels)`, on every Keras backend.

Layers that mix frames stream: `layer(x)` treats `x` as a whole video, `layer(x, state)` as its
continuation and returns `(y, new_state)`. See `StreamingLayer`.
"""

from keras_video.layers.activations import ACTIVATIONS, GATES
from keras_video.layers.big_little_merge import BigLittleMerge
from keras_video.layers.causal_conv3d import CausalConv3D
from keras_video.layers.context_gate import ContextGate
from keras_video.layers.cumulative_avg_pool import CumulativeAvgPool
from keras_video.layers.depthwise_conv3d import DepthwiseConv3D
from keras_video.layers.frame_means import FrameMeans
from keras_video.layers.frame_vote import FrameVote
from keras_video.layers.gated_conv3d import GatedConv3D
from keras_video.layers.glore import GloRe
from keras_video.layers.non_local import NonLocal
from keras_video.layers.positional_encoding import PositionalEncoding
from keras_video.layers.rezero import ReZero
from keras_video.layers.spatial_avg_pool import SpatialAvgPool
from keras_video.layers.spatial_max_pool import SpatialMaxPool
from keras_video.layers.squeeze_excite import SqueezeExcite
from keras_video.layers.stochastic_depth import StochasticDepth
from keras_video.layers.stream_buffer import StreamBuffer
from keras_video.layers.streaming import StreamingLayer
from keras_video.layers.temporal_aggregation import TemporalAggregation
from keras_video.layers.temporal_pool import TemporalPool
from keras_video.layers.time_strided_conv_fusion import TimeStridedConvFusion
from keras_video.layers.time_strided_sampling import TimeStridedSampling
from keras_video.layers.time_to_channel_fusion import TimeToChannelFusion
from keras_video.layers.video_conv3d import VideoConv3D

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
