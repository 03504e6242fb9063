"""`fold_batch_norm`: an inference copy of a network without batch norm."""

from keras_video.layers import VideoConv3D


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
    folded = [layer.name for layer in model.layers if _has_norm(layer)]
    config = model.get_config()
    for layer in config["layers"]:
        if layer["name"] in folded:
            layer["config"] |= {"batch_norm": False, "use_bias": True}
    copy = type(model).from_config(config)
    for layer in model.layers:
        twin = copy.get_layer(layer.name)
        if layer.name in folded:
            for variable, value in zip(twin.weights, layer.folded_weights(), strict=True):
                variable.assign(value)
        else:
            twin.set_weights(layer.get_weights())
    copy.trainable = False
    return copy


def _has_norm(layer):
    return isinstance(layer, VideoConv3D) and layer.norm is not None


def copy_weights(source, target):
    """Copies all weights between two models with layers of the same names, such as clip and stream.

    Args:
        source, target: Keras models.

    Raises:
        ValueError: if a layer or a shape differs; nothing is written then.
    """
    from keras_video.converters import weight_map

    weight_map.assign(target, weight_map.export(source))
