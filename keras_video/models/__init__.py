"""Models: networks that take clips or streams."""

from keras_video.models.folding import copy_weights, fold_batch_norm
from keras_video.models.rolling import RollingStream
from keras_video.models.stream import Stream
from keras_video.models.video_classifier import VideoClassifier

__all__ = ["RollingStream", "Stream", "VideoClassifier", "copy_weights", "fold_batch_norm"]
