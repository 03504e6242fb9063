"""Costs of a model, counted from its config. Nothing is built, and no backend is imported.

Every function takes a config such as `applications.movinet.MoViNetConfig`. Its method
`plan(classes)` gives the rows of the model, `trace(clip, classes)` the cost of each layer.
"""

from math import prod


def params(config, classes=600, trainable=False):
    """Return the number of parameters.

    Args:
        config: config of a model.
        classes: int, outputs of the classifier.
        trainable: bool, excludes the moving statistics of batch normalisation.

    Returns:
        int.
    """
    rows = config.plan(classes).rows()
    return sum(row.trainable_params if trainable else row.params for row in rows)


def macs(config, clip=None, classes=600):
    """Return the multiply-adds of convolutions and dense layers for one clip.

    A multiplication with its addition counts once, as in the tables of the video papers, which call
    it a FLOP. Gates, normalisation and pooling are not counted.

    Args:
        config: config of a model.
        clip: `(frames, height, width, channels)`; default the published clip.
        classes: int.

    Returns:
        int.
    """
    return sum(step.macs for step in config.trace(clip or config.clip, classes))


def peak_activation_memory(config, clip=None, classes=600, bytes_per_value=4):
    """Return the largest number of bytes that activations take at one time.

    Layers run one after the other, as in an inference runtime. The input and output of the layer
    and the skip value of its block are in memory. Weights are not counted.

    Args:
        config: config of a model.
        clip: `(frames, height, width, channels)`; default the published clip. With one frame and a
            streaming config, the result is the memory of one step without the state.
        classes: int.
        bytes_per_value: int, such as 4 for float32.

    Returns:
        int, for a batch of one.
    """
    return bytes_per_value * max(step.alive for step in config.trace(clip or config.clip, classes))


def state_size(config, size=None):
    """Return the bytes of one streaming state: float32 buffers and means, int32 counts.

    Args:
        config: config of a causal model.
        size: `(height, width)` of the frames; default the published one.

    Returns:
        int.
    """
    shapes = config.state_shapes(size or config.clip[1:3])
    return 4 * sum(prod(shape) for shapes in shapes.values() for shape in shapes)
