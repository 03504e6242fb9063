"""A plain ResNet-50 on each frame of a clip, with averaged logits: TSN (Wang et al. 2016).

It consists of the same layers as bLVNet-TAM, so that a comparison shows only the architectures.
"""

from keras_video.applications.blvnet_tam.config import Residual
from keras_video.specs import Conv, Dense, Pool

K33, S2 = (1, 3, 3), (1, 2, 2)


def plan(depths=(3, 4, 6, 3), classes=174, width=64):
    """`(stem, pool, blocks, classifier)` as spec rows."""
    stem = Conv("stem", 3, width, (1, 7, 7), S2)
    blocks, channels = [], width
    for k, depth in enumerate(depths):
        filters = 4 * width * 2**k
        for i in range(depth):
            name, strides = f"stage{k}_block{i}", S2 if i == 0 and k else (1, 1, 1)
            inner = filters // 4
            blocks.append(
                Residual(
                    name=name,
                    temporal=None,
                    reduce=Conv(f"{name}_reduce", channels, inner),
                    spatial=Conv(f"{name}_spatial", inner, inner, K33, strides),
                    expand=Conv(f"{name}_expand", inner, filters),
                    pool=None,
                    shortcut=Conv(f"{name}_shortcut", channels, filters, strides=strides)
                    if i == 0
                    else None,
                    relu=True,
                )
            )
            channels = filters
    return stem, Pool("stem_pool", K33, S2, "max"), blocks, Dense("classifier", channels, classes)


def macs(clip, **options):
    """Multiply-adds of one clip `(frames, height, width, 3)`, the classifier on every frame."""
    stem, pool, blocks, classifier = plan(**options)
    total, shape = stem.macs(clip), pool.output_shape(stem.output_shape(clip))
    for block in blocks:
        total += sum(row.macs(shape) for row in block.skip_rows)
        for row in (block.reduce, block.spatial, block.expand):
            total += row.macs(shape)
            shape = row.output_shape(shape)
    return total + classifier.macs((shape[0], shape[-1]))


def build(input_shape, include_preprocessing=False, **options):
    """The Keras model of clips `(frames, height, width, 3)`."""
    import keras

    from keras_video.blocks import residual
    from keras_video.blocks.big_little import _conv
    from keras_video.layers import CumulativeAvgPool, SpatialMaxPool
    from keras_video.models import VideoClassifier

    stem, pool, blocks, classifier = plan(**options)
    x = inputs = keras.Input(input_shape)
    if include_preprocessing:
        x = keras.layers.Rescaling(1 / 127.5, -1.0, name="normalize")(x)
    x = _conv(x, stem, "relu", None)
    x = SpatialMaxPool(3, 2, padding="symmetric", name=pool.name)(x)
    for block in blocks:
        x = residual(x, block)
    x = CumulativeAvgPool(keep_frames=False, name="head_pool")(x)
    x = keras.layers.Dense(classifier.filters, dtype="float32", name=classifier.name)(x)
    return VideoClassifier(inputs, x, name="resnet_tsn")
