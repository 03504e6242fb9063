"""X3D models: the general builder `X3D`, and a builder for each size of the paper."""

import keras

from keras_video.applications.building import ModelBuilder, check_video_shape, pool
from keras_video.applications.x3d import config as configs
from keras_video.applications.x3d.weights import read
from keras_video.blocks import mbconv3d, stem, symmetric_conv
from keras_video.layers.initializers import HeNormal

CLASSES = 400  # Kinetics-400


def X3D(
    config,
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build any X3D from its config (Feichtenhofer 2020, arXiv 2004.04730).

    `X3DXS` to `X3DXL` are the sizes of the paper. The model averages over the whole clip. The
    published code does so only for clips of the size that the model was built for.

    Args:
        config: `X3DConfig`.
        include_top: bool, whether to add the classifier.
        weights: `None` (random), `"kinetics400"` (all sizes but XL), or a path: a PyTorch file with
            the published names (`.pyth`, `.pth`, `.pt`; a state dict, or a dict with one under
            `"model_state"`), or a `.weights.h5`, `.keras` or `.npz` file of this library; or an
            address `"hf://owner/name"`, see `keras_video.hub.load`.
        input_shape: `(frames, height, width, 3)`. Height and width are at least 32; entries may be
            `None`. Default: `(None, None, None, 3)`.
        input_tensor: Keras tensor `(batch, frames, height, width, 3)` to use as input.
        pooling: output for `include_top=False`. `None`: the features of the last convolution,
            `(batch, frames, height / 32, width / 32, filters)`. `"avg"` or `"max"`: their mean or
            maximum over space and time, `(batch, filters)`.
        classes: int, number of classes. Default: that of the weights, else 400. If the weights have
            another number of classes, all layers but the last are loaded, and a line is printed.
        classifier_activation: activation of the last layer. Default: `None`, logits.
        include_preprocessing: bool. If `True`, the model takes pixels in 0..255, else normalised
            pixels, `(pixel / 255 - 0.45) / 0.225`, see `x3d.preprocess_input`.
        name: string, name of the model.
        dtype: dtype or dtype policy of the layers, for example `"mixed_bfloat16"`.
        **options: fields of `applications.x3d.X3DConfig` to replace, for example `dropout=0.2`.

    Returns:
        A `keras_video.models.VideoClassifier`. It maps a clip `(batch, frames, height, width, 3)`
        to logits `(batch, classes)`.

    Raises:
        ValueError: for invalid arguments, and for weights that do not fit the model.

    Example:
    >>> from keras_video.applications.x3d import CONFIGS, X3D
    >>> model = X3D(CONFIGS["x3d_s"], classes=10, dropout=0.2)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    config = config.with_options(**options)
    builder = ModelBuilder(
        include_top, weights, input_shape, input_tensor, pooling, classes,
        read=lambda weights, frames: read(config, weights),
        default_shape=(None, None, None, 3),
        default_classes=CLASSES,
        check_shape=lambda argument, shape: check_video_shape(
            argument, shape, smallest=configs.REDUCTION
        ),
    )  # fmt: skip
    x = builder.frames
    if include_preprocessing:
        x = normalized_pixels(x, dtype)
    plan = config.plan(builder.classes)
    x = stem(x, plan.stem, plan.stem_temporal, dtype)
    for block in plan.blocks:
        x = mbconv3d(x, block, dtype)
    x = symmetric_conv(x, plan.head, "relu", dtype)
    x = pool(x, builder.pooling, dtype)
    if include_top:
        x = classify(x, plan, config.dropout, classifier_activation, dtype)
    return builder.finish(
        builder.inputs,
        x,
        name=name or config.name,
        info={
            "family": "x3d",
            "config": config.to_dict(),
            "clip": list(config.clip),
            "frame_stride": config.frame_stride,
            "resize_side": config.resize_side,
            "mean": configs.MEAN,
            "deviation": configs.DEVIATION,
            "pixels": 255 if include_preprocessing else None,
            "smallest": configs.REDUCTION,
        },
        rebuild=lambda include_top, classes: X3D(config, include_top, classes=classes),
    )


def normalized_pixels(x, dtype, name="normalized_pixels"):
    """Normalise pixels in 0..255 to `(pixel / 255 - mean) / deviation`."""
    scale = 1 / (255 * configs.DEVIATION)
    offset = -configs.MEAN / configs.DEVIATION
    return keras.layers.Rescaling(scale, offset, dtype=dtype, name=name)(x)


def classify(x, plan, dropout, classifier_activation, dtype):
    """Classify pooled features `(batch, channels)`; the predictions are float32."""
    x = keras.layers.Dense(
        plan.hidden.filters,
        activation="relu",
        use_bias=plan.hidden.use_bias,
        kernel_initializer=HeNormal(),
        dtype=dtype,
        name=plan.hidden.name,
    )(x)
    if dropout:
        x = keras.layers.Dropout(dropout, dtype=dtype, name="classifier_dropout")(x)
    return keras.layers.Dense(
        plan.classifier.filters,
        activation=classifier_activation,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name=plan.classifier.name,
    )(x)


def X3DXS(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build X3D-XS (Feichtenhofer 2020, arXiv 2004.04730).

    Published for clips of 4 frames of 160x160 pixels, one of every 12 frames of a video whose
    smaller side is 182. Any clip `(batch, frames, height, width, 3)` of at least 32x32 pixels, in
    0..255, is accepted.

    Weights: `"kinetics400"`, or a path.

    The arguments are described in `applications.X3D`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.X3DXS(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return X3D(
        configs.XS, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip


def X3DS(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build X3D-S (Feichtenhofer 2020, arXiv 2004.04730).

    Published for clips of 13 frames of 160x160 pixels, one of every 6 frames of a video whose
    smaller side is 182. Any clip `(batch, frames, height, width, 3)` of at least 32x32 pixels, in
    0..255, is accepted.

    Weights: `"kinetics400"`, or a path.

    The arguments are described in `applications.X3D`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.X3DS(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return X3D(
        configs.S, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip


def X3DM(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build X3D-M (Feichtenhofer 2020, arXiv 2004.04730).

    Published for clips of 16 frames of 224x224 pixels, one of every 5 frames of a video whose
    smaller side is 256. Any clip `(batch, frames, height, width, 3)` of at least 32x32 pixels, in
    0..255, is accepted.

    Weights: `"kinetics400"`, or a path.

    The arguments are described in `applications.X3D`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.X3DM(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return X3D(
        configs.M, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip


def X3DL(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build X3D-L (Feichtenhofer 2020, arXiv 2004.04730).

    Published for clips of 16 frames of 312x312 pixels, one of every 5 frames of a video whose
    smaller side is 356. Any clip `(batch, frames, height, width, 3)` of at least 32x32 pixels, in
    0..255, is accepted.

    Weights: `"kinetics400"`, or a path.

    The arguments are described in `applications.X3D`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.X3DL(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return X3D(
        configs.L, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip


def X3DXL(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build X3D-XL (Feichtenhofer 2020, arXiv 2004.04730).

    Published for clips of 16 frames of 312x312 pixels, one of every 5 frames of a video whose
    smaller side is 356. Any clip `(batch, frames, height, width, 3)` of at least 32x32 pixels, in
    0..255, is accepted.

    Weights: none are published. `weights` may be a path. The published code has no model of this
    size: the width and depth here are those that give the paper's parameters and multiply-adds.

    The arguments are described in `applications.X3D`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.X3DXL(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return X3D(
        configs.XL, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip
