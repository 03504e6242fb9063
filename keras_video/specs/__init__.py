"""Pure Python descriptions of networks: what each row computes, weighs and costs. No Keras here."""

from keras_video.specs.attention import ContextGate, GloRe, NonLocal
from keras_video.specs.checks import check_int, check_number
from keras_video.specs.fusion import FUSIONS, TimeStridedConv, TimeStridedSampling, TimeToChannel
from keras_video.specs.mbconv3d import MBConv3D, mbconv3d
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
from keras_video.specs.steps import Step, run_rows
from keras_video.specs.temporal import TemporalBlend

__all__ = [
    "ContextGate",
    "Conv",
    "Dense",
    "Depthwise",
    "FUSIONS",
    "GloRe",
    "MBConv3D",
    "NonLocal",
    "Pool",
    "Scale",
    "SqueezeExcite",
    "Step",
    "TemporalBlend",
    "TimeStridedConv",
    "TimeStridedSampling",
    "TimeToChannel",
    "check_int",
    "check_number",
    "conv_output_size",
    "mbconv3d",
    "round_channels",
    "run_rows",
]
