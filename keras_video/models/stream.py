"""`Stream`: a streaming model compiled for one frame after the other.

`fold_batch_norm`: an inference copy of a network without batch norm.

Streaming without end: answers that follow the video and forget what is long past.
"""

import keras
import numpy as np
from keras import ops, tree

from keras_video.layers import BigLittleMerge, GatedConv3D, GloRe, NonLocal, VideoConv3D
from keras_video.specs import check_int


def fold_batch_norm(model):
    """Copies a model with batch norm folded into the kernels and biases of its convolutions.

    `VideoConv3D` folds at every inference call, which is cheap on a clip. On a single streamed
    frame the folding itself is a good part of the work; the copy does it once.

    Args:
        model: `VideoClassifier`, or any Functional model of this library's layers.

    Returns:
        A model of the same class that gives the same outputs within rounding. It is a snapshot:
        later training of `model` does not reach it, and it is not meant to be trained.
    """
    folded = [layer.name for layer in model.layers if _convolution(layer) is not None]
    config = model.get_config()
    for layer in config["layers"]:
        if layer["name"] in folded:
            layer["config"] |= {"batch_norm": False, "use_bias": True}
    copy = type(model).from_config(config)
    for layer in model.layers:
        _copy_layer(layer, copy.get_layer(layer.name))
    copy.trainable = False
    return copy


def _convolution(layer):
    """The convolution with batch norm that a layer is or holds, or `None`."""
    holds_one = isinstance(layer, (BigLittleMerge, GatedConv3D, GloRe, NonLocal))
    convolution = layer.conv if holds_one else layer
    with_norm = isinstance(convolution, VideoConv3D) and convolution.norm is not None
    return convolution if with_norm else None


def _copy_layer(layer, twin):
    """Copies the weights of a layer to one that is the same but for a folded batch norm."""
    convolution = _convolution(layer)
    if convolution is None:
        twin.set_weights(layer.get_weights())
        return
    target = twin if convolution is layer else twin.conv
    for variable, value in zip(target.weights, convolution.folded_weights(), strict=True):
        variable.assign(value)
    names = {variable.name for variable in convolution.weights}
    rest = {variable.name: variable for variable in layer.weights if variable.name not in names}
    for variable in twin.weights:
        if variable.name in rest:
            variable.assign(rest[variable.name])


def copy_weights(source, target):
    """Copies all weights between two models with layers of the same names, such as clip and stream.

    Args:
        source, target: Keras models.

    Raises:
        ValueError: if a layer or a shape differs; nothing is written then.
    """
    from keras_video.checkpoints import weight_map

    weight_map.assign(target, weight_map.export(source))


class Stream:
    """Runs a streaming model on live video: compiled once, state kept between steps.

    Uncompiled, a streamed frame costs mostly the overhead of hundreds of small operations. Here the
    step is compiled on the first call (again for each new chunk shape) and batch norm is folded.
    The weights are those of the model at the time of construction.

    Args:
        model: `VideoClassifier` built with `streaming=True`.
        batch_size: int, number of slots, that is of videos side by side.

    Attributes:
        state: the state as `model.init_state` describes it, `None` before the first step.
        frames_seen: int, frames per slot since construction or the last full reset.

    Example:
    >>> model = keras_video.applications.MoViNetA0(streaming=True, classes=10)
    >>> stream = keras_video.Stream(model)
    >>> stream.step(np.zeros((1, 1, 64, 64, 3))).shape
    (1, 10)
    """

    def __init__(self, model, batch_size=1):
        if not getattr(model, "streaming", False):
            raise ValueError(
                f"model: expected a streaming model, got {getattr(model, 'name', model)!r}. "
                "Build it with streaming=True."
            )
        check_int("batch_size", batch_size)
        self.model = fold_batch_norm(model)
        self.batch_size = batch_size
        self.state = None
        self.frames_seen = 0
        self._compiled = {}

    def step(self, frames):
        """Takes the next chunk of each slot's video.

        Args:
            frames: array `(batch_size, frames, height, width, 3)`; any number of frames, always
                the same height and width.

        Returns:
            Predictions `(batch_size, classes)` after the last frame.
        """
        self.model.check_frames(frames)
        frames = ops.convert_to_tensor(frames, dtype="float32")
        shape = tuple(frames.shape)
        if len(shape) != 5 or shape[0] != self.batch_size:
            raise ValueError(
                f"frames: expected shape ({self.batch_size}, frames, height, width, 3) for "
                f"batch_size={self.batch_size}, got {shape}."
            )
        if self.state is None:
            self.state = self.model.init_state(self.batch_size, *shape[2:4])
            self._size = shape[2:4]
        if shape[2:4] != self._size:
            raise ValueError(
                f"frames: this stream began with frames of {self._size[0]}x{self._size[1]} "
                f"pixels, got {shape[2]}x{shape[3]}. Call reset() to begin another."
            )
        if shape not in self._compiled:
            self._compiled[shape] = compile_step(self.model, frames, self.state)
        outputs, self.state = self._compiled[shape](frames, self.state)
        self.frames_seen += shape[1]
        return outputs

    def reset(self, slots=None):
        """Forgets the past.

        Args:
            slots: ints, the slots to restart while the others go on; `None` for all, which also
                allows another frame size.
        """
        if slots is None:
            self.state = None
            self.frames_seen = 0
            return
        slots = [slots] if isinstance(slots, int) else list(slots)
        if any(not isinstance(s, int) or not 0 <= s < self.batch_size for s in slots):
            raise ValueError(f"slots: expected ints in [0, {self.batch_size}), got {slots}.")
        if self.state is None:
            return
        keep = [0.0 if i in slots else 1.0 for i in range(self.batch_size)]

        def restart(tensor):
            mask = ops.reshape(ops.cast(keep, tensor.dtype), (-1,) + (1,) * (len(tensor.shape) - 1))
            return tensor * mask

        self.state = tree.map_structure(restart, self.state)

    @property
    def state_bytes(self):
        """int, memory of the state; it does not grow with the video. 0 before the first step."""
        tensors = [] if self.state is None else tree.flatten(self.state)
        return sum(4 * int(ops.size(tensor)) for tensor in tensors)


def compile_step(model, frames, state):
    """Compiles `(frames, state) -> (outputs, new_state)` for these shapes on the backend."""
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        signature = tree.map_structure(lambda t: tf.TensorSpec(t.shape, t.dtype), (frames, state))
        trainable, rest = ([v.numpy() for v in group] for group in _variables(model))

        def step(frames, state):
            # As constants, the weights need no reading and are laid out for the kernels once.
            weights = ([tf.constant(v) for v in group] for group in (trainable, rest))
            return model.stateless_call(*weights, frames, state)[0]

        return tf.function(step, input_signature=signature)
    if backend == "jax":
        import jax

        weights = ([v.value for v in group] for group in _variables(model))
        trainable, rest = weights
        step = jax.jit(lambda t, r, f, s: model.stateless_call(t, r, f, s)[0])
        return lambda f, s: step(trainable, rest, f, s)
    return _trace_torch(model, frames, state)


def _variables(model):
    return model.trainable_variables, model.non_trainable_variables


def _trace_torch(model, frames, state):
    """Records torch's operations once; replaying them skips Keras' overhead per layer."""
    import torch

    class Step(torch.nn.Module):
        def forward(self, frames, *flat):
            outputs, new = model(frames, tree.pack_sequence_as(state, list(flat)))
            return outputs, *tree.flatten(new)

    with torch.no_grad():
        traced = torch.jit.trace(Step(), (frames, *tree.flatten(state)), check_trace=False)
        traced = torch.jit.freeze(traced.eval())

    def step(frames, state):
        with torch.inference_mode():
            outputs, *flat = traced(frames, *tree.flatten(state))
        return outputs, tree.pack_sequence_as(state, flat)

    return step


class RollingStream:
    """Steps a stream through a live video and forgets old frames, in constant memory.

    The head of a streaming model averages over all frames since the last reset,
    so that after a minute a new motion hardly moves the answer. Here two slots
    of one batch see every frame and are reset in turn, each after `window`
    frames, half a window apart; the one that remembers more answers. So every
    answer (but the first ones) rests on the last `window / 2` to `window`
    frames. It costs twice the computation and state of one slot.

    Args:
        stream: a `keras_video.Stream` with `batch_size=2`, or with
            `batch_size=1` if `window` is 0.
        window: int, number of frames after which a slot starts afresh, at least
            2. 0 forgets nothing.

    Attributes:
        history: number of frames that the last answer rests on.

    Example:
    >>> stream = keras_video.Stream(model, batch_size=2)
    >>> rolling = keras_video.models.RollingStream(stream, window=50)
    >>> for frame in keras_video.data.Camera(0).frames(frame_rate=5, size=172):
    ...     outputs = rolling.step(frame)
    """

    def __init__(self, stream, window=50):
        if int(window) != window or window < 0 or window == 1:
            raise ValueError(f"`window` must be 0 or an int of at least 2. Received: {window}")
        self.stream = stream
        self.window = int(window)
        self.slots = 2 if window else 1
        batch_size = getattr(stream, "batch_size", self.slots)
        if batch_size != self.slots:
            raise ValueError(
                f"With `window={window}` the stream needs `batch_size={self.slots}`. "
                f"Received: a stream with `batch_size={batch_size}`"
            )
        self.reset()

    @property
    def state_bytes(self):
        return self.stream.state_bytes

    def reset(self):
        """Forgets everything."""
        self.stream.reset()
        self._ages = [0] * self.slots
        self._count = 0
        self.history = 0

    def step(self, frame):
        """Takes the next frame `(height, width, channels)`, returns outputs `(classes,)`."""
        frame = np.asarray(frame)
        if frame.ndim != 3:
            raise ValueError(
                "`frame` must be one frame of shape (height, width, channels). "
                f"Received: shape {frame.shape}"
            )
        self._forget()
        outputs = self.stream.step(np.stack([frame[None]] * self.slots))
        self._count += 1
        self._ages = [age + 1 for age in self._ages]
        self.history = max(self._ages)
        return ops.convert_to_numpy(outputs)[self._ages.index(self.history)]

    def _forget(self):
        """Resets the slot whose turn it is: slot 1 after half a window, slot 0 after a whole."""
        if not self.window or not self._count:
            return
        phase = self._count % self.window
        if phase in (0, self.window // 2):
            slot = 0 if phase == 0 else 1
            self.stream.reset(slots=[slot])
            self._ages[slot] = 0
