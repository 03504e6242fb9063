"""What the builders of all families check before they build: input, pooling, classes."""

import keras

from keras_video.specs import check_int


def frames_input(input_shape, input_tensor, default, check):
    """The Keras tensor of the frames, from whichever argument the user gave.

    Args:
        input_shape: `(frames, height, width, channels)` or `None`.
        input_tensor: Keras tensor or `None`.
        default: the shape where neither is given.
        check: function of the argument's name and the shape that raises if the family cannot.
    """
    if input_tensor is not None:
        shape = tuple(input_tensor.shape)[1:]
        check("input_tensor", shape)
        if input_shape is not None and tuple(input_shape) != shape:
            raise ValueError(
                f"input_shape: expected that of input_tensor, {shape}, got {tuple(input_shape)}."
            )
        return input_tensor
    shape = default if input_shape is None else tuple(input_shape)
    check("input_shape", shape)
    return keras.Input(shape, name="frames")


def check_video_shape(argument, shape, channels=3):
    """Raises unless `shape` is `(frames, height, width, channels)` of positive ints or `None`."""
    sizes = [n for n in shape[:3] if n is not None]
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in sizes)
    if len(shape) != 4 or shape[-1] != channels or not whole or any(n < 1 for n in sizes):
        hint = " Channels come last." if channels in shape[:2] and shape[-1] != channels else ""
        raise ValueError(
            f"{argument}: expected (frames, height, width, {channels}) of positive ints or None, "
            f"got {shape}.{hint}"
        )


def check_reducible_shape(argument, shape, smallest=32):
    """Raises unless `shape` is that of a video of a size that a network reduces to 1 or more."""
    check_video_shape(argument, shape)
    if any(n is not None and n < smallest for n in shape[1:3]):
        raise ValueError(
            f"{argument}: expected height and width of at least {smallest}, which the network "
            f"reduces to 1, got {shape}."
        )


def check_head(pooling, classes):
    """Raises unless `pooling` and `classes` are what builders take."""
    if pooling not in (None, "avg", "max"):
        raise ValueError(f"pooling: expected None, 'avg' or 'max', got {pooling!r}.")
    if classes is not None:
        check_int("classes", classes)
