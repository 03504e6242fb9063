"""Quantization after training: a form, ranges from clips, and the int8 form for the file.

`fewest_float_layers` searches the layers that have to stay in float.
"""

import numpy as np
from keras import ops

from keras_video.checks import check_number
from keras_video.mobile.quantization.calibration import calibrate, clips_of, pixel_range, quantized
from keras_video.mobile.quantization.fake_quantization import FakeQuantize, rounded_weights
from keras_video.mobile.quantization.forms import (
    clip_form,
    file_form,
    kept_layers,
    predictions,
    source_layers,
    with_ranges,
)
from keras_video.mobile.quantization.insertion import KERNELS, insert
from keras_video.mobile.quantization.noise_report import noise_report
from keras_video.mobile.rewriting import check_shape

REPORTED_CLIPS = 8  # clips of the calibration data that the report is made from
BOUND = 0.005
NOISE_CLIPS = 8  # clips that the noise of single layers is measured on


def deployed_int8(model, representative_data, stream=False, frames=None, keep_float=()):
    """Quantize a trained model after calibration on clips.

    Args:
        model: `VideoClassifier`.
        representative_data: clips `(batch, frames, height, width, 3)` like those that the model
            will see, as an array or as an iterable of batches. A stream learns its ranges from all
            frames of the clips. The clips may be shorter than the streams.
        stream: bool, whether to return the form that takes a frame and a state.
        frames: int, the frames of a clip, or of a step of a stream (default 1).
        keep_float: names of layers of `model` that compute in float, or `"auto"`: the fewest that
            keep the best class of all but half a percent of the clips.

    Returns:
        The pair `(form, report)`: a form as `mobile_form` gives it with `flat` or `stream`, with
        fake quantization and rounded kernels; and a `NoiseReport`.

    Raises:
        ValueError: for data that cannot be clips for the model, and unknown names.
    """
    shape = check_shape(model, stream, frames)
    clips = clips_of(representative_data, shape, stream, pixel_range(model))
    form, kept = form_to_quantize(model, clips, stream, shape[0], keep_float)
    copy = quantized(form, clips, kept, pixel_range(model))
    return copy, noise_report(form, copy, clips[:REPORTED_CLIPS], kept)


def form_to_quantize(model, clips, stream, frames, keep_float=()):
    """Return the form for a file, still in float, and the names of its layers that stay float.

    The arguments are those of `deployed_int8`; `clips` are an array.
    """
    if isinstance(keep_float, str) and keep_float == "auto":
        keep_float = fewest_float_layers(model, clips)
    form = file_form(model, stream, frames)
    return form, kept_layers(form, model, keep_float)


def fewest_float_layers(model, clips, labels=None, bound=BOUND):
    """Find the layers to name in `keep_float`.

    First the noise is measured that rounding one layer alone adds to the predictions: noises of
    layers add up. Then layers are moved to float, the noisiest first. Bisection finds the smallest
    number of them that keeps the bound, with int8 computed as in a file.

    Args:
        model: `VideoClassifier` with trained weights.
        clips: array `(clips, frames, height, width, 3)`, enough of them to measure the bound.
        labels: ints `(clips,)`, or `None`. With labels, the bound is for the loss of top-1
            accuracy; without, for the share of clips whose best class differs from float.
        bound: float in [0, 1).

    Returns:
        List of names of layers of the model, the noisiest first; empty if all may be int8.

    Raises:
        ValueError: for a bound or labels that do not fit.
    """
    check_number("bound", bound, 0, below=1)
    if labels is not None and np.shape(labels) != (len(clips),):
        raise ValueError(f"labels: expected shape ({len(clips)},), got {np.shape(labels)}.")
    form = clip_form(model, clips.shape[1])
    exact = predictions(form, clips)
    ranges = calibrate(form, clips, pixels=pixel_range(model))

    def keeps(names):
        kept = kept_layers(form, model, names)
        return loss(predictions(with_ranges(form, ranges, kept), clips), exact, labels) <= bound

    if keeps([]):
        return []
    noise = noise_by_layer(form, model, ranges, clips[:NOISE_CLIPS])
    order = sorted(noise, key=noise.get, reverse=True)
    too_few, enough = 0, len(order)
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if keeps(order[:middle]) else (middle, enough)
    return order[:enough]


def loss(rounded, exact, labels=None):
    """Return the loss of top-1 accuracy; without labels, the share of changed predictions."""
    rounded, exact = rounded.argmax(-1), exact.argmax(-1)
    if labels is None:
        return float(np.mean(rounded != exact))
    return float(np.mean(exact == labels) - np.mean(rounded == labels))


def noise_by_layer(form, model, ranges, clips):
    """Measure the noise that rounding one layer alone adds to the predictions.

    Returns:
        `{layer of the model: mean square of the change of the predictions}`.
    """
    copy = insert(form, lambda name: _Switch(ranges[name], dtype="float32", name=name))
    switches = {layer.name: layer for layer in copy.layers if isinstance(layer, _Switch)}
    parts = {}
    for layer, source in source_layers(form, model).items():
        parts.setdefault(source, []).append(layer)
    names = {layer.name for layer in copy.layers}
    exact = _centred(predictions(copy, clips))
    noise = {}
    for source, layers in parts.items():
        turned = [switches[f"{name}_range"] for name in layers if f"{name}_range" in switches]
        kernels = [copy.get_layer(name) for name in layers if name in names]
        kernels = [(k, k.get_weights()) for k in kernels if isinstance(k, KERNELS)]
        if not turned and not kernels:
            continue
        for switch in turned:
            switch.active.assign(1.0)
        for kernel, _ in kernels:
            kernel.set_weights(rounded_weights(kernel))
        noise[source] = float(np.square(_centred(predictions(copy, clips)) - exact).mean())
        for switch in turned:
            switch.active.assign(0.0)
        for kernel, weights in kernels:
            kernel.set_weights(weights)
    return noise


def _centred(answers):
    """Subtract what all classes have in common: it does not change the best class."""
    return answers - answers.mean(-1, keepdims=True)


class _Switch(FakeQuantize):
    """A known range that rounds only while it is switched on."""

    def build(self, input_shape):
        super().build(input_shape)
        self.active = self.add_weight(shape=(), initializer="zeros", trainable=False, name="active")

    def call(self, inputs, training=False):
        return ops.where(ops.convert_to_tensor(self.active) > 0, super().call(inputs), inputs)
