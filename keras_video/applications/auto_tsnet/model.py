"""Two-stream builder: from a spec to a Keras model."""

import keras

from keras_video.applications.auto_tsnet.config import TwoStreamSpec
from keras_video.applications.inputs import check_head, check_reducible_shape, frames_input
from keras_video.applications.x3d.config import DEVIATION, MEAN
from keras_video.applications.x3d.model import classify, normalized_pixels
from keras_video.blocks import fuse, mbconv3d, stem, symmetric_conv
from keras_video.layers import CumulativeAvgPool, GloRe, TimeStridedSampling
from keras_video.layers.time_strided_sampling import POSITIONS
from keras_video.models import TwoStreamClassifier, VideoClassifier

CLASSES = 400  # Kinetics-400


def AutoTSNet(
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
    two_inputs=False,
    sparse_positions="stride",
    **options,
):
    """Builds any two-stream network; `AutoTSNetS` and so on are those of the paper.

    Args:
        spec: `TwoStreamSpec`, or its `to_dict()`. Without a dense stream the network takes the
            sparse clip alone.
        **options: fields of `TwoStreamSpec` to replace.

    The other arguments, the returned model and the errors are those of `AutoTSNetS`.
    """
    if not isinstance(spec, (TwoStreamSpec, dict)):
        raise ValueError(f"spec: expected a TwoStreamSpec or a dict, got {spec!r}.")
    spec = spec if isinstance(spec, TwoStreamSpec) else TwoStreamSpec.from_dict(spec)
    spec = spec.with_options(**options)
    check_head(pooling, classes)
    _check_inputs(spec, two_inputs, sparse_positions, input_tensor)
    inputs = frames_input(
        input_shape, input_tensor, (spec.clip[0], None, None, 3),
        lambda argument, shape: _check_shape(argument, shape, spec),
    )  # fmt: skip
    source = None
    if weights is not None:
        from keras_video.applications.auto_tsnet import loading

        source = loading.read(spec, weights)
    if classes is None:
        classes = source.classes if source and source.classes else CLASSES
    plan = spec.plan(classes)
    frames = inputs.shape[1]
    clips, model_inputs = _clips(inputs, spec, two_inputs, sparse_positions, dtype)
    if include_preprocessing:
        names = [f"{n}_normalized_pixels" for n in ("sparse", "dense")]
        clips = [normalized_pixels(x, dtype, n) for x, n in zip(clips, names, strict=False)]
    features = _streams(clips, plan, dtype)
    heads = [
        symmetric_conv(x, stream.head, "relu", dtype)
        for x, stream in zip(features, plan.streams, strict=True)
    ]
    x = _pool(heads, "avg" if include_top else pooling, dtype)
    if include_top:
        x = classify(x, plan, spec.dropout, classifier_activation, dtype)

    if input_tensor is not None:
        sources = keras.utils.get_source_inputs(input_tensor)
        model_inputs = sources[0] if len(sources) == 1 else sources
    kind = TwoStreamClassifier if two_inputs else VideoClassifier
    model = kind(model_inputs, x, name=name or spec.name)
    model._set_info(
        {
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
            "classes": classes if include_top else None,
            "weights": source.label if source else None,
        }
    )
    if source is not None:

        def rebuild(include_top, classes):
            shape = (frames, None, None, 3)
            return AutoTSNet(
                spec, include_top, None, shape, classes=classes or 1, two_inputs=two_inputs
            )

        loading.fill(model, source, rebuild)
    return model


def _check_inputs(spec, two_inputs, sparse_positions, input_tensor):
    if sparse_positions not in POSITIONS:
        raise ValueError(
            f"sparse_positions: expected one of {POSITIONS}, got {sparse_positions!r}."
        )
    if two_inputs and not spec.dense:
        raise ValueError("two_inputs: expected False for a network without a dense stream.")
    if two_inputs and input_tensor is not None:
        raise ValueError("input_tensor: expected None beside two_inputs=True.")


def _check_shape(argument, shape, spec):
    """Raises unless a clip has a known number of frames that either stream can use."""
    check_reducible_shape(argument, shape, spec.reduction)
    if shape[0] is None:
        raise ValueError(
            f"{argument}: expected a known number of frames, of which the sparse stream sees "
            f"certain ones, got {shape}."
        )
    if spec.dense and shape[0] < spec.stride:
        raise ValueError(
            f"{argument}: expected at least {spec.stride} frames, the stride from one frame of "
            f"the sparse stream to the next, got {shape}: the clip is too short."
        )
    if spec.dense and shape[0] % spec.stride:
        raise ValueError(
            f"{argument}: expected a number of frames that is a multiple of the stride, "
            f"{spec.stride}, got {shape}."
        )


def _clips(inputs, spec, two_inputs, positions, dtype):
    """The clips of the streams there are, sparse first, and the inputs of the model."""
    if not spec.dense:
        return [inputs], inputs
    if two_inputs:
        _, frames, height, width, channels = inputs.shape
        shape = (frames // spec.stride, height, width, channels)
        pair = [keras.Input(shape, name="sparse"), keras.Input(inputs.shape[1:], name="dense")]
        return pair, pair
    sampling = TimeStridedSampling(spec.stride, positions, dtype=dtype, name="sparse_frames")
    return [sampling(inputs), inputs], inputs


def _streams(clips, plan, dtype):
    """Features of the streams; the dense one goes on untouched by the other."""
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
    """The streams' features side by side in the channels, pooled; or a list of them as they are."""
    if pooling is None:
        return heads if len(heads) > 1 else heads[0]
    pooled = []
    for x, name in zip(heads, ("sparse", "dense"), strict=False):
        layer = CumulativeAvgPool(keep_frames=False, dtype=dtype, name=f"{name}_pool")
        if pooling == "max":
            layer = keras.layers.GlobalMaxPooling3D(dtype=dtype, name=f"{name}_pool")
        pooled.append(layer(x))
    if len(pooled) == 1:
        return pooled[0]
    return keras.layers.Concatenate(dtype=dtype, name="head_pool")(pooled)
