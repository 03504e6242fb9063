"""X3D builder: from a config to a Keras model."""

import keras

from keras_video.applications.inputs import check_head, check_reducible_shape, frames_input
from keras_video.applications.x3d import config as configs
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
        from keras_video.applications.x3d import loading

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
