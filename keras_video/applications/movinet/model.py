"""MoViNet builders: from a config to a Keras model.

`MoViNetA0` .. `MoViNetA5` and `MoViNetT0`: the published networks.

`MoViNetA6`: what the release calls A6, the mean of A4 and A5.
"""

import keras

from keras_video.applications.building import check_head, check_reducible_shape, frames_input
from keras_video.applications.movinet import config as configs
from keras_video.blocks import StreamGraph, bottleneck, conv
from keras_video.layers import CumulativeAvgPool
from keras_video.layers.initializers import HeNormal
from keras_video.models import VideoClassifier


def MoViNet(
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
    streaming=False,
    **options,
):
    """Builds any MoViNet from its config; `MoViNetA0` .. `MoViNetA5` are the published ones.

    Args:
        config: `MoViNetConfig`, its rows and its variant.
        streaming: bool, adds the state as second input and output; the variant must be causal.
        **options: fields of `Variant` to replace.

    The other arguments, the returned model and the errors are those of `MoViNetA0`.
    """
    config = config.with_options(**options)
    if streaming and not config.variant.causal:
        raise ValueError("streaming: expected a causal variant beside streaming=True.")
    check_head(pooling, classes)
    if pooling == "max" and streaming:
        raise ValueError("pooling: expected None or 'avg' beside streaming=True, got 'max'.")
    source = None
    if weights is not None:
        from keras_video.applications.movinet import weights as loading

        source = loading.read(config, weights)
    if classes is None:
        classes = source.classes if source and source.classes else 600
    graph = StreamGraph(streaming)
    anything = (None, None, None, 3)
    frames = frames_input(input_shape, input_tensor, anything, check_reducible_shape)
    x = frames
    if include_preprocessing:
        x = keras.layers.Rescaling(1 / 255.0, dtype=dtype, name="unit_pixels")(x)
    variant = config.variant
    plan = config.plan(classes)
    active = {"activation": variant.activation, "causal": variant.causal, "dtype": dtype}
    x = conv(graph, x, plan.stem, **active)
    for block in plan.blocks:
        x = bottleneck(graph, x, block, variant, dtype)
    x = conv(graph, x, plan.head, **active)
    if include_top or pooling == "avg":
        x = graph(CumulativeAvgPool(keep_frames=False, dtype=dtype, name="head_pool"), x)
    elif pooling == "max":
        x = keras.layers.GlobalMaxPooling3D(dtype=dtype, name="head_pool")(x)
    if include_top:
        x = _classify(x, plan, variant, classifier_activation, dtype)

    if input_tensor is not None:
        frames = keras.utils.get_source_inputs(input_tensor)
        frames = frames[0] if len(frames) == 1 else frames
    model = VideoClassifier(
        [frames, graph.inputs] if streaming else frames,
        [x, graph.outputs] if streaming else x,
        name=name or config.name + ("_stream" if streaming else ""),
    )
    model._set_info(
        {
            "family": "movinet",
            "config": config.to_dict(),
            "clip": list(config.clip),
            "frame_rate": config.frame_rate,
            "pixels": 255 if include_preprocessing else 1,
            "smallest": configs.REDUCTION,
            "classes": classes if include_top else None,
            "weights": source.label if source else None,
        }
    )
    if source is not None:

        def rebuild(include_top, classes):
            return MoViNet(config, include_top, classes=classes or 1, streaming=streaming)

        loading.fill(model, source, rebuild)
    return model


def _classify(x, plan, variant, classifier_activation, dtype):
    """The classifier head on pooled features `(batch, project)`; predictions in float32."""
    dense = {"kernel_initializer": HeNormal(), "dtype": dtype}
    dense["activation"] = variant.head_activation
    x = keras.layers.Dense(plan.hidden.filters, name=plan.hidden.name, **dense)(x)
    if variant.dropout:
        x = keras.layers.Dropout(variant.dropout, dtype=dtype, name="classifier_dropout")(x)
    return keras.layers.Dense(
        plan.classifier.filters,
        activation=classifier_activation,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
        dtype="float32",
        name=plan.classifier.name,
    )(x)


_DOC = """Builds {title} (Kondratyuk et al. 2021, arXiv 2103.11511).

    Published for clips of {frames} frames of {size}x{size} pixels at {frame_rate:g} frames per
    second; any number of frames and any size from 32 pixels is accepted.

    Args:
        include_top: bool, whether to end in the classifier.
        weights: `None` (random), `"kinetics600"`, `"kinetics400"` (base only),
            `"moving_digits"` (A0 only, shipped), or a path: an official TensorFlow checkpoint
            (prefix, folder or `.tar.gz`), a SavedModel folder, `.weights.h5`, `.keras` or `.npz` of
            this library, or a state dict of Atze00/MoViNet-pytorch.
        input_shape: `(frames, height, width, 3)`, entries may be `None`; default all open.
        input_tensor: Keras tensor to build on instead.
        pooling: for `include_top=False`: `None` returns the features of the last convolution
            `(batch, frames, height / 32, width / 32, filters)`, `"avg"` and `"max"` their mean or
            maximum over space and time.
        classes: int. Default: that of the weights, else 600. With weights of another number all
            but the last layer is loaded, and a line says so.
        classifier_activation: activation of the last layer; default `None`, logits.
        include_preprocessing: bool. If true the network takes pixels in 0..255, else in [0, 1].
        name: string.
        dtype: dtype or policy of the layers, for example `"mixed_bfloat16"`.
        causal: bool, the stream variant as a network for clips: to train it.
        streaming: bool, the stream variant with its state as second input and output. It shares its
            weights files with `causal=True`.
        **options: fields of `applications.movinet.Variant` to change, for example `conv="3d"`,
            `gate="hard_sigmoid_tf_models"` or `stochastic_depth=0.0`.

    Returns:
        A `keras_video.models.VideoClassifier`.

    Raises:
        ValueError: for bad arguments, and for weights that do not fit the network.

    Example:
    >>> model = keras_video.applications.{builder}(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
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
        causal=False,
        streaming=False,
        **options,
    ):
        return MoViNet(
            config.streaming() if causal or streaming else config,
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
            streaming=streaming,
            **options,
        )

    name = title.replace("-", "")
    frames, size = config.clip[:2]
    build.__name__ = build.__qualname__ = name
    build.__doc__ = _DOC.format(
        title=title, builder=name, frames=frames, size=size, frame_rate=config.frame_rate
    )
    return build


MoViNetT0 = _builder(configs.T0, "MoViNet-T0")
MoViNetA0 = _builder(configs.A0, "MoViNet-A0")
MoViNetA1 = _builder(configs.A1, "MoViNet-A1")
MoViNetA2 = _builder(configs.A2, "MoViNet-A2")
MoViNetA3 = _builder(configs.A3, "MoViNet-A3")
MoViNetA4 = _builder(configs.A4, "MoViNet-A4")
MoViNetA5 = _builder(configs.A5, "MoViNet-A5")


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
    """Builds MoViNet-A6: the mean of the logits of MoViNet-A4 and MoViNet-A5.

    A6 has no architecture of its own in the release. Its README says that it is an ensemble of A4
    and A5, and the paper's multiply-adds are the sum of theirs. Each member sees the clip that it
    was published for: 80 frames of 290x290 pixels at 8 frames per second, and 120 of 320x320 at 12.

    Args:
        weights: `None`, `"kinetics600"` or `"kinetics400"`, for both members.
        input_shapes: pair of `(frames, height, width, 3)`, for A4 and for A5; default all open.
        classes, classifier_activation, include_preprocessing, name, dtype, **options: as for
            `MoViNetA4`; the activation is applied to the mean of the logits (Kondratyuk et al.
            2021, section 3.3: unweighted arithmetic mean before the softmax).

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
        raise ValueError("streaming: MoViNetA6 takes two clips and cannot stream, got True.")
    shapes = (None, None) if input_shapes is None else tuple(input_shapes)
    if len(shapes) != 2:
        raise ValueError(f"input_shapes: expected one shape for A4 and one for A5, got {shapes}.")
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
