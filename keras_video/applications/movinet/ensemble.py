"""`MoViNetA6`: what the release calls A6, the mean of A4 and A5."""

import keras

from keras_video.applications.movinet.builders import MoViNetA4, MoViNetA5
from keras_video.models import VideoClassifier

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
