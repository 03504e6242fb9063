"""The block of Tiny Video Networks (Piergiovanni et al. 2019), as in the published code."""

import keras

from keras_video.layers import (
    ContextGate,
    DepthwiseConv3D,
    GatedConv3D,
    NonLocal,
    SpatialAvgPool,
    SpatialMaxPool,
    SqueezeExcite,
    TemporalPool,
    VideoConv3D,
)
from keras_video.layers.initializers import FanInNormal
from keras_video.specs import Depthwise, Pool

NORM = {"momentum": 0.9, "epsilon": 1e-5}
SCALE = 2 * 1.3  # variance of kernels times fan in


def tiny_video(x, application, dtype=None):
    """Apply a block once.

    Args:
        x: `(batch, frames, height, width, channels)`.
        application: the resolved rows, an `Application` of `applications.tiny_video_net`.
        dtype: dtype policy of the layers.

    Returns:
        `(batch, new_frames, new_height, new_width, new_channels)`.
    """
    rows, block = application, application.block
    skip = None if rows.skip is None else _conv(x, rows.skip, None, dtype)
    if rows.widening is not None:
        x = _conv(x, rows.widening, "relu", dtype)
    if rows.pointwise is not None:
        x = _conv(x, rows.pointwise, block.spatial_activation, dtype)
    if rows.spatial is not None:
        x = _spatial(x, rows.spatial, block.spatial_activation, dtype)
    if rows.temporal is not None:
        x = _temporal(x, rows.temporal, block.temporal_activation, dtype)
    if rows.expansion is not None:
        x = _gated(x, rows.expansion, rows, skip, dtype)
    x = _attention(x, rows, dtype)
    if rows.projection is not None:
        x = _gated(x, rows.projection, rows, skip, dtype)
    return x if rows.closing else _close(x, skip, rows.name, block.activation, dtype)


def _conv(x, row, activation, dtype):
    layer = VideoConv3D(
        row.filters,
        row.kernel,
        row.strides,
        batch_norm=True,
        activation=None if activation == "linear" else activation,
        kernel_initializer=FanInNormal(SCALE),
        dtype=dtype,
        name=row.name,
        **NORM,
    )
    return layer(x)


def _spatial(x, row, activation, dtype):
    if isinstance(row, Pool):
        layer = SpatialMaxPool if row.kind == "max" else SpatialAvgPool
        return layer(row.kernel[1], row.strides[1], dtype=dtype, name=row.name)(x)
    if not isinstance(row, Depthwise):
        return _conv(x, row, activation, dtype)
    layer = DepthwiseConv3D(
        row.kernel,
        row.strides,
        batch_norm=True,
        activation=None if activation == "linear" else activation,
        # The published code counts the channels of a depthwise kernel as inputs.
        kernel_initializer=FanInNormal(SCALE / row.filters),
        dtype=dtype,
        name=row.name,
        **NORM,
    )
    return layer(x)


def _temporal(x, row, activation, dtype):
    if not isinstance(row, Pool):
        return _conv(x, row, activation, dtype)
    return TemporalPool(row.kernel[0], row.strides[0], row.kind, dtype=dtype, name=row.name)(x)


def _gated(x, row, rows, skip, dtype):
    """Apply a 1x1x1 convolution with its gates; at the end of a block also skip and activation."""
    squeeze, gate = rows.squeeze_excite, rows.context_gate
    closes = row is rows.closing
    activation = rows.block.activation if closes else "linear"
    layer = GatedConv3D(
        row.filters,
        hidden=squeeze.hidden if squeeze is not None and squeeze.name == row.name else 0,
        context_gate=gate is not None and gate.name == row.name,
        gated="outputs" if row is rows.expansion else "inputs",
        activation=None if activation == "linear" else activation,
        kernel_initializer=FanInNormal(SCALE),
        dtype=dtype,
        name=row.name,
        **NORM,
    )
    return layer(x, skip if closes else None)


def _attention(x, rows, dtype):
    """Apply the gates that belong to no convolution, and the non-local layer."""
    owners = [row.name for row in (rows.expansion, rows.projection) if row is not None]
    squeeze, gate = rows.squeeze_excite, rows.context_gate
    options = {"kernel_initializer": FanInNormal(SCALE), "dtype": dtype}
    if squeeze is not None and squeeze.name not in owners:
        layer = SqueezeExcite(squeeze.hidden, activation="relu", name=squeeze.name, **options)
        x = layer(x)
    if gate is not None and gate.name not in owners:
        x = ContextGate(name=gate.name, **options)(x)
    if rows.non_local is not None:
        x = NonLocal(rows.non_local.filters, name=rows.non_local.name, **NORM, **options)(x)
    return x


def _close(x, skip, name, activation, dtype):
    """Apply skip and activation of a block that does not end in a convolution."""
    if skip is not None:
        x = keras.layers.Add(dtype=dtype, name=f"{name}_sum")([x, skip])
    return keras.layers.Activation(activation, dtype=dtype, name=name)(x)
