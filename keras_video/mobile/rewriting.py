"""`mobile_form`: rewrite a video network with 2D layers, for mobile runtimes.

Mobile runtimes have no fast 3D convolution, and their GPU delegates no tensors of rank 5. The
mobile form is a Functional model of 2D layers that computes the same within rounding. Frames are
folded into the batch. Where a kernel mixes frames, they are the rows of an "image" of shape
`(batch, frames, height * width, channels)`. Batch norm, constant factors and residual gates are
folded into the kernels.
"""

from collections import Counter
from inspect import signature

import keras
from keras import tree

from keras_video.checks import check_choice, check_int
from keras_video.mobile.primitives import HARD_SWISH, Refold
from keras_video.mobile.rules import Features, rule_for
from keras_video.models.video_classifier import graph_nodes


def mobile_form(model, stream=False, frames=None, flat=False, hard_swish="fused"):
    """Rewrite a network for mobile runtimes.

    Args:
        model: `VideoClassifier`, or any Functional model on clips whose layers have a rule. Its
            height and width must be known.
        stream: bool, whether the form takes a few frames and a state. The model must be causal.
        frames: int. For clips: their length (default: that of the model). For streams: the frames
            of one step (default 1).
        flat: bool, whether the form takes one clip without a batch axis, as files do. Stream forms
            are always flat.
        hard_swish: string, how `x * relu6(x + 3) / 6` is computed. `"fused"`: as one layer;
            `"divided"`: as `(x / 6) * relu6(x + 3)`; `"folded"`: as `x * relu6(x + 3)`, with the
            factor 1/6 folded into the next kernel.

    Returns:
        A Functional model in float32. Layers with weights keep the names that they have in the
        model, and are the same for clips and streams.

        - By default it takes clips `(batch, frames, height, width, 3)`, returns what the model
          returns, and can be trained.
        - With `flat`, it takes `{"frames": (frames, height, width, 3)}` and returns
          `{"predictions": ...}`.
        - With `stream`, it also takes and returns a state, `{name: (1, ..., channels)}`. Append the
          output of a name to the state along axis 1, and drop as many of the oldest frames. The
          input `inverse_count`, `(frames, 1, 1, 1)`, is one divided by the number of each frame,
          counted from 1. The input `position`, only for networks with a positional encoding, is
          the number of each frame, counted from 0.

    Raises:
        ValueError: for a layer without a rule, and for unknown shapes.
    """
    check_choice("hard_swish", hard_swish, HARD_SWISH)
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
    """The form while it is built. Rules (`keras_video.mobile.rules`) call its methods.

    Attributes:
        stream, hard_swish: see `mobile_form`.
        inputs, outputs: dicts of Keras tensors, without the frames and the predictions.
    """

    def __init__(self, stream, hard_swish):
        self.stream = stream
        self.hard_swish = hard_swish
        self.inputs = {}
        self.outputs = {}

    def inline(self, model, features):
        """Rewrite a Functional model on `features`, layer by layer."""
        values = {id(model.inputs[0]): features}
        graph = Graph(model)
        for node in graph.nodes:
            arguments = [values[id(t)] for t in node.input_tensors if id(t) in values]
            if node.is_input or not arguments:
                continue
            layer = node.operation
            results = rule_for(layer)(self, layer, *arguments, **_options(node))
            results = [results] if isinstance(results, Features) else results
            for output, result in zip(map(id, node.outputs), results, strict=False):
                values[output] = result if graph.uses[output] == 1 else result._replace(conv=None)
        return values[id(model.outputs[0])]

    def by_frames(self, features, name):
        """Reshape to `(batch, frames, height * width, channels)`, without the factor."""
        _, height, width, channels = features.shape
        shape = (features.frames, height * width, channels)
        return Refold(shape, dtype="float32", name=f"{name}_frames")(features.tensor)

    def by_pixels(self, tensor, height, width, name):
        """Reshape from there to `(batch * frames, height, width, channels)`."""
        shape = (height, width, tensor.shape[-1])
        return Refold(shape, dtype="float32", name=f"{name}_pixels")(tensor)

    def plain(self, features, name):
        """Return the tensor multiplied by its factor."""
        return self.scaled(features, 1.0, name)._replace(factor=1.0).tensor

    def scaled(self, features, scale, name):
        """Multiply by the factor and by `scale`, inside the last kernel if possible."""
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
        """Add an input for the state that `keep` updates under the same name."""
        self.inputs[name] = keras.Input(batch_shape=shape, dtype="float32", name=name)
        return self.inputs[name]

    def keep(self, name, tensor):
        """Add an output: a tensor of this step that becomes part of the state."""
        self.outputs[name] = tensor

    def clock(self, name, frames):
        """Return the input `inverse_count` or `position`, one number for each frame of the step."""
        if name not in self.inputs:
            self.state(name, (frames, 1, 1, 1))
        return self.inputs[name]


# Call arguments that are not tensors: those that rules take, by layer, and those without effect at
# inference.
OPTIONS = {"TemporalAggregation": {"of_pair"}}
IGNORED = {"training", "mask"}


def _options(node):
    """Return the call arguments that are not tensors; raise for those that no rule takes."""
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
            f"model: expected calls with a mobile form, got {layer.name} called with "
            f"{unknown[0]}={options[unknown[0]]!r}."
        )
    return options


def check_shape(model, stream, frames):
    """Return `(frames, height, width, channels)` of the input of a form; raise if unknown."""
    inputs = getattr(model, "inputs", None)
    if not inputs or len(inputs[0].shape) != 5:
        raise ValueError(
            "model: expected a Functional model of clips (batch, frames, height, width, 3), got "
            f"{[tuple(x.shape) for x in inputs] if inputs else model!r}."
        )
    if not getattr(model, "streaming", False) and len(inputs) + len(model.outputs) > 2:
        raise ValueError(
            f"model: expected a model with one clip and one output, got {len(inputs)} inputs and "
            f"{len(model.outputs)} outputs. Build networks of two streams with two_inputs=False."
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
            f"frames: expected {made_for}, the clip length of the model, got {frames}."
        )
    if made_for is None and frames is None:
        raise ValueError(
            f"frames: expected the number of frames of a clip, because {model.name} leaves it "
            "open, got None."
        )
    return (made_for or frames, *size)


def _predictions(rewriter, features, rank, flat):
    """Return the predictions in the shape of the model's own, without rank 5 in flat forms."""
    x = rewriter.plain(features, "predictions")
    if rank == 2:
        target = x.shape[-1:]
    elif flat:
        return x
    else:
        target = (features.frames, *x.shape[1:][-(rank - 2) :])
    return Refold(target, dtype="float32", name="predictions")(x)


def with_input_shape(model, shape):
    """Copy a model for clips of a known shape.

    Args:
        model: `VideoClassifier`, or another Functional model.
        shape: `(frames, height, width, 3)`; frames may stay `None`.
    """
    config = model.get_config()
    name = tree.flatten(config["input_layers"])[0]
    for layer in config["layers"]:
        if layer["name"] == name:
            layer["config"] = {**layer["config"], "batch_shape": (None, *shape)}
    twin = type(model).from_config(config)
    twin.set_weights(model.get_weights())
    return twin


def state_of(form):
    """Return `{name: shape}` of the state of a form; empty for clip forms."""
    if not isinstance(form.output, dict):
        return {}
    shapes = {tensor.name: tuple(tensor.shape) for tensor in form.inputs}
    return {name: shapes[name] for name in form.output if name != "predictions"}


class Graph:
    """The layer calls of a Functional model: which layer makes a tensor, which layers use it.

    Args:
        model: Functional model.

    Attributes:
        nodes: list of Keras nodes in the order of computation. Their `operation` (the layer),
            `arguments`, `input_tensors`, `outputs` and `is_input` are used.
        uses: `{id of a tensor: number of uses}`, by layers and as outputs of the model.
    """

    def __init__(self, model):
        self.nodes = graph_nodes(model)
        self._users, self._outputs = {}, {}
        for node in self.nodes:
            self._outputs.setdefault(id(node.operation), []).extend(node.outputs)
            for tensor in node.input_tensors:
                self._users.setdefault(id(tensor), []).append(node.operation)
        self.uses = Counter({tensor: len(users) for tensor, users in self._users.items()})
        self.uses.update(id(tensor) for tensor in model.outputs)

    def users(self, tensor):
        """Return a list of the layers that take a tensor."""
        return self._users.get(id(tensor), [])

    def next_layers(self, layer):
        """Return a list of the layers that take an output of a layer."""
        return [user for t in self._outputs.get(id(layer), []) for user in self.users(t)]
