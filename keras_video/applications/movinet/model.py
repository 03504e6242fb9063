"""MoViNet builders: from a config to a Keras model."""

import keras

from keras_video.applications.inputs import check_head, check_reducible_shape, frames_input
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
        from keras_video.applications.movinet import loading

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
