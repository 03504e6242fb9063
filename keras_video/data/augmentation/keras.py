"""Image layers of Keras as augmentations, with the same parameters for all frames of a clip."""

import os

import numpy as np

from keras_video.data.augmentation.base import Augmentation, check_batch, to_dtype

# How the frames of a clip are folded into one image, so that a layer draws parameters only once.
# "channels": (height, width, frames * 3), for layers that move pixels or filter each channel.
# "height": (frames * height, width, 3), for layers that use the colors of single pixels, or the
# statistics of the image, which are then those of the clip.
FOLDS = {
    "AutoContrast": "height",
    "RandomBrightness": "height",
    "RandomColorDegeneration": "height",
    "RandomColorJitter": "height",
    "RandomContrast": "height",
    "RandomFlip": "channels",
    "RandomGaussianBlur": "channels",
    "RandomHue": "height",
    "RandomInvert": "height",
    "RandomPerspective": "channels",
    "RandomPosterization": "height",
    "RandomRotation": "channels",
    "RandomSaturation": "height",
    "RandomSharpness": "channels",
    "RandomTranslation": "channels",
    "RandomZoom": "channels",
    "Solarization": "height",
}


class KerasAugmentation(Augmentation):
    """Applies an image preprocessing layer of Keras to whole clips.

    A layer draws parameters for each image. Therefore the frames of a clip are folded into one
    image. Layers that cannot be used in this way (Keras 3.15) are rejected: `RandAugment` and
    `AugMix` move pixels and also change colors, the noise of `RandomErasing` would differ between
    frames, and `MixUp` and `CutMix` change labels. `keras_video.data.augmentation` has counterparts
    of these for clips. `Equalization` uses one histogram and `RandomCrop` one position for the
    whole batch. `RandomGrayscale` and `RandomShear` cannot be created from their config, and
    `RandomElasticTransform` is not reproducible on torch.

    The layer runs on the backend, so use it with worker threads if possible. A spawned worker
    process loads its own backend. In a forked process the layer would hang; a `RuntimeError` is
    raised instead.

    Args:
        layer: instance of one of the `keras.layers` that `FOLDS` lists, for values in 0..255.

    Raises:
        ValueError: if `layer` is anything else.

    Example:
    >>> augment = KerasAugmentation(keras.layers.RandomRotation(0.05, fill_mode="nearest"))
    """

    def __init__(self, layer):
        name = type(layer).__name__
        if name not in FOLDS or not type(layer).__module__.startswith("keras."):
            raise ValueError(
                f"layer: expected one of the Keras layers {', '.join(FOLDS)}, got {layer!r}."
            )
        self.layer = name
        self._class, self._config = type(layer), layer.get_config()
        self._process = os.getpid()

    def __call__(self, clips, labels, rng):
        check_batch(clips, rng)
        if os.getpid() != self._process:
            raise RuntimeError(
                f"keras.layers.{self.layer} cannot run in a forked process. Read the data with "
                "use_multiprocessing=False, or use the other classes of "
                "keras_video.data.augmentation."
            )
        config = dict(self._config)
        if "seed" in config:
            config["seed"] = int(rng.integers(2**31))
        # Each call creates its own layer, since threads cannot share the state of its generator.
        layer = self._class.from_config(config)
        images = _fold(clips, FOLDS[self.layer]).astype(np.float32)
        images = _to_numpy(layer(images, training=True))
        return to_dtype(_unfold(images, clips.shape, FOLDS[self.layer]), clips.dtype), labels

    def __getstate__(self):
        return {k: v for k, v in vars(self).items() if k != "_process"}

    def __setstate__(self, state):
        vars(self).update(state, _process=os.getpid())


def _fold(clips, fold):
    batch, frames, height, width, channels = clips.shape
    if fold == "height":
        return clips.reshape(batch, frames * height, width, channels)
    return clips.transpose(0, 2, 3, 1, 4).reshape(batch, height, width, frames * channels)


def _unfold(images, shape, fold):
    if fold == "height":
        return images.reshape(shape)
    batch, height, width, _ = images.shape
    return images.reshape(batch, height, width, shape[1], shape[4]).transpose(0, 3, 1, 2, 4)


def _to_numpy(tensor):
    import keras

    return keras.ops.convert_to_numpy(tensor)
