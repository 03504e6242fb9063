"""Small embedded data sets."""

from keras_video.datasets import moving_digits

__all__ = ["moving_digits"]
