"""Counting and showing, without building a network."""

from keras_video.utils.complexity import macs, params, peak_activation_memory, state_size

__all__ = ["macs", "params", "peak_activation_memory", "state_size"]
