"""Models of clips and streams."""

from keras_video.lazy import listing
from keras_video.models.grad_cam import saliency
from keras_video.models.stream import RollingStream, Stream, copy_weights, fold_batch_norm
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
    "saliency",
]
__dir__ = listing(__all__)
