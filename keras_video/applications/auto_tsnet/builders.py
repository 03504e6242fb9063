"""`AutoTSNetS` and its kin, and the two-stream networks that the paper made by hand."""

from keras_video.applications.auto_tsnet import presets
from keras_video.applications.auto_tsnet.model import AutoTSNet

_DOC = """Builds {title} (Gong et al. 2021, arXiv 2108.12957).

    {origin}
    For Kinetics-400 the paper reports {top1} % top-1 with {views}, of the authors' network.

    Made for clips of {frames} frames of {size}x{size} pixels, one of every {frame_stride} frames
    of a video whose smaller side is {side}. The dense stream sees all of them, the sparse stream
    one of every {stride}.

    Args:
        include_top: bool, whether to end in the classifier.
        weights: `None` (random), or a path: `.weights.h5`, `.keras` or `.npz` of this library.
            There are no published weights.
        input_shape: `(frames, height, width, 3)` of the dense clip, `frames` a multiple of
            {stride}; height and width may be `None`. Default: `({frames}, None, None, 3)`.
        input_tensor: Keras tensor of the dense clip to build on instead.
        pooling: for `include_top=False`: `None` returns the features of both streams, a list of
            `(batch, frames, height / 32, width / 32, filters)`; `"avg"` and `"max"` their means or
            maxima over space and time, side by side.
        classes: int. Default: that of the weights, else 400. With weights of another number all
            but the last layer is loaded, and a line says so.
        classifier_activation: activation of the last layer; default `None`, logits.
        include_preprocessing: bool. If true the network takes pixels in 0..255, else normalised
            ones, `(pixel / 255 - 0.45) / 0.225`, see `x3d.preprocess_input`.
        name: string.
        dtype: dtype or policy of the layers, for example `"mixed_bfloat16"`.
        two_inputs: bool. If true the network takes the pair `(sparse, dense)` of clips, else the
            dense clip, of which it takes the sparse one itself.
        sparse_positions: which frames it then takes: `"stride"`: `0, {stride}, ...`; `"spread"`:
            from the first to the last, evenly (`layers.TimeStridedSampling`). The paper does not
            say.
        **options: fields of `applications.auto_tsnet.TwoStreamSpec` to change, such as
            `dropout=0.2`.

    Returns:
        A `keras_video.models.VideoClassifier`, with two inputs a `TwoStreamClassifier`.

    Raises:
        ValueError: for bad arguments, and for weights that do not fit the network.

    Example:
    >>> model = keras_video.applications.{builder}(classes=10)
    >>> model(keras.ops.zeros((1, {frames}, 64, 64, 3))).shape
    (1, 10)
    """

_SEARCHED = """This is a reconstruction that meets the published budget, not the authors' network,
    whose design was drawn but never tabulated: a network of the paper's search space that has the
    parameters and multiply-adds that the paper prints, within 2.5 %, and what its text says of the
    drawing. The paper's accuracies say nothing about it."""
_MANUAL = """Two X3D-S with scaled widths, {share} % of the work meant for the sparse stream, after
    the paper's rules; the paper prints no widths. It takes 2.04 to 2.06 billion multiply-adds at
    160 pixels where the paper says about 2.0."""


def _builder(spec, title):
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
        two_inputs=False,
        sparse_positions="stride",
        **options,
    ):
        return AutoTSNet(
            spec,
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
            two_inputs=two_inputs,
            sparse_positions=sparse_positions,
            **options,
        )

    manual = title.startswith("Manual")
    name = title.replace("-", "")
    build.__name__ = build.__qualname__ = name
    build.__doc__ = _DOC.format(
        title=title,
        builder=name,
        origin=_MANUAL.format(share=title[-2:]) if manual else _SEARCHED,
        top1=presets.PAPER_TOP1[spec.name],
        views="10 clips, centre crop" if manual else "10 clips of 3 crops",
        frames=spec.frames,
        size=spec.size,
        side=spec.resize_side,
        stride=spec.stride,
        frame_stride=spec.frame_stride,
    )
    return build


AutoTSNetS = _builder(presets.CONFIGS["auto_tsnet_s"], "Auto-TSNet-S")
AutoTSNetSDagger = _builder(presets.CONFIGS["auto_tsnet_s_dagger"], "Auto-TSNet-S-Dagger")
AutoTSNetM = _builder(presets.CONFIGS["auto_tsnet_m"], "Auto-TSNet-M")
AutoTSNetMDagger = _builder(presets.CONFIGS["auto_tsnet_m_dagger"], "Auto-TSNet-M-Dagger")
AutoTSNetL = _builder(presets.CONFIGS["auto_tsnet_l"], "Auto-TSNet-L")
AutoTSNetLDagger = _builder(presets.CONFIGS["auto_tsnet_l_dagger"], "Auto-TSNet-L-Dagger")
ManualTSNet85 = _builder(presets.CONFIGS["manual_tsnet_85"], "Manual-TSNet-85")
ManualTSNet70 = _builder(presets.CONFIGS["manual_tsnet_70"], "Manual-TSNet-70")
ManualTSNet55 = _builder(presets.CONFIGS["manual_tsnet_55"], "Manual-TSNet-55")
