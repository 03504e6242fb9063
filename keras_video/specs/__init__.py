"""Pure Python descriptions of networks: what each row computes, weighs and costs. No Keras here."""

from keras_video.specs.attention import ContextGate, NonLocal
from keras_video.specs.primitives import (
    Conv,
    Dense,
    Depthwise,
    Pool,
    Scale,
    SqueezeExcite,
    conv_output_size,
    round_channels,
)
from keras_video.specs.temporal import TemporalBlend

__all__ = [
    "ContextGate",
    "Conv",
    "Dense",
    "Depthwise",
    "NonLocal",
    "Pool",
    "Scale",
    "SqueezeExcite",
    "TemporalBlend",
    "conv_output_size",
    "round_channels",
]
