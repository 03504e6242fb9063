"""`VideoClassifier`: a Functional network of clips, or of streams with their state.

Runs a Functional graph without keeping what nobody needs any more.
"""

import math
import warnings

import keras
import numpy as np
from keras import ops, tree

from keras_video.specs import check_int


def run_graph(model, inputs, operation_fn):
    """Computes a Functional model eagerly; every value is dropped after its last use.

    Keras keeps all values until the end, which on a backend that computes at once (torch) is the
    sum of all feature maps instead of the few that are alive together.

    Args:
        model: Functional model.
        inputs: list of tensors, one for each of `model.inputs`.
        operation_fn: function of an operation, such as a layer, to what is called.

    Returns:
        The outputs, in the structure of the model.
    """
    nodes = [
        node
        for depth in sorted(model._nodes_by_depth, reverse=True)
        for node in model._nodes_by_depth[depth]
        if not node.is_input
    ]
    last_use = {id(x): node for node in nodes for x in node.input_tensors}
    wanted = {id(x) for x in model.outputs}
    values = dict(zip(map(id, model.inputs), inputs, strict=True))
    for node in nodes:
        args, kwargs = node.arguments.fill_in(values)
        outputs = operation_fn(node.operation)(*args, **kwargs)
        values.update(zip(map(id, node.outputs), tree.flatten(outputs), strict=True))
        args = kwargs = outputs = None
        for key in {id(x) for x in (*node.input_tensors, *node.outputs)}:
            if key not in wanted and last_use.get(key, node) is node:
                values.pop(key, None)
    return tree.pack_sequence_as(model._outputs_struct, [values[id(x)] for x in model.outputs])


@keras.saving.register_keras_serializable("keras_video")
class VideoClassifier(keras.Model):
    """A Functional model that knows what a video is, and whether it streams.

    A clip model has one input, the frames. A streaming model has two, the frames and the state
    `{layer name: tensor or tuple of tensors}`, and two outputs, the predictions and the new state.
    Being Functional it is saved, inspected and cut like any Keras model.

    Args:
        inputs: the frames, or the pair `[frames, state]` of Keras tensors.
        outputs: the predictions, or the pair `[predictions, new_state]`.
        name: string.

    Call arguments:
        frames: tensor `(batch, frames, height, width, 3)`. A streaming model takes chunks of any
            number of frames.
        state: for streaming models, from `init_state` or the last call; `None` starts a stream.
        training: bool.

    Returns:
        Predictions `(batch, classes)`; from a streaming model the pair `(predictions, new_state)`,
        predictions being those after the last frame of the chunk.

    Attributes:
        info: dict of plain values saved with the model: architecture, variant, published clip and
            frame rate, weights, pixel range, smallest frame size, the number of frames where it
            decided about the layers, and what it must be a multiple of.
    """

    def __init__(self, inputs, outputs, name=None, **kwargs):
        inputs, outputs = _with_tuples(inputs), _with_tuples(outputs)
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)
        self._set_info({})
        self._range_checked = False

    @property
    def info(self):
        return self._info.value

    def _set_info(self, info):
        # Wrapped, because Keras turns dict attributes into tracked ones that do not serialise.
        self._info = _Value(dict(info))

    @property
    def streaming(self):
        """bool, whether the model takes and returns a state."""
        inputs = self._inputs_struct
        return isinstance(inputs, (list, tuple)) and isinstance(inputs[-1], dict)

    def call(self, frames, state=None, training=None, mask=None):
        frames, state = self._unpack(frames, state)
        if not self.streaming:
            return super().call(frames, training=training, mask=mask)
        if state is None:
            state = self.init_state(*(frames.shape[i] for i in (0, 2, 3)))
        outputs = super().call([frames, state], training=training, mask=mask)
        return tuple(outputs)

    def _run_through_graph(self, inputs, operation_fn=lambda op: op, call_fn=None):
        if keras.backend.backend() != "torch" or call_fn is not None:
            return super()._run_through_graph(inputs, operation_fn, call_fn)
        return run_graph(self, tree.flatten(inputs), operation_fn)

    def __call__(self, frames, state=None, *args, **kwargs):
        frames, state = self._unpack(frames, state)
        self.check_frames(frames)
        if state is not None:
            self._check_state(frames, state)
            return super().__call__(frames, state, *args, **kwargs)
        return super().__call__(frames, *args, **kwargs)

    def compute_output_spec(self, frames, state=None, training=None, mask=None):
        frames, state = self._unpack(frames, state)
        if not self.streaming:
            return super().compute_output_spec(frames)
        if state is None:
            state = self._inputs_struct[1]
        return tuple(super().compute_output_spec([frames, state]))

    def state_spec(self, batch_size=None, height=None, width=None):
        """What the state looks like for frames of a size, as `{layer name: KerasTensor(s)}`."""
        if not self.streaming:
            raise ValueError(
                f"{self.name} takes clips and has no state. Build it with streaming=True."
            )
        key = (batch_size, height, width)
        if key not in self._state_specs.value:
            frames, state = self._inputs_struct
            shape = (batch_size, None, height, width, frames.shape[-1])
            like = tree.map_structure(
                lambda s: keras.KerasTensor((batch_size, *s.shape[1:]), s.dtype), state
            )
            spec = self.compute_output_spec(keras.KerasTensor(shape, frames.dtype), like)[1]
            self._state_specs.value[key] = spec
        return self._state_specs.value[key]

    @property
    def _state_specs(self):
        if not hasattr(self, "_spec_cache"):
            self._spec_cache = _Value({})
        return self._spec_cache

    def init_state(self, batch_size=1, height=None, width=None):
        """The state before the first frame.

        Args:
            batch_size: int, number of streams.
            height, width: ints, frame size. Default: that of `input_shape`, or where it was left
                open the size the model was published for.

        Returns:
            `{layer name: tensor or tuple of tensors}` of zeros. Float states are float32, frame
            counts int32 of shape `(batch_size,)`: writing zeros at index `i` of every tensor
            restarts stream `i` alone.
        """
        if not self.streaming:
            self.state_spec()
        fixed = self._inputs_struct[0].shape[2:4]
        published = self.info.get("clip", (None, None, None))[1:3]
        sizes = [
            next((n for n in options if n is not None), None)
            for options in zip((height, width), fixed, published, strict=True)
        ]
        values = {"batch_size": batch_size, "height": sizes[0], "width": sizes[1]}
        for argument, value in values.items():
            check_int(argument, value)
        spec = self.state_spec(batch_size, *sizes)
        return tree.map_structure(lambda s: ops.zeros(s.shape, s.dtype), spec)

    def freeze(self, until=None, batch_norm=False):
        """Chooses what is trained. Call `compile` afterwards.

        Args:
            until: string, beginning of a layer's name, such as `"block3"` or `"head"`: the layers
                before the first such one keep their weights, it and all after it are trained.
                `None` trains all layers.
            batch_norm: bool, keeps the batch norm of all layers as it is, statistics, scale and
                offset: for batches too small to tell their statistics.

        Returns:
            The number of weights left to train.

        Raises:
            ValueError: if no layer has such a name.
        """
        names = [layer.name for layer in self.layers]
        first = 0
        if until is not None:
            found = [i for i, name in enumerate(names) if str(until) and name.startswith(until)]
            if not found:
                stages = list(dict.fromkeys(name.split("_")[0] for name in names))
                raise ValueError(
                    f"until: expected the beginning of a layer's name, such as one of {stages}, "
                    f"got {until!r}."
                )
            first = found[0]
        for i, layer in enumerate(self.layers):
            layer.trainable = i >= first
            norm = getattr(layer, "norm", None)
            if norm is not None:
                norm.trainable = i >= first and not batch_norm
        return sum(math.prod(weight.shape) for weight in self.trainable_weights)

    def predict(self, x, *args, **kwargs):
        self.check_frames(x)
        return super().predict(x, *args, **kwargs)

    def fit(self, x=None, *args, **kwargs):
        self.check_frames(x)
        return super().fit(x, *args, **kwargs)

    def check_frames(self, frames):
        """Raises one clear error where `frames` cannot be a video for this model."""
        self._check_clip(frames, self.info.get("frames"))

    def _check_clip(self, frames, made_for, what="frames"):
        shape = getattr(frames, "shape", None)
        dtype = getattr(frames, "dtype", None)
        if shape is None or dtype is None or isinstance(frames, (list, tuple, dict)):
            return  # a data set or a structure, which Keras checks itself
        shape = tuple(shape)
        channels = self._frames_input.shape[-1]
        shape_of_video = f"(batch, frames, height, width, {channels})"
        expected = f"{self.name}: expected {what} of shape {shape_of_video}"
        if len(shape) != 5:
            raise ValueError(f"{expected}, got rank {len(shape)} with shape {shape}.")
        if shape[-1] is not None and shape[-1] != channels:
            hint = " Channels come last." if channels in shape[1:3] else ""
            raise ValueError(f"{expected}, got {shape}.{hint}")
        kind = keras.backend.standardize_dtype(dtype) if _is_known(dtype) else str(dtype)
        if not any(word in kind for word in ("int", "float")):
            raise ValueError(f"{expected} holding numbers, got dtype {kind}.")
        smallest = self.info.get("smallest", 1)
        if any(n is not None and n < smallest for n in shape[2:4]):
            raise ValueError(
                f"{expected} with height and width of at least {smallest}, which the network "
                f"reduces to 1, got {shape}."
            )
        if shape[1] == 0:
            raise ValueError(f"{expected} with at least one frame, got {shape}.")
        multiple = self.info.get("frame_multiple", 1)
        if shape[1] is not None and shape[1] % multiple:
            raise ValueError(f"{expected} with a multiple of {multiple} frames, got {shape}.")
        if made_for is not None and shape[1] not in (None, made_for):
            raise ValueError(
                f"{expected} with {made_for} frames, which its layers were made for, got {shape}. "
                "Build another network with input_shape=(frames, height, width, 3)."
            )
        if not self._range_checked and isinstance(frames, np.ndarray) and frames.size:
            self._range_checked = True
            self._check_range(frames[0])

    def _check_range(self, video):
        """Warns once where pixel values look like those of the other convention."""
        pixels = self.info.get("pixels")
        largest = float(video.max())
        if pixels == 1 and largest > 1.5:
            warnings.warn(
                f"{self.name} expects pixels in [0, 1] (include_preprocessing=False), but the "
                f"largest value is {largest:g}: divide by 255 or use include_preprocessing=True.",
                stacklevel=4,
            )
        elif pixels == 255 and 0 < largest <= 1.0 and np.issubdtype(video.dtype, np.floating):
            warnings.warn(
                f"{self.name} expects pixels in 0..255 (include_preprocessing=True), but the "
                f"largest value is {largest:g}: multiply by 255 or use "
                "include_preprocessing=False.",
                stacklevel=4,
            )

    def _check_state(self, frames, state):
        if not self.streaming:
            raise ValueError(
                f"state: {self.name} takes clips and no state. Build it with streaming=True."
            )
        shape = frames.shape
        if any(not isinstance(shape[i], int) for i in (0, 2, 3)):
            return
        spec = self.state_spec(*(shape[i] for i in (0, 2, 3)))
        if not isinstance(state, dict) or set(state) != set(spec):
            got = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"state: expected a dict with the keys {sorted(spec)}, got {got}.")
        for name, expected in spec.items():
            wanted = [tuple(s.shape) for s in tree.flatten(expected)]
            got = [tuple(s.shape) for s in tree.flatten(state[name])]
            if wanted != got and all(None not in s for s in got):
                raise ValueError(
                    f"state: {name} expected shapes {wanted} for frames of shape {tuple(shape)}, "
                    f"got {got}. A state belongs to one batch size and one frame size; make a new "
                    "one with `init_state(batch_size, height, width)`."
                )

    @property
    def input_spec(self):
        return None  # `check_frames` and `_check_state` say it in the terms of a video

    @input_spec.setter
    def input_spec(self, value):
        pass

    @property
    def _frames_input(self):
        return self._inputs_struct[0] if self.streaming else self._inputs_struct

    def _unpack(self, frames, state):
        """Accepts the pair `(frames, state)` as one argument, as `predict` and `fit` pass it."""
        if state is None and self.streaming and isinstance(frames, (list, tuple)):
            return frames
        return frames, state

    def get_config(self):
        return {**super().get_config(), "info": self.info}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        info = config.pop("info", {})
        model = super().from_config(config, custom_objects=custom_objects)
        model._set_info(info)
        return model


class _Value:
    """Keeps a Python value out of Keras' attribute tracking."""

    def __init__(self, value):
        self.value = value


def _with_tuples(pair):
    """States as tuples again, which become lists on the way through a file."""
    if not (isinstance(pair, (list, tuple)) and isinstance(pair[-1], dict)):
        return pair
    state = {k: tuple(v) if isinstance(v, list) else v for k, v in pair[-1].items()}
    return [pair[0], state]


def _is_known(dtype):
    try:
        keras.backend.standardize_dtype(dtype)
    except ValueError:
        return False
    return True
