"""Small data sets that come with the library."""

from keras_video.datasets import moving_digits

__all__ = ["moving_digits"]
