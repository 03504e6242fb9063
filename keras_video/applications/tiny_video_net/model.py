"""Tiny Video Network builder: from a specification to a Keras model."""

import keras

from keras_video.applications.inputs import check_head, check_video_shape, frames_input
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
        from keras_video.applications.tiny_video_net import loading

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
