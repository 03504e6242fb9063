"""The settings with which the official MoViNets were trained on Kinetics-600."""

from dataclasses import dataclass

import keras
from keras import ops

from keras_video import applications
from keras_video.applications import movinet
from keras_video.checks import check_number
from keras_video.training.finetune import SmoothedCrossentropy


@dataclass(frozen=True)
class TrainingRecipe:
    """The settings of one published training run.

    They come from the official configuration files in the TensorFlow Model Garden.

    Args:
        model: string, `"a0"` to `"a5"` or `"t0"`.
        causal: bool, whether the streaming variant was trained.
        frames: int, frames of a training clip. Their rate and size are those of the evaluation.
            Dropout and stochastic depth are part of the model's config.
        stride_jitter: int, largest random change of the frame stride (at 25 frames per second).
        batch_size: int, clips in a step.
        steps, warmup_steps: ints, number of all steps, and of those of the linear warm-up.
        learning_rate: float, start of the cosine schedule.
        rho, momentum, epsilon: floats, those of RMSprop.
        clip_norm: float, global norm to which gradients are clipped.
        weight_decay: float. The loss has a term of `weight_decay / 2` times the sum of squares of
            the kernels of all convolutions, without biases, batch norm and the last layer.
        label_smoothing: float in [0, 1).
        area, aspect: ranges of the random resized crop.
        auto_augment: bool, whether the official run used AutoAugment.
    """

    model: str
    causal: bool
    frames: int
    stride_jitter: int
    auto_augment: bool
    batch_size: int = 1024
    steps: int = 85_785
    warmup_steps: int = 2_145
    learning_rate: float = 1.8
    rho: float = 0.9
    momentum: float = 0.9
    epsilon: float = 1.0
    clip_norm: float = 1.0
    weight_decay: float = 3e-5
    label_smoothing: float = 0.1
    area: tuple = (0.08, 1.0)
    aspect: tuple = (0.5, 2.0)

    @property
    def config(self):
        """The `MoViNetConfig`, which has the resolution, frame rate and variant."""
        config = movinet.CONFIGS[f"movinet_{self.model}"]
        return config.streaming() if self.causal else config

    def build(self, classes=600, **options):
        """Build the clip model with weight decay; the options are those of `MoViNetA0`."""
        builder = getattr(applications, f"MoViNet{self.model.upper()}")
        return regularize(
            builder(classes=classes, causal=self.causal, **options), self.weight_decay
        )

    def optimizer(self, batch_size=None, steps=None):
        """Return RMSprop with the recipe's schedule.

        Args:
            batch_size: int, scales the learning rate by `batch_size / 1024`; default no scaling.
            steps: int, number of steps of a longer or shorter run; the warm-up is scaled with it.
        """
        scale = 1.0 if batch_size is None else batch_size / self.batch_size
        total = self.steps if steps is None else steps
        warmup = self.warmup_steps * total / self.steps
        return keras.optimizers.RMSprop(
            WarmupCosine(self.learning_rate * scale, total, warmup),
            rho=self.rho,
            momentum=self.momentum,
            epsilon=self.epsilon,
            global_clipnorm=self.clip_norm,
        )

    def loss(self):
        """Return the cross entropy of int labels and logits, with the recipe's label smoothing."""
        return SmoothedCrossentropy(self.label_smoothing)


def _recipes():
    frames = {"t0": 25, "a0": 50, "a1": 50, "a2": 50, "a3": 64, "a4": 32, "a5": 32}
    return {
        f"{model}_{'stream' if causal else 'base'}": TrainingRecipe(
            model=model,
            causal=causal,
            frames=count,
            stride_jitter=0 if causal else 1,
            auto_augment=model == "a5" or (model != "t0" and not causal),
        )
        for model, count in frames.items()
        for causal in (False, True)
    }


RECIPES = _recipes()


def regularize(model, weight_decay):
    """Add weight decay, as an L2 loss, to the kernels of a model's convolutions.

    The loss is `weight_decay / 2` times the sum of squares, as with TensorFlow's `l2_loss`. Biases,
    batch norm and the last layer are left out. It becomes part of `model.losses` and is not saved.

    Args:
        model: Keras model.
        weight_decay: float, at least 0.

    Returns:
        The model.

    Raises:
        ValueError: if `weight_decay` is negative.
    """
    check_number("weight_decay", weight_decay, 0)
    kernels = [w for w in model.trainable_weights if w.path.endswith("kernel")]
    last = [w for w in model.layers[-1].trainable_weights]
    for kernel in kernels:
        if weight_decay and all(kernel is not w for w in last):
            kernel.regularizer = keras.regularizers.L2(weight_decay / 2)
    return model


@keras.saving.register_keras_serializable("keras_video")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Cosine decay to zero with a linear warm-up, as in the official training code.

    Unlike with `keras.optimizers.schedules.CosineDecay`, the warm-up does not shift the cosine: it
    rises from zero to the value that the cosine has at the end of the warm-up.

    Args:
        learning_rate: float, value of the cosine at step 0.
        steps: int, the step at which the cosine reaches 0.
        warmup_steps: number of warm-up steps.
    """

    def __init__(self, learning_rate, steps, warmup_steps):
        super().__init__()
        self.learning_rate = learning_rate
        self.steps = steps
        self.warmup_steps = warmup_steps

    def __call__(self, step):
        step = ops.cast(step, "float32")
        if not self.warmup_steps:
            return self._cosine(step)
        line = self._cosine(float(self.warmup_steps)) * step / self.warmup_steps
        return ops.where(step < self.warmup_steps, line, self._cosine(step))

    def _cosine(self, step):
        part = ops.minimum(ops.cast(step, "float32") / self.steps, 1.0)
        return 0.5 * self.learning_rate * (1.0 + ops.cos(3.14159265358979 * part))

    def get_config(self):
        names = ("learning_rate", "steps", "warmup_steps")
        return {name: getattr(self, name) for name in names}
