"""Models: networks that take clips or streams."""

from keras_video.models.folding import copy_weights, fold_batch_norm
from keras_video.models.rolling import RollingStream
from keras_video.models.stream import Stream
from keras_video.models.temporal_ensemble import EnsembleStream, TemporalEnsemble
from keras_video.models.two_stream_classifier import TwoStreamClassifier
from keras_video.models.video_classifier import VideoClassifier

__all__ = [
    "EnsembleStream",
    "RollingStream",
    "Stream",
    "TemporalEnsemble",
    "TwoStreamClassifier",
    "VideoClassifier",
    "copy_weights",
    "fold_batch_norm",
]
