"""Layers for videos, `(batch, frames, height, width, channels)`, on every Keras backend.

Layers that mix frames stream: `layer(x)` treats `x` as a whole video, `layer(x, state)` as its
continuation and returns `(y, new_state)`. See `StreamingLayer`.
"""

from keras_video.layers.activations import ACTIVATIONS, GATES
from keras_video.layers.causal_conv3d import CausalConv3D
from keras_video.layers.cumulative_avg_pool import CumulativeAvgPool
from keras_video.layers.depthwise_conv3d import DepthwiseConv3D
from keras_video.layers.positional_encoding import PositionalEncoding
from keras_video.layers.rezero import ReZero
from keras_video.layers.spatial_avg_pool import SpatialAvgPool
from keras_video.layers.squeeze_excite import SqueezeExcite
from keras_video.layers.stochastic_depth import StochasticDepth
from keras_video.layers.stream_buffer import StreamBuffer
from keras_video.layers.streaming import StreamingLayer
from keras_video.layers.video_conv3d import VideoConv3D

__all__ = [
    "ACTIVATIONS",
    "CausalConv3D",
    "CumulativeAvgPool",
    "DepthwiseConv3D",
    "GATES",
    "PositionalEncoding",
    "ReZero",
    "SpatialAvgPool",
    "SqueezeExcite",
    "StochasticDepth",
    "StreamBuffer",
    "StreamingLayer",
    "VideoConv3D",
]
