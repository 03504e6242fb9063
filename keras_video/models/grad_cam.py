"""Saliency: where and when a clip speaks for a class, by gradients of inner features.

Grad-CAM and LayerCAM, over space and time.
"""

import keras
import numpy as np
from keras import ops

from keras_video.checks import check_choice, check_int
from keras_video.layers import backend
from keras_video.models.video_classifier import graph_nodes, run_graph

METHODS = ("layer_cam", "grad_cam")
NO_LOGITS = ("softmax", "sigmoid")  # activations of a classifier that are left out
FINE = 5  # pixels; maps of fewer say little about the place


def saliency(model, clip, class_index=None, layer=None, method="layer_cam"):
    """Compute where and when a clip speaks for a class.

    The features of a layer are weighted by the gradient of the score of the class, summed over
    channels, and cut off below 0. The score is the logit, also if the model ends with a softmax.
    The map is then resized to the frames and pixels of the clip by linear interpolation. If there
    are several layers, as in a network of two streams, their maps are added.

    Args:
        model: `VideoClassifier` or another Functional model of clips, with a classifier.
        clip: array `(frames, height, width, channels)`, as the model takes it but without the batch
            axis. For a model of two clips, the pair of them.
        class_index: int, the class. Default: the one with the highest score.
        layer: name of a layer with outputs `(batch, frames, height, width, channels)`, or a list of
            names. Default: the last such layers with at least 5 x 5 pixels, which are those before
            the pooling if the clip has the published size. An earlier layer gives finer maps, of
            simpler features.
        method: `"layer_cam"` weights every feature by its own gradient where that is positive
            (Jiang et al. 2021, "LayerCAM", equations 6 and 7), which suits all layers.
            `"grad_cam"` weights every channel by the mean of its gradients over frames and pixels
            (Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2), for the last layer.

    Returns:
        float32 array `(frames, height, width)` with values from 0 to 1, where 1 is the highest
        value of the clip. It is 0 everywhere if nothing speaks for the class. For two clips, it is
        the map of the one with more frames.

    Raises:
        ValueError: if an argument is invalid.

    Example:
    >>> model = keras_video.applications.MoViNetA0(classes=10)
    >>> keras_video.models.saliency(model, numpy.zeros((4, 64, 64, 3))).shape
    (4, 64, 64)
    """
    check_choice("method", method, METHODS)
    nodes = _nodes(model)
    inputs = _inputs(model, clip)
    names = _last_videos(model, nodes, inputs) if layer is None else _named(nodes, layer)
    classes = model.outputs[0].shape[-1]
    if class_index is not None:
        class_index = check_int("class_index", class_index, 0, classes - 1)

    def score(inputs, keep):
        """Compute the score of the class, and call `keep` with the outputs of the layers."""

        def exchanged(operation):
            compute = _logits_of(operation)
            if operation.name not in names:
                return compute
            return lambda *args, **kwargs: keep(operation.name, compute(*args, **kwargs))

        logits = run_graph(model, inputs, exchanged)[0]
        index = ops.argmax(logits) if class_index is None else class_index
        return ops.sum(logits * ops.one_hot(index, classes, dtype=logits.dtype))

    features, gradients = backend.features_and_gradients(model, score, inputs)
    shape = max((tuple(x.shape[1:4]) for x in inputs), key=lambda shape: shape[0])
    total = np.zeros(shape, "float32")
    for name in names:
        feature, gradient = (_numpy(x[name])[0] for x in (features, gradients))
        if method == "grad_cam":
            weights = gradient.mean(axis=(0, 1, 2))
        else:
            weights = np.maximum(gradient, 0)
        total += _resize(np.maximum((feature * weights).sum(axis=-1), 0), shape)
    largest = total.max()
    return total / largest if largest > 0 else total


def _nodes(model):
    """Return the nodes of a model; raise an error if it is not a classifier of clips."""
    name = getattr(model, "name", type(model).__name__)
    if getattr(model, "streaming", False):
        raise ValueError(
            f"model: expected a model of clips, got {name!r}, which streams. Build it with "
            "causal=True instead of streaming=True; it takes the same weights."
        )
    try:
        nodes = graph_nodes(model)
    except AttributeError:
        raise ValueError(f"model: expected a Functional model of clips, got {name!r}.") from None
    if len(model.outputs) != 1 or len(model.outputs[0].shape) != 2:
        shapes = [tuple(x.shape) for x in model.outputs]
        raise ValueError(
            f"model: expected one with a classifier, whose outputs are (batch, classes), got "
            f"{name!r} with outputs {shapes}."
        )
    return [node for node in nodes if not node.is_input]


def _is_video(node):
    return len(node.outputs) == 1 and len(node.outputs[0].shape) == 5


def _last_videos(model, nodes, inputs):
    """Return the names of the last layers with fine videos as outputs: one for each stream."""
    shapes = _shapes(model, inputs)
    for least in (FINE, 1):
        fine = {name for name, shape in shapes.items() if min(shape[2:4]) >= least}
        found = _not_followed([n for n in nodes if _is_video(n)], nodes, fine)
        if found:
            return found
    raise ValueError(
        "model: expected a layer with outputs (batch, frames, height, width, channels), got none."
    )


def _not_followed(candidates, nodes, fine):
    """Return the names of the candidates in `fine` that no other one depends on."""
    candidates = {id(node) for node in candidates if node.operation.name in fine}
    consumers = {}
    for node in nodes:
        for x in node.input_tensors:
            consumers.setdefault(id(x), []).append(node)
    found, followed = [], set()
    for node in reversed(nodes):
        after = [n for x in node.outputs for n in consumers.get(id(x), ())]
        if any(id(n) in candidates or id(n) in followed for n in after):
            followed.add(id(node))
        elif id(node) in candidates:
            found.append(node.operation.name)
    return found


def _shapes(model, inputs):
    """Return the shapes of all videos inside the model for these inputs."""
    shapes = {}

    def specified(operation):
        def compute(*args, **kwargs):
            outputs = operation.compute_output_spec(*args, **kwargs)
            if len(getattr(outputs, "shape", ())) == 5:
                shapes[operation.name] = tuple(outputs.shape)
            return outputs

        return compute

    run_graph(model, [keras.KerasTensor(x.shape, x.dtype) for x in inputs], specified)
    return shapes


def _named(nodes, layer):
    names = [layer] if isinstance(layer, str) else list(layer)
    known = [node.operation.name for node in nodes if _is_video(node)]
    for name in names:
        if name not in known:
            raise ValueError(
                f"layer: expected layers with videos as outputs, such as {known[-1]!r}, got "
                f"{name!r}. All of them: {', '.join(known)}."
            )
    if not names:
        raise ValueError("layer: expected at least one name, got none.")
    return names


def _inputs(model, clip):
    """Return a list with a batch of one clip for each input."""
    count = len(model.inputs)
    clips = list(clip) if count > 1 and isinstance(clip, (list, tuple)) else [clip]
    clips = [np.asarray(c) for c in clips]
    if len(clips) != count:
        raise ValueError(f"clip: expected {count} clips, one for each input, got {len(clips)}.")
    clips = [c if c.ndim == 5 and len(c) == 1 else c[None] for c in clips]
    for c, x in zip(clips, model.inputs, strict=True):
        if c.ndim != 5 or c.shape[-1] != x.shape[-1]:
            raise ValueError(
                f"clip: expected shape (frames, height, width, {x.shape[-1]}), got {c.shape[1:]}."
            )
    if hasattr(model, "check_frames"):
        model.check_frames(clips if count > 1 else clips[0])
    return [
        ops.convert_to_tensor(c.astype("float32"), dtype=x.dtype)
        for c, x in zip(clips, model.inputs, strict=True)
    ]


def _logits_of(operation):
    """Return an operation, without its activation if that turns logits into probabilities."""
    activation = getattr(getattr(operation, "activation", None), "__name__", None)
    if activation not in NO_LOGITS:
        return operation
    if isinstance(operation, keras.layers.Activation):
        return lambda x, *args, **kwargs: x
    if not isinstance(operation, keras.layers.Dense):
        return operation

    def logits(x, *args, **kwargs):
        y = ops.matmul(ops.cast(x, operation.compute_dtype), operation.kernel)
        return y if operation.bias is None else y + operation.bias

    return logits


def _numpy(tensor):
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def _resize(x, shape):
    """Resize an array of rank 3 by linear interpolation between the centres of its cells."""
    for axis, size in enumerate(shape):
        last = x.shape[axis] - 1
        at = np.clip((np.arange(size) + 0.5) * (last + 1) / size - 0.5, 0, last)
        before = np.floor(at).astype(int)
        share = (at - before).reshape([-1 if a == axis else 1 for a in range(x.ndim)])
        after = np.take(x, np.minimum(before + 1, last), axis)
        x = np.take(x, before, axis) * (1 - share) + after * share
    return x.astype("float32")
