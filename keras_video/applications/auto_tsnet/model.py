"""Two-stream models: the general builder `AutoTSNet`, and a builder for each network of the paper.

`AutoTSNetS`, `M` and `L` and their variants without attention (dagger) are searched networks,
`ManualTSNet85`, `70` and `55` were designed by hand.
"""

import keras

from keras_video.applications.auto_tsnet import config as configs
from keras_video.applications.auto_tsnet.config import TwoStreamSpec
from keras_video.applications.auto_tsnet.weights import read
from keras_video.applications.building import ModelBuilder, check_video_shape, pool
from keras_video.applications.x3d.config import DEVIATION, MEAN
from keras_video.applications.x3d.model import classify, normalized_pixels
from keras_video.blocks import fuse, mbconv3d, stem, symmetric_conv
from keras_video.checks import check_choice
from keras_video.layers import GloRe, TimeStridedSampling
from keras_video.layers.two_streams import POSITIONS
from keras_video.models import TwoStreamClassifier, VideoClassifier

CLASSES = 400  # Kinetics-400


def AutoTSNet(
    spec,
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    two_inputs=False, sparse_positions="stride", **options,
):  # fmt: skip
    """Build any two-stream model from its spec (Gong et al. 2021, arXiv 2108.12957).

    The dense stream sees all frames of a clip, the sparse stream some of them. `AutoTSNetS` and so
    on are the networks of the paper.

    Args:
        spec: `TwoStreamSpec`, or its `to_dict()`. Without a dense stream the model takes the sparse
            clip alone.
        include_top: bool, whether to add the classifier.
        weights: `None` (random), the path of a `.weights.h5`, `.keras` or `.npz` file of this
            library, or an address `"hf://owner/name"`, see `keras_video.hub.load`. No weights
            are published.
        input_shape: `(frames, height, width, 3)` of the dense clip. `frames` is a multiple of
            `spec.stride`; height and width are at least 32 or `None`. Default:
            `(spec.frames, None, None, 3)`.
        input_tensor: Keras tensor `(batch, frames, height, width, 3)` to use as dense clip.
        pooling: output for `include_top=False`. `None`: the features of both streams, a list of
            tensors `(batch, frames, height / 32, width / 32, filters)`. `"avg"` or `"max"`: their
            means or maxima over space and time, concatenated.
        classes: int, number of classes. Default: that of the weights, else 400. If the weights have
            another number of classes, all layers but the last are loaded, and a line is printed.
        classifier_activation: activation of the last layer. Default: `None`, logits.
        include_preprocessing: bool. If `True`, the model takes pixels in 0..255, else normalised
            pixels, `(pixel / 255 - 0.45) / 0.225`, see `x3d.preprocess_input`.
        name: string, name of the model.
        dtype: dtype or dtype policy of the layers, for example `"mixed_bfloat16"`.
        two_inputs: bool. If `True`, the model takes the pair of clips `(sparse, dense)`, else only
            the dense clip, from which it takes the sparse clip.
        sparse_positions: frames of the dense clip that form the sparse clip if `two_inputs` is
            `False`. `"stride"`: frames `0, stride, 2 * stride, ...`. `"spread"`: evenly from the
            first to the last (`layers.TimeStridedSampling`). The paper does not say which.
        **options: fields of `TwoStreamSpec` to replace, for example `dropout=0.2`.

    Returns:
        A `keras_video.models.VideoClassifier`, with two inputs a `TwoStreamClassifier`. It maps
        a clip `(batch, frames, height, width, 3)` to logits `(batch, classes)`.

    Raises:
        ValueError: for invalid arguments, and for weights that do not fit the model.

    Example:
    >>> from keras_video.applications.auto_tsnet import CONFIGS, AutoTSNet
    >>> model = AutoTSNet(CONFIGS["auto_tsnet_s"], classes=10, dropout=0.2)
    >>> model(keras.ops.zeros((1, 32, 64, 64, 3))).shape
    (1, 10)
    """
    if not isinstance(spec, (TwoStreamSpec, dict)):
        raise ValueError(f"spec: expected a TwoStreamSpec or a dict, got {spec!r}.")
    spec = TwoStreamSpec.from_dict(spec) if isinstance(spec, dict) else spec
    spec = spec.with_options(**options)
    _check_inputs(spec, two_inputs, sparse_positions, input_tensor)
    builder = ModelBuilder(
        include_top, weights, input_shape, input_tensor, pooling, classes,
        read=lambda weights, frames: read(spec, weights),
        default_shape=(spec.clip[0], None, None, 3),
        default_classes=CLASSES,
        check_shape=lambda argument, shape: _check_shape(argument, shape, spec),
    )  # fmt: skip
    frames = builder.frames.shape[1]
    clips, inputs = _clips(builder, spec, two_inputs, sparse_positions, dtype)
    if include_preprocessing:
        names = ("sparse_normalized_pixels", "dense_normalized_pixels")
        clips = [normalized_pixels(x, dtype, n) for x, n in zip(clips, names, strict=False)]
    plan = spec.plan(builder.classes)
    features = _streams(clips, plan, dtype)
    heads = [
        symmetric_conv(x, stream.head, "relu", dtype)
        for x, stream in zip(features, plan.streams, strict=True)
    ]
    x = _pool(heads, builder.pooling, dtype)
    if include_top:
        x = classify(x, plan, spec.dropout, classifier_activation, dtype)
    return builder.finish(
        inputs,
        x,
        name=name or spec.name,
        info={
            "family": "auto_tsnet",
            "config": spec.to_dict(),
            "clip": [frames, *spec.clip[1:]],
            "frames": frames,
            "sparse_frames": frames // spec.stride if spec.dense else frames,
            "sparse_positions": sparse_positions,
            "frame_stride": spec.frame_stride * (1 if spec.dense else spec.stride),
            "resize_side": spec.resize_side,
            "mean": MEAN,
            "deviation": DEVIATION,
            "pixels": 255 if include_preprocessing else None,
            "smallest": spec.reduction,
        },
        rebuild=lambda include_top, classes: AutoTSNet(
            spec, include_top, None, (frames, None, None, 3), classes=classes, two_inputs=two_inputs
        ),
        kind=TwoStreamClassifier if two_inputs else VideoClassifier,
    )


def _check_inputs(spec, two_inputs, sparse_positions, input_tensor):
    check_choice("sparse_positions", sparse_positions, POSITIONS)
    if two_inputs and not spec.dense:
        raise ValueError("two_inputs: expected False for a model without a dense stream, got True.")
    if two_inputs and input_tensor is not None:
        raise ValueError(f"input_tensor: expected None for two_inputs=True, got {input_tensor}.")


def _check_shape(argument, shape, spec):
    """Check that a clip has a fixed number of frames that both streams can use."""
    check_video_shape(argument, shape, smallest=spec.reduction)
    if shape[0] is None:
        raise ValueError(
            f"{argument}: expected a fixed number of frames, from which the sparse stream takes "
            f"some, got {shape}."
        )
    if spec.dense and shape[0] < spec.stride:
        raise ValueError(
            f"{argument}: expected at least {spec.stride} frames, the frame stride of the sparse "
            f"stream, got {shape}."
        )
    if spec.dense and shape[0] % spec.stride:
        raise ValueError(
            f"{argument}: expected a multiple of {spec.stride} frames, the frame stride of the "
            f"sparse stream, got {shape}."
        )


def _clips(builder, spec, two_inputs, positions, dtype):
    """Return the clips of the streams, sparse first, and the inputs of the model."""
    if not spec.dense:
        return [builder.frames], builder.inputs
    if two_inputs:
        _, frames, *rest = builder.frames.shape
        shapes = {"sparse": (frames // spec.stride, *rest), "dense": (frames, *rest)}
        pair = [keras.Input(shape, name=name) for name, shape in shapes.items()]
        return pair, pair
    sampling = TimeStridedSampling(spec.stride, positions, dtype=dtype, name="sparse_frames")
    return [sampling(builder.frames), builder.frames], builder.inputs


def _streams(clips, plan, dtype):
    """Compute the features of both streams; fusions go from the dense to the sparse one."""
    sparse, *dense = [
        stem(x, *stream.stem, dtype) for x, stream in zip(clips, plan.streams, strict=True)
    ]
    dense = dense[0] if dense else None
    for i, group in enumerate(plan.sparse.groups):
        if dense is not None:
            dense = _blocks(dense, plan.dense.groups[i].blocks, dtype)
        sparse = _blocks(sparse, group.blocks, dtype)
        if group.fusion is not None:
            sparse = fuse(sparse, dense, group.fusion, dtype)
        sparse = _attend(sparse, group.attention, dtype)
        if dense is not None:
            dense = _attend(dense, plan.dense.groups[i].attention, dtype)
    return [sparse] if dense is None else [sparse, dense]


def _blocks(x, blocks, dtype):
    for block in blocks:
        x = mbconv3d(x, block, dtype)
    return x


def _attend(x, row, dtype):
    if row is None:
        return x
    return GloRe(row.filters, momentum=0.9, dtype=dtype, name=row.name)(x)


def _pool(heads, pooling, dtype):
    """Pool the features of the streams and concatenate them; `None` returns them unchanged."""
    if pooling is None:
        return heads if len(heads) > 1 else heads[0]
    names = ("sparse_pool", "dense_pool")
    pooled = [pool(x, pooling, dtype, name) for x, name in zip(heads, names, strict=False)]
    if len(pooled) == 1:
        return pooled[0]
    return keras.layers.Concatenate(dtype=dtype, name="head_pool")(pooled)


def AutoTSNetS(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    two_inputs=False, sparse_positions="stride", **options,
):  # fmt: skip
    """Build Auto-TSNet-S (Gong et al. 2021, arXiv 2108.12957).

    This is a reconstruction, not the authors' network, which was published as a drawing only: a
    network of the paper's search space with the published parameters and multiply-adds, within
    2.5 %, that agrees with the paper's text. The paper reports 75.4 % top-1 on Kinetics-400 (10
    clips of 3 crops) for its own network.

    Made for clips of 32 frames of 160x160 pixels, one of every 2 frames of a video whose
    smaller side is 182. The sparse stream takes one of every 8 of these frames. Any clip
    `(batch, frames, height, width, 3)` of a multiple of 8 frames, of at least 32x32 pixels and
    in 0..255, is accepted; `input_shape` sets the number of frames.

    Weights: none are published. `weights` may be a path.

    The arguments that are not listed here are described in `applications.AutoTSNet`.

    Args:
        two_inputs: bool. If `True`, the model takes the pair of clips `(sparse, dense)`, else only
            the dense clip, from which it takes the sparse clip.
        sparse_positions: `"stride"` or `"spread"`, which frames form the sparse clip.

    Returns:
        A `keras_video.models.VideoClassifier`, with two inputs a `TwoStreamClassifier`, that
        returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.AutoTSNetS(classes=10)
    >>> model(keras.ops.zeros((1, 32, 64, 64, 3))).shape
    (1, 10)
    """
    return AutoTSNet(
        configs.CONFIGS["auto_tsnet_s"], include_top, weights, input_shape, input_tensor, pooling,
        classes, classifier_activation, include_preprocessing, name, dtype, two_inputs,
        sparse_positions, **options,
    )  # fmt: skip


def AutoTSNetSDagger(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    two_inputs=False, sparse_positions="stride", **options,
):  # fmt: skip
    """Build Auto-TSNet-S without attention (Gong et al. 2021, arXiv 2108.12957).

    This is a reconstruction, not the authors' network, which was published as a drawing only: a
    network of the paper's search space with the published parameters and multiply-adds, within
    2.5 %, that agrees with the paper's text. The paper reports 74.6 % top-1 on Kinetics-400 (10
    clips of 3 crops) for its own network.

    Made for clips of 32 frames of 160x160 pixels, one of every 2 frames of a video whose
    smaller side is 182. The sparse stream takes one of every 8 of these frames. Any clip
    `(batch, frames, height, width, 3)` of a multiple of 8 frames, of at least 32x32 pixels and
    in 0..255, is accepted; `input_shape` sets the number of frames.

    Weights: none are published. `weights` may be a path.

    The arguments that are not listed here are described in `applications.AutoTSNet`.

    Args:
        two_inputs: bool. If `True`, the model takes the pair of clips `(sparse, dense)`, else only
            the dense clip, from which it takes the sparse clip.
        sparse_positions: `"stride"` or `"spread"`, which frames form the sparse clip.

    Returns:
        A `keras_video.models.VideoClassifier`, with two inputs a `TwoStreamClassifier`, that
        returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.AutoTSNetSDagger(classes=10)
    >>> model(keras.ops.zeros((1, 32, 64, 64, 3))).shape
    (1, 10)
    """
    return AutoTSNet(
        configs.CONFIGS["auto_tsnet_s_dagger"], include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, two_inputs,
        sparse_positions, **options,
    )  # fmt: skip


def AutoTSNetM(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    two_inputs=False, sparse_positions="stride", **options,
):  # fmt: skip
    """Build Auto-TSNet-M (Gong et al. 2021, arXiv 2108.12957).

    This is a reconstruction, not the authors' network, which was published as a drawing only: a
    network of the paper's search space with the published parameters and multiply-adds, within
    2.5 %, that agrees with the paper's text. The paper reports 77.3 % top-1 on Kinetics-400 (10
    clips of 3 crops) for its own network.

    Made for clips of 32 frames of 224x224 pixels, one of every 2 frames of a video whose
    smaller side is 256. The sparse stream takes one of every 8 of these frames. Any clip
    `(batch, frames, height, width, 3)` of a multiple of 8 frames, of at least 32x32 pixels and
    in 0..255, is accepted; `input_shape` sets the number of frames.

    Weights: none are published. `weights` may be a path.

    The arguments that are not listed here are described in `applications.AutoTSNet`.

    Args:
        two_inputs: bool. If `True`, the model takes the pair of clips `(sparse, dense)`, else only
            the dense clip, from which it takes the sparse clip.
        sparse_positions: `"stride"` or `"spread"`, which frames form the sparse clip.

    Returns:
        A `keras_video.models.VideoClassifier`, with two inputs a `TwoStreamClassifier`, that
        returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.AutoTSNetM(classes=10)
    >>> model(keras.ops.zeros((1, 32, 64, 64, 3))).shape
    (1, 10)
    """
    return AutoTSNet(
        configs.CONFIGS["auto_tsnet_m"], include_top, weights, input_shape, input_tensor, pooling,
        classes, classifier_activation, include_preprocessing, name, dtype, two_inputs,
        sparse_positions, **options,
    )  # fmt: skip


def AutoTSNetMDagger(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    two_inputs=False, sparse_positions="stride", **options,
):  # fmt: skip
    """Build Auto-TSNet-M without attention (Gong et al. 2021, arXiv 2108.12957).

    This is a reconstruction, not the authors' network, which was published as a drawing only: a
    network of the paper's search space with the published parameters and multiply-adds, within
    2.5 %, that agrees with the paper's text. The paper reports 76.6 % top-1 on Kinetics-400 (10
    clips of 3 crops) for its own network.

    Made for clips of 32 frames of 224x224 pixels, one of every 2 frames of a video whose
    smaller side is 256. The sparse stream takes one of every 8 of these frames. Any clip
    `(batch, frames, height, width, 3)` of a multiple of 8 frames, of at least 32x32 pixels and
    in 0..255, is accepted; `input_shape` sets the number of frames.

    Weights: none are published. `weights` may be a path.

    The arguments that are not listed here are described in `applications.AutoTSNet`.

    Args:
        two_inputs: bool. If `True`, the model takes the pair of clips `(sparse, dense)`, else only
            the dense clip, from which it takes the sparse clip.
        sparse_positions: `"stride"` or `"spread"`, which frames form the sparse clip.

    Returns:
        A `keras_video.models.VideoClassifier`, with two inputs a `TwoStreamClassifier`, that
        returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.AutoTSNetMDagger(classes=10)
    >>> model(keras.ops.zeros((1, 32, 64, 64, 3))).shape
    (1, 10)
    """
    return AutoTSNet(
        configs.CONFIGS["auto_tsnet_m_dagger"], include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, two_inputs,
        sparse_positions, **options,
    )  # fmt: skip


def AutoTSNetL(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    two_inputs=False, sparse_positions="stride", **options,
):  # fmt: skip
    """Build Auto-TSNet-L (Gong et al. 2021, arXiv 2108.12957).

    This is a reconstruction, not the authors' network, which was published as a drawing only: a
    network of the paper's search space with the published parameters and multiply-adds, within
    2.5 %, that agrees with the paper's text. The paper reports 78.9 % top-1 on Kinetics-400 (10
    clips of 3 crops) for its own network.

    Made for clips of 32 frames of 312x312 pixels, one of every 2 frames of a video whose
    smaller side is 356. The sparse stream takes one of every 8 of these frames. Any clip
    `(batch, frames, height, width, 3)` of a multiple of 8 frames, of at least 32x32 pixels and
    in 0..255, is accepted; `input_shape` sets the number of frames.

    Weights: none are published. `weights` may be a path.

    The arguments that are not listed here are described in `applications.AutoTSNet`.

    Args:
        two_inputs: bool. If `True`, the model takes the pair of clips `(sparse, dense)`, else only
            the dense clip, from which it takes the sparse clip.
        sparse_positions: `"stride"` or `"spread"`, which frames form the sparse clip.

    Returns:
        A `keras_video.models.VideoClassifier`, with two inputs a `TwoStreamClassifier`, that
        returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.AutoTSNetL(classes=10)
    >>> model(keras.ops.zeros((1, 32, 64, 64, 3))).shape
    (1, 10)
    """
    return AutoTSNet(
        configs.CONFIGS["auto_tsnet_l"], include_top, weights, input_shape, input_tensor, pooling,
        classes, classifier_activation, include_preprocessing, name, dtype, two_inputs,
        sparse_positions, **options,
    )  # fmt: skip


def AutoTSNetLDagger(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    two_inputs=False, sparse_positions="stride", **options,
):  # fmt: skip
    """Build Auto-TSNet-L without attention (Gong et al. 2021, arXiv 2108.12957).

    This is a reconstruction, not the authors' network, which was published as a drawing only: a
    network of the paper's search space with the published parameters and multiply-adds, within
    2.5 %, that agrees with the paper's text. The paper reports 78.3 % top-1 on Kinetics-400 (10
    clips of 3 crops) for its own network.

    Made for clips of 32 frames of 312x312 pixels, one of every 2 frames of a video whose
    smaller side is 356. The sparse stream takes one of every 8 of these frames. Any clip
    `(batch, frames, height, width, 3)` of a multiple of 8 frames, of at least 32x32 pixels and
    in 0..255, is accepted; `input_shape` sets the number of frames.

    Weights: none are published. `weights` may be a path.

    The arguments that are not listed here are described in `applications.AutoTSNet`.

    Args:
        two_inputs: bool. If `True`, the model takes the pair of clips `(sparse, dense)`, else only
            the dense clip, from which it takes the sparse clip.
        sparse_positions: `"stride"` or `"spread"`, which frames form the sparse clip.

    Returns:
        A `keras_video.models.VideoClassifier`, with two inputs a `TwoStreamClassifier`, that
        returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.AutoTSNetLDagger(classes=10)
    >>> model(keras.ops.zeros((1, 32, 64, 64, 3))).shape
    (1, 10)
    """
    return AutoTSNet(
        configs.CONFIGS["auto_tsnet_l_dagger"], include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, two_inputs,
        sparse_positions, **options,
    )  # fmt: skip


def ManualTSNet85(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    two_inputs=False, sparse_positions="stride", **options,
):  # fmt: skip
    """Build Manual-TSNet-85 (Gong et al. 2021, arXiv 2108.12957).

    Two X3D-S with scaled widths, where the sparse stream is meant to do 85 % of the work. The
    paper gives no widths; these take 2.04 to 2.06 billion multiply-adds at 160 pixels, where
    the paper says about 2.0. The paper reports 72.8 % top-1 on Kinetics-400 (10 clips, centre
    crop) for its own network.

    Made for clips of 32 frames of 160x160 pixels, one of every 2 frames of a video whose
    smaller side is 182. The sparse stream takes one of every 8 of these frames. Any clip
    `(batch, frames, height, width, 3)` of a multiple of 8 frames, of at least 32x32 pixels and
    in 0..255, is accepted; `input_shape` sets the number of frames.

    Weights: none are published. `weights` may be a path.

    The arguments that are not listed here are described in `applications.AutoTSNet`.

    Args:
        two_inputs: bool. If `True`, the model takes the pair of clips `(sparse, dense)`, else only
            the dense clip, from which it takes the sparse clip.
        sparse_positions: `"stride"` or `"spread"`, which frames form the sparse clip.

    Returns:
        A `keras_video.models.VideoClassifier`, with two inputs a `TwoStreamClassifier`, that
        returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.ManualTSNet85(classes=10)
    >>> model(keras.ops.zeros((1, 32, 64, 64, 3))).shape
    (1, 10)
    """
    return AutoTSNet(
        configs.CONFIGS["manual_tsnet_85"], include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, two_inputs,
        sparse_positions, **options,
    )  # fmt: skip


def ManualTSNet70(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    two_inputs=False, sparse_positions="stride", **options,
):  # fmt: skip
    """Build Manual-TSNet-70 (Gong et al. 2021, arXiv 2108.12957).

    Two X3D-S with scaled widths, where the sparse stream is meant to do 70 % of the work. The
    paper gives no widths; these take 2.04 to 2.06 billion multiply-adds at 160 pixels, where
    the paper says about 2.0. The paper reports 73.2 % top-1 on Kinetics-400 (10 clips, centre
    crop) for its own network.

    Made for clips of 32 frames of 160x160 pixels, one of every 2 frames of a video whose
    smaller side is 182. The sparse stream takes one of every 8 of these frames. Any clip
    `(batch, frames, height, width, 3)` of a multiple of 8 frames, of at least 32x32 pixels and
    in 0..255, is accepted; `input_shape` sets the number of frames.

    Weights: none are published. `weights` may be a path.

    The arguments that are not listed here are described in `applications.AutoTSNet`.

    Args:
        two_inputs: bool. If `True`, the model takes the pair of clips `(sparse, dense)`, else only
            the dense clip, from which it takes the sparse clip.
        sparse_positions: `"stride"` or `"spread"`, which frames form the sparse clip.

    Returns:
        A `keras_video.models.VideoClassifier`, with two inputs a `TwoStreamClassifier`, that
        returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.ManualTSNet70(classes=10)
    >>> model(keras.ops.zeros((1, 32, 64, 64, 3))).shape
    (1, 10)
    """
    return AutoTSNet(
        configs.CONFIGS["manual_tsnet_70"], include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, two_inputs,
        sparse_positions, **options,
    )  # fmt: skip


def ManualTSNet55(
    include_top=True, weights=None, input_shape=None, input_tensor=None, pooling=None,
    classes=None, classifier_activation=None, include_preprocessing=True, name=None, dtype=None,
    two_inputs=False, sparse_positions="stride", **options,
):  # fmt: skip
    """Build Manual-TSNet-55 (Gong et al. 2021, arXiv 2108.12957).

    Two X3D-S with scaled widths, where the sparse stream is meant to do 55 % of the work. The
    paper gives no widths; these take 2.04 to 2.06 billion multiply-adds at 160 pixels, where
    the paper says about 2.0. The paper reports 72.4 % top-1 on Kinetics-400 (10 clips, centre
    crop) for its own network.

    Made for clips of 32 frames of 160x160 pixels, one of every 2 frames of a video whose
    smaller side is 182. The sparse stream takes one of every 8 of these frames. Any clip
    `(batch, frames, height, width, 3)` of a multiple of 8 frames, of at least 32x32 pixels and
    in 0..255, is accepted; `input_shape` sets the number of frames.

    Weights: none are published. `weights` may be a path.

    The arguments that are not listed here are described in `applications.AutoTSNet`.

    Args:
        two_inputs: bool. If `True`, the model takes the pair of clips `(sparse, dense)`, else only
            the dense clip, from which it takes the sparse clip.
        sparse_positions: `"stride"` or `"spread"`, which frames form the sparse clip.

    Returns:
        A `keras_video.models.VideoClassifier`, with two inputs a `TwoStreamClassifier`, that
        returns logits `(batch, classes)`.

    Example:
    >>> model = keras_video.applications.ManualTSNet55(classes=10)
    >>> model(keras.ops.zeros((1, 32, 64, 64, 3))).shape
    (1, 10)
    """
    return AutoTSNet(
        configs.CONFIGS["manual_tsnet_55"], include_top, weights, input_shape, input_tensor,
        pooling, classes, classifier_activation, include_preprocessing, name, dtype, two_inputs,
        sparse_positions, **options,
    )  # fmt: skip
