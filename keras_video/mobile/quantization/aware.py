"""`quantize_aware`: a model that is trained with the roundings of int8."""

import keras

from keras_video.mobile.quantization.calibration import calibrate, clips_of, pixel_range
from keras_video.mobile.quantization.fake_quantization import FakeQuantize
from keras_video.mobile.quantization.forms import clip_form, file_form, kept_layers, with_ranges
from keras_video.mobile.quantization.insertion import (
    after_the_clip,
    insert,
    known_ranges,
    ranges_of,
)
from keras_video.models import VideoClassifier


def quantize_aware(model, representative_data=None, keep_float=(), frames=None, momentum=0.99):
    """Make a model that can be trained to keep its accuracy in int8.

    Batch norm is folded into the kernels first, with the statistics of the earlier training.
    Kernels are rounded at each step, activations to ranges that follow the batches. Gradients pass
    both. Where a stream averages over all frames, the ranges after the average stay those of the
    representative data. A few epochs with a hundredth to a tenth of the first learning rate are
    enough (Krishnamoorthi 2018, arXiv 1806.08342, section 3.2). `export_litert` takes the ranges
    from the model.

    Args:
        model: `VideoClassifier` with trained weights, for clips or streaming. A streaming model is
            trained on clips, as the causal network that it is.
        representative_data: clips `(batch, frames, height, width, 3)` that the first ranges are
            chosen from. With `None`, ranges start with the first training batch.
        keep_float: names of layers of `model` that compute in float.
        frames: int, the frames of a training clip. Default: those of the model or of the data.
        momentum: float in [0, 1), how much of a range remains in a training step. To train with
            fixed ranges, set `trainable = False` on the layers of `ranges_of(model)`.

    Returns:
        `QuantizeAwareClassifier`. It takes clips and returns what the model does. It is a copy; the
        model does not change.

    Raises:
        ValueError: for data that cannot be clips for the model, and unknown names.
    """
    clips = None
    pixels = pixel_range(model)
    if representative_data is not None:
        made_for = frames or model.inputs[0].shape[1]
        shape = (made_for or 1, *model.inputs[0].shape[2:])
        clips = clips_of(representative_data, shape, made_for is None, pixels)
        frames = clips.shape[1]
    form = clip_form(model, frames)
    kept = kept_layers(form, model, keep_float)
    known = known_ranges(form, pixels)

    def make_range(name):
        return FakeQuantize(known.get(name), momentum, dtype="float32", name=name)

    copy = insert(form, make_range, kept, round_kernels=True)
    if clips is not None:
        found = calibrate(form, clips, kept, pixels, every_frame=model.streaming)
        late = after_the_clip(form) if model.streaming else ()
        for name, layer in ranges_of(copy).items():
            if layer.limits is None:
                layer.set_limits(*found[name])
                # Training sees the last frame of each clip only, streams answer from the first on.
                layer.trainable = name.removesuffix("_range") not in late
    trained = QuantizeAwareClassifier(copy.inputs[0], copy.outputs[0], name=model.name)
    trained._set_info({**getattr(model, "info", {}), "streams": model.streaming})
    trained._set_source(keras.saving.serialize_keras_object(model), kept)
    return trained


@keras.saving.register_keras_serializable("keras_video")
class QuantizeAwareClassifier(VideoClassifier):
    """A clip model in mobile form with fake quantization, made by `quantize_aware`.

    Attributes:
        source: config of the model that it was made from.
        streams: bool, whether that model streams. Exported files then do so as well.
        kept: names of layers of the mobile form that compute in float.
    """

    def _set_source(self, source, kept):
        self._origin = _Hidden((source, tuple(kept)))

    @property
    def source(self):
        return self._origin.value[0]

    @property
    def streams(self):
        return self.info.get("streams", False)

    @property
    def kept(self):
        return self._origin.value[1]

    def get_config(self):
        return {**super().get_config(), "source": self.source, "kept": list(self.kept)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        source, kept = config.pop("source"), config.pop("kept")
        model = super().from_config(config, custom_objects=custom_objects)
        model._set_source(source, kept)
        return model


class _Hidden:
    """Hide a value from Keras' attribute tracking."""

    def __init__(self, value):
        self.value = value


def is_quantize_aware(model):
    """Return whether a model was made by `quantize_aware`."""
    return isinstance(model, QuantizeAwareClassifier)


def deploy(model, stream=False, frames=None):
    """Return the form for a file of a model from `quantize_aware`, with its ranges.

    Args:
        model: `QuantizeAwareClassifier`.
        stream: bool, whether to return the form that takes a frame and a state. The model must be
            causal.
        frames: int, the frames of a clip (default: those of the training), or of a step (default
            1).

    Returns:
        A form as `mobile_form` gives it, with fake quantization and rounded kernels.

    Raises:
        ValueError: if ranges are not known yet.
    """
    ranges = {name: layer.get_limits() for name, layer in ranges_of(model).items()}
    unknown = [name for name, (smallest, largest) in ranges.items() if smallest == largest]
    if unknown:
        raise ValueError(
            f"model: expected ranges learned in training, got none for {unknown[0]} and "
            f"{len(unknown) - 1} others. Call fit, or quantize_aware with representative_data."
        )
    source = keras.saving.deserialize_keras_object(model.source)
    if not stream:
        frames = frames or model.inputs[0].shape[1]
    form = file_form(source, stream, frames)
    for layer in form.layers:
        if layer.weights:
            trained = model.get_layer(layer.name)
            layer.set_weights(getattr(trained, "get_plain_weights", trained.get_weights)())
    return with_ranges(form, ranges, model.kept)
