"""`mobile_form`: a network rewritten for runtimes that know images only.

Phones compute on tensors of rank 4: their runtimes have no fast 3D convolution, and their GPU
delegates no tensor with five axes. The mobile form is a Functional model of 2D layers, equal to the
network it was made of within rounding. Frames are folded into the batch, or are the rows of an
"image" `(batch, frames, height * width, channels)` where a kernel mixes them. Batch norm, constant
factors and residual gates are part of the kernels.
"""

from collections import Counter
from inspect import signature

import keras
from keras import tree

from keras_video.mobile.primitives import HARD_SWISH, Refold
from keras_video.mobile.rules import Features, rule_for
from keras_video.specs import check_int


def mobile_form(model, stream=False, frames=None, flat=False, hard_swish="fused"):
    """Rewrites a network for mobile runtimes.

    Args:
        model: `VideoClassifier`, or any Functional model on clips whose layers have a rule. Its
            height and width must be known.
        stream: bool; the form that takes a frame and a state, of a causal network.
        frames: int, the frames of a clip (default: those of the model), or of a step of a stream
            (default 1).
        flat: bool; clips without batch, as a file takes them. Streams always are.
        hard_swish: how `x * relu6(x + 3) / 6` is written. `"fused"`: as one layer, `"divided"`: as
            `(x / 6) * relu6(x + 3)`, `"folded"`: as `x * relu6(x + 3)`, the sixth being left to the
            next kernel.

    Returns:
        A Functional model in float32. Layers with weights have the names of those they come from,
        and are the same for clip and stream.

        - By default it takes clips `(batch, frames, height, width, 3)` and returns what the model
          does; it can be trained.
        - With `flat`, it takes `{"frames": (frames, height, width, 3)}` and returns
          `{"predictions": ...}`.
        - With `stream`, it also takes and returns a state, `{name: (1, ..., channels)}`. What is
          returned under a name is to be appended along axis 1, and as much of the oldest dropped.
          `inverse_count`, `(frames, 1, 1, 1)`, tells one divided by the number of every frame,
          counted from 1; `position`, only where frames have a positional encoding, the number
          counted from 0.

    Raises:
        ValueError: for a layer without a rule, and for unknown shapes.
    """
    if hard_swish not in HARD_SWISH:
        raise ValueError(f"hard_swish: expected one of {HARD_SWISH}, got {hard_swish!r}.")
    shape = check_shape(model, stream, frames)
    rewriter = Rewriter(stream, hard_swish)
    if stream or flat:
        inputs = keras.Input(batch_shape=shape, dtype="float32", name="frames")
        x = inputs
    else:
        inputs = keras.Input(shape, dtype="float32", name="frames")
        x = Refold(shape[1:], dtype="float32", name="folded_frames")(inputs)
    result = rewriter.inline(model, Features(x, shape[0]))
    outputs = _predictions(rewriter, result, len(model.outputs[0].shape), stream or flat)
    if stream or flat:
        inputs = {"frames": inputs, **rewriter.inputs}
        outputs = {"predictions": outputs, **rewriter.outputs}
    return keras.Model(inputs, outputs, name=f"{model.name}_mobile")


class Rewriter:
    """What the rules share: states, names, factors. Rules are in `keras_video.mobile.rules.basic`.

    Attributes:
        stream: bool.
        hard_swish: see `mobile_form`.
        inputs, outputs: dicts of Keras tensors, beside the frames and the predictions.
    """

    def __init__(self, stream, hard_swish):
        self.stream = stream
        self.hard_swish = hard_swish
        self.inputs = {}
        self.outputs = {}

    def inline(self, model, features):
        """Rewrites a Functional model on `features`, layer by layer."""
        values = {id(model.inputs[0]): features}
        nodes = [node for _, nodes in sorted(model._nodes_by_depth.items())[::-1] for node in nodes]
        uses = Counter(id(tensor) for node in nodes for tensor in node.input_tensors)
        uses.update(id(tensor) for tensor in model.outputs)
        for node in nodes:
            arguments = [values[id(t)] for t in node.input_tensors if id(t) in values]
            if node.is_input or not arguments:
                continue
            layer = node.operation
            results = rule_for(layer)(self, layer, *arguments, **_options(node))
            results = [results] if isinstance(results, Features) else results
            for output, result in zip(map(id, node.outputs), results, strict=False):
                values[output] = result if uses[output] == 1 else result._replace(conv=None)
        return values[id(model.outputs[0])]

    def by_frames(self, features, name):
        """`(batch, frames, height * width, channels)`, without the factor."""
        _, height, width, channels = features.shape
        shape = (features.frames, height * width, channels)
        return Refold(shape, dtype="float32", name=f"{name}_frames")(features.tensor)

    def by_pixels(self, tensor, height, width, name):
        """From there back to `(batch * frames, height, width, channels)`."""
        shape = (height, width, tensor.shape[-1])
        return Refold(shape, dtype="float32", name=f"{name}_pixels")(tensor)

    def plain(self, features, name):
        """The tensor with its factor multiplied."""
        return self.scaled(features, 1.0, name)._replace(factor=1.0).tensor

    def scaled(self, features, scale, name):
        """Multiplies by the factor and a number, where possible inside the last kernel."""
        scale = features.factor * scale
        features = features._replace(factor=1.0)
        if scale == 1.0:
            return features
        if features.conv is not None:
            features.conv.set_weights([scale * w for w in features.conv.get_weights()])
            return features
        layer = keras.layers.Rescaling(scale, dtype="float32", name=f"{name}_scaled")
        return features._replace(tensor=layer(features.tensor))

    def state(self, name, shape):
        """A new input that holds what `keep` gave under the same name."""
        self.inputs[name] = keras.Input(batch_shape=shape, dtype="float32", name=name)
        return self.inputs[name]

    def keep(self, name, tensor):
        """Makes a tensor of this step part of the state."""
        self.outputs[name] = tensor

    def clock(self, name, frames):
        """The input `inverse_count` or `position`, one number for each frame of the step."""
        if name not in self.inputs:
            self.state(name, (frames, 1, 1, 1))
        return self.inputs[name]


# What calls are given beside tensors and rules take, by layer; what does nothing at inference.
OPTIONS = {"TemporalAggregation": {"of_pair"}}
IGNORED = {"training", "mask"}


def _options(node):
    """What the layer was called with beside tensors, or an error for what its rule cannot know."""
    layer, given = node.operation, node.arguments
    bound = signature(layer.call).bind(*given.args, **given.kwargs).arguments
    options = {
        name: value
        for name, value in bound.items()
        if name not in IGNORED
        and tree.flatten(value) not in ([], [None])
        and not any(isinstance(part, keras.KerasTensor) for part in tree.flatten(value))
    }
    known = {name for base in type(layer).__mro__ for name in OPTIONS.get(base.__name__, ())}
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(
            f"model: {layer.name} is called with {unknown[0]}={options[unknown[0]]!r}, which has "
            "no mobile form."
        )
    return options


def check_shape(model, stream, frames):
    """`(frames, height, width, channels)` of what the form takes, or an error."""
    inputs = getattr(model, "inputs", None)
    if not inputs or len(inputs[0].shape) != 5:
        raise ValueError(
            "model: expected a Functional model of clips (batch, frames, height, width, 3), got "
            f"{[tuple(x.shape) for x in inputs] if inputs else model!r}."
        )
    if not getattr(model, "streaming", False) and len(inputs) + len(model.outputs) > 2:
        raise ValueError(
            f"model: expected a model with one clip and one answer, got {len(inputs)} inputs and "
            f"{len(model.outputs)} outputs. Networks of two streams have a mobile form where they "
            "take one dense clip, two_inputs=False."
        )
    _, made_for, *size = inputs[0].shape
    if None in size:
        raise ValueError(
            f"model: expected known height and width, got {tuple(inputs[0].shape)}. Build "
            f"{model.name} with input_shape=(frames, height, width, 3)."
        )
    if frames is not None:
        check_int("frames", frames)
    if stream:
        return (frames or 1, *size)
    if made_for is not None and frames not in (None, made_for):
        raise ValueError(
            f"frames: expected {made_for}, which the model was made for, got {frames}."
        )
    if made_for is None and frames is None:
        raise ValueError(
            f"frames: expected the number of frames of a clip, which {model.name} leaves open, "
            "got None."
        )
    return (made_for or frames, *size)


def _predictions(rewriter, features, rank, flat):
    """The answer in the shape of the model's own, which flat forms give without rank 5."""
    x = rewriter.plain(features, "predictions")
    if rank == 2:
        target = x.shape[-1:]
    elif flat:
        return x
    else:
        target = (features.frames, *x.shape[1:][-(rank - 2) :])
    return Refold(target, dtype="float32", name="predictions")(x)


def with_input_shape(model, shape):
    """The same network for clips of a known shape.

    Args:
        model: `VideoClassifier`, or another Functional model.
        shape: `(frames, height, width, 3)`; frames may stay `None`.
    """
    config = model.get_config()
    for layer in config["layers"]:
        if layer["name"] == model.inputs[0]._keras_history.operation.name:
            layer["config"] = {**layer["config"], "batch_shape": (None, *shape)}
    twin = type(model).from_config(config)
    twin.set_weights(model.get_weights())
    return twin


def state_of(form):
    """`{name: shape}` of the state that a form made with `stream=True` takes and returns."""
    if not isinstance(form.output, dict):
        return {}
    shapes = {tensor.name: tuple(tensor.shape) for tensor in form.inputs}
    return {name: shapes[name] for name in form.output if name != "predictions"}
