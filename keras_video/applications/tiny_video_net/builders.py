"""`TinyVideoNet1` .. `4`, `TinyVideoNetMobile1` and `2`, two reconstructions, one of our own."""

from keras_video.applications.tiny_video_net import config as configs
from keras_video.applications.tiny_video_net.model import TinyVideoNet

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
