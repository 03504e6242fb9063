"""The mobile bottleneck of X3D and Auto-TSNet (Feichtenhofer 2020, arXiv 2004.04730)."""

from keras_video.layers import DepthwiseConv3D, GatedConv3D, SqueezeExcite, VideoConv3D

NORM = {"momentum": 0.9, "epsilon": 1e-5}


def mbconv3d(x, block, dtype=None):
    """Expand, convolve each channel, attend, swish, project, add the shortcut, ReLU.

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
    # Convolution, batch norm, sum and activation as one layer; it has no gates.
    projection = GatedConv3D(
        block.projection.filters,
        activation="relu",
        gamma_initializer="zeros",  # blocks start as their shortcuts
        dtype=dtype,
        name=block.projection.name,
        **NORM,
    )
    return projection(x, shortcut)


def stem(x, spatial, temporal, dtype=None):
    """A spatial convolution and a temporal one of each channel, then batch norm and ReLU.

    Args:
        x: `(batch, frames, height, width, 3)`.
        spatial: `specs.Conv` without batch norm.
        temporal: `specs.Depthwise`.
        dtype: dtype policy of the layers.
    """
    x = symmetric_conv(x, spatial, None, dtype)
    return symmetric_conv(x, temporal, "relu", dtype, DepthwiseConv3D)


def symmetric_conv(x, row, activation=None, dtype=None, layer=VideoConv3D):
    """Convolution, batch norm if `row` has it, activation; zeros on all sides alike, as in PyTorch.

    Args:
        x: `(batch, frames, height, width, row.in_channels)`.
        row: `specs.Conv`, or `specs.Depthwise` beside `layer=DepthwiseConv3D`.
        activation: name or `None`.
        dtype: dtype policy of the layer.
        layer: its class.
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
