"""Layers of super-networks: they hold the weights of all variants, and a selection masks some.

After every layer, channels that are not selected are exactly zero. Masks are applied to the scale
and offset of batch norms, which are small, and not to videos. So they cost almost no time.
"""

from keras_video.lazy import listing
from keras_video.tuner.one_shot.masked.bottleneck import (
    BottleneckOptions,
    MaskedBottleneck,
    MaskedSqueezeExcite,
    Picked,
)
from keras_video.tuner.one_shot.masked.conv import (
    MaskedConv3D,
    Width,
    fit,
    pick,
    pick_width,
)
from keras_video.tuner.one_shot.masked.depthwise import MaskedDepthwise3D

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
__dir__ = listing(__all__)
