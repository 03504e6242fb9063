"""`BigLittleMerge`: merges the two branches of a big-little network."""

import keras
import numpy as np
from keras import ops

from keras_video.layers import backend
from keras_video.layers.activations import ACTIVATIONS, lookup
from keras_video.layers.frames import fold_frames, unfold_frames
from keras_video.layers.gated_conv3d import GatedConv3D


@keras.saving.register_keras_serializable("keras_video")
class BigLittleMerge(keras.layers.Layer):
    """Add a branch of few pixels and many channels to one of many pixels and few channels.

    The little branch is projected to the channels of the big one by a 1x1 convolution and batch
    norm. The big branch is resized to the pixels of the little one (nearest pixel). Their sum goes
    through the activation and then through `fusion` (Chen et al. 2019, "Big-Little Net", section
    3.1; Fan et al. 2019, "More Is Less", section 3.2).

    Args:
        filters: int, channels of the big branch, to which the little one is projected; `None` for
            no projection, if both have the same channels.
        activation: `"relu"`, `None`, or another activation of this library.
        fusion: `None`, or a layer that is applied to the sum.
        use_bias, batch_norm, momentum, epsilon, kernel_initializer: arguments of the projection, as
            for `VideoConv3D`.

    Call arguments:
        inputs: little branch, a float tensor `(batch, frames, height, width, channels)`, or
            `(batch, height, width, channels)` in a 2D network.
        big: big branch, with `filters` channels and any height and width; `None` leaves it out.
        training: bool, whether batch norm uses the statistics of the batch.

    Returns:
        A tensor `(batch, [frames,] height, width, filters)`, or the outputs of `fusion` for it.

    Example:
    >>> merge = keras_video.layers.BigLittleMerge(64)
    >>> little, big = keras.random.normal((1, 4, 9, 7, 32)), keras.random.normal((1, 4, 5, 4, 64))
    >>> merge(little, big).shape
    (1, 4, 9, 7, 64)
    """

    def __init__(
        self,
        filters=None,
        activation="relu",
        fusion=None,
        use_bias=None,
        batch_norm=True,
        momentum=0.99,
        epsilon=1e-3,
        kernel_initializer="he_normal",
        **kwargs,
    ):
        kwargs.setdefault("autocast", False)
        super().__init__(**kwargs)
        self.filters = filters
        self.activation = activation
        self._activation = lookup(ACTIVATIONS, "activation", activation)
        if fusion is not None and not isinstance(fusion, keras.layers.Layer):
            raise ValueError(f"fusion: expected a Keras layer or None, got {fusion!r}.")
        self.fusion = fusion
        self._options = {
            "use_bias": use_bias,
            "batch_norm": batch_norm,
            "momentum": momentum,
            "epsilon": epsilon,
            "kernel_initializer": kernel_initializer,
        }
        self.projection = None
        if filters is not None:
            self.projection = GatedConv3D(
                filters,
                activation=activation,
                dtype=self.dtype_policy,
                name="projection",
                **self._options,
            )

    @property
    def conv(self):
        """The convolution layer of the projection, or `None`."""
        return None if self.projection is None else self.projection.conv

    @property
    def norm(self):
        """The batch norm layer of the projection, or `None`."""
        return None if self.projection is None else self.projection.norm

    def build(self, inputs_shape, big_shape=None):
        shape = self._merged_shape(inputs_shape, big_shape)
        if self.projection is not None:
            self.projection.build((None,) * 4 + (inputs_shape[-1],))
        if self.fusion is not None and not self.fusion.built:
            self.fusion.build(shape)

    def compute_output_shape(self, inputs_shape, big_shape=None):
        shape = self._merged_shape(inputs_shape, big_shape)
        return shape if self.fusion is None else self.fusion.compute_output_shape(shape)

    def _merged_shape(self, little, big):
        if len(little) not in (4, 5) or little[-1] is None:
            raise ValueError(
                f"{self.name}: expected inputs of shape (batch, [frames,] height, width, channels) "
                f"with known channels, got {tuple(little)}."
            )
        shape = (*little[:-1], self.filters or little[-1])
        if big is None:
            return shape
        frames = [n for n in (little[1], big[1]) if n is not None] if len(little) == 5 else [1]
        if len(big) != len(little) or big[-1] != shape[-1] or len(set(frames)) > 1:
            wanted = (*shape[:-3], "height", "width", shape[-1])
            raise ValueError(f"{self.name}: expected big of shape {wanted}, got {tuple(big)}.")
        return shape

    def call(self, inputs, big=None, training=False):
        x = ops.cast(inputs, self.compute_dtype)
        is_video = len(x.shape) == 5
        if big is not None:
            big = ops.cast(big, x.dtype)
            big = fold_frames(big) if is_video else big
            big = upsample_nearest(big, ops.shape(x)[-3:-1])
        if self.projection is None:
            y = fold_frames(x) if is_video else x
            y = y if big is None else y + big
            y = y if self._activation is None else self._activation(y)
        else:
            y = x if is_video else x[:, None]
            big = None if big is None else unfold_frames(big, y)
            y = fold_frames(self.projection(y, big, training=training))
        y = unfold_frames(y, x) if is_video else y
        return y if self.fusion is None else self.fusion(y)

    def get_config(self):
        config = dict(self._options)
        if self.projection is not None:
            projection = self.projection.get_config()
            config = {name: projection[name] for name in config}
        elif not isinstance(config["kernel_initializer"], str):
            initializer = keras.initializers.get(config["kernel_initializer"])
            config["kernel_initializer"] = keras.initializers.serialize(initializer)
        fusion = self.fusion
        fusion = None if fusion is None else keras.saving.serialize_keras_object(fusion)
        own = {"filters": self.filters, "activation": self.activation, "fusion": fusion}
        return {**super().get_config(), **own, **config}

    @classmethod
    def from_config(cls, config):
        fusion = config.get("fusion")
        if isinstance(fusion, dict):
            fusion = keras.saving.deserialize_keras_object(fusion)
        return cls(**{**config, "fusion": fusion})


def upsample_nearest(x, size):
    """Resize images `(batch, height, width, channels)`: output pixel `i` is `floor(i * old / new)`.

    Most libraries count from the centres of the pixels instead, which differs for odd sizes.

    Args:
        x: tensor.
        size: `(height, width)` of the outputs.
    """
    old = ops.shape(x)[1:3]
    known = all(isinstance(n, int) for n in (*old, *size))
    if known and tuple(old) == tuple(size):
        return x
    if known and all(a == -(-b // 2) for a, b in zip(old, size, strict=True)):
        return backend.double(x)[:, : size[0], : size[1]]
    for axis, (a, b) in enumerate(zip(old, size, strict=True), 1):
        numbers = np.arange(b) * a // b if known else ops.arange(b, dtype="int32") * a // b
        x = ops.take(x, numbers, axis=axis)
    return x
