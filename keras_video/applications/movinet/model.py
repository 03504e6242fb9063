"""MoViNet models: the general builder `MoViNet`, and a builder for each published model.

`MoViNetA0` to `MoViNetA5` and `MoViNetT0` are published; `MoViNetA6` is the ensemble of A4 and A5.
"""

import keras

from keras_video.applications.building import ModelBuilder, check_video_shape, pool
from keras_video.applications.movinet import config as configs
from keras_video.applications.movinet.weights import read
from keras_video.blocks import StreamGraph, bottleneck, conv
from keras_video.layers import CumulativeAvgPool
from keras_video.layers.initializers import HeNormal
from keras_video.models import VideoClassifier, copy_weights
from keras_video.models.video_classifier import final_activation


def MoViNet(
    config,
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    streaming=False, **options,
):  # fmt: skip
    """Build any MoViNet from its config (Kondratyuk et al. 2021, arXiv 2103.11511).

    `MoViNetA0` to `MoViNetA5` are the published models.

    Args:
        config: `MoViNetConfig`, the architecture and its variant.
        include_top: bool, whether to add the classifier.
        weights: `None` (random), the name of published weights, a path, or an address
            `"hf://owner/name"`, see `keras_video.hub.load`. Names are `"kinetics600"`,
            `"kinetics400"` (base only) and `"moving_digits"` (A0 only). A path is an official
            TensorFlow checkpoint (prefix, folder or `.tar.gz`), a SavedModel folder, a
            `.weights.h5`, `.keras` or `.npz` file of this library, or a state dict of
            Atze00/MoViNet-pytorch.
        input_shape: `(frames, height, width, 3)`. Height and width are at least 32; entries may be
            `None`. Default: `(None, None, None, 3)`.
        input_tensor: Keras tensor `(batch, frames, height, width, 3)` to use as input.
        pooling: output for `include_top=False`. `None`: the features of the last convolution,
            `(batch, frames, height / 32, width / 32, filters)`. `"avg"` or `"max"`: their mean or
            maximum over space and time, `(batch, filters)`; `"max"` cannot stream.
        classes: int, number of classes. Default: that of the weights, else 600. If the weights have
            another number of classes, all layers but the last are loaded, and a line is printed.
        classifier_activation: activation of the last layer. Default: `None`, logits.
        include_preprocessing: bool. If `True`, the model takes pixels in 0..255, else in [0, 1].
        name: string, name of the model.
        dtype: dtype or dtype policy of the layers, for example `"mixed_bfloat16"`.
        streaming: bool, whether the model takes a state as second input and returns the new state
            as second output. The variant must be causal.
        **options: fields of `applications.movinet.Variant` to replace, for example `conv="3d"`,
            `gate="hard_sigmoid_tf_models"` or `stochastic_depth=0.0`.

    Returns:
        A `keras_video.models.VideoClassifier`. It maps a clip `(batch, frames, height, width, 3)`
        to logits `(batch, classes)`; with `streaming=True`, frames and state to logits and state.

    Raises:
        ValueError: for invalid arguments, and for weights that do not fit the model.

    Example:
    >>> from keras_video.applications.movinet import CONFIGS, MoViNet
    >>> model = MoViNet(CONFIGS["movinet_a0"], classes=10, squeeze="none")
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    config = config.with_options(**options)
    variant = config.variant
    if streaming and not variant.causal:
        raise ValueError("streaming: expected a causal variant for streaming=True, got a base one.")
    if streaming and pooling == "max":
        raise ValueError("pooling: expected None or 'avg' for streaming=True, got 'max'.")
    builder = ModelBuilder(
        include_top, weights, input_shape, input_tensor, pooling, classes,
        read=lambda weights, frames: read(config, weights),
        default_shape=(None, None, None, 3),
        default_classes=600,
        check_shape=lambda argument, shape: check_video_shape(
            argument, shape, smallest=configs.REDUCTION
        ),
    )  # fmt: skip
    graph = StreamGraph(streaming)
    x = builder.frames
    if include_preprocessing:
        x = keras.layers.Rescaling(1 / 255.0, dtype=dtype, name="unit_pixels")(x)
    plan = config.plan(builder.classes)
    active = {"activation": variant.activation, "causal": variant.causal, "dtype": dtype}
    x = conv(graph, x, plan.stem, **active)
    for block in plan.blocks:
        x = bottleneck(graph, x, block, variant, dtype)
    x = conv(graph, x, plan.head, **active)
    if builder.pooling == "avg":
        x = graph(CumulativeAvgPool(keep_frames=False, dtype=dtype, name="head_pool"), x)
    else:
        x = pool(x, builder.pooling, dtype)
    if include_top:
        x = _classify(x, plan, variant, classifier_activation, dtype)
    return builder.finish(
        [builder.inputs, graph.inputs] if streaming else builder.inputs,
        [x, graph.outputs] if streaming else x,
        name=name or config.name + ("_stream" if streaming else ""),
        info={
            "family": "movinet",
            "config": config.to_dict(),
            "clip": list(config.clip),
            "frame_rate": config.frame_rate,
            "resize_side": config.resize_side,
            "pixels": 255 if include_preprocessing else 1,
            "smallest": configs.REDUCTION,
        },
        rebuild=lambda include_top, classes: MoViNet(
            config, include_top, classes=classes, streaming=streaming
        ),
    )


def streaming_twin(model):
    """Build a causal model of clips once more, as a streaming model with the same weights.

    Args:
        model: `VideoClassifier` of `MoViNet(..., causal=True)` or a file of it, trained or not.

    Returns:
        A `VideoClassifier` that takes frames and a state. It knows the class names and the
        `video_input` of `model`. A model that streams already is returned as it is.

    Raises:
        ValueError: for models that cannot stream.

    Example:
    >>> model = keras_video.applications.MoViNetA0(causal=True, classes=10)
    >>> keras_video.applications.movinet.streaming_twin(model).streaming
    True
    """
    if getattr(model, "streaming", False):
        return model
    info = getattr(model, "info", {})
    if info.get("family") != "movinet" or not getattr(model, "causal", False):
        raise ValueError(
            f"model: expected a MoViNet built with causal=True, got {getattr(model, 'name', model)}"
            ", whose outputs depend on later frames."
        )
    activation = final_activation(model)
    twin = MoViNet(
        configs.MoViNetConfig.from_dict(info["config"]),
        streaming=True,
        input_shape=(None, *model.input_shape[2:]),
        classes=info["classes"],
        classifier_activation=None if activation == "linear" else activation,
        include_preprocessing=info["pixels"] == 255,
    )
    copy_weights(model, twin)
    return twin


def _classify(x, plan, variant, classifier_activation, dtype):
    """Classify pooled features `(batch, project)`; the predictions are float32."""
    x = keras.layers.Dense(
        plan.hidden.filters,
        activation=variant.head_activation,
        kernel_initializer=HeNormal(),
        dtype=dtype,
        name=plan.hidden.name,
    )(x)
    if variant.dropout:
        x = keras.layers.Dropout(variant.dropout, dtype=dtype, name="classifier_dropout")(x)
    return keras.layers.Dense(
        plan.classifier.filters,
        activation=classifier_activation,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name=plan.classifier.name,
    )(x)


def _variant(config, causal, streaming):
    return config.streaming() if causal or streaming else config


def MoViNetT0(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    causal=False, streaming=False, **options,
):  # fmt: skip
    """Build MoViNet-T0 (Kondratyuk et al. 2021, arXiv 2103.11511).

    Published for clips of 25 frames of 160x160 pixels at 2.5 frames per second. Any
    clip `(batch, frames, height, width, 3)` of at least 32x32 pixels, in 0..255, is accepted.

    Weights: none are published. `weights` may be a path.

    The arguments that are not listed here are described in `applications.movinet.MoViNet`.

    Args:
        causal: bool, whether to build the stream variant as a model for clips, to train it.
        streaming: bool, whether to build the stream variant with its state as second input and
            output. It can load the weights of a model built with `causal=True`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.MoViNetT0(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return MoViNet(
        _variant(configs.T0, causal, streaming), include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, streaming,
        **options,
    )  # fmt: skip


def MoViNetA0(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    causal=False, streaming=False, **options,
):  # fmt: skip
    """Build MoViNet-A0 (Kondratyuk et al. 2021, arXiv 2103.11511).

    Published for clips of 50 frames of 172x172 pixels at 5 frames per second. Any
    clip `(batch, frames, height, width, 3)` of at least 32x32 pixels, in 0..255, is accepted.

    Weights: `"kinetics600"` (base and stream), `"kinetics400"` (base), `"moving_digits"` (base and
    stream, 16 classes, included in the library), or a path.

    The arguments that are not listed here are described in `applications.movinet.MoViNet`.

    Args:
        causal: bool, whether to build the stream variant as a model for clips, to train it.
        streaming: bool, whether to build the stream variant with its state as second input and
            output. It can load the weights of a model built with `causal=True`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.MoViNetA0(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return MoViNet(
        _variant(configs.A0, causal, streaming), include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, streaming,
        **options,
    )  # fmt: skip


def MoViNetA1(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    causal=False, streaming=False, **options,
):  # fmt: skip
    """Build MoViNet-A1 (Kondratyuk et al. 2021, arXiv 2103.11511).

    Published for clips of 50 frames of 172x172 pixels at 5 frames per second. Any
    clip `(batch, frames, height, width, 3)` of at least 32x32 pixels, in 0..255, is accepted.

    Weights: `"kinetics600"` (base and stream), `"kinetics400"` (base), or a path.

    The arguments that are not listed here are described in `applications.movinet.MoViNet`.

    Args:
        causal: bool, whether to build the stream variant as a model for clips, to train it.
        streaming: bool, whether to build the stream variant with its state as second input and
            output. It can load the weights of a model built with `causal=True`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.MoViNetA1(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return MoViNet(
        _variant(configs.A1, causal, streaming), include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, streaming,
        **options,
    )  # fmt: skip


def MoViNetA2(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    causal=False, streaming=False, **options,
):  # fmt: skip
    """Build MoViNet-A2 (Kondratyuk et al. 2021, arXiv 2103.11511).

    Published for clips of 50 frames of 224x224 pixels at 5 frames per second. Any
    clip `(batch, frames, height, width, 3)` of at least 32x32 pixels, in 0..255, is accepted.

    Weights: `"kinetics600"` (base and stream), `"kinetics400"` (base), or a path.

    The arguments that are not listed here are described in `applications.movinet.MoViNet`.

    Args:
        causal: bool, whether to build the stream variant as a model for clips, to train it.
        streaming: bool, whether to build the stream variant with its state as second input and
            output. It can load the weights of a model built with `causal=True`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.MoViNetA2(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return MoViNet(
        _variant(configs.A2, causal, streaming), include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, streaming,
        **options,
    )  # fmt: skip


def MoViNetA3(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    causal=False, streaming=False, **options,
):  # fmt: skip
    """Build MoViNet-A3 (Kondratyuk et al. 2021, arXiv 2103.11511).

    Published for clips of 120 frames of 256x256 pixels at 12 frames per second. Any
    clip `(batch, frames, height, width, 3)` of at least 32x32 pixels, in 0..255, is accepted.

    Weights: `"kinetics600"` (base and stream), `"kinetics400"` (base), or a path.

    The arguments that are not listed here are described in `applications.movinet.MoViNet`.

    Args:
        causal: bool, whether to build the stream variant as a model for clips, to train it.
        streaming: bool, whether to build the stream variant with its state as second input and
            output. It can load the weights of a model built with `causal=True`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.MoViNetA3(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return MoViNet(
        _variant(configs.A3, causal, streaming), include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, streaming,
        **options,
    )  # fmt: skip


def MoViNetA4(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    causal=False, streaming=False, **options,
):  # fmt: skip
    """Build MoViNet-A4 (Kondratyuk et al. 2021, arXiv 2103.11511).

    Published for clips of 80 frames of 290x290 pixels at 8 frames per second. Any
    clip `(batch, frames, height, width, 3)` of at least 32x32 pixels, in 0..255, is accepted.

    Weights: `"kinetics600"` (base and stream), `"kinetics400"` (base), or a path.

    The arguments that are not listed here are described in `applications.movinet.MoViNet`.

    Args:
        causal: bool, whether to build the stream variant as a model for clips, to train it.
        streaming: bool, whether to build the stream variant with its state as second input and
            output. It can load the weights of a model built with `causal=True`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.MoViNetA4(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return MoViNet(
        _variant(configs.A4, causal, streaming), include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, streaming,
        **options,
    )  # fmt: skip


def MoViNetA5(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    causal=False, streaming=False, **options,
):  # fmt: skip
    """Build MoViNet-A5 (Kondratyuk et al. 2021, arXiv 2103.11511).

    Published for clips of 120 frames of 320x320 pixels at 12 frames per second. Any
    clip `(batch, frames, height, width, 3)` of at least 32x32 pixels, in 0..255, is accepted.

    Weights: `"kinetics600"` (base and stream), `"kinetics400"` (base), or a path.

    The arguments that are not listed here are described in `applications.movinet.MoViNet`.

    Args:
        causal: bool, whether to build the stream variant as a model for clips, to train it.
        streaming: bool, whether to build the stream variant with its state as second input and
            output. It can load the weights of a model built with `causal=True`.

    Returns:
        A `keras_video.models.VideoClassifier` that returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.MoViNetA5(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """
    return MoViNet(
        _variant(configs.A5, causal, streaming), include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, streaming,
        **options,
    )  # fmt: skip


MEMBERS = {"movinet_a4": MoViNetA4, "movinet_a5": MoViNetA5}


def MoViNetA6(
    weights=None,
    input_shapes=None,
    classes=None,
    classifier_activation=None,
    include_preprocessing=True,
    name="movinet_a6",
    dtype=None,
    **options,
):
    """Build MoViNet-A6: the mean of the logits of MoViNet-A4 and MoViNet-A5.

    The official release describes A6 as an ensemble of A4 and A5, and the multiply-adds in the
    paper are the sum of both. Each member takes the clip that it was published for: 80 frames of
    290x290 pixels at 8 frames per second, and 120 frames of 320x320 pixels at 12.

    Args:
        weights: `None`, `"kinetics600"` or `"kinetics400"`, for both members.
        input_shapes: pair of `(frames, height, width, 3)`, for A4 and for A5. Default: all entries
            `None`.
        classes, classifier_activation, include_preprocessing, name, dtype, **options: see
            `MoViNet`. The activation is applied to the mean of the logits (Kondratyuk et al. 2021,
            section 3.3: unweighted arithmetic mean before the softmax).

    Call arguments:
        frames: pair `[clip for A4, clip for A5]`, each `(batch, frames, height, width, 3)`.

    Returns:
        A `keras_video.models.VideoClassifier` with two inputs. It cannot stream.

    Example:
    >>> model = keras_video.applications.MoViNetA6(classes=10)
    >>> model([keras.ops.zeros((1, 2, 64, 64, 3)), keras.ops.zeros((1, 3, 64, 64, 3))]).shape
    (1, 10)
    """
    if options.get("streaming"):
        raise ValueError(
            "streaming: expected False for MoViNetA6, which takes two clips, got True."
        )
    shapes = (None, None) if input_shapes is None else tuple(input_shapes)
    if len(shapes) != 2:
        raise ValueError(
            f"input_shapes: expected a pair of shapes, for A4 and for A5, got {shapes}."
        )
    members = [
        build(
            weights=weights,
            input_shape=shape,
            classes=classes,
            include_preprocessing=include_preprocessing,
            dtype=dtype,
            name=member,
            **options,
        )
        for (member, build), shape in zip(MEMBERS.items(), shapes, strict=True)
    ]
    clips = [keras.Input(m.inputs[0].shape[1:], name=f"{m.name}_frames") for m in members]
    logits = [member(clip) for member, clip in zip(members, clips, strict=True)]
    outputs = keras.layers.Average(dtype="float32", name="mean")(logits)
    if classifier_activation is not None:
        activation = keras.layers.Activation(classifier_activation, dtype="float32", name="answer")
        outputs = activation(outputs)
    model = VideoClassifier(clips, outputs, name=name)
    model._set_info({"family": "movinet", "members": [member.info for member in members]})
    return model
