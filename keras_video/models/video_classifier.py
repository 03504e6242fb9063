"""`VideoClassifier`: a Functional model of clips, or of streams with their state."""

import math
import warnings

import keras
import numpy as np
from keras import ops, tree

from keras_video import answers
from keras_video.checks import check_int
from keras_video.layers import backend
from keras_video.models.stream import RollingStream, Stream
from keras_video.specs.video_input import VideoInput


@keras.saving.register_keras_serializable("keras_video")
class VideoClassifier(keras.Model):
    """A Functional model that knows what a video is, and whether it streams.

    A clip model has one input, the frames. A streaming model has two, the frames and the state
    `{layer name: tensor or tuple of tensors}`, and two outputs, the predictions and the new state.
    It can be saved, inspected and cut like any Functional model.

    Args:
        inputs: the frames, or the pair `[frames, state]` of Keras tensors.
        outputs: the predictions, or the pair `[predictions, new_state]`.
        name: string.

    Call arguments:
        frames: tensor `(batch, frames, height, width, 3)`. A streaming model takes chunks of any
            number of frames, and also a single frame `(height, width, 3)`.
        state: for streaming models, from `init_state` or the last call; `None` starts a stream.
        training: bool.

    Returns:
        Predictions `(batch, classes)`. A streaming model returns the pair `(predictions,
        new_state)`, where the predictions are those after the last frame of the chunk.

    Raises:
        ValueError: if `frames` cannot be a video for this model, or `state` does not fit to them.

    Attributes:
        video_input: `keras_video.specs.VideoInput`, the clips that the model was made for: frames,
            size, frame rate, sampling rule, pixel range; `None` if not known. It can be set.
        class_names: list of strings, the names of the outputs, or `None`. It can be set.
        streaming, causal: bools, whether the model takes a state, and whether it could do so.
        info: dict of plain values, saved with the model: architecture, variant, weights, smallest
            frame size, and what `video_input` and `class_names` show. `frames`: fixed clip length,
            if the architecture depends on it. `frame_multiple`: required divisor of the clip
            length. `measured`: accuracy of the weights in percent, on which data and by whom.
    """

    classify = answers.classify
    follow = answers.follow
    decode_predictions = answers.decode_predictions

    def __init__(self, inputs, outputs, name=None, **kwargs):
        inputs, outputs = _with_tuples(inputs), _with_tuples(outputs)
        super().__init__(inputs=inputs, outputs=outputs, name=name, **kwargs)
        self._set_info({})
        self._state_specs = _Value({})
        self._range_checked = False
        self.input_spec = None  # `check_frames` and `_check_state` give clearer errors

    @property
    def info(self):
        return self._info.value

    def _set_info(self, info):
        # Wrapped, because Keras turns dict attributes into tracked ones, which cannot be saved.
        self._info = _Value(dict(info))

    @property
    def streaming(self):
        """bool, whether the model takes and returns a state."""
        return isinstance(self.input, (list, tuple)) and isinstance(self.input[-1], dict)

    @property
    def causal(self):
        """bool, whether no output depends on later frames, so that the model can stream."""
        variant = self.info.get("config", {}).get("variant", {})
        return self.streaming or bool(variant.get("causal", False))

    @property
    def video_input(self):
        """`keras_video.specs.VideoInput`, the clips that the model was made for, or `None`."""
        return VideoInput.from_info(self.info)

    @video_input.setter
    def video_input(self, value):
        if not isinstance(value, VideoInput):
            raise ValueError(f"video_input: expected a VideoInput, got {type(value).__name__}.")
        channels = self._frames_input.shape[-1]
        known = value.to_info(channels)
        if value.pixels is not None:  # `mean` and `std` may be facts of the architecture
            known = {k: v for k, v in known.items() if k not in ("mean", "std")}
        self.info.update(known)

    @property
    def class_names(self):
        """List of strings, the names of the outputs, or `None`."""
        names = self.info.get("labels")
        return list(names) if names else None

    @class_names.setter
    def class_names(self, names):
        if names is None:
            self.info.pop("labels", None)
            return
        names = [str(name) for name in names]
        if len(names) != self.num_classes:
            raise ValueError(
                f"class_names: expected {self.num_classes} names, one for each output of "
                f"{self.name}, got {len(names)}."
            )
        self.info["labels"] = names

    @property
    def num_classes(self):
        """int, number of outputs."""
        return int(self.outputs[0].shape[-1])

    @property
    def answer_activation(self):
        """What turns outputs into probabilities, see `keras_video.answers.to_probabilities`."""
        activation = final_activation(self)
        linear = activation == "linear" and self.info.get("multi_label")
        return "multi_label" if linear else activation

    def probabilities(self, clips):
        """Return the probabilities of the classes for several clips of one video.

        Args:
            clips: uint8 array `(clips, frames, height, width, 3)`.

        Returns:
            float64 array `(classes,)`. Logits are averaged before softmax.
        """
        outputs = []
        for clip in clips:  # one by one: each batch size would be compiled
            inputs = self._inputs_of(answers.pixels_for(self.video_input, clip[None]))
            predictions = self.predict(inputs, verbose=0)
            outputs.append((predictions[0] if self.streaming else predictions)[0])
        return answers.average(outputs, self.answer_activation)

    def _inputs_of(self, clips):
        """Return the inputs of the model for clips `(batch, frames, height, width, 3)`."""
        if not self.streaming:
            return clips
        state = self.init_state(len(clips), *clips.shape[2:4])
        return [clips, tree.map_structure(ops.convert_to_numpy, state)]

    def start_stream(self, window=0):
        """Return a function from a uint8 frame `(height, width, 3)` to float64 `(classes,)`.

        Args:
            window: int, frames after which old frames are forgotten, see `RollingStream`; 0
                remembers all.
        """
        rolling = RollingStream(Stream(self, batch_size=2 if window else 1), window)
        known, activation = self.video_input, self.answer_activation

        def step(frame):
            outputs = rolling.step(answers.pixels_for(known, frame))
            return answers.to_probabilities(outputs[None], activation)[0]

        return step

    def call(self, frames, state=None, training=None, mask=None):
        frames, state = self._unpack(frames, state)
        if self.streaming:
            if state is None:
                state = self.init_state(*(frames.shape[i] for i in (0, 2, 3)))
            return tuple(self._compute([frames, state], training, mask))
        return self._compute(frames, training, mask)

    def _compute(self, inputs, training, mask):
        if not backend.RUNS_EAGERLY:
            return super().call(inputs, training=training, mask=mask)
        pairs = zip(tree.flatten(inputs), self.inputs, strict=True)
        tensors = [ops.convert_to_tensor(x, dtype=like.dtype) for x, like in pairs]

        def in_this_mode(operation):
            if training is None or not isinstance(operation, keras.layers.Layer):
                return operation
            # The graph holds the value of `training` that the layer had when it was built.
            return lambda *args, **kwargs: operation(*args, **{**kwargs, "training": training})

        return run_graph(self, tensors, in_this_mode)

    def __call__(self, frames, state=None, *args, **kwargs):
        frames, state = self._unpack(frames, state)
        if self.streaming and len(getattr(frames, "shape", ())) == 3:
            frames = frames[None, None]  # a single frame
        self.check_frames(frames)
        frames = self._with_frames(frames)
        if state is not None:
            self._check_state(frames, state)
            return super().__call__(frames, state, *args, **kwargs)
        return super().__call__(frames, *args, **kwargs)

    def stateless_call(self, trainable_variables, non_trainable_variables, frames, *args, **kwargs):
        # On JAX, `fit`, `evaluate` and `predict` call this and not `__call__`.
        self.check_frames(self._unpack(frames, args[0] if args else None)[0])
        return super().stateless_call(
            trainable_variables, non_trainable_variables, frames, *args, **kwargs
        )

    def compute_output_spec(self, frames, state=None, training=None, mask=None):
        frames, state = self._unpack(frames, state)
        if not self.streaming:
            return super().compute_output_spec(frames)
        if state is None:
            state = self.input[1]
        return tuple(super().compute_output_spec([frames, state]))

    def state_spec(self, batch_size=None, height=None, width=None):
        """Return shapes and dtypes of the state as `{layer name: KerasTensor(s)}`.

        Args:
            batch_size: int, number of streams.
            height, width: ints, frame size in pixels.
        """
        if not self.streaming:
            raise ValueError(
                f"{self.name}: expected a streaming model, got one for clips, which has no state. "
                "Build it with streaming=True."
            )
        key = (batch_size, height, width)
        if key not in self._state_specs.value:
            frames, state = self.input
            shape = (batch_size, None, height, width, frames.shape[-1])
            like = tree.map_structure(
                lambda s: keras.KerasTensor((batch_size, *s.shape[1:]), s.dtype), state
            )
            spec = self.compute_output_spec(keras.KerasTensor(shape, frames.dtype), like)[1]
            self._state_specs.value[key] = spec
        return self._state_specs.value[key]

    def init_state(self, batch_size=1, height=None, width=None):
        """Return the state before the first frame.

        Args:
            batch_size: int, number of streams.
            height, width: ints, frame size in pixels. Default: the size in `input_shape`, or if
                that is unknown, the size in `video_input`. For frames of unknown size begin with
                `model(frames, None)` instead.

        Returns:
            `{layer name: tensor or tuple of tensors}` of zeros. Float states are float32, frame
            counts int32 of shape `(batch_size,)`. Writing zeros at index `i` of every tensor
            restarts stream `i` alone.
        """
        if not self.streaming:
            self.state_spec()
        fixed = self.input[0].shape[2:4]
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
        """Choose which layers are trained. Call `compile` afterwards.

        Args:
            until: string, the beginning of a layer's name, such as `"block3"` or `"head"`. The
                layers before the first layer of that name keep their weights; that layer and all
                layers after it are trained. `None` trains all layers.
            batch_norm: bool, keeps statistics, scale and offset of all batch norms. For batches too
                small for good statistics.

        Returns:
            int, the number of weights left to train.

        Raises:
            ValueError: if no layer has such a name.
        """
        first = 0 if until is None else self.find_layer("until", until)
        for i, layer in enumerate(self.layers):
            layer.trainable = i >= first
            norm = getattr(layer, "norm", None)
            if norm is not None:
                norm.trainable = i >= first and not batch_norm
        return sum(math.prod(weight.shape) for weight in self.trainable_weights)

    def find_layer(self, argument, beginning):
        """Return the index of the first layer with a name that begins so.

        Args:
            argument: string, the argument to name in the error.
            beginning: string, such as `"block3"`.

        Raises:
            ValueError: if no layer has such a name.
        """
        names = [layer.name for layer in self.layers]
        if isinstance(beginning, str) and beginning:
            for index, name in enumerate(names):
                if name.startswith(beginning):
                    return index
        stages = list(dict.fromkeys(name.split("_")[0] for name in names))
        raise ValueError(
            f"{argument}: expected the beginning of a layer's name, such as one of {stages}, got "
            f"{beginning!r}."
        )

    # Keras reaches `__call__` or `stateless_call` from all of these. Arrays are checked before it
    # begins, which gives shorter errors.

    def fit(self, x=None, *args, **kwargs):
        self.check_frames(x)
        with backend.keeping_weights(self):
            return super().fit(x, *args, **kwargs)

    def evaluate(self, x=None, *args, **kwargs):
        self.check_frames(x)
        with backend.keeping_weights(self):
            return super().evaluate(x, *args, **kwargs)

    def predict(self, x, *args, **kwargs):
        self.check_frames(x)
        with backend.keeping_weights(self):
            return super().predict(x, *args, **kwargs)

    def train_on_batch(self, x, *args, **kwargs):
        self.check_frames(x)
        return super().train_on_batch(x, *args, **kwargs)

    def test_on_batch(self, x, *args, **kwargs):
        self.check_frames(x)
        return super().test_on_batch(x, *args, **kwargs)

    def predict_on_batch(self, x):
        self.check_frames(x)
        return super().predict_on_batch(x)

    def _with_frames(self, frames):
        """Let batches whose number of frames is known only when they come fail, too."""
        return backend.with_frames(frames, self.info.get("frames"))

    def check_frames(self, frames):
        """Raise `ValueError` if `frames` cannot be a video for this model."""
        self._check_clip(frames, self.info.get("frames"))

    def _check_clip(self, frames, made_for, what="frames"):
        shape = getattr(frames, "shape", None)
        dtype = getattr(frames, "dtype", None)
        if shape is None or dtype is None or isinstance(frames, (list, tuple, dict)):
            return  # a data set or a structure, which Keras checks
        shape = tuple(shape)
        channels = self._frames_input.shape[-1]
        shape_of_video = f"(batch, frames, height, width, {channels})"
        expected = f"{self.name}: expected {what} of shape {shape_of_video}"
        if len(shape) != 5:
            hint = ""
            if len(shape) == 4 and self.streaming:
                hint = " For frames of one video write frames[None], else frames[:, None]."
            elif len(shape) == 4:
                hint = " For one clip write clip[None]."
            elif len(shape) == 3:
                hint = " This is a single frame, which only streaming models take."
            raise ValueError(f"{expected}, got rank {len(shape)} with shape {shape}.{hint}")
        if shape[-1] is not None and shape[-1] != channels:
            hint = " Channels come last." if channels in shape[1:3] else ""
            raise ValueError(f"{expected}, got {shape}.{hint}")
        kind = keras.backend.standardize_dtype(dtype) if _is_known(dtype) else str(dtype)
        if not any(word in kind for word in ("int", "float")):
            raise ValueError(f"{expected} holding numbers, got dtype {kind}.")
        smallest = self.info.get("smallest", 1)
        if any(n is not None and n < smallest for n in shape[2:4]):
            raise ValueError(
                f"{expected} with height and width of at least {smallest}, got {shape}."
            )
        if shape[1] == 0:
            raise ValueError(f"{expected} with at least one frame, got {shape}.")
        multiple = self.info.get("frame_multiple", 1)
        if shape[1] is not None and shape[1] % multiple:
            raise ValueError(f"{expected} with a multiple of {multiple} frames, got {shape}.")
        if made_for is not None and shape[1] not in (None, made_for):
            raise ValueError(
                f"{expected} with {made_for} frames, the clip length of its layers, got {shape}. "
                "Build another model with input_shape=(frames, height, width, 3)."
            )
        if not self._range_checked and isinstance(frames, np.ndarray) and frames.size:
            self._range_checked = True
            self._check_range(frames[0])

    def _check_range(self, video):
        """Warn once if the pixel values seem to be in the other range."""
        pixels = self.info.get("pixels")
        largest = float(video.max())
        if pixels == 1 and largest > 1.5:
            warnings.warn(
                f"{self.name} expects pixels in [0, 1] (include_preprocessing=False), but the "
                f"largest value is {largest:g}. Divide by 255 or use include_preprocessing=True.",
                stacklevel=4,
            )
        elif pixels == 255 and 0 < largest <= 1.0 and np.issubdtype(video.dtype, np.floating):
            warnings.warn(
                f"{self.name} expects pixels in 0..255 (include_preprocessing=True), but the "
                f"largest value is {largest:g}. Multiply by 255 or use "
                "include_preprocessing=False.",
                stacklevel=4,
            )

    def _check_state(self, frames, state):
        if not self.streaming:
            raise ValueError(
                f"state: expected None for {self.name}, a model of clips. Build it with "
                "streaming=True to use a state."
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
                    f"state: expected shapes {wanted} in {name} for frames of shape "
                    f"{tuple(shape)}, got {got}. A state belongs to one batch size and one frame "
                    "size. Start with state=None, or with "
                    f"init_state({shape[0]}, {shape[2]}, {shape[3]})."
                )

    @property
    def _frames_input(self):
        return self.input[0] if self.streaming else self.input

    def _unpack(self, frames, state):
        """Return frames and state, also if `frames` is the pair that `predict` and `fit` pass."""
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
    """Keep a Python value out of the attribute tracking of Keras."""

    def __init__(self, value):
        self.value = value


def _with_tuples(pair):
    """Return the pair with states as tuples, which became lists in a file."""
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


def final_activation(model):
    """Return the last activation of a model.

    Args:
        model: Keras model.

    Returns:
        `"softmax"`, `"sigmoid"` or `"linear"`; `None` for a model without a graph.
    """
    if isinstance(model, keras.Sequential):
        operations = model.layers
    else:
        operations = getattr(model, "operations", None)  # of Functional models, in order
    if not operations:
        return None
    last = operations[-1]
    if len(model.outputs) > 1:  # a stream: its first output are the predictions
        last = next((op for op in operations if _makes(op, model.outputs[0])), last)
    if isinstance(last, keras.Model):
        return final_activation(last)
    activation = getattr(last, "activation", None)  # of Dense, Activation and others
    name = getattr(activation, "__name__", type(last).__name__).lower()
    return name if name in ("softmax", "sigmoid") else "linear"


def _makes(operation, tensor):
    return any(output is tensor for output in tree.flatten(operation.output))


def run_graph(model, inputs, operation_fn=lambda operation: operation):
    """Compute a Functional model and drop every value after its last use.

    Keras keeps all values until the end. On a backend that runs operations one by one (torch), that
    is the sum of all feature maps instead of the few that are needed at the same time.

    Args:
        model: Functional model.
        inputs: list of tensors, one for each of `model.inputs`.
        operation_fn: function that takes an operation of the graph, such as a layer, and returns
            what is called in its place.

    Returns:
        The outputs, in the structure of the model.
    """
    nodes = [node for node in graph_nodes(model) if not node.is_input]
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
    return tree.pack_sequence_as(model.output, [values[id(x)] for x in model.outputs])


def graph_nodes(model):
    """Return the nodes of a Functional model in the order of computation, those of inputs included.

    Each node is one call of a layer or other operation. Keras offers no public way to them; this is
    the only place where the library reads `_nodes_by_depth`.
    """
    depths = model._nodes_by_depth
    return [node for depth in sorted(depths, reverse=True) for node in depths[depth]]
