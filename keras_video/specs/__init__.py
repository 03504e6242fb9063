"""Descriptions in pure Python: architectures row by row, and the input of a model."""

from keras_video.checks import check_int, check_number
from keras_video.lazy import listing
from keras_video.specs.attention import ContextGate, GloRe, NonLocal
from keras_video.specs.mbconv3d import (
    FUSIONS,
    MBConv3D,
    TimeStridedConv,
    TimeStridedSampling,
    TimeToChannel,
    mbconv3d,
)
from keras_video.specs.primitives import (
    Conv,
    Dense,
    Depthwise,
    Pool,
    Scale,
    SqueezeExcite,
    Step,
    TemporalBlend,
    conv_output_size,
    round_channels,
    run_rows,
)
from keras_video.specs.video_input import VideoInput

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
    "VideoInput",
    "check_int",
    "check_number",
    "conv_output_size",
    "mbconv3d",
    "round_channels",
    "run_rows",
]
__dir__ = listing(__all__)
