"""Puts fake quantization into a mobile form, where an int8 runtime would round.

A runtime computes a layer in int8 if the ranges of its inputs and of its output are known. What
follows is therefore a rule per kind of layer: kernels and elementwise layers get a range behind
them, layers that only move values keep the range of their input, and running means stay in float
between a range before and one behind them.

Average pooling as a depthwise convolution: XNNPACK has no int8 kernel for average pooling.
"""

import keras
import numpy as np
from keras import ops, tree

from keras_video.layers import FrameVote
from keras_video.layers.convolution import same_pads
from keras_video.layers.pooling import window_shares
from keras_video.mobile.primitives import (
    AddPositions,
    Attention,
    FrameAvgPool,
    FrameMaxPool,
    FrameSlice,
    FramesPool,
    Grow,
    HardSwish,
    NodeGather,
    NodeScatter,
    Refold,
    RepeatFrames,
    RunningMean,
    ShiftedRelu6,
)
from keras_video.mobile.quantization.fake_quantization import (
    FakeQuantize,
    QuantizedConv2D,
    QuantizedDepthwiseConv2D,
    usual_scale,
)


@keras.saving.register_keras_serializable("keras_video")
class BorderCorrection(keras.layers.Layer):
    """Divides the sums of windows by the share of each window that lies inside the image.

    Args:
        image_size: `(height, width)` before pooling.
        pool_size, strides: ints, those of the pooling.

    Call arguments:
        inputs: tensor `(batch * frames, new_height, new_width, channels)`.
    """

    def __init__(self, image_size, pool_size, strides, **kwargs):
        super().__init__(**kwargs)
        self.image_size = tuple(image_size)
        self.pool_size = pool_size
        self.strides = strides

    def compute_output_shape(self, input_shape):
        return input_shape

    def call(self, inputs):
        size, strides = (self.pool_size,) * 2, (self.strides,) * 2
        pads = same_pads(self.image_size, size, strides)
        rows, columns = (
            window_shares(n, pad, self.pool_size, self.strides)
            for n, pad in zip(self.image_size, pads, strict=True)
        )
        factors = 1.0 / np.outer(rows, columns)[None, :, :, None]
        return inputs * ops.convert_to_tensor(factors, inputs.dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "image_size": self.image_size,
            "pool_size": self.pool_size,
            "strides": self.strides,
        }


def pool_by_kernel(layer, inputs, ranged):
    """Writes a `FrameAvgPool` as a kernel of equal weights, and corrects the borders if need be.

    Args:
        layer: the pooling.
        inputs: tensor `(batch * frames, height, width, channels)`.
        ranged: function of a tensor and a name that puts a range behind it.
    """
    size = layer.pool_size
    counted = layer.padding == "symmetric"  # zeros around the image belong to the average
    if counted:
        pad = keras.layers.ZeroPadding2D(size // 2, dtype="float32", name=f"{layer.name}_padded")
        inputs = pad(inputs)
    kernel = keras.layers.DepthwiseConv2D(
        size,
        layer.strides,
        padding="valid" if counted else "same",
        use_bias=False,
        depthwise_initializer=keras.initializers.Constant(1 / size**2),
        trainable=False,
        dtype="float32",
        name=layer.name if counted else f"{layer.name}_sums",
    )
    sums = ranged(kernel(inputs), kernel.name)
    if counted:
        return sums
    correction = BorderCorrection(
        inputs.shape[1:3], size, layer.strides, dtype="float32", name=layer.name
    )
    return ranged(correction(sums), layer.name)


QUANTIZED = {
    keras.layers.Conv2D: QuantizedConv2D,
    keras.layers.DepthwiseConv2D: QuantizedDepthwiseConv2D,
}
KERNELS = tuple(QUANTIZED)
ELEMENTWISE = (
    keras.layers.Activation,
    keras.layers.Add,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Multiply,
    keras.layers.Rescaling,
    FrameAvgPool,
    HardSwish,
    ShiftedRelu6,
)
MOVING = (
    keras.layers.AveragePooling2D,
    keras.layers.Concatenate,
    keras.layers.GlobalMaxPooling2D,
    keras.layers.MaxPooling2D,
    keras.layers.Permute,
    keras.layers.ZeroPadding2D,
    FrameMaxPool,
    FrameSlice,
    FramesPool,
    Grow,
    Refold,
    RepeatFrames,
)
FLOAT = (AddPositions, Attention, FrameVote, NodeGather, NodeScatter, RunningMean)

# The int8 kernels of these have a range of their own: 256 levels from 0 to 255/256.
SQUASHING = ("sigmoid", "softmax")
SQUASHED = (0.0, 255 / 256)

KEPT = "kept"  # in place of a range: a tensor that a layer computed in float by wish


def insert(form, make_range, keep_float=(), round_kernels=True, every_frame=False):
    """Copies a mobile form with a range wherever an int8 runtime rounds.

    Args:
        form: Functional model from `mobile_form`.
        make_range: function of the name of a range that returns the layer to put there.
        keep_float: names of layers of the form that compute in float. Their inputs are rounded
            where they are computed in int8; kernels right behind them compute in float as well.
        round_kernels: bool, whether the copy's kernels are rounded at each call.
        every_frame: bool; a causal clip form then answers after each frame, as streams do.

    Returns:
        A Functional model. Layers and weights have the names of the form's; ranges are called
        `<layer or input>_range`.
    """
    insertion = _Insertion(make_range, set(keep_float), round_kernels, every_frame)
    copy = keras.models.clone_model(
        form, clone_function=lambda layer: layer, call_function=insertion.call
    )
    for layer in copy.layers:
        if layer.name in insertion.copied and layer.weights:
            weights = form.get_layer(layer.name).get_weights()
            set_weights = getattr(layer, "set_plain_weights", layer.set_weights)
            set_weights(weights)
    return copy


class _Insertion:
    """Calls copies of a form's layers on tensors whose ranges it remembers."""

    def __init__(self, make_range, keep_float, round_kernels, every_frame):
        self.make_range = make_range
        self.keep_float = keep_float
        self.round_kernels = round_kernels
        self.every_frame = every_frame
        self.copied = set()
        self._ranges = {}  # id of a tensor: its range, `KEPT`, or None for float by nature
        self._rounded = {}  # id of such a tensor: the same behind a range
        self._running = {}  # id of a running mean of a stream: its layer and inputs
        self._tensors = []  # keeps the ids valid

    def call(self, layer, inputs):
        if isinstance(layer, FLOAT):
            outputs = self._remember(self._copy(layer)(inputs), None)
            if isinstance(layer, RunningMean) and isinstance(inputs, (list, tuple)):
                self._running[id(outputs)] = (layer, inputs)
            return outputs
        if isinstance(layer, MOVING):
            return self._move(layer, inputs)
        if not isinstance(layer, KERNELS + ELEMENTWISE):
            raise ValueError(
                f"model: expected layers that can be quantized, got {layer.name} of class "
                f"{type(layer).__name__}."
            )
        after_kept = any(self._range(x) is KEPT for x in tree.flatten(inputs))
        kernel = isinstance(layer, KERNELS)
        users = {node.operation.name for node in layer._outbound_nodes}
        goes_on = layer.name in self.keep_float and (not after_kept or users & self.keep_float)
        if goes_on or (kernel and after_kept):
            return self._remember(self._copy(layer)(inputs), KEPT)
        if after_kept:  # what ends a part in float: its inputs are not rounded, its output is
            return self._ranged(self._copy(layer)(inputs), layer.name)
        inputs = tree.map_structure(self._round, inputs)
        if isinstance(layer, FrameAvgPool):
            return pool_by_kernel(layer, inputs, self._ranged)
        if isinstance(layer, keras.layers.Add):
            return self._add(layer, inputs)
        return self._ranged(self._copy(layer, self.round_kernels)(inputs), layer.name)

    def _add(self, layer, terms):
        """Runtimes add two at a time, so every partial sum has a range."""
        total, *terms = terms
        for i, term in enumerate(terms):
            name = layer.name if i == len(terms) - 1 else f"{layer.name}_sum{i}"
            total = keras.layers.Add(dtype="float32", name=name)([total, term])
            total = self._ranged(total, name)
        return total

    def _move(self, layer, inputs):
        flat = tree.flatten(inputs)
        ranges = [self._range(x) for x in flat]
        if KEPT in ranges:
            return self._remember(self._copy(layer)(inputs), KEPT)
        known = [r for r in ranges if r is not None]
        if any(r is None and id(x) in self._ranges for x, r in zip(flat, ranges, strict=True)):
            return self._remember(self._copy(layer)(inputs), None)  # with a part computed in float
        if not known:
            inputs = tree.map_structure(self._round, inputs)
            return self._remember(self._copy(layer)(inputs), self._range(tree.flatten(inputs)[0]))
        # Several parts are one tensor in int8: all take the range of the first that has one.
        inputs = tree.map_structure(
            lambda x: x if self._range(x) is known[0] else known[0](x), inputs
        )
        return self._remember(self._copy(layer)(inputs), known[0])

    def _copy(self, layer, rounding=False):
        self.copied.add(layer.name)
        config = layer.get_config()
        if self.every_frame and isinstance(layer, RunningMean):
            config["keep_frames"] = True
        if not rounding or type(layer) not in QUANTIZED:
            return type(layer).from_config(config)
        depthwise = isinstance(layer, keras.layers.DepthwiseConv2D)
        scale = usual_scale(layer.get_weights()[0], depthwise)
        return QUANTIZED[type(layer)].from_config({**config, "kernel_scale": scale})

    def _range(self, tensor):
        return self._ranges.get(id(tensor))

    def _remember(self, tensor, its_range):
        self._tensors.append(tensor)
        self._ranges[id(tensor)] = its_range
        return tensor

    def _round(self, tensor):
        """The tensor behind a range, named after the layer or the input that it comes from."""
        if self._range(tensor) is not None:
            return tensor
        if id(tensor) not in self._rounded:
            self._tensors.append(tensor)
            name = tensor._keras_history.operation.name
            self._rounded[id(tensor)] = self._ranged(self._apart(tensor, name), name)
        return self._rounded[id(tensor)]

    def _apart(self, tensor, name):
        """A tensor of its own for what is rounded of a running mean, which the stream keeps.

        The converter would give the state the range of the rounded mean, and steps of a mean of
        many frames, smaller than those of int8, would be lost.
        """
        if id(tensor) not in self._running:
            return tensor
        layer, inputs = self._running[id(tensor)]
        twin = RunningMeanAgain(
            layer.frames, layer.keep_frames, dtype="float32", name=f"{name}_again"
        )
        return twin(inputs)

    def _ranged(self, tensor, name):
        layer = self.make_range(f"{name}_range")
        return self._remember(layer(tensor), layer)


@keras.saving.register_keras_serializable("keras_video")
class RunningMeanAgain(RunningMean):
    """The means of a `RunningMean` in a stream, computed in another way that no one can share."""

    def _step(self, inputs, mean, inverse_count):
        if self.frames == 1:
            return mean * (1.0 - inverse_count) + inputs * inverse_count
        total, means = None, []
        for t in range(self.frames):
            x, share = inputs[t : t + 1], inverse_count[t : t + 1]
            total = x if total is None else total + x
            means.append(mean * (1.0 - (t + 1) * share) + total * share)
        if not self.keep_frames:
            return means[-1]
        return ops.concatenate(means, axis=0)


def known_ranges(form, pixels=None):
    """`{range name: (smallest, largest)}` of those that need no calibration.

    Args:
        form: Functional model from `mobile_form`.
        pixels: number, the largest value of a pixel, or `None`.
    """
    known = {} if pixels is None else {"frames_range": (0.0, float(pixels))}
    for layer in form.layers:
        if isinstance(layer, keras.layers.Activation) and layer.activation.__name__ in SQUASHING:
            known[f"{layer.name}_range"] = SQUASHED
    return known


def behind_the_clip(form):
    """Names of the layers behind a mean of all frames, which in clips see one value per clip."""
    found = set()
    waiting = [x for x in form.layers if isinstance(x, RunningMean) and not x.keep_frames]
    while waiting:
        layer = waiting.pop()
        if layer.name not in found:
            found.add(layer.name)
            waiting += [node.operation for node in layer._outbound_nodes]
    return found


def ranges_of(model):
    """`{name: FakeQuantize}` of all ranges of a model that `insert` made."""
    return {layer.name: layer for layer in model.layers if isinstance(layer, FakeQuantize)}
