"""Streaming on live video, frame by frame.

`Stream` runs a streaming model, compiled and with its batch norm folded. `RollingStream` restarts
streams in turn, so that old frames are forgotten. `fold_batch_norm` and `copy_weights` make the
models that they run.
"""

import numpy as np
from keras import ops, tree

from keras_video.checkpoints import weight_map
from keras_video.checks import check_int
from keras_video.layers import BigLittleMerge, GatedConv3D, GloRe, NonLocal, VideoConv3D, backend
from keras_video.specs.video_input import ANSWER_KEYS, CLIP_KEYS


class Stream:
    """Run a streaming model on live video; compile it once and keep the state between steps.

    Without compilation, most of the time of a frame is the overhead of hundreds of small
    operations. The first step compiles the model, as does every new chunk shape, with batch norm
    folded. The weights are those of the model at the time of construction.

    Args:
        model: `VideoClassifier` built with `streaming=True`.
        batch_size: int, number of slots, that is of videos that run at the same time.

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
        self.batch_size = check_int("batch_size", batch_size)
        self.model = fold_batch_norm(model)
        self.state = None
        self.frames_seen = 0
        self._compiled = {}

    def __repr__(self):
        size = "any size"
        if self.state is not None:
            size = f"{self._size[0]}x{self._size[1]}, {self.frames_seen} seen"
        return (
            f"Stream({self.model.name}, batch_size={self.batch_size}, frames of {size}, "
            f"state of {self.state_bytes:,} bytes)"
        )

    def step(self, frames):
        """Take the next chunk of frames of every slot.

        Args:
            frames: array `(batch_size, frames, height, width, 3)` with any number of frames, and
                the same height and width in all steps. Single frames may also be given as
                `(batch_size, height, width, 3)`, and for one slot as `(height, width, 3)`.

        Returns:
            Predictions `(batch_size, classes)` after the last frame.
        """
        if np.ndim(frames) == 4 and frames.shape[0] != self.batch_size:
            hint = " Write frames[None] for several frames of one video." * (self.batch_size == 1)
            raise ValueError(
                f"frames: expected a frame for each of batch_size={self.batch_size} slots, shape "
                f"({self.batch_size}, height, width, 3), got {tuple(frames.shape)}.{hint}"
            )
        if np.ndim(frames) == 4:
            frames = frames[:, None]
        elif np.ndim(frames) == 3 and self.batch_size == 1:
            frames = frames[None, None]
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
                f"frames: expected the size of the first frames, {self._size[0]}x{self._size[1]}, "
                f"got {shape[2]}x{shape[3]}. Call reset() before another size."
            )
        if shape not in self._compiled:
            self._compiled[shape] = backend.compile_step(self.model, frames, self.state)
        outputs, self.state = self._compiled[shape](frames, self.state)
        self.frames_seen += shape[1]
        return outputs

    def reset(self, slots=None):
        """Forget the past.

        Args:
            slots: int or list of ints, the slots to restart while the others continue. `None` for
                all slots; after that, another frame size is allowed.
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
        """int, bytes of the state, which do not grow with the video. 0 before the first step."""
        tensors = [] if self.state is None else tree.flatten(self.state)
        return sum(4 * int(ops.size(tensor)) for tensor in tensors)


class RollingStream:
    """Run a stream on a live video without end, and forget old frames.

    The head of a streaming model averages over all frames since the last reset. After a minute, a
    new motion hardly changes the outputs. Here two slots of one batch take every frame. They are
    reset in turn, each after `window` frames, half a window apart, and the outputs come from the
    slot with the longer history. So all outputs but the first ones depend on the last `window / 2`
    to `window` frames. Time and state are twice those of one slot, and constant.

    Args:
        stream: a `keras_video.Stream` with `batch_size=2`, or with `batch_size=1` if `window` is 0.
        window: int of at least 2, number of frames after which a slot is reset. 0 never resets.

    Attributes:
        history: int, number of frames that the last outputs depend on.

    Example:
    >>> stream = keras_video.Stream(model, batch_size=2)
    >>> rolling = keras_video.models.RollingStream(stream, window=50)
    >>> for frame in keras_video.data.Camera(0).frames(frame_rate=5, size=172):
    ...     outputs = rolling.step(frame)
    """

    def __init__(self, stream, window=50):
        if window == 1:
            raise ValueError("window: expected 0 or an int of at least 2, got 1.")
        self.window = check_int("window", window, 0)
        self.stream = stream
        self.slots = 2 if window else 1
        batch_size = getattr(stream, "batch_size", self.slots)
        if batch_size != self.slots:
            raise ValueError(
                f"stream: expected batch_size={self.slots} for window={window}, got "
                f"batch_size={batch_size}."
            )
        self.reset()

    def __repr__(self):
        return f"RollingStream({self.stream!r}, window={self.window}, history={self.history})"

    @property
    def state_bytes(self):
        """int, bytes of the state of all slots."""
        return self.stream.state_bytes

    def reset(self):
        """Forget the past."""
        self.stream.reset()
        self._ages = [0] * self.slots
        self._count = 0
        self.history = 0

    def step(self, frame):
        """Take the next frame `(height, width, channels)`; return the outputs `(classes,)`."""
        frame = np.asarray(frame)
        if frame.ndim != 3:
            raise ValueError(f"frame: expected shape (height, width, channels), got {frame.shape}.")
        self._forget()
        outputs = self.stream.step(np.stack([frame[None]] * self.slots))
        self._count += 1
        self._ages = [age + 1 for age in self._ages]
        self.history = max(self._ages)
        return ops.convert_to_numpy(outputs)[self._ages.index(self.history)]

    def _forget(self):
        """Reset slot 1 after half a window, and slot 0 after a whole window."""
        if not self.window or not self._count:
            return
        phase = self._count % self.window
        if phase in (0, self.window // 2):
            slot = 0 if phase == 0 else 1
            self.stream.reset(slots=[slot])
            self._ages[slot] = 0


def fold_batch_norm(model):
    """Copy a model and fold its batch norm into the kernels and biases of its convolutions.

    `VideoConv3D` folds in every inference call, which is cheap for a clip. For a single streamed
    frame, the folding is a good part of the work. The copy does it once.

    Args:
        model: `VideoClassifier`, or any Functional model of this library's layers.

    Returns:
        A model of the same class that gives the same outputs within rounding. It is not meant to
        be trained, and later training of `model` does not change it.
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
    """Return the convolution with batch norm that a layer is or contains, or `None`."""
    holds_one = isinstance(layer, (BigLittleMerge, GatedConv3D, GloRe, NonLocal))
    convolution = layer.conv if holds_one else layer
    with_norm = isinstance(convolution, VideoConv3D) and convolution.norm is not None
    return convolution if with_norm else None


def _copy_layer(layer, twin):
    """Copy the weights of a layer to its twin, which has no batch norm."""
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
    """Copy all weights between models with the same layer names, such as clip and stream.

    What the source knows about its classes and its clips is copied as well: `class_names`, and the
    size, frame rate and sampling rule of `video_input`.

    Args:
        source, target: Keras models.

    Raises:
        ValueError: if a layer or a shape differs. Then no weight is changed.
    """
    weight_map.assign(target, weight_map.export(source))
    known, info = getattr(source, "info", None), getattr(target, "info", None)
    if isinstance(known, dict) and isinstance(info, dict):
        info.update({key: known[key] for key in (*CLIP_KEYS, *ANSWER_KEYS) if key in known})
