"""The mobile bottleneck of MoViNet, with squeeze-excite and a ReZero residual."""

import keras

from keras_video.blocks.conv import conv, depthwise
from keras_video.layers import ReZero, SpatialAvgPool, SqueezeExcite, StochasticDepth


def bottleneck(graph, x, block, variant, dtype=None):
    """Apply expansion, depthwise convolution, squeeze-excite, projection and residual.

    Kondratyuk et al. 2021, sections 3.1 and 3.2.

    Args:
        graph: `StreamGraph`.
        x: `(batch, frames, height, width, channels)`.
        block: the resolved rows, a `Block` of `applications.movinet`.
        variant: how they are computed, a `Variant` of `applications.movinet`.
        dtype: dtype policy of the layers.

    Returns:
        `(batch, frames, new_height, new_width, filters)`.
    """
    options = {"causal": variant.causal, "dtype": dtype}
    active = {**options, "activation": variant.activation}
    skip = x
    if block.skip_pool is not None:
        pool = block.skip_pool
        skip = SpatialAvgPool(pool.kernel[1], pool.strides[1], dtype=dtype, name=pool.name)(skip)
    if block.skip is not None:
        skip = conv(graph, skip, block.skip, **options)

    x = conv(graph, x, block.expansion, **active)
    x = depthwise(graph, x, block.feature, **active)
    if block.feature_temporal is not None:
        x = depthwise(graph, x, block.feature_temporal, **active)
    if block.squeeze_excite is not None:
        layer = SqueezeExcite(
            block.squeeze_excite.hidden,
            variant.squeeze,
            variant.causal,
            variant.activation,
            variant.gate,
            block.squeeze_excite.positions,
            dtype=dtype,
            name=block.squeeze_excite.name,
        )
        x = graph(layer, x)
    x = conv(graph, x, block.projection, **options)
    x = ReZero(dtype=dtype, name=block.rezero.name)(x)
    if block.drop_rate:
        x = StochasticDepth(block.drop_rate, dtype=dtype, name=f"{block.name}_drop")(x)
    return keras.layers.Add(dtype=dtype, name=block.name)([x, skip])
