"""Quantization after training: a network, some clips, and the int8 form that a file is made of.

Which layers have to stay in float: the fewest that keep the accuracy within a bound.
"""

import numpy as np
from keras import ops

from keras_video.mobile.quantization.calibration import batches, calibrate
from keras_video.mobile.quantization.fake_quantization import FakeQuantize, rounded_weights
from keras_video.mobile.quantization.insertion import KERNELS, insert
from keras_video.mobile.quantization.noise_report import noise_report
from keras_video.mobile.quantization.representative import clips_of, pixel_range
from keras_video.mobile.rewriting import mobile_form

REPORTED_CLIPS = 8  # of the calibration data, which the report is made of


def deployed_int8(model, representative_data, stream=False, frames=None, keep_float=()):
    """Quantizes a trained network after calibration on clips.

    Args:
        model: `VideoClassifier`.
        representative_data: clips `(batch, frames, height, width, 3)` like those that the network
            will see, as an array or as batches. Streams learn their ranges from all frames of
            the clips, which may be shorter than the streams.
        stream: bool, the form that takes a frame and a state.
        frames: int, the frames of a clip, or of a step of a stream.
        keep_float: names of layers of `model` that shall compute in float, or `"auto"`: the fewest
            that keep the best class of all but half a percent of the clips
            (`keras_video.mobile.quantization.after_training`).

    Returns:
        The pair `(form, report)`: a deployed form as `mobile_form` gives it, with fake quantization
        and rounded kernels; and the `NoiseReport`.

    Raises:
        ValueError: for data that cannot be clips for the model, and unknown names.
    """
    shape = (frames or (1 if stream else model.inputs[0].shape[1]), *model.inputs[0].shape[2:])
    clips = clips_of(representative_data, shape, stream, pixel_range(model))
    if isinstance(keep_float, str) and keep_float == "auto":
        keep_float = fewest_float_layers(model, clips)
    form = clip_form(model, clips.shape[1])
    kept = kept_layers(form, model, keep_float)
    ranges = calibrate(form, clips, kept, pixel_range(model), every_frame=stream)
    report = noise_report(form, with_ranges(form, ranges, kept), clips[:REPORTED_CLIPS], kept)
    return deployed(model, ranges, stream, frames, kept), report


def clip_form(model, frames):
    """The trainable clip form in the way that int8 computes it."""
    return mobile_form(model, frames=frames, hard_swish="folded")


def with_ranges(form, ranges, kept=(), round_kernels=True):
    """A copy of a form with these ranges: `{range name: (smallest, largest)}`."""

    def make_range(name):
        if name not in ranges:
            raise ValueError(f"ranges: {name} of {form.name} has none.")
        return FakeQuantize(ranges[name], dtype="float32", name=name)

    return insert(form, make_range, kept, round_kernels)


def deployed(model, ranges, stream, frames, kept=(), weights_of=None):
    """The deployed form of a network with ranges and rounded kernels.

    Args:
        model: `VideoClassifier`.
        ranges: `{range name: (smallest, largest)}`.
        stream, frames: see `deployed_int8`.
        kept: names of layers of the form that compute in float.
        weights_of: a form with trained weights; default: those of the model.
    """
    form = mobile_form(model, stream=stream, frames=frames, flat=not stream, hard_swish="folded")
    copy = with_ranges(form, ranges, kept, round_kernels=False)
    in_float = float_kernels(form, kept)
    for layer in copy.layers:
        if not layer.weights:
            continue
        if weights_of is not None and layer.name in (twin.name for twin in form.layers):
            trained = weights_of.get_layer(layer.name)
            layer.set_weights(getattr(trained, "get_plain_weights", trained.get_weights)())
        if isinstance(layer, KERNELS) and layer.name not in in_float:
            layer.set_weights(rounded_weights(layer))
    return copy


def float_kernels(form, kept):
    """Names of the kernels that a form with these kept layers computes in float."""
    copy = insert(form, lambda name: FakeQuantize((0.0, 1.0), name=name), kept)
    return {layer.name for layer in copy.layers if type(layer) in KERNELS}


def kept_layers(form, model, names):
    """Layers of the form that come from these layers of the model.

    Args:
        names: iterable of names of layers of `model`.

    Raises:
        ValueError: for names that the model does not have.
    """
    names = [names] if isinstance(names, str) else list(names)
    sources = source_layers(form, model)
    unknown = [name for name in names if name not in sources.values()]
    if unknown:
        known = sorted(set(sources.values()))
        raise ValueError(f"keep_float: expected names among {known}, got {unknown}.")
    return tuple(layer for layer, source in sources.items() if source in names)


def source_layers(form, model):
    """`{name of a layer of the form: name of the layer of the model it comes from}`."""
    names = sorted((layer.name for layer in model.layers), key=len, reverse=True)
    found = {}
    for layer in form.layers:
        for name in names:
            if layer.name == name or layer.name.startswith(f"{name}_"):
                found[layer.name] = name
                break
    return found


def predictions(form, clips):
    """Predictions of a trainable form for an array of clips."""
    return np.concatenate([np.asarray(form.predict_on_batch(batch)) for batch in batches(clips)])


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
