"""`X3DXS` .. `X3DXL`: the published networks."""

from keras_video.applications.x3d import config as configs
from keras_video.applications.x3d.model import X3D
from keras_video.applications.x3d.weights import RECORDS

_DOC = """Builds {title} (Feichtenhofer 2020, arXiv 2004.04730).

    Made for clips of {frames} frames of {size}x{size} pixels, one of every {stride} frames of a
    video whose smaller side is {side}; any number of frames and any size from 32 pixels is
    accepted.
    {origin}

    Args:
        include_top: bool, whether to end in the classifier.
        weights: `None` (random), {named}or a path: a PyTorch file with the published names
            (`.pyth`, `.pth`, `.pt`: a state dict, or one below `"model_state"`), or `.weights.h5`,
            `.keras` or `.npz` of this library.
        input_shape: `(frames, height, width, 3)`, entries may be `None`; default all open.
        input_tensor: Keras tensor to build on instead.
        pooling: for `include_top=False`: `None` returns the features of the last convolution
            `(batch, frames, height / 32, width / 32, filters)`, `"avg"` and `"max"` their mean or
            maximum over space and time.
        classes: int. Default: that of the weights, else 400. With weights of another number all
            but the last layer is loaded, and a line says so.
        classifier_activation: activation of the last layer; default `None`, logits.
        include_preprocessing: bool. If true the network takes pixels in 0..255, else normalised
            ones, `(pixel / 255 - 0.45) / 0.225`, see `x3d.preprocess_input`.
        name: string.
        dtype: dtype or policy of the layers, for example `"mixed_bfloat16"`.
        **options: fields of `applications.x3d.X3DConfig` to change, such as `dropout=0.2`.

    Returns:
        A `keras_video.models.VideoClassifier`.

    Raises:
        ValueError: for bad arguments, and for weights that do not fit the network.

    Example:
    >>> model = keras_video.applications.{builder}(classes=10)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """

_PUBLISHED = """The network is that of the published code (pytorchvideo), which averages over the
    whole clip only at the size a model was built for; here it always does."""
_UNPUBLISHED = """The published code has no network of this size: its width and depth are those that
    give the paper's parameters and multiply-adds."""


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
        return X3D(
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

    name = title.replace("-", "")
    build.__name__ = build.__qualname__ = name
    build.__doc__ = _DOC.format(
        title=title,
        builder=name,
        frames=config.frames,
        size=config.size,
        stride=config.frame_stride,
        side=config.resize_side,
        origin=_UNPUBLISHED if config is configs.XL else _PUBLISHED,
        named='`"kinetics400"`, ' if RECORDS[config.name] else "",
    )
    return build


X3DXS = _builder(configs.XS, "X3D-XS")
X3DS = _builder(configs.S, "X3D-S")
X3DM = _builder(configs.M, "X3D-M")
X3DL = _builder(configs.L, "X3D-L")
X3DXL = _builder(configs.XL, "X3D-XL")
