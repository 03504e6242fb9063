"""bLVNet-TAM builder: from a config to a Keras model."""

import keras

from keras_video.applications.blvnet_tam.weights import moments_of, record_of
from keras_video.applications.inputs import check_head, check_video_shape, frames_input
from keras_video.blocks import big_little, big_little_stem, residual
from keras_video.layers import CumulativeAvgPool, FrameMeans
from keras_video.models import VideoClassifier

CLASSES = 174  # Something-Something


def BLVNetTAM(
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
    num_frames=None,
    **options,
):
    """Builds any bLVNet-TAM from its config; `BLVNetTAM50` and so on are the published ones.

    Args:
        config: `BLVNetTAMConfig`.
        **options: fields of `BLVNetTAMConfig` to replace.

    The other arguments, the returned model and the errors are those of `BLVNetTAM50`.
    """
    config = config.with_options(**options)
    config = config.with_options(num_frames=_frames(config, num_frames, weights, input_shape))
    check_head(pooling, classes)
    default = (config.num_frames, None, None, config.input_channels)

    def check(argument, shape):
        _check_input_shape(argument, shape, config.input_channels)

    inputs = frames_input(input_shape, input_tensor, default, check)
    source = None
    if weights is not None:
        from keras_video.applications.blvnet_tam import loading

        source = loading.read(config, weights)
    if classes is None:
        classes = source.classes if source and source.classes else CLASSES
    plan = config.plan(classes)
    x = inputs
    if include_preprocessing:
        x = _normalize(x, config.input_channels, dtype)
    x = big_little_stem(x, plan.stem, dtype)
    for stage in plan.stages:
        x = big_little(x, stage, dtype)
    for block in plan.last:
        x = residual(x, block, dtype)
    if include_top:
        x = _classify(x, config.dropout, plan.classifier, classifier_activation, dtype)
    elif pooling == "avg":
        x = CumulativeAvgPool(keep_frames=False, dtype=dtype, name="head_pool")(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling3D(dtype=dtype, name="head_pool")(x)

    if input_tensor is not None:
        inputs = keras.utils.get_source_inputs(input_tensor)
        inputs = inputs[0] if len(inputs) == 1 else inputs
    model = VideoClassifier(inputs, x, name=name or config.name)
    mean, std = moments_of(config.input_channels)
    model._set_info(
        {
            "family": "blvnet_tam",
            "config": config.to_dict(),
            "clip": list(config.clip),
            "frame_multiple": 2,
            "sampling": config.sampling,
            "resize_side": config.resize_side,
            "mean": list(mean),
            "std": list(std),
            "pixels": 255 if include_preprocessing else None,
            "smallest": 1,
            "classes": classes if include_top else None,
            "weights": source.label if source else None,
        }
    )
    if source is not None:

        def rebuild(include_top, classes):
            return BLVNetTAM(config, include_top, classes=classes or 1)

        loading.fill(model, source, rebuild)
    return model


def _frames(config, num_frames, weights, input_shape):
    """Frames of a clip: as the user says, else as the named weights were trained, else 16."""
    given = input_shape[0] if input_shape is not None and len(input_shape) else None
    if num_frames is None:
        record = record_of(config.name, weights)
        published = record.frames if record else config.num_frames
        return published if given is None else given
    if given not in (None, num_frames):
        raise ValueError(f"num_frames: expected that of input_shape, {given}, got {num_frames!r}.")
    return num_frames


def _normalize(x, channels, dtype):
    """Pixels 0..255 to what the network is trained on."""
    mean, std = moments_of(channels)
    return keras.layers.Rescaling(
        scale=[1 / (255.0 * s) for s in std],
        offset=[-m / s for m, s in zip(mean, std, strict=True)],
        dtype=dtype,
        name="normalize",
    )(x)


def _classify(x, dropout, row, classifier_activation, dtype):
    """The head on the features of all pairs; predictions in float32.

    The mean of the pairs' logits is what the last layer makes of the mean of their features, which
    is cheaper, also where each pair has a dropout of its own.
    """
    x = FrameMeans(dtype=dtype, name="head_frames")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, dtype=dtype, name="classifier_dropout")(x)
    x = keras.layers.GlobalAveragePooling1D(dtype="float32", name="head_pool")(x)
    return keras.layers.Dense(
        row.filters,
        activation=classifier_activation,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
        dtype="float32",
        name=row.name,
    )(x)


def _check_input_shape(argument, shape, channels):
    """Raises unless `shape` is that of a video whose frames form pairs."""
    check_video_shape(argument, shape, channels)
    if shape[0] is not None and shape[0] % 2:
        raise ValueError(
            f"{argument}: expected an even number of frames, which form the pairs of the two "
            f"branches, got {shape}."
        )
