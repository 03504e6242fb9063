"""Old place of `keras_video.plotting.plot_two_streams`."""

from keras_video.plotting.architectures import plot_two_streams

__all__ = ["plot_two_streams"]
