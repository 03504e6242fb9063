"""Rules of the mobile form, one per layer class. This package registers all of them on import."""

from keras_video.lazy import listing
from keras_video.mobile.rules import (
    attention,
    basic,
    big_little,
    convolution,
    pooling,
    two_streams,
)
from keras_video.mobile.rules.registry import Features, rule, rule_for

__all__ = [
    "Features",
    "attention",
    "basic",
    "big_little",
    "convolution",
    "pooling",
    "rule",
    "rule_for",
    "two_streams",
]
__dir__ = listing(__all__)
