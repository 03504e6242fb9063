"""`MoViNetA0` .. `MoViNetA5` and `MoViNetT0`: the published networks."""

from keras_video.applications.movinet import config as configs
from keras_video.applications.movinet.model import MoViNet

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
