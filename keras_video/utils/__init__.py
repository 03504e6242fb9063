"""Costs of a model, counted without building it."""

from keras_video.lazy import listing
from keras_video.utils.complexity import macs, params, peak_activation_memory, state_size

__all__ = ["macs", "params", "peak_activation_memory", "state_size"]
__dir__ = listing(__all__)
