"""How the official MoViNets were trained on Kinetics-600, written down once."""

from dataclasses import dataclass

import keras
from keras import ops


@dataclass(frozen=True)
class TrainingRecipe:
    """The settings of one published training run (official configuration files, movinet.md 5).

    Args:
        model: string, `"a0"` .. `"a5"` or `"t0"`.
        causal: bool, whether the stream variant was trained.
        frames: int, frames of a training clip; their rate and size are those of the evaluation,
            dropout and stochastic depth are part of the network's config.
        stride_jitter: int, how much the frame stride (of 25 frames per second) varies.
        batch_size: int, clips in a step.
        steps, warmup_steps: ints, steps in all, and of the linear warm-up.
        learning_rate: float, where the cosine begins.
        rho, momentum, epsilon: floats, those of RMSprop.
        clip_norm: float, joint norm to which gradients are clipped.
        weight_decay: float, `weight_decay / 2` times the sum of squares of the kernels of all
            convolutions is added to the loss; biases, batch norm and the last layer are left out.
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
        """The `MoViNetConfig`: resolution, frame rate, variant."""
        from keras_video.applications import movinet

        config = movinet.CONFIGS[f"movinet_{self.model}"]
        return config.streaming() if self.causal else config

    def build(self, classes=600, **options):
        """The network for clips, with the recipe's weight decay; options as of `MoViNetA0`."""
        from keras_video import applications

        builder = getattr(applications, f"MoViNet{self.model.upper()}")
        return regularize(
            builder(classes=classes, causal=self.causal, **options), self.weight_decay
        )

    def optimizer(self, batch_size=None, steps=None):
        """RMSprop with the recipe's schedule.

        Args:
            batch_size: int, scales the learning rate by `batch_size / 1024`; default no scaling.
            steps: int, a run of another length; the warm-up is shortened in proportion.
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
        """Cross entropy of int labels and logits, with the recipe's label smoothing."""
        from keras_video.training.finetune import SmoothedCrossentropy

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
    """Adds weight decay in the form of an L2 loss to the kernels of the convolutions of a model.

    `weight_decay / 2` times the sum of squares, as TensorFlow's `l2_loss` counts; biases, batch
    norm and the last layer are left out. It becomes a part of `model.losses`, and is not saved.

    Args:
        model: Keras model.
        weight_decay: float, at least 0.

    Returns:
        The model.

    Raises:
        ValueError: if `weight_decay` is negative.
    """
    if not weight_decay >= 0:
        raise ValueError(f"weight_decay: expected a number of at least 0, got {weight_decay!r}.")
    kernels = [w for w in model.trainable_weights if w.path.endswith("kernel")]
    last = [w for w in model.layers[-1].trainable_weights]
    for kernel in kernels:
        if weight_decay and all(kernel is not w for w in last):
            kernel.regularizer = keras.regularizers.L2(weight_decay / 2)
    return model


@keras.saving.register_keras_serializable("keras_video")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """A cosine to zero over all steps, whose beginning is replaced by a straight line from zero.

    Unlike `keras.optimizers.schedules.CosineDecay` with a warm-up, the cosine is not shifted: the
    line ends where the cosine is at that step, as in the official training code.

    Args:
        learning_rate: float, value of the cosine at step 0.
        steps: int, where it reaches 0.
        warmup_steps: number of steps of the line.
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
