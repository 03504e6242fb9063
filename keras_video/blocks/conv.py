"""Convolutions with batch norm and activation, for clips and streams."""

from keras_video.layers import DepthwiseConv3D, VideoConv3D


def conv(graph, x, row, activation=None, causal=False, dtype=None):
    """Apply a dense convolution, batch norm and activation.

    Args:
        graph: `StreamGraph`.
        x: `(batch, frames, height, width, row.in_channels)`.
        row: `specs.Conv`.
        activation: name or `None`.
        causal: bool.
        dtype: dtype policy of the layer.
    """
    layer = VideoConv3D(
        row.filters,
        row.kernel,
        row.strides,
        padding="causal" if causal else "same",
        batch_norm=row.norm,
        activation=activation,
        dtype=dtype,
        name=row.name,
    )
    return graph(layer, x)


def depthwise(graph, x, row, activation=None, causal=False, dtype=None):
    """Apply a depthwise convolution; arguments as for `conv`, with a `specs.Depthwise` as `row`."""
    layer = DepthwiseConv3D(
        row.kernel,
        row.strides,
        padding="causal" if causal else "same",
        batch_norm=row.norm,
        activation=activation,
        dtype=dtype,
        name=row.name,
    )
    return graph(layer, x)
