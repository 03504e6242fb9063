"""The networks and inputs of all benchmarks: the same weights and the same clips for everybody."""

import numpy as np

SIZES = {"movinet_a0": 172, "movinet_a1": 172, "movinet_a2": 224}
CLASSES = 600


def config(name, streaming=False):
    """The published config, without the random drops of training."""
    if name.startswith("tiny_video_net"):
        from keras_video.applications.tiny_video_net.config import CONFIGS

        return CONFIGS[name].with_options(dropout=0.0)
    if name.startswith("x3d"):
        from keras_video.applications.x3d.config import CONFIGS

        return CONFIGS[name].with_options(dropout=0.0)
    from keras_video.applications.movinet.config import CONFIGS

    chosen = CONFIGS[name].streaming() if streaming else CONFIGS[name]
    return chosen.with_options(dropout=0.0, stochastic_depth=0.0)


def classes(name):
    """Outputs of a network."""
    return {"tiny": 339, "x3d": 400}.get(name.split("_")[0], CLASSES)


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
    from keras_video.applications.movinet import MoViNet
    from keras_video.applications.tiny_video_net import TinyVideoNet
    from keras_video.applications.x3d import X3D
    from keras_video.converters import weight_map

    chosen = config(name, streaming)
    build = X3D if name.startswith("x3d") else TinyVideoNet
    if name.startswith("movinet"):
        build, options = MoViNet, {"streaming": streaming, **options}
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
