"""Small data sets that come with the library."""

from keras_video.datasets import moving_digits
from keras_video.lazy import listing

__all__ = ["moving_digits"]
__dir__ = listing(__all__)
