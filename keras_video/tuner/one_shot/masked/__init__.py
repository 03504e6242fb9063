"""Layers of super-networks: all weights are there, and a selection says which of them count.

Channels that do not count are exactly zero behind every layer. So masks are applied to the few
numbers of a batch norm and never to a video, and cost no time.
"""

from keras_video.tuner.one_shot.masked.bottleneck import (
    BottleneckOptions,
    MaskedBottleneck,
    MaskedSqueezeExcite,
    Picked,
)
from keras_video.tuner.one_shot.masked.conv import (
    MaskedConv3D,
    MaskedDepthwise3D,
    Width,
    fit,
    pick,
    pick_width,
)

__all__ = [
    "BottleneckOptions",
    "MaskedBottleneck",
    "MaskedConv3D",
    "MaskedDepthwise3D",
    "MaskedSqueezeExcite",
    "Picked",
    "Width",
    "fit",
    "pick",
    "pick_width",
]
