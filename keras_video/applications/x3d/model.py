"""X3D builder: from a config to a Keras model.

`X3DXS` .. `X3DXL`: the published networks.
"""

import keras

from keras_video.applications.building import check_head, check_reducible_shape, frames_input
from keras_video.applications.x3d import config as configs
from keras_video.applications.x3d.weights import RECORDS
from keras_video.blocks import mbconv3d, stem, symmetric_conv
from keras_video.layers import CumulativeAvgPool
from keras_video.layers.initializers import HeNormal
from keras_video.models import VideoClassifier

CLASSES = 400  # Kinetics-400


def X3D(
    config,
    include_top=True,
    weights=None,
    input_shape=None,
    input_tensor=None,
    pooling=None,
    classes=None,
    classifier_activation=None,
    include_preprocessing=True,
    name=None,
    dtype=None,
    **options,
):
    """Builds any X3D from its config; `X3DS` and so on are the published ones.

    Args:
        config: `X3DConfig`.
        **options: fields of `X3DConfig` to replace.

    The other arguments, the returned model and the errors are those of `X3DS`.
    """
    config = config.with_options(**options)
    check_head(pooling, classes)
    source = None
    if weights is not None:
        from keras_video.applications.x3d import weights as loading

        source = loading.read(config, weights)
    if classes is None:
        classes = source.classes if source and source.classes else CLASSES
    inputs = frames_input(input_shape, input_tensor, (None, None, None, 3), check_reducible_shape)
    plan = config.plan(classes)
    x = inputs
    if include_preprocessing:
        x = normalized_pixels(x, dtype)
    x = stem(x, plan.stem, plan.stem_temporal, dtype)
    for block in plan.blocks:
        x = mbconv3d(x, block, dtype)
    x = symmetric_conv(x, plan.head, "relu", dtype)
    if include_top or pooling == "avg":
        x = CumulativeAvgPool(keep_frames=False, dtype=dtype, name="head_pool")(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling3D(dtype=dtype, name="head_pool")(x)
    if include_top:
        x = classify(x, plan, config.dropout, classifier_activation, dtype)

    if input_tensor is not None:
        inputs = keras.utils.get_source_inputs(input_tensor)
        inputs = inputs[0] if len(inputs) == 1 else inputs
    model = VideoClassifier(inputs, x, name=name or config.name)
    model._set_info(
        {
            "family": "x3d",
            "config": config.to_dict(),
            "clip": list(config.clip),
            "frame_stride": config.frame_stride,
            "resize_side": config.resize_side,
            "mean": configs.MEAN,
            "deviation": configs.DEVIATION,
            "pixels": 255 if include_preprocessing else None,
            "smallest": configs.REDUCTION,
            "classes": classes if include_top else None,
            "weights": source.label if source else None,
        }
    )
    if source is not None:

        def rebuild(include_top, classes):
            return X3D(config, include_top, classes=classes or 1)

        loading.fill(model, source, rebuild)
    return model


def normalized_pixels(x, dtype, name="normalized_pixels"):
    """Pixels 0..255 less their mean, by their deviation."""
    scale = 1 / (255 * configs.DEVIATION)
    offset = -configs.MEAN / configs.DEVIATION
    return keras.layers.Rescaling(scale, offset, dtype=dtype, name=name)(x)


def classify(x, plan, dropout, classifier_activation, dtype):
    """The classifier on pooled features `(batch, channels)`; predictions in float32."""
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


_DOC = """Builds {title} (Feichtenhofer 2020, arXiv 2004.04730).

    Made for clips of {frames} frames of {size}x{size} pixels, one of every {stride} frames of a
    video whose smaller side is {side}; any number of frames and any size from 32 pixels is
    accepted.
    {origin}

    Args:
        include_top: bool, whether to end in the classifier.
        weights: `None` (random), {named}or a path: a PyTorch file with the published names
            (`.pyth`, `.pth`, `.pt`: a state dict, or one below `"model_state"`), or `.weights.h5`,
            `.keras` or `.npz` of this library.
        input_shape: `(frames, height, width, 3)`, entries may be `None`; default all open.
        input_tensor: Keras tensor to build on instead.
        pooling: for `include_top=False`: `None` returns the features of the last convolution
            `(batch, frames, height / 32, width / 32, filters)`, `"avg"` and `"max"` their mean or
            maximum over space and time.
        classes: int. Default: that of the weights, else 400. With weights of another number all
            but the last layer is loaded, and a line says so.
        classifier_activation: activation of the last layer; default `None`, logits.
        include_preprocessing: bool. If true the network takes pixels in 0..255, else normalised
            ones, `(pixel / 255 - 0.45) / 0.225`, see `x3d.preprocess_input`.
        name: string.
        dtype: dtype or policy of the layers, for example `"mixed_bfloat16"`.
        **options: fields of `applications.x3d.X3DConfig` to change, such as `dropout=0.2`.

    Returns:
        A `keras_video.models.VideoClassifier`.

    Raises:
        ValueError: for bad arguments, and for weights that do not fit the network.

    Example:
    >>> model = keras_video.applications.{builder}(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """

_PUBLISHED = """The network is that of the published code (pytorchvideo), which averages over the
    whole clip only at the size a model was built for; here it always does."""
_UNPUBLISHED = """The published code has no network of this size: its width and depth are those that
    give the paper's parameters and multiply-adds."""


def _builder(config, title):
    def build(
        include_top=True,
        weights=None,
        input_shape=None,
        input_tensor=None,
        pooling=None,
        classes=None,
        classifier_activation=None,
        include_preprocessing=True,
        name=None,
        dtype=None,
        **options,
    ):
        return X3D(
            config,
            include_top=include_top,
            weights=weights,
            input_shape=input_shape,
            input_tensor=input_tensor,
            pooling=pooling,
            classes=classes,
            classifier_activation=classifier_activation,
            include_preprocessing=include_preprocessing,
            name=name,
            dtype=dtype,
            **options,
        )

    name = title.replace("-", "")
    build.__name__ = build.__qualname__ = name
    build.__doc__ = _DOC.format(
        title=title,
        builder=name,
        frames=config.frames,
        size=config.size,
        stride=config.frame_stride,
        side=config.resize_side,
        origin=_UNPUBLISHED if config is configs.XL else _PUBLISHED,
        named='`"kinetics400"`, ' if RECORDS[config.name] else "",
    )
    return build


X3DXS = _builder(configs.XS, "X3D-XS")
X3DS = _builder(configs.S, "X3D-S")
X3DM = _builder(configs.M, "X3D-M")
X3DL = _builder(configs.L, "X3D-L")
X3DXL = _builder(configs.XL, "X3D-XL")
