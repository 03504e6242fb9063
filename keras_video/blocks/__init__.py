"""Blocks: functions from tensor to tensor that apply layers as a row of `specs` describes them."""

from keras_video.blocks.big_little import big_little, big_little_stem, residual
from keras_video.blocks.bottleneck import bottleneck
from keras_video.blocks.conv import conv, depthwise
from keras_video.blocks.fusion import fuse
from keras_video.blocks.graph import StreamGraph
from keras_video.blocks.mbconv3d import mbconv3d, stem, symmetric_conv
from keras_video.blocks.tiny_video import tiny_video
from keras_video.lazy import listing

__all__ = [
    "StreamGraph",
    "big_little",
    "big_little_stem",
    "bottleneck",
    "conv",
    "depthwise",
    "fuse",
    "mbconv3d",
    "residual",
    "stem",
    "symmetric_conv",
    "tiny_video",
]
__dir__ = listing(__all__)
