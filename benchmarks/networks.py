"""The models and inputs of all benchmarks, with the same weights and clips on every backend."""

import numpy as np

SIZES = {"movinet_a0": 172, "movinet_a1": 172, "movinet_a2": 224}
CLASSES = 600


def config(name, streaming=False):
    """The published config, without the random drops of training."""
    from keras_video.applications.families import family_of

    chosen = family_of(name).package.CONFIGS[name]
    if not name.startswith("movinet"):
        return chosen.with_options(dropout=0.0)
    chosen = chosen.streaming() if streaming else chosen
    return chosen.with_options(dropout=0.0, stochastic_depth=0.0)


def classes(name):
    """Outputs of a network."""
    from keras_video.applications.families import family_of

    return family_of(name).classes


def random_weights(config, classes=CLASSES, seed=0):
    """Weights `{"layer/variable": array}` that keep activations near one, residuals included."""
    random = np.random.default_rng(seed)
    named = {}
    for name, shape in config.weight_shapes(classes).items():
        leaf = name.rsplit("/", 1)[-1]
        if leaf.endswith("kernel"):
            fan_in = max(1, int(np.prod(shape[:-1])))
            value = random.normal(0.0, (2.0 / fan_in) ** 0.5, shape)
        elif leaf in ("gamma", "moving_variance", "scale"):
            value = random.uniform(0.8, 1.2, shape) * (0.5 if leaf == "scale" else 1.0)
        else:
            value = random.normal(0.0, 0.1, shape)
        named[name] = np.asarray(value, "float32")
    return named


def keras_model(name, streaming=False, input_shape=None, **options):
    """Our network with the random weights; it takes pixels in [0, 1]."""
    from keras_video.applications.families import family_of
    from keras_video.checkpoints import weight_map

    chosen, family = config(name, streaming), family_of(name)
    build = getattr(family.package, family.builder)
    if family.streams:
        options = {"streaming": streaming, **options}
    model = build(
        chosen,
        classes=classes(name),
        input_shape=input_shape,
        include_preprocessing=False,
        **options,
    )
    weight_map.assign(model, random_weights(chosen, classes(name)))
    return model


def clip(batch, frames, size, seed=1):
    """Random pixels in [0, 1), `(batch, frames, size, size, 3)`."""
    shape = (batch, frames, size, size, 3)
    return np.random.default_rng(seed).random(shape, dtype="float32")


def labels(batch, seed=2):
    return np.random.default_rng(seed).integers(0, CLASSES, batch)
