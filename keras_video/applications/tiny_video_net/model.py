"""Tiny Video Network models: the general builder `TinyVideoNet`, and a builder for each network.

`TinyVideoNet1` to `4`, `TinyVideoNetMobile1` and `2` are published. `TinyVideoNet5Reconstruction`
and `6` are reconstructions. `TinyVideoNetMovingDigits` was found by this library's own search.
"""

import keras

from keras_video.applications.building import ModelBuilder, check_video_shape, pool
from keras_video.applications.tiny_video_net import config as configs
from keras_video.applications.tiny_video_net.config import TinyVideoNetConfig
from keras_video.applications.tiny_video_net.weights import read
from keras_video.blocks import tiny_video
from keras_video.layers import CumulativeAvgPool, FrameMeans, FrameVote

CLASSES = 339  # Moments in Time, which most of the networks were evolved on


def TinyVideoNet(
    spec,
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build any Tiny Video Network from its config (Piergiovanni et al. 2019, arXiv 1910.06961).

    `TinyVideoNet1` and so on are the published networks. They are those of the published code,
    whose parameters and FLOPs differ from the paper's tables (`keras_video.utils.params`, `macs`).
    Unlike the published code for the mobile networks, nothing is cropped or resized inside the
    model.

    Args:
        spec: `TinyVideoNetConfig`, its `to_dict()`, or a dict in the format of the published code
            (`image_size`, `num_frames`, blocks with `spatial_type` and so on).
        include_top: bool, whether to add the classifier.
        weights: `None` (random), the name of published weights, a path, or an address
            `"hf://owner/name"`, see `keras_video.hub.load`. Names are `"charades"`
            (TVN-1, 2, 3 and Mobile-1) and `"moving_digits"` (TVN-Moving-Digits). A path is a TF1
            Hub module or another TensorFlow checkpoint (prefix, folder or `.tar.gz`) with the
            published variable names, or a `.weights.h5`, `.keras` or `.npz` file of this library.
        input_shape: `(frames, height, width, 3)`; height and width may be `None`. The layers depend
            on the number of frames: blocks have no temporal part once a single frame is left.
            Default: `(frames of the config, None, None, 3)`.
        input_tensor: Keras tensor `(batch, frames, height, width, 3)` to use as input.
        pooling: output for `include_top=False`. `None`: the features of the last block,
            `(batch, frames, height, width, channels)`. `"avg"` or `"max"`: their mean or maximum
            over space and time, `(batch, channels)`.
        classes: int, number of classes. Default: that of the weights, else 339, that of Moments in
            Time. If the weights have another number of classes, all layers but the last are
            loaded, and a line is printed.
        classifier_activation: activation of the last layer. Default: `None`, logits.
        include_preprocessing: bool. If `True`, the model takes pixels in 0..255, else in [0, 1].
            The range is not published; the published examples use [0, 1].
        name: string, name of the model.
        dtype: dtype or dtype policy of the layers, for example `"mixed_bfloat16"`.
        **options: fields of `TinyVideoNetConfig` to replace, such as `dropout=0.2` or
            `head="per_frame"`, and `activation="hard_swish"`, which sets all activations.

    Returns:
        A `keras_video.models.VideoClassifier`. It maps a clip `(batch, frames, height, width, 3)`
        to logits `(batch, classes)`.

    Raises:
        ValueError: for invalid arguments, and for weights that do not fit the model.

    Example:
    >>> from keras_video.applications.tiny_video_net import CONFIGS, TinyVideoNet
    >>> model = TinyVideoNet(CONFIGS["tiny_video_net_mobile_1"], classes=10, head="per_frame")
    >>> model(keras.ops.zeros((1, 2, 32, 32, 3))).shape
    (1, 10)
    """
    if not isinstance(spec, (TinyVideoNetConfig, dict)):
        raise ValueError(f"spec: expected a TinyVideoNetConfig or a dict, got {spec!r}.")
    config = TinyVideoNetConfig.from_dict(spec) if isinstance(spec, dict) else spec
    config = config.with_options(**options)
    builder = ModelBuilder(
        include_top, weights, input_shape, input_tensor, pooling, classes,
        read=lambda weights, frames: read(config, weights, frames),
        default_shape=(config.frames, None, None, 3),
        default_classes=CLASSES,
        check_shape=_check_shape,
    )  # fmt: skip
    frames = builder.frames.shape[1]
    x = builder.frames
    if include_preprocessing:
        x = keras.layers.Rescaling(1 / 255.0, dtype=dtype, name="unit_pixels")(x)
    plan = config.plan(builder.classes, frames)
    for application in plan.applications:
        x = tiny_video(x, application, dtype)
    if include_top:
        x = _classify(x, config, plan.classifier, classifier_activation, dtype)
    else:
        x = pool(x, pooling, dtype)
    return builder.finish(
        builder.inputs,
        x,
        name=name or config.name,
        info={
            "family": "tiny_video_net",
            "config": config.to_dict(),
            "clip": [frames, *config.clip[1:]],
            "frames": frames,
            "frame_stride": config.frame_stride,
            "pixels": 255 if include_preprocessing else 1,
            "smallest": 1,
        },
        rebuild=lambda include_top, classes: TinyVideoNet(
            config, include_top, input_shape=(frames, None, None, 3), classes=classes
        ),
    )


def _classify(x, config, row, classifier_activation, dtype):
    """Classify the features of the last block; the predictions are float32."""
    per_frame = config.head == "per_frame"
    if per_frame:
        x = FrameMeans(dtype=dtype, name="head_pool")(x)
    else:
        x = CumulativeAvgPool(keep_frames=False, dtype=dtype, name="head_pool")(x)
    if config.dropout:
        x = keras.layers.Dropout(config.dropout, dtype=dtype, name="classifier_dropout")(x)
    x = keras.layers.Dense(
        row.filters,
        activation=None if per_frame else classifier_activation,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name=row.name,
    )(x)
    if not per_frame:
        return x
    x = FrameVote(dtype="float32", name="classifier_vote")(x)
    if classifier_activation is None:
        return x
    return keras.layers.Activation(classifier_activation, dtype="float32", name="answer")(x)


def _check_shape(argument, shape):
    """Check that `shape` is that of a video with a known number of frames."""
    check_video_shape(argument, shape)
    if shape[0] is None:
        raise ValueError(
            f"{argument}: expected a fixed number of frames, because the layers of a Tiny Video "
            f"Network depend on it, got {shape}."
        )


def TinyVideoNet1(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build TVN-1 (Piergiovanni et al. 2019, arXiv 1910.06961).

    Published for clips of 2 frames of 224x224 pixels, one of every 4 of the video. Any clip
    `(batch, 2, height, width, 3)`, in 0..255, is accepted; `input_shape` sets another number of
    frames, which changes the layers.

    Weights: `"charades"` (157 classes), or a path.

    The arguments are described in `applications.TinyVideoNet`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.TinyVideoNet1(classes=10)
    >>> model(keras.ops.zeros((1, 2, 32, 32, 3))).shape
    (1, 10)
    """
    return TinyVideoNet(
        configs.TVN1, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip


def TinyVideoNet2(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build TVN-2 (Piergiovanni et al. 2019, arXiv 1910.06961).

    Published for clips of 2 frames of 256x256 pixels, one of every 7 of the video. Any clip
    `(batch, 2, height, width, 3)`, in 0..255, is accepted; `input_shape` sets another number of
    frames, which changes the layers.

    Weights: `"charades"` (157 classes), or a path.

    The arguments are described in `applications.TinyVideoNet`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.TinyVideoNet2(classes=10)
    >>> model(keras.ops.zeros((1, 2, 32, 32, 3))).shape
    (1, 10)
    """
    return TinyVideoNet(
        configs.TVN2, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip


def TinyVideoNet3(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build TVN-3 (Piergiovanni et al. 2019, arXiv 1910.06961).

    Published for clips of 8 frames of 160x160 pixels, one of every 2 of the video. Any clip
    `(batch, 8, height, width, 3)`, in 0..255, is accepted; `input_shape` sets another number of
    frames, which changes the layers.

    Weights: `"charades"` (157 classes), or a path.

    The arguments are described in `applications.TinyVideoNet`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.TinyVideoNet3(classes=10)
    >>> model(keras.ops.zeros((1, 8, 32, 32, 3))).shape
    (1, 10)
    """
    return TinyVideoNet(
        configs.TVN3, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip


def TinyVideoNet4(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build TVN-4 (Piergiovanni et al. 2019, arXiv 1910.06961).

    Published for clips of 8 frames of 128x128 pixels, one of every 4 of the video. Any clip
    `(batch, 8, height, width, 3)`, in 0..255, is accepted; `input_shape` sets another number of
    frames, which changes the layers.

    Weights: none are published. `weights` may be a path.

    The arguments are described in `applications.TinyVideoNet`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.TinyVideoNet4(classes=10)
    >>> model(keras.ops.zeros((1, 8, 32, 32, 3))).shape
    (1, 10)
    """
    return TinyVideoNet(
        configs.TVN4, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip


def TinyVideoNetMobile1(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build TVN-Mobile-1 (Piergiovanni et al. 2019, arXiv 1910.06961).

    Published for clips of 2 frames of 224x224 pixels, consecutive. Any clip `(batch, 2, height,
    width, 3)`, in 0..255, is accepted; `input_shape` sets another number of frames, which
    changes the layers.

    Weights: `"charades"` (157 classes), or a path.

    The arguments are described in `applications.TinyVideoNet`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.TinyVideoNetMobile1(classes=10)
    >>> model(keras.ops.zeros((1, 2, 32, 32, 3))).shape
    (1, 10)
    """
    return TinyVideoNet(
        configs.MOBILE1, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip


def TinyVideoNetMobile2(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build TVN-Mobile-2 (Piergiovanni et al. 2019, arXiv 1910.06961).

    Published for clips of 2 frames of 224x224 pixels, consecutive. Any clip `(batch, 2, height,
    width, 3)`, in 0..255, is accepted; `input_shape` sets another number of frames, which
    changes the layers.

    Weights: none are published. `weights` may be a path.

    The arguments are described in `applications.TinyVideoNet`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.TinyVideoNetMobile2(classes=10)
    >>> model(keras.ops.zeros((1, 2, 32, 32, 3))).shape
    (1, 10)
    """
    return TinyVideoNet(
        configs.MOBILE2, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip


def TinyVideoNet5Reconstruction(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build TVN-5 Reconstruction (Piergiovanni et al. 2019, arXiv 1910.06961).

    This is a reconstruction, not the authors' network, whose structure is not published. It has
    the size, frames, frame stride and FLOPs given in the paper. The paper's accuracies do not apply
    to it.

    Made for clips of 16 frames of 160x160 pixels, one of every 4 of the video. Any clip
    `(batch, 16, height, width, 3)`, in 0..255, is accepted; `input_shape` sets another number
    of frames, which changes the layers.

    Weights: none are published. `weights` may be a path.

    The arguments are described in `applications.TinyVideoNet`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.TinyVideoNet5Reconstruction(classes=10)
    >>> model(keras.ops.zeros((1, 16, 32, 32, 3))).shape
    (1, 10)
    """
    return TinyVideoNet(
        configs.TVN5, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip


def TinyVideoNet6Reconstruction(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build TVN-6 Reconstruction (Piergiovanni et al. 2019, arXiv 1910.06961).

    This is a reconstruction, not the authors' network, whose structure is not published. It has
    the size, frames, frame stride and FLOPs given in the paper. The paper's accuracies do not apply
    to it.

    Made for clips of 32 frames of 160x160 pixels, one of every 4 of the video. Any clip
    `(batch, 32, height, width, 3)`, in 0..255, is accepted; `input_shape` sets another number
    of frames, which changes the layers.

    Weights: none are published. `weights` may be a path.

    The arguments are described in `applications.TinyVideoNet`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.TinyVideoNet6Reconstruction(classes=10)
    >>> model(keras.ops.zeros((1, 32, 32, 32, 3))).shape
    (1, 10)
    """
    return TinyVideoNet(
        configs.TVN6, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip


def TinyVideoNetMovingDigits(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    **options,
):  # fmt: skip
    """Build TVN-Moving-Digits (Piergiovanni et al. 2019, arXiv 1910.06961).

    This network is not published: this library's own evolution found it on moving digits, within a
    latency limit of 0.12 ms on one core (`benchmarks/search_tvn.py`).

    Made for clips of 4 frames of 32x32 pixels, one of every 5 of the video. Any clip `(batch,
    4, height, width, 3)`, in 0..255, is accepted; `input_shape` sets another number of frames,
    which changes the layers.

    Weights: `"moving_digits"` (16 classes, included in the library), or a path.

    The arguments are described in `applications.TinyVideoNet`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.TinyVideoNetMovingDigits(classes=10)
    >>> model(keras.ops.zeros((1, 4, 32, 32, 3))).shape
    (1, 10)
    """
    return TinyVideoNet(
        configs.DIGITS, include_top, weights, input_shape, input_tensor, pooling, classes,
        classifier_activation, include_preprocessing, name, dtype, **options,
    )  # fmt: skip
