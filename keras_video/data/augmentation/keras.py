"""`KerasAugmentation`: image layers of Keras, with the same parameters for all frames of a clip."""

import os

import numpy as np

from keras_video.data.augmentation.base import Augmentation, check_batch, to_dtype

# How the frames of a clip become one image, of which a layer draws its parameters once.
# "channels": (height, width, frames * 3), for layers that move pixels or filter within channels.
# "height": (frames * height, width, 3), for layers that look at one pixel's colours, or at the
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

    A layer draws parameters for each image, so the frames of a clip are folded into one image
    that it can treat as such. Layers with which that does not work (Keras 3.15) are refused:
    `RandAugment` and `AugMix` move pixels and look at colours, `RandomErasing` has noise that would
    differ between frames, `MixUp` and `CutMix` change labels: their counterparts in
    `keras_video.data.augmentation` do all that for clips. `Equalization` has one histogram,
    `RandomCrop` one place for the whole batch. `RandomGrayscale` and `RandomShear` cannot be made
    again from their config, and `RandomElasticTransform` does not repeat itself on torch.

    The layer runs on the backend, so it is best used with worker threads: a worker process that is
    started afresh loads the backend for itself, and in a forked one, where it would hang, a
    `RuntimeError` is raised.

    Args:
        layer: instance of one of the `keras.layers` that `FOLDS` lists, for values in 0..255.

    Raises:
        ValueError: if `layer` is something else.

    Example:
    >>> augment = KerasAugmentation(keras.layers.RandomRotation(0.05, fill_mode="nearest"))
    """

    def __init__(self, layer):
        name = type(layer).__name__
        if name not in FOLDS or not type(layer).__module__.startswith("keras."):
            raise ValueError(
                f"`layer` must be one of the Keras layers {', '.join(FOLDS)}. Received: {layer!r}"
            )
        self.layer = name
        self._class, self._config = type(layer), layer.get_config()
        self._process = os.getpid()

    def __call__(self, clips, labels, rng):
        check_batch(clips, rng)
        if os.getpid() != self._process:
            raise RuntimeError(
                f"keras.layers.{self.layer} cannot run in a forked process. Read the data with "
                "`use_multiprocessing=False`, or augment with the other classes of this module."
            )
        config = dict(self._config)
        if "seed" in config:
            config["seed"] = int(rng.integers(2**31))
        # A layer of its own for each call: the state of its generator is not safe between threads.
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
