"""Training: fine-tuning, clip-recurrent training of streams, evaluation."""

from keras_video.lazy import listing
from keras_video.training.backup import resumable_fit
from keras_video.training.evaluation import evaluate
from keras_video.training.finetune import SmoothedCrossentropy, finetune
from keras_video.training.recipes import RECIPES, TrainingRecipe, WarmupCosine, regularize
from keras_video.training.recurrent import ClipRecurrent

__all__ = [
    "RECIPES",
    "ClipRecurrent",
    "SmoothedCrossentropy",
    "TrainingRecipe",
    "WarmupCosine",
    "evaluate",
    "finetune",
    "regularize",
    "resumable_fit",
]
__dir__ = listing(__all__)
