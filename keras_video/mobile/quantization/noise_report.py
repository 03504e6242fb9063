"""A report of where int8 loses accuracy: signal-to-noise ratios, layer by layer."""

from typing import NamedTuple

import numpy as np

from keras_video.mobile.quantization.calibration import observe, observer, with_open_ranges
from keras_video.mobile.quantization.fake_quantization import fake_quantize_array
from keras_video.mobile.quantization.insertion import FLOAT, ranges_of


class LayerNoise(NamedTuple):
    """One tensor that int8 rounds.

    Args:
        name: string, the layer or input that makes the tensor.
        smallest, largest: floats, its range.
        own: float, signal-to-noise ratio in decibels if only this tensor is rounded.
        total: float, signal-to-noise ratio in decibels with the noise of all earlier layers.
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
        float_layers: `{name: reason}` of the layers of the mobile form that compute in float.
    """

    layers: tuple
    float_layers: dict

    def worst(self, count=10):
        """Return the layers that add most noise of their own, worst first."""
        return sorted(self.layers, key=lambda layer: layer.own)[:count]

    def __str__(self):
        width = max([len("layer")] + [len(layer.name) for layer in self.layers])
        lines = [f"{'layer':{width}}  {'smallest':>9} {'largest':>9} {'own dB':>7} {'total dB':>8}"]
        for name, smallest, largest, own, total in self.layers:
            lines.append(f"{name:{width}}  {smallest:9.4g} {largest:9.4g} {own:7.1f} {total:8.1f}")
        lines += [f"float: {name} ({why})" for name, why in self.float_layers.items()]
        return "\n".join(lines)


def noise_report(form, quantized, clips, kept=()):
    """Compare a form with its quantized copy on clips.

    Args:
        form: Functional model from `mobile_form`.
        quantized: its copy with known ranges, see `calibration.quantized` and `forms.with_ranges`.
        clips: array `(clips, frames, height, width, 3)`; a few are enough.
        kept: names of layers of the form that were chosen to compute in float.

    Returns:
        `NoiseReport`.
    """
    exact, names = observer(with_open_ranges(form, kept))
    rounded, _ = observer(quantized)
    ranges = ranges_of(quantized)
    power, own, total = (np.zeros(len(names)) for _ in range(3))
    for tensors in zip(observe(exact, clips), observe(rounded, clips), strict=True):
        for i, (a, b) in enumerate(zip(*tensors, strict=True)):
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
    """Return `{name: reason}` of the layers that a quantized form computes in float."""
    reasons = {layer.name: "by nature" for layer in form.layers if isinstance(layer, FLOAT)}
    return reasons | dict.fromkeys(kept, "by wish")


def decibels(signal, noise):
    """Return `10 log10(signal / noise)`, infinite without noise."""
    if noise == 0:
        return float("inf")
    return float(10 * np.log10(signal / noise)) if signal else float("-inf")
