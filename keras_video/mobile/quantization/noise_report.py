"""Where int8 loses accuracy: the ratio of signal to rounding noise, layer by layer."""

from typing import NamedTuple

import keras
import numpy as np

from keras_video.mobile.quantization.calibration import batches, observer
from keras_video.mobile.quantization.fake_quantization import fake_quantize_array
from keras_video.mobile.quantization.insertion import FLOAT, ranges_of


class LayerNoise(NamedTuple):
    """One tensor that int8 rounds.

    Args:
        name: string, the layer or input that it comes from.
        smallest, largest: floats, its range.
        own: float, decibels between the tensor and what rounding it alone changes.
        total: float, decibels between the tensor and all that reaches it, earlier layers included.
    """

    name: str
    smallest: float
    largest: float
    own: float
    total: float


class NoiseReport(NamedTuple):
    """Signal-to-noise ratios of a quantized network, in the order of computation.

    Args:
        layers: tuple of `LayerNoise`.
        float_layers: names of the layers of the mobile form that compute in float, and why.
    """

    layers: tuple
    float_layers: dict

    def worst(self, count=10):
        """The layers that add most noise of their own, worst first."""
        return sorted(self.layers, key=lambda layer: layer.own)[:count]

    def __str__(self):
        width = max([len("layer")] + [len(layer.name) for layer in self.layers])
        lines = [f"{'layer':{width}}  {'smallest':>9} {'largest':>9} {'own dB':>7} {'total dB':>8}"]
        for name, smallest, largest, own, total in self.layers:
            lines.append(f"{name:{width}}  {smallest:9.4g} {largest:9.4g} {own:7.1f} {total:8.1f}")
        lines += [f"float: {name} ({why})" for name, why in self.float_layers.items()]
        return "\n".join(lines)


def noise_report(form, quantized, clips, kept=()):
    """Compares a clip form with its quantized copy on clips.

    Args:
        form: trainable clip form from `mobile_form`.
        quantized: its copy from `insert`, ranges known.
        clips: array `(clips, frames, height, width, 3)`; a few are enough.
        kept: names of layers of the form that compute in float by wish.

    Returns:
        `NoiseReport`.
    """
    exact, names = observer(form, kept)
    ranges = ranges_of(quantized)
    rounded = keras.Model(quantized.inputs[0], [ranges[name].output for name in names])
    power, own, total = (np.zeros(len(names)) for _ in range(3))
    for batch in batches(clips):
        pairs = zip(exact.predict_on_batch(batch), rounded.predict_on_batch(batch), strict=True)
        for i, (a, b) in enumerate(pairs):
            alone = fake_quantize_array(a, *ranges[names[i]].get_limits())
            power[i] += np.square(a, dtype="float64").sum()
            own[i] += np.square(alone - a, dtype="float64").sum()
            total[i] += np.square(b - a, dtype="float64").sum()
    layers = [
        LayerNoise(
            name.removesuffix("_range"),
            *ranges[name].get_limits(),
            decibels(power[i], own[i]),
            decibels(power[i], total[i]),
        )
        for i, name in enumerate(names)
    ]
    return NoiseReport(tuple(layers), float_layers(form, kept))


def float_layers(form, kept=()):
    """`{name: reason}` of what a quantized form computes in float."""
    reasons = {layer.name: "by nature" for layer in form.layers if isinstance(layer, FLOAT)}
    return reasons | dict.fromkeys(kept, "by wish")


def decibels(signal, noise):
    """`10 log10(signal / noise)`, infinite without noise."""
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal else float("-inf")
