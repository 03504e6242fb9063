"""`BLVNetTAM50`, `BLVNetTAM101` and `BLVNetTAM152`."""

from keras_video.applications.blvnet_tam import config as configs
from keras_video.applications.blvnet_tam.model import BLVNetTAM

_DOC = """Builds {title} (Fan et al. 2019, "More Is Less", NeurIPS).

    {origin}
    A clip is `num_frames` frames spread evenly over the video, of 224x224 pixels; any size is
    accepted. Consecutive frames form pairs: the second of a pair goes through a deep branch on few
    pixels, the first through a slim branch on all of them. Depthwise temporal aggregation before
    each stage mixes them over time.

    Args:
        include_top: bool, whether to end in the classifier.
        weights: `None` (random), a name, or a path. Names: {named}`"imagenet"`, which fills all but
            temporal aggregation and classifier. They are behind web pages: the first attempt says
            what to download and where to put it. Paths: a `.pth.tar` file of the official project
            (a state dict, or a training checkpoint; read with torch, nothing in it is executed),
            or `.weights.h5`, `.keras` or `.npz` of this library. Weights do not depend on the
            number of frames: longer models start from those of shorter ones.
        input_shape: `(frames, height, width, input_channels)`; entries but the last may be `None`.
            Default: `(num_frames, None, None, input_channels)`.
        input_tensor: Keras tensor to build on instead.
        pooling: for `include_top=False`: `None` returns the features of the last block
            `(batch, num_frames / 2, height / 32, width / 32, 2048)`, `"avg"` and `"max"` their mean
            or maximum over space and time.
        classes: int. Default: that of the weights, else 174, those of Something-Something. With
            weights of another number all but the last layer is loaded, and a line says so.
        classifier_activation: activation of the last layer; default `None`, logits.
        include_preprocessing: bool. If true the network takes pixels in 0..255, else what
            `applications.blvnet_tam.preprocess_input` makes of them.
        name: string.
        dtype: dtype or policy of the layers, for example `"mixed_bfloat16"`.
        num_frames: int, even: two frames for each pair. Default: that of named weights, else 16.
        **options: further fields of `applications.blvnet_tam.BLVNetTAMConfig`: `alpha=2` and
            `beta=4`, by which the little branch is narrower and shallower, `blending_frames=3`,
            `dropout=0.5`, `input_channels=3` (10 for five steps of optical flow), `width=64` for
            a narrower network, and `temporal="shift"` or `"none"` for other networks than TAM.

    Returns:
        A `keras_video.models.VideoClassifier`.

    Raises:
        ValueError: for bad arguments, and for weights that do not fit the network.

    Example:
    >>> model = keras_video.applications.{builder}(classes=10, num_frames=4)
    >>> model(keras.ops.zeros((1, 4, 64, 64, 3))).shape
    (1, 10)
    """

_PUBLISHED = "The network is that of the published code, layer by layer.\n"
_UNTRAINED = "The published code has this depth; no weights or results were published for it.\n"


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
        num_frames=None,
        **options,
    ):
        return BLVNetTAM(
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
            num_frames=num_frames,
            **options,
        )

    trained = config.name != "blvnet_tam_152"
    names = '`"something_something_v1_8x2"` and others of `RECORDS`, and '
    build.__name__ = build.__qualname__ = title.replace("-", "").replace("bLV", "BLV")
    build.__doc__ = _DOC.format(
        title=title,
        builder=build.__name__,
        origin=_PUBLISHED if trained else _UNTRAINED,
        named=names if trained else "none for this depth; others have ",
    )
    return build


BLVNetTAM50 = _builder(configs.R50, "bLVNet-TAM-50")
BLVNetTAM101 = _builder(configs.R101, "bLVNet-TAM-101")
BLVNetTAM152 = _builder(configs.R152, "bLVNet-TAM-152")
