"""The blocks of bLVNet-TAM (Fan et al. 2019; Chen et al. 2019 for the branches), from spec rows."""

from keras_video.layers import (
    BigLittleMerge,
    GatedConv3D,
    SpatialAvgPool,
    TemporalAggregation,
    VideoConv3D,
)
from keras_video.layers.initializers import FanOutNormal

NORM = {"momentum": 0.9, "epsilon": 1e-5}


def big_little_stem(x, stem, dtype=None):
    """All frames at full size, aggregated; then the two branches, merged for the first time.

    Args:
        x: `(batch, 2 * pairs, height, width, channels)`. The second frame of each pair goes to the
            big branch, the first one to the little branch.
        stem: the resolved rows, `applications.blvnet_tam.plan.Stem`.
        dtype: dtype policy of the layers.

    Returns:
        `(batch, pairs, height / 4, width / 4, width of the network)`.
    """
    little, big = _branches(_conv(x, stem.conv, "relu", dtype), stem.temporal, False, dtype)
    big = _conv(big, stem.big, None, dtype)
    for row in stem.little:
        little = _conv(little, row, "relu", dtype)
    return _conv(_merge(little, big, stem.merge, dtype), stem.fusion, "relu", dtype)


def big_little(x, stage, dtype=None, equal_pairs=True):
    """A stage of two branches: a deep one on half of the pixels and a slim one on all of them.

    Both frames of a pair leave a stage with the same features, so that one map for each pair is
    enough for the next. What the frames' neighbours are still differs, and with it what the
    branches get.

    Args:
        x: `(batch, pairs, height, width, channels)`.
        stage: the resolved rows, `applications.blvnet_tam.plan.BigLittle`.
        dtype: dtype policy of the layers.
        equal_pairs: bool. If false `x` holds all frames, `(batch, 2 * pairs, ...)`.

    Returns:
        `(batch, pairs, new_height, new_width, filters)`.
    """
    little, big = _branches(x, stage.temporal, equal_pairs, dtype)
    for block in stage.big:
        big = residual(big, block, dtype)
    for block in stage.little:
        little = residual(little, block, dtype)
    return residual(_merge(little, big, stage.merge, dtype), stage.fusion, dtype)


def residual(x, block, dtype=None):
    """A bottleneck of three convolutions, with temporal aggregation of its input if it has a row.

    Args:
        x: `(batch, frames, height, width, channels)`.
        block: the resolved rows, `applications.blvnet_tam.plan.Residual`.
        dtype: dtype policy of the layers.

    Returns:
        `(batch, frames, new_height, new_width, filters)`.
    """
    shortcut = x
    if block.temporal is not None:
        x = _temporal(block.temporal, dtype)(x)
        # The published weights know it so: what is added as it is, is not aggregated.
        shortcut = x if block.skip_rows else shortcut
    if block.pool is not None:
        pool = block.pool
        shortcut = SpatialAvgPool(
            pool.kernel[1], pool.strides[1], padding="symmetric", dtype=dtype, name=pool.name
        )(shortcut)
    if block.shortcut is not None:
        shortcut = _conv(shortcut, block.shortcut, None, dtype)
    x = _conv(x, block.reduce, "relu", dtype)
    x = _conv(x, block.spatial, "relu", dtype)
    layer = GatedConv3D(
        block.expand.filters,
        activation="relu" if block.relu else None,
        kernel_initializer=FanOutNormal(),
        gamma_initializer="zeros",
        dtype=dtype,
        name=block.expand.name,
        **NORM,
    )
    return layer(x, shortcut)


def _conv(x, row, activation, dtype):
    layer = VideoConv3D(
        row.filters,
        row.kernel,
        row.strides,
        padding="symmetric",
        batch_norm=True,
        activation=activation,
        kernel_initializer=FanOutNormal(),
        dtype=dtype,
        name=row.name,
        **NORM,
    )
    return layer(x)


def _branches(x, row, equal_pairs, dtype):
    """What the little and the big branch get: the first and the second frames of the pairs."""
    if row is None:
        return (x, x) if equal_pairs else (x[:, 0::2], x[:, 1::2])
    return _temporal(row, dtype, equal_pairs)(x, of_pair="both")


def _temporal(row, dtype, equal_pairs=False):
    return TemporalAggregation(
        row.frames,
        equal_pairs=equal_pairs,
        fixed=row.fixed,
        kernel_initializer="temporal_shift" if row.fixed else "fan_out_normal",
        dtype=dtype,
        name=row.name,
    )


def _merge(little, big, row, dtype):
    layer = BigLittleMerge(
        row.filters, kernel_initializer=FanOutNormal(), dtype=dtype, name=row.name, **NORM
    )
    return layer(little, big)
