"""bLVNet-TAM models: the general builder `BLVNetTAM`, and a builder for each published depth."""

import keras

from keras_video.applications.blvnet_tam import config as configs
from keras_video.applications.blvnet_tam.weights import moments_of, published_frames, read
from keras_video.applications.building import ModelBuilder, check_video_shape, pool
from keras_video.blocks import big_little, big_little_stem, residual
from keras_video.layers import FrameMeans

CLASSES = 174  # Something-Something


def BLVNetTAM(
    config,
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    num_frames=None, **options,
):  # fmt: skip
    """Build any bLVNet-TAM from its config (Fan et al. 2019, "More Is Less", NeurIPS).

    Consecutive frames of a clip form pairs. The second frame of a pair goes through a deep branch
    at low resolution, the first through a slim branch at full resolution. Depthwise temporal
    aggregation before each stage mixes the pairs over time.

    `BLVNetTAM50` and so on are the published models.

    Args:
        config: `BLVNetTAMConfig`.
        include_top: bool, whether to add the classifier.
        weights: `None` (random), the name of published weights, a path, or an address
            `"hf://owner/name"`, see `keras_video.hub.load`. Names are those in
            `applications.blvnet_tam.RECORDS`, for example `"something_something_v1_8x2"`, and
            `"imagenet"`, which has no temporal aggregation and no classifier. These files must be
            downloaded by hand: the error says from where and where to put them. A path is a
            `.pth.tar` file of the official project (a state dict or a training checkpoint; read
            with torch, no code in it is executed), or a `.weights.h5`, `.keras` or `.npz` file of
            this library. Weights do not depend on the number of frames.
        input_shape: `(frames, height, width, input_channels)`, an even number of frames; entries
            but the last may be `None`. Default: `(num_frames, None, None, input_channels)`.
        input_tensor: Keras tensor `(batch, frames, height, width, channels)` to use as input.
        pooling: output for `include_top=False`. `None`: the features of the last block,
            `(batch, num_frames / 2, height / 32, width / 32, 2048)`. `"avg"` or `"max"`: their mean
            or maximum over space and time, `(batch, 2048)`.
        classes: int, number of classes. Default: that of the weights, else 174, that of
            Something-Something. If the weights have another number of classes, all layers but the
            last are loaded, and a line is printed.
        classifier_activation: activation of the last layer. Default: `None`, logits.
        include_preprocessing: bool. If `True`, the model takes pixels in 0..255, else the result of
            `applications.blvnet_tam.preprocess_input`.
        name: string, name of the model.
        dtype: dtype or dtype policy of the layers, for example `"mixed_bfloat16"`.
        num_frames: even int, number of frames of a clip. Default: that of published weights,
            else 16.
        **options: fields of `applications.blvnet_tam.BLVNetTAMConfig` to replace: `alpha=2` and
            `beta=4` (how much narrower and shallower the little branch is), `blending_frames=3`,
            `dropout=0.5`, `input_channels=3` (10 for five steps of optical flow), `width=64`, and
            `temporal="shift"` or `"none"` instead of temporal aggregation.

    Returns:
        A `keras_video.models.VideoClassifier`. It maps a clip `(batch, num_frames, height, width,
        input_channels)` to logits `(batch, classes)`.

    Raises:
        ValueError: for invalid arguments, and for weights that do not fit the model.

    Example:
    >>> from keras_video.applications.blvnet_tam import BLVNetTAM, CONFIGS
    >>> model = BLVNetTAM(CONFIGS["blvnet_tam_50"], classes=10, num_frames=4)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    config = config.with_options(**options)
    config = config.with_options(num_frames=_frames(config, num_frames, weights, input_shape))
    channels = config.input_channels
    builder = ModelBuilder(
        include_top, weights, input_shape, input_tensor, pooling, classes,
        read=lambda weights, frames: read(config, weights),
        default_shape=(config.num_frames, None, None, channels),
        default_classes=CLASSES,
        check_shape=lambda argument, shape: _check_shape(argument, shape, channels),
    )  # fmt: skip
    x = builder.frames
    if include_preprocessing:
        x = _normalize(x, channels, dtype)
    plan = config.plan(builder.classes)
    x = big_little_stem(x, plan.stem, dtype)
    for stage in plan.stages:
        x = big_little(x, stage, dtype)
    for block in plan.last:
        x = residual(x, block, dtype)
    if include_top:
        x = _classify(x, config.dropout, plan.classifier, classifier_activation, dtype)
    else:
        x = pool(x, pooling, dtype)
    mean, std = moments_of(channels)
    return builder.finish(
        builder.inputs,
        x,
        name=name or config.name,
        info={
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
        },
        rebuild=lambda include_top, classes: BLVNetTAM(config, include_top, classes=classes),
    )


def _frames(config, num_frames, weights, input_shape):
    """Return the number of frames: as given, else that of published weights, else the config's."""
    given = input_shape[0] if input_shape is not None and len(input_shape) else None
    if num_frames is None:
        if given is not None:
            return given
        return published_frames(config.name, weights) or config.num_frames
    if given not in (None, num_frames):
        raise ValueError(f"num_frames: expected that of input_shape, {given}, got {num_frames!r}.")
    return num_frames


def _normalize(x, channels, dtype):
    """Normalise pixels in 0..255 with the mean and deviation of the training data."""
    mean, std = moments_of(channels)
    return keras.layers.Rescaling(
        scale=[1 / (255.0 * s) for s in std],
        offset=[-m / s for m, s in zip(mean, std, strict=True)],
        dtype=dtype,
        name="normalize",
    )(x)


def _classify(x, dropout, row, classifier_activation, dtype):
    """Classify the features of all pairs of frames; the predictions are float32.

    The published model averages the logits of the pairs. The last layer is linear, so averaging
    their features gives the same and is cheaper. Dropout still differs between pairs.
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


def _check_shape(argument, shape, channels):
    """Check that `shape` is that of a video with an even number of frames."""
    check_video_shape(argument, shape, channels)
    if shape[0] is not None and shape[0] % 2:
        raise ValueError(
            f"{argument}: expected an even number of frames, because the model processes pairs "
            f"of frames, got {shape}."
        )


def BLVNetTAM50(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    num_frames=None, **options,
):  # fmt: skip
    """Build bLVNet-TAM-50 (Fan et al. 2019, "More Is Less", NeurIPS).

    Published for clips of 16 frames and more of 224x224 pixels, spread evenly over the video. Any
    clip `(batch, num_frames, height, width, 3)` with an even number of frames, of any size and in
    0..255, is accepted.

    Weights: `"something_something_v1_8x2"` and others in `applications.blvnet_tam.RECORDS`,
    `"imagenet"`, or a path.

    The arguments that are not listed here are described in `applications.blvnet_tam.BLVNetTAM`.

    Args:
        num_frames: even int, number of frames of a clip. Default: that of published weights,
            else 16.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.BLVNetTAM50(classes=10, num_frames=4)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return BLVNetTAM(
        configs.R50, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, num_frames, **options,
    )  # fmt: skip


def BLVNetTAM101(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    num_frames=None, **options,
):  # fmt: skip
    """Build bLVNet-TAM-101 (Fan et al. 2019, "More Is Less", NeurIPS).

    Published for clips of 16 frames and more of 224x224 pixels, spread evenly over the video. Any
    clip `(batch, num_frames, height, width, 3)` with an even number of frames, of any size and in
    0..255, is accepted.

    Weights: `"something_something_v1_8x2"` and others in `applications.blvnet_tam.RECORDS`,
    `"imagenet"`, or a path.

    The arguments that are not listed here are described in `applications.blvnet_tam.BLVNetTAM`.

    Args:
        num_frames: even int, number of frames of a clip. Default: that of published weights,
            else 16.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.BLVNetTAM101(classes=10, num_frames=4)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return BLVNetTAM(
        configs.R101, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, num_frames, **options,
    )  # fmt: skip


def BLVNetTAM152(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    num_frames=None, **options,
):  # fmt: skip
    """Build bLVNet-TAM-152 (Fan et al. 2019, "More Is Less", NeurIPS).

    Published for clips of 16 frames and more of 224x224 pixels, spread evenly over the video. Any
    clip `(batch, num_frames, height, width, 3)` with an even number of frames, of any size and in
    0..255, is accepted.

    Weights: none are published. `weights` may be a path. The published code has this depth, but it
    was never trained.

    The arguments that are not listed here are described in `applications.blvnet_tam.BLVNetTAM`.

    Args:
        num_frames: even int, number of frames of a clip. Default: that of published weights,
            else 16.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.BLVNetTAM152(classes=10, num_frames=4)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return BLVNetTAM(
        configs.R152, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, num_frames, **options,
    )  # fmt: skip
