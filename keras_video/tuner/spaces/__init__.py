"""Search spaces: families of networks, their choices, and what each choice costs."""

from keras_video.lazy import listing
from keras_video.tuner.spaces.base import Slots, Space
from keras_video.tuner.spaces.choices import Choice, ChoiceSpace, Stage
from keras_video.tuner.spaces.costs import CostTable
from keras_video.tuner.spaces.movinet import MoViNetSpace
from keras_video.tuner.spaces.tvn import TVNSpace
from keras_video.tuner.spaces.two_stream import TwoStreamSpace

__all__ = [
    "Choice",
    "ChoiceSpace",
    "CostTable",
    "MoViNetSpace",
    "Slots",
    "Space",
    "Stage",
    "TVNSpace",
    "TwoStreamSpace",
]
__dir__ = listing(__all__)
