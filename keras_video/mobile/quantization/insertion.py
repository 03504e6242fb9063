"""Insert fake quantization into a mobile form, at the places where an int8 runtime rounds.

A runtime computes a layer in int8 if the ranges of its inputs and of its output are known. This
gives one rule per kind of layer:

- Kernels and elementwise layers get a range after them.
- Layers that only move values keep the range of their input.
- Running means, attention and the like compute in float, between a range before and one after.
- Average pooling becomes a depthwise convolution: XNNPACK has no int8 kernel for average pooling.
"""

import keras
import numpy as np
from keras import ops, tree

from keras_video.layers import FrameVote
from keras_video.layers.frames import same_pads, window_shares
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
    rounded_weights,
    usual_scale,
)
from keras_video.mobile.rewriting import Graph

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

# The int8 kernels of these activations have a fixed range: 256 levels from 0 to 255/256.
SQUASHING = ("sigmoid", "softmax")
SQUASHED = (0.0, 255 / 256)

KEPT = "kept"  # instead of a range: a tensor that a layer of `keep_float` computed


def insert(form, make_range, keep_float=(), round_kernels=False, every_frame=False):
    """Copy a mobile form, with a range wherever an int8 runtime rounds.

    Args:
        form: Functional model from `mobile_form`.
        make_range: function of the name of a range. It returns the layer to insert.
        keep_float: names of layers of the form that compute in float. Their inputs are rounded
            where they are computed in int8. Kernels directly after them compute in float as well.
        round_kernels: bool, whether the copy rounds its kernels at each call, for training.
        every_frame: bool, whether a causal clip form answers after each frame, as streams do.

    Returns:
        A Functional model. Layers and weights have the names that they have in the form. Ranges are
        called `<layer or input>_range`.

    Raises:
        ValueError: for layers that cannot be quantized.
    """
    insertion = _Insertion(form, make_range, set(keep_float), round_kernels, every_frame)
    copy = keras.models.clone_model(
        form, clone_function=lambda layer: layer, call_function=insertion.call
    )
    for layer in copy.layers:
        if layer.name in insertion.copied and layer.weights:
            weights = form.get_layer(layer.name).get_weights()
            set_weights = getattr(layer, "set_plain_weights", layer.set_weights)
            set_weights(weights)
    return copy


def ranges_of(model):
    """Return `{name: FakeQuantize}`, all ranges of a model that `insert` made."""
    return {layer.name: layer for layer in model.layers if isinstance(layer, FakeQuantize)}


def int8_kernels(model):
    """Return the kernels with weights that a model made by `insert` computes in int8."""
    ranges = ranges_of(model)
    return [
        layer
        for layer in model.layers
        if isinstance(layer, KERNELS) and layer.trainable and f"{layer.name}_range" in ranges
    ]


def round_kernels(model):
    """Round the weights of the int8 kernels of a model made by `insert`, in place."""
    for layer in int8_kernels(model):
        layer.set_weights(rounded_weights(layer))


def known_ranges(form, pixels=None):
    """Return `{range name: (smallest, largest)}` of the ranges that need no calibration.

    Args:
        form: Functional model from `mobile_form`.
        pixels: number, the largest value of a pixel, or `None` if it is not known.
    """
    known = {} if pixels is None else {"frames_range": (0.0, float(pixels))}
    for layer in form.layers:
        if isinstance(layer, keras.layers.Activation) and layer.activation.__name__ in SQUASHING:
            known[f"{layer.name}_range"] = SQUASHED
    return known


def after_the_clip(form):
    """Return the names of the layers after a mean of all frames: they see one value per clip."""
    graph, found = Graph(form), set()
    waiting = [x for x in form.layers if isinstance(x, RunningMean) and not x.keep_frames]
    while waiting:
        layer = waiting.pop()
        if layer.name not in found:
            found.add(layer.name)
            waiting += graph.next_layers(layer)
    return found


class _Insertion:
    """Call copies of a form's layers, and remember the range of each tensor."""

    def __init__(self, form, make_range, keep_float, round_kernels, every_frame):
        self.graph = Graph(form)
        self.make_range = make_range
        self.keep_float = keep_float
        self.round_kernels = round_kernels
        self.every_frame = every_frame
        self.copied = set()
        # By the id of a tensor:
        self._ranges = {}  # its range, `KEPT`, or `None` if its layer can only compute in float
        self._names = {}  # the layer that such a float tensor comes from
        self._rounded = {}  # the same tensor after a range
        self._running = {}  # for a running mean of a stream: its layer and inputs
        self._tensors = []  # keeps the tensors alive, so that no id is used twice

    def call(self, layer, inputs):
        if isinstance(layer, FLOAT):
            outputs = self._float(layer, inputs)
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
        if (kernel and after_kept) or self._goes_on_in_float(layer, after_kept):
            return self._remember(self._copy(layer)(inputs), KEPT)
        if after_kept:  # the end of a float part: its inputs are not rounded, its output is
            return self._ranged(self._copy(layer)(inputs), layer.name)
        inputs = tree.map_structure(self._round, inputs)
        if isinstance(layer, FrameAvgPool):
            return pool_by_kernel(layer, inputs, self._ranged)
        if isinstance(layer, keras.layers.Add):
            return self._add(layer, inputs)
        return self._ranged(self._copy(layer, self.round_kernels)(inputs), layer.name)

    def _goes_on_in_float(self, layer, after_kept):
        if layer.name not in self.keep_float:
            return False
        following = {user.name for user in self.graph.next_layers(layer)}
        return not after_kept or bool(following & self.keep_float)

    def _add(self, layer, terms):
        """Add two terms at a time, as runtimes do: every partial sum has a range."""
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
            return self._float(layer, inputs)  # one part was computed in float
        if not known:
            inputs = tree.map_structure(self._round, inputs)
            return self._remember(self._copy(layer)(inputs), self._range(tree.flatten(inputs)[0]))
        # In int8 several parts become one tensor: all take the range of the first that has one.
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

    def _float(self, layer, inputs):
        outputs = self._remember(self._copy(layer)(inputs), None)
        self._names[id(outputs)] = layer.name
        return outputs

    def _range(self, tensor):
        return self._ranges.get(id(tensor))

    def _remember(self, tensor, its_range):
        self._tensors.append(tensor)
        self._ranges[id(tensor)] = its_range
        return tensor

    def _round(self, tensor):
        """Return the tensor after a range, named after the layer or input that it comes from."""
        if self._range(tensor) is not None:
            return tensor
        if id(tensor) not in self._rounded:
            self._tensors.append(tensor)
            name = self._names.get(id(tensor), tensor.name)  # an input has its own name
            self._rounded[id(tensor)] = self._ranged(self._apart(tensor, name), name)
        return self._rounded[id(tensor)]

    def _apart(self, tensor, name):
        """Compute a running mean a second time, for a range to round.

        The first result is the state of the stream and must stay in float. If both were the same
        tensor, the converter would round the state as well, and the mean of many frames would stop:
        its steps are smaller than those of int8.
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
    """Compute the means of a `RunningMean` of a stream by another formula.

    The converter merges equal operations. It must not merge these with those of `RunningMean`.
    """

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


@keras.saving.register_keras_serializable("keras_video")
class BorderCorrection(keras.layers.Layer):
    """Divide sums of windows by the share of each window that lies inside the image.

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
    """Compute a `FrameAvgPool` by a depthwise kernel of equal weights, and correct the borders.

    Args:
        layer: the pooling layer.
        inputs: tensor `(batch * frames, height, width, channels)`.
        ranged: function of a tensor and a name. It returns the tensor after a range of that name.

    Returns:
        A tensor `(batch * frames, new_height, new_width, channels)`.
    """
    size = layer.pool_size
    counted = layer.padding == "symmetric"  # the average includes the zeros around the image
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
