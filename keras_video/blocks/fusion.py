"""Fusion of two streams of one video, a dense one and a sparse one of fewer frames."""

import keras

from keras_video.blocks.mbconv3d import NORM
from keras_video.layers import TimeStridedConvFusion, TimeStridedSampling, TimeToChannelFusion
from keras_video.specs import TimeStridedConv, TimeToChannel


def fuse(sparse, dense, row, dtype=None):
    """Bring the dense video to the frames of the sparse one and concatenate the channels.

    Args:
        sparse: `(batch, frames, height, width, channels)`.
        dense: `(batch, stride * frames, height, width, other_channels)`.
        row: a row of `specs.FUSIONS`.
        dtype: dtype policy of the layers.

    Returns:
        `(batch, frames, height, width, channels + row.filters)`.
    """
    if isinstance(row, TimeStridedConv):
        ratio = row.filters // row.in_channels
        layer = TimeStridedConvFusion(
            row.strides[0], row.kernel[0], ratio, dtype=dtype, name=row.name, **NORM
        )
    elif isinstance(row, TimeToChannel):
        layer = TimeToChannelFusion(row.stride, dtype=dtype, name=row.name)
    else:
        layer = TimeStridedSampling(row.stride, dtype=dtype, name=row.name)
    joined = keras.layers.Concatenate(dtype=dtype, name=f"{row.name}_concat")
    return joined([sparse, layer(dense)])
