"""Which layers have to stay in float: the fewest that keep the accuracy within a bound."""

import numpy as np
from keras import ops

from keras_video.mobile.calibration import calibrate
from keras_video.mobile.fake_quantization import FakeQuantize, rounded_weights
from keras_video.mobile.insertion import KERNELS, insert
from keras_video.mobile.quantize import (
    clip_form,
    kept_layers,
    pixel_range,
    predictions,
    source_layers,
    with_ranges,
)

BOUND = 0.005
NOISE_CLIPS = 8  # on which the noise of single layers is measured


def fewest_float_layers(model, clips, labels=None, bound=BOUND):
    """Finds the layers to name in `keep_float`.

    The noise that each layer's rounding alone brings into the predictions is measured; noises of
    layers add up. The layers are then taken into float, the noisiest first, and the smallest number
    that keeps the bound is found by bisection, int8 being computed as the files do.

    Args:
        model: `VideoClassifier` with trained weights.
        clips: array `(clips, frames, height, width, 3)`; enough of them to tell the bound.
        labels: ints `(clips,)`. Given, the bound is for the loss of top-1 accuracy; else for the
            share of clips whose best class is another than in float.
        bound: float in [0, 1).

    Returns:
        List of names of layers of the model, the noisiest first; empty where all may be int8.

    Raises:
        ValueError: for arguments that do not fit.
    """
    if not 0 <= bound < 1:
        raise ValueError(f"bound: expected a number in [0, 1), got {bound!r}.")
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
    """Loss of top-1 accuracy; without labels the share of predictions that changed."""
    rounded, exact = rounded.argmax(-1), exact.argmax(-1)
    if labels is None:
        return float(np.mean(rounded != exact))
    return float(np.mean(exact == labels) - np.mean(rounded == labels))


def noise_by_layer(form, model, ranges, clips):
    """`{layer of the model: mean square that its rounding alone changes the predictions by}`."""
    copy = insert(form, lambda name: _Switch(ranges[name], dtype="float32", name=name), (), False)
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
    """Without what all classes have in common, which decides nothing."""
    return answers - answers.mean(-1, keepdims=True)


class _Switch(FakeQuantize):
    """A known range that rounds only while it is switched on."""

    def build(self, input_shape):
        super().build(input_shape)
        self.active = self.add_weight(shape=(), initializer="zeros", trainable=False, name="active")

    def call(self, inputs, training=False):
        return ops.where(ops.convert_to_tensor(self.active) > 0, super().call(inputs), inputs)
