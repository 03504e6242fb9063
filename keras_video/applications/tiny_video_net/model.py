"""Tiny Video Network builder: from a specification to a Keras model.

`TinyVideoNet1` .. `4`, `TinyVideoNetMobile1` and `2`, two reconstructions, one of our own.
"""

import keras

from keras_video.applications.building import check_head, check_video_shape, frames_input
from keras_video.applications.tiny_video_net import config as configs
from keras_video.applications.tiny_video_net.config import TinyVideoNetConfig
from keras_video.blocks import tiny_video
from keras_video.layers import CumulativeAvgPool, FrameMeans, FrameVote
from keras_video.models import VideoClassifier

CLASSES = 339  # Moments in Time, which most of the networks were evolved on


def TinyVideoNet(
    spec,
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
    """Builds any Tiny Video Network; `TinyVideoNet1` and so on are the published ones.

    Args:
        spec: `TinyVideoNetConfig`, its `to_dict()`, or a dict as the published code writes it
            (`image_size`, `num_frames`, blocks with `spatial_type` and so on).
        **options: fields of `TinyVideoNetConfig` to replace, such as `dropout=0.2` or
            `head="per_frame"`, and `activation="hard_swish"`, which is then that of all blocks.

    The other arguments, the returned model and the errors are those of `TinyVideoNet1`.
    """
    config = spec if isinstance(spec, TinyVideoNetConfig) else _from_dict(spec)
    config = config.with_options(**options)
    check_head(pooling, classes)
    default = (config.frames, None, None, 3)
    inputs = frames_input(input_shape, input_tensor, default, _check_input_shape)
    frames = inputs.shape[1]
    source = None
    if weights is not None:
        from keras_video.applications.tiny_video_net import weights as loading

        source = loading.read(config, weights, frames)
    if classes is None:
        classes = source.classes if source and source.classes else CLASSES
    plan = config.plan(classes, frames)
    x = inputs
    if include_preprocessing:
        x = keras.layers.Rescaling(1 / 255.0, dtype=dtype, name="unit_pixels")(x)
    for application in plan.applications:
        x = tiny_video(x, application, dtype)
    if include_top:
        x = _classify(x, config, plan.classifier, classifier_activation, dtype)
    elif pooling == "avg":
        x = CumulativeAvgPool(keep_frames=False, dtype=dtype, name="head_pool")(x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling3D(dtype=dtype, name="head_pool")(x)

    if input_tensor is not None:
        inputs = keras.utils.get_source_inputs(input_tensor)
        inputs = inputs[0] if len(inputs) == 1 else inputs
    model = VideoClassifier(inputs, x, name=name or config.name)
    model._set_info(
        {
            "family": "tiny_video_net",
            "config": config.to_dict(),
            "clip": [frames, *config.clip[1:]],
            "frames": frames,
            "frame_stride": config.frame_stride,
            "pixels": 255 if include_preprocessing else 1,
            "smallest": 1,
            "classes": classes if include_top else None,
            "weights": source.label if source else None,
        }
    )
    if source is not None:

        def rebuild(include_top, classes):
            shape = (frames, None, None, 3)
            return TinyVideoNet(config, include_top, input_shape=shape, classes=classes or 1)

        loading.fill(model, source, rebuild)
    return model


def _from_dict(spec):
    if not isinstance(spec, dict):
        raise ValueError(f"spec: expected a TinyVideoNetConfig or a dict, got {spec!r}.")
    return TinyVideoNetConfig.from_dict(spec)


def _classify(x, config, row, classifier_activation, dtype):
    """The head on the features of the last block; predictions in float32."""
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


def _check_input_shape(argument, shape):
    """Raises unless `shape` is that of a video with a known number of frames."""
    check_video_shape(argument, shape)
    if shape[0] is None:
        raise ValueError(
            f"{argument}: expected a known number of frames, which decides about the layers of a "
            f"Tiny Video Network, got {shape}."
        )


_DOC = """Builds {title} (Piergiovanni et al. 2019, arXiv 1910.06961).

    {origin}
    Made for clips of {frames} frames of {size}x{size} pixels, {sampling}. Any size is accepted;
    another number of frames makes another network, because a block has no temporal part once a
    single frame is left. A clip is taken as it comes: unlike the published code for the mobile
    networks, nothing is cut off or resized inside the network.

    Args:
        include_top: bool, whether to end in the classifier.
        weights: `None` (random), {named}or a path: a TF1 Hub module or another
            TensorFlow checkpoint (prefix, folder or `.tar.gz`) with the published variable names,
            or `.weights.h5`, `.keras` or `.npz` of this library.
        input_shape: `(frames, height, width, 3)`; height and width may be `None`. Default:
            `({frames}, None, None, 3)`.
        input_tensor: Keras tensor to build on instead.
        pooling: for `include_top=False`: `None` returns the features of the last block
            `(batch, frames, height, width, channels)`, `"avg"` and `"max"` their mean or maximum
            over space and time.
        classes: int. Default: that of the weights, else 339, those of Moments in Time. With weights
            of another number all but the last layer is loaded, and a line says so.
        classifier_activation: activation of the last layer; default `None`, logits.
        include_preprocessing: bool. If true the network takes pixels in 0..255, else in [0, 1].
            Nothing is published about the pixels; the published examples feed 0..1.
        name: string.
        dtype: dtype or policy of the layers, for example `"mixed_bfloat16"`.
        **options: fields of `applications.tiny_video_net.TinyVideoNetConfig` to change, such as
            `dropout=0.2` or `head="per_frame"`; and `activation="hard_swish"`, which is then the
            activation of all blocks.

    Returns:
        A `keras_video.models.VideoClassifier`.

    Raises:
        ValueError: for bad arguments, and for weights that do not fit the network.

    Example:
    >>> model = keras_video.applications.{builder}(classes=10)
    >>> model(keras.ops.zeros((1, {frames}, 32, 32, 3))).shape
    (1, 10)
    """

_PUBLISHED = """The network is that of the published code, layer by layer. It has other parameter
    and FLOP counts than the paper's tables print (`keras_video.utils.params`, `macs`).
"""
_RECONSTRUCTED = """This is a reconstruction, not the authors' network, whose structure was never
    published. It was made up to meet what the paper says: size, frames, frame stride and FLOPs. It
    has no published weights, and the paper's accuracies say nothing about it.
"""
_FOUND = """This one is not published: this library's own evolution found it on moving digits,
    within a measured limit of 0.12 ms on one core (`benchmarks/search_tvn.py`). Its clips are 4
    frames out of a motion of 16.
"""


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
        return TinyVideoNet(
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

    origin, named = _PUBLISHED, ""
    if config.name.endswith("_reconstruction"):
        origin = _RECONSTRUCTED
    elif config.name in configs.CHARADES:
        named = '`"charades"` (157 classes), '
    elif config is configs.DIGITS:
        origin, named = _FOUND, '`"moving_digits"` (16 classes, shipped), '
    stride = config.frame_stride
    name = "TinyVideoNet" + title.replace("-", "").replace(" ", "").removeprefix("TVN")
    build.__name__ = build.__qualname__ = name
    build.__doc__ = _DOC.format(
        title=title,
        builder=name,
        origin=origin,
        frames=config.frames,
        size=config.size,
        sampling="one after the other" if stride == 1 else f"one of every {stride} of the video",
        named=named,
    )
    return build


TinyVideoNet1 = _builder(configs.TVN1, "TVN-1")
TinyVideoNet2 = _builder(configs.TVN2, "TVN-2")
TinyVideoNet3 = _builder(configs.TVN3, "TVN-3")
TinyVideoNet4 = _builder(configs.TVN4, "TVN-4")
TinyVideoNetMobile1 = _builder(configs.MOBILE1, "TVN-Mobile-1")
TinyVideoNetMobile2 = _builder(configs.MOBILE2, "TVN-Mobile-2")
TinyVideoNet5Reconstruction = _builder(configs.TVN5, "TVN-5 Reconstruction")
TinyVideoNet6Reconstruction = _builder(configs.TVN6, "TVN-6 Reconstruction")
TinyVideoNetMovingDigits = _builder(configs.DIGITS, "TVN-Moving-Digits")
