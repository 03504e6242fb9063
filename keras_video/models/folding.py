"""`fold_batch_norm`: an inference copy of a network without batch norm."""

from keras_video.layers import BigLittleMerge, GatedConv3D, GloRe, NonLocal, VideoConv3D


def fold_batch_norm(model):
    """Copies a model with batch norm folded into the kernels and biases of its convolutions.

    `VideoConv3D` folds at every inference call, which is cheap on a clip. On a single streamed
    frame the folding itself is a good part of the work; the copy does it once.

    Args:
        model: `VideoClassifier`, or any Functional model of this library's layers.

    Returns:
        A model of the same class that gives the same outputs within rounding. It is a snapshot:
        later training of `model` does not reach it, and it is not meant to be trained.
    """
    folded = [layer.name for layer in model.layers if _convolution(layer) is not None]
    config = model.get_config()
    for layer in config["layers"]:
        if layer["name"] in folded:
            layer["config"] |= {"batch_norm": False, "use_bias": True}
    copy = type(model).from_config(config)
    for layer in model.layers:
        _copy_layer(layer, copy.get_layer(layer.name))
    copy.trainable = False
    return copy


def _convolution(layer):
    """The convolution with batch norm that a layer is or holds, or `None`."""
    holds_one = isinstance(layer, (BigLittleMerge, GatedConv3D, GloRe, NonLocal))
    convolution = layer.conv if holds_one else layer
    with_norm = isinstance(convolution, VideoConv3D) and convolution.norm is not None
    return convolution if with_norm else None


def _copy_layer(layer, twin):
    """Copies the weights of a layer to one that is the same but for a folded batch norm."""
    convolution = _convolution(layer)
    if convolution is None:
        twin.set_weights(layer.get_weights())
        return
    target = twin if convolution is layer else twin.conv
    for variable, value in zip(target.weights, convolution.folded_weights(), strict=True):
        variable.assign(value)
    names = {variable.name for variable in convolution.weights}
    rest = {variable.name: variable for variable in layer.weights if variable.name not in names}
    for variable in twin.weights:
        if variable.name in rest:
            variable.assign(rest[variable.name])


def copy_weights(source, target):
    """Copies all weights between two models with layers of the same names, such as clip and stream.

    Args:
        source, target: Keras models.

    Raises:
        ValueError: if a layer or a shape differs; nothing is written then.
    """
    from keras_video.converters import weight_map

    weight_map.assign(target, weight_map.export(source))
