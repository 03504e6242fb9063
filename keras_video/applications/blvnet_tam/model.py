"""bLVNet-TAM builder: from a config to a Keras model.

`BLVNetTAM50`, `BLVNetTAM101` and `BLVNetTAM152`.
"""

import keras

from keras_video.applications.blvnet_tam import config as configs
from keras_video.applications.blvnet_tam.weights import moments_of, record_of
from keras_video.applications.building import check_head, check_video_shape, frames_input
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
        from keras_video.applications.blvnet_tam import weights as loading

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


_DOC = """Builds {title} (Fan et al. 2019, "More Is Less", NeurIPS).

    {origin}
    A clip is `num_frames` frames spread evenly over the video, of 224x224 pixels; any size is
    accepted. Consecutive frames form pairs: the second of a pair goes through a deep branch on few
    pixels, the first through a slim branch on all of them. Depthwise temporal aggregation before
    each stage mixes them over time.

    Args:
        include_top: bool, whether to end in the classifier.
        weights: `None` (random), a name, or a path. Names: {named}`"imagenet"`, which fills all but
            temporal aggregation and classifier. They are behind web pages: the first attempt says
            what to download and where to put it. Paths: a `.pth.tar` file of the official project
            (a state dict, or a training checkpoint; read with torch, nothing in it is executed),
            or `.weights.h5`, `.keras` or `.npz` of this library. Weights do not depend on the
            number of frames: longer models start from those of shorter ones.
        input_shape: `(frames, height, width, input_channels)`; entries but the last may be `None`.
            Default: `(num_frames, None, None, input_channels)`.
        input_tensor: Keras tensor to build on instead.
        pooling: for `include_top=False`: `None` returns the features of the last block
            `(batch, num_frames / 2, height / 32, width / 32, 2048)`, `"avg"` and `"max"` their mean
            or maximum over space and time.
        classes: int. Default: that of the weights, else 174, those of Something-Something. With
            weights of another number all but the last layer is loaded, and a line says so.
        classifier_activation: activation of the last layer; default `None`, logits.
        include_preprocessing: bool. If true the network takes pixels in 0..255, else what
            `applications.blvnet_tam.preprocess_input` makes of them.
        name: string.
        dtype: dtype or policy of the layers, for example `"mixed_bfloat16"`.
        num_frames: int, even: two frames for each pair. Default: that of named weights, else 16.
        **options: further fields of `applications.blvnet_tam.BLVNetTAMConfig`: `alpha=2` and
            `beta=4`, by which the little branch is narrower and shallower, `blending_frames=3`,
            `dropout=0.5`, `input_channels=3` (10 for five steps of optical flow), `width=64` for
            a narrower network, and `temporal="shift"` or `"none"` for other networks than TAM.

    Returns:
        A `keras_video.models.VideoClassifier`.

    Raises:
        ValueError: for bad arguments, and for weights that do not fit the network.

    Example:
    >>> model = keras_video.applications.{builder}(classes=10, num_frames=4)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """

_PUBLISHED = "The network is that of the published code, layer by layer.\n"
_UNTRAINED = "The published code has this depth; no weights or results were published for it.\n"


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
        num_frames=None,
        **options,
    ):
        return BLVNetTAM(
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
            num_frames=num_frames,
            **options,
        )

    trained = config.name != "blvnet_tam_152"
    names = '`"something_something_v1_8x2"` and others of `RECORDS`, and '
    build.__name__ = build.__qualname__ = title.replace("-", "").replace("bLV", "BLV")
    build.__doc__ = _DOC.format(
        title=title,
        builder=build.__name__,
        origin=_PUBLISHED if trained else _UNTRAINED,
        named=names if trained else "none for this depth; others have ",
    )
    return build


BLVNetTAM50 = _builder(configs.R50, "bLVNet-TAM-50")
BLVNetTAM101 = _builder(configs.R101, "bLVNet-TAM-101")
BLVNetTAM152 = _builder(configs.R152, "bLVNet-TAM-152")
