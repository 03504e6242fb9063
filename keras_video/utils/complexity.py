"""What a network costs, counted from its plan: no backend is imported, nothing is built.

Every function takes a config such as `applications.movinet.MoViNetConfig`, which gives its rows by
`plan(classes)` and its cost by `trace(clip, classes)`.
"""

from math import prod


def params(config, classes=600, trainable=False):
    """Number of parameters.

    Args:
        config: a network's config.
        classes: int, outputs of the classifier.
        trainable: bool, leaves out the moving statistics of batch norm.

    Returns:
        int.
    """
    rows = config.plan(classes).rows()
    return sum(row.trainable_params if trainable else row.params for row in rows)


def macs(config, clip=None, classes=600):
    """Multiply-adds of one clip, those of convolutions and dense layers.

    One multiply with its addition counts once, as in the tables of the video papers, which call it
    a FLOP. Applying a gate, normalising and pooling are not counted.

    Args:
        config: a network's config.
        clip: `(frames, height, width, channels)`; default the published clip.
        classes: int.

    Returns:
        int.
    """
    return sum(step.macs for step in config.trace(clip or config.clip, classes))


def peak_activation_memory(config, clip=None, classes=600, bytes_per_value=4):
    """Largest number of bytes that inputs, outputs and kept skip values take at one time.

    Layers are taken to run one after the other, as an inference runtime does, each with its input,
    its output and the block's skip value alive; weights are not counted.

    Args:
        config: a network's config.
        clip: `(frames, height, width, channels)`; default the published clip. With one frame and a
            streaming config it is the memory of one step, without the state.
        classes: int.
        bytes_per_value: int, 4 for float32.

    Returns:
        int, for a batch of one.
    """
    return bytes_per_value * max(step.alive for step in config.trace(clip or config.clip, classes))


def state_size(config, size=None):
    """Bytes of the streaming state of one video: float32 buffers and means, int32 counts.

    Args:
        config: a causal network's config.
        size: `(height, width)` of the frames; default the published one.

    Returns:
        int.
    """
    shapes = config.state_shapes(size or config.clip[1:3])
    return 4 * sum(prod(shape) for shapes in shapes.values() for shape in shapes)
