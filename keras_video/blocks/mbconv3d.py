"""The mobile bottleneck of X3D and Auto-TSNet (Feichtenhofer 2020, arXiv 2004.04730)."""

from keras_video.layers import DepthwiseConv3D, GatedConv3D, SqueezeExcite, VideoConv3D

NORM = {"momentum": 0.9, "epsilon": 1e-5}


def mbconv3d(x, block, dtype=None):
    """Apply expansion, depthwise convolution, squeeze-excite, swish, projection, shortcut and ReLU.

    Args:
        x: `(batch, frames, height, width, channels)`.
        block: the resolved rows, `specs.MBConv3D`.
        dtype: dtype policy of the layers.

    Returns:
        `(batch, frames, new_height, new_width, filters)`.
    """
    shortcut = x if block.shortcut is None else symmetric_conv(x, block.shortcut, None, dtype)
    attention = block.squeeze_excite
    x = symmetric_conv(x, block.expansion, "relu", dtype)
    x = symmetric_conv(x, block.feature, None if attention else "swish", dtype, DepthwiseConv3D)
    if attention is not None:
        x = SqueezeExcite(
            attention.hidden,
            activation="relu",
            output_activation="swish",
            dtype=dtype,
            name=attention.name,
        )(x)
    # One layer for convolution, batch norm, sum and activation, here without gates.
    projection = GatedConv3D(
        block.projection.filters,
        activation="relu",
        gamma_initializer="zeros",  # a new block is its shortcut
        dtype=dtype,
        name=block.projection.name,
        **NORM,
    )
    return projection(x, shortcut)


def stem(x, spatial, temporal, dtype=None):
    """Apply a spatial convolution, a depthwise one over frames, batch norm and ReLU.

    Args:
        x: `(batch, frames, height, width, 3)`.
        spatial: `specs.Conv` without batch norm.
        temporal: `specs.Depthwise`.
        dtype: dtype policy of the layers.
    """
    x = symmetric_conv(x, spatial, None, dtype)
    return symmetric_conv(x, temporal, "relu", dtype, DepthwiseConv3D)


def symmetric_conv(x, row, activation=None, dtype=None, layer=VideoConv3D):
    """Apply a convolution with symmetric padding, batch norm if `row` has it, and activation.

    Args:
        x: `(batch, frames, height, width, row.in_channels)`.
        row: `specs.Conv`, or `specs.Depthwise` if `layer` is `DepthwiseConv3D`.
        activation: name or `None`.
        dtype: dtype policy of the layer.
        layer: class of the layer.
    """
    filters = () if layer is DepthwiseConv3D else (row.filters,)
    convolution = layer(
        *filters,
        row.kernel,
        row.strides,
        padding="symmetric",
        use_bias=None if row.use_bias else False,
        batch_norm=row.norm,
        activation=activation,
        dtype=dtype,
        name=row.name,
        **NORM,
    )
    return convolution(x)
