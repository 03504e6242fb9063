"""The blocks of bLVNet-TAM (Fan et al. 2019; Chen et al. 2019 for the branches)."""

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
    """Convolve and aggregate all frames, then apply the first two branches and merge them.

    Args:
        x: `(batch, 2 * pairs, height, width, channels)`. The second frame of each pair goes to the
            big branch, the first one to the little branch.
        stem: the resolved rows, a `Stem` of `applications.blvnet_tam`.
        dtype: dtype policy of the layers.

    Returns:
        `(batch, pairs, height / 4, width / 4, filters)`.
    """
    little, big = _branches(_conv(x, stem.conv, "relu", dtype), stem.temporal, False, dtype)
    big = _conv(big, stem.big, None, dtype)
    for row in stem.little:
        little = _conv(little, row, "relu", dtype)
    return _conv(_merge(little, big, stem.merge, dtype), stem.fusion, "relu", dtype)


def big_little(x, stage, dtype=None, equal_pairs=True):
    """Apply a stage of two branches: a deep one at half the resolution, a slim one at full.

    Both frames of a pair leave a stage with the same features, so that the next stage takes one map
    for each pair. The neighbours of the two frames differ, so the branches still get different
    inputs after the temporal aggregation.

    Args:
        x: `(batch, pairs, height, width, channels)`.
        stage: the resolved rows, a `BigLittle` of `applications.blvnet_tam`.
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
    """Apply a bottleneck of three convolutions, after temporal aggregation if it has that row.

    Args:
        x: `(batch, frames, height, width, channels)`.
        block: the resolved rows, a `Residual` of `applications.blvnet_tam`.
        dtype: dtype policy of the layers.

    Returns:
        `(batch, frames, new_height, new_width, filters)`.
    """
    shortcut = x
    if block.temporal is not None:
        x = _temporal(block.temporal, dtype)(x)
        # As in the published weights: an identity shortcut takes the inputs before aggregation.
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
    """Return the inputs of the little and the big branch: first and second frames of the pairs."""
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
