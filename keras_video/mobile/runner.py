"""`LiteRTModel`: run an exported file with the calls of the Keras model."""

import ctypes
import os

import numpy as np

from keras_video import answers
from keras_video.checks import check_int, missing_extra
from keras_video.mobile import file
from keras_video.progress import silence
from keras_video.specs.video_input import VideoInput

SEEN = "frames_seen"  # the key of the frame count in a state


class LiteRTModel:
    """A model from a LiteRT file of `export_litert`.

    It needs only NumPy and `ai_edge_litert`, neither Keras nor TensorFlow.

    Args:
        path: string.
        threads: int, number of CPU threads.

    Attributes:
        info: dict, the description in the file (`keras_video.mobile.file`).
        labels, class_names: list of class names, or `None`.
        video_input: `keras_video.specs.VideoInput`, the clips that the model was made for.
        streaming: bool, whether the file takes frames with a state.
        frames_seen: int, frames since the last reset.
        interpreter: the LiteRT interpreter. The model uses its memory in place: do not call
            `allocate_tensors` again.
        state_bytes: int, memory of the state in bytes.

    Raises:
        ValueError: if there is no file, or it was not written by `export_litert`.
        ImportError: if `ai_edge_litert` is not installed.

    Example:
    >>> model = keras_video.mobile.LiteRTModel("digits.tflite")
    >>> for answer in model.stream(video):  # (frames, height, width, 3)
    ...     print(model.labels[answer.argmax()])
    """

    classify = answers.classify
    follow = answers.follow
    decode_predictions = answers.decode_predictions

    def __init__(self, path, threads=1):
        check_int("threads", threads)
        self.path = path = os.fspath(path)
        self.name = os.path.basename(path)
        self.info, self.labels = file.read(path)
        self.interpreter = _interpreter(path, threads)
        runner = self.interpreter.get_signature_runner()
        self._inputs = {k: _Tensor(self.interpreter, d) for k, d in _sorted(runner, "input")}
        self._outputs = {k: _Tensor(self.interpreter, d) for k, d in _sorted(runner, "output")}
        self._state = [name for name in self._inputs if name in self.info.get("state", {})]
        self.streaming = self.info["kind"] == "stream"
        self.state_bytes = sum(self._inputs[name].bytes for name in self._state)
        self.reset()

    def __repr__(self):
        frames, height, width = self.input_shape[1:4]
        takes = f"{self.info['kind']} of {frames} x {height} x {width}"
        if self.streaming:
            takes = f"stream, {frames} x {height} x {width} in a step"
        classes = f", {len(self.labels)} class names" if self.labels else ""
        state = f", state of {self.state_bytes:,} bytes" if self.streaming else ""
        form = self.info.get("quantization") or "float32"
        return f"LiteRTModel({self.path!r}, {takes}{classes}, {form}{state})"

    def inexact_states(self):
        """Return the names of the states that are rounded between output and input."""
        return [name for name in self._state if not self._inputs[name].like(self._outputs[name])]

    @property
    def input_shape(self):
        """tuple `(1, frames, height, width, 3)`; for streams the frames of one step."""
        return (1, *self._inputs["frames"].shape)

    @property
    def class_names(self):
        """List of class names, or `None`."""
        return self.labels

    @property
    def num_classes(self):
        """int, number of outputs."""
        return self._outputs["predictions"].shape[-1]

    @property
    def answer_activation(self):
        """What turns outputs into probabilities, see `keras_video.answers.to_probabilities`."""
        activation = self.info.get("activation")
        linear = activation == "linear" and self.info.get("multi_label")
        return "multi_label" if linear else activation

    @property
    def video_input(self):
        """`keras_video.specs.VideoInput`, the clips that the model was made for."""
        info, size = self.info, [self.info["height"], self.info["width"]]
        clip = info.get("clip") or (None, None, None)
        side = info.get("resize_side") if list(clip[1:3]) == size else None
        frames = clip[0] if self.streaming else info["frames"]
        return VideoInput.from_info({**info, "clip": [frames, *size], "resize_side": side})

    def probabilities(self, clips):
        """Return the probabilities of the classes for several clips of one video.

        Args:
            clips: uint8 array `(clips, frames, height, width, 3)`.

        Returns:
            float64 array `(classes,)`. Logits are averaged before softmax.
        """
        outputs = self.predict(answers.pixels_for(self.video_input, clips))
        return answers.average(outputs, self.answer_activation)

    def start_stream(self, window=0):
        """Return a function from a uint8 frame `(height, width, 3)` to float64 `(classes,)`.

        Args:
            window: int, frames after which old frames are forgotten, as in
                `keras_video.models.RollingStream`; 0 remembers all.
        """
        self._check_stream()
        if self.input_shape[1] != 1:
            raise ValueError(
                f"file: expected one that takes a frame per step, got {self.name} with "
                f"{self.input_shape[1]}."
            )
        known, activation = self.video_input, self.answer_activation
        slots = 2 if window else 1
        states, ages = [self.init_state() for _ in range(slots)], [0] * slots
        count = 0

        def step(frame):
            nonlocal count
            if window and count and count % window in (0, window // 2):
                slot = 0 if count % window == 0 else 1
                states[slot], ages[slot] = self.init_state(), 0
            count += 1
            outputs = []
            for slot in range(slots):
                pixels = answers.pixels_for(known, frame)[None, None]
                output, states[slot] = self(pixels, states[slot])
                outputs.append(output)
                ages[slot] += 1
            oldest = ages.index(max(ages))
            return answers.to_probabilities(outputs[oldest], activation)[0]

        return step

    def predict(self, clips):
        """Return the predictions for clips.

        Args:
            clips: array `(batch, frames, height, width, 3)`. A file for streams starts a new stream
                for every clip.

        Returns:
            float32 array `(batch, classes)`; for streams after the last frame.
        """
        clips = self._check(clips, batch=None)
        return np.concatenate([self._clip(clip) for clip in clips])

    def __call__(self, frames, state=None):
        """Return what the Keras model returns for one clip, or for the next frames of a stream.

        Args:
            frames: array `(1, frames, height, width, 3)`.
            state: for streams, the result of `init_state` or of the last call. `None` starts a new
                stream.

        Returns:
            Predictions `(1, classes)`; for streams the pair `(predictions, new_state)`.
        """
        frames = self._check(frames, batch=1)
        if not self.streaming:
            if state is not None:
                raise ValueError("state: expected None for a file that takes clips, got a state.")
            return self._clip(frames[0])
        self._load(self.init_state() if state is None else state)
        return self._steps(frames[0]), self._save()

    def init_state(self, batch_size=1):
        """Return the state before the first frame, a dict of arrays."""
        self._check_stream()
        if batch_size != 1:
            raise ValueError(f"batch_size: expected 1, as files have no batch, got {batch_size}.")
        state = {name: self._inputs[name].zeros() for name in self._state}
        return {**state, SEEN: np.zeros(1, "int32")}

    def stream(self, frames):
        """Start a new stream and yield the predictions after every step.

        Args:
            frames: iterable of frames `(height, width, 3)`.

        Yields:
            float32 arrays `(classes,)`.
        """
        self._check_stream()
        self.reset()
        chunk, size = [], self.input_shape[1]
        for frame in frames:
            chunk.append(frame)
            if len(chunk) == size:
                yield self.step(np.stack(chunk) if size > 1 else chunk[0])
                chunk = []

    def step(self, frames):
        """Take the next frame of the stream. The model keeps the state.

        Args:
            frames: array `(height, width, 3)`, or `(frames, height, width, 3)` for files that take
                several frames per step.

        Returns:
            Predictions, a float32 array `(classes,)`.
        """
        inputs = self._inputs["frames"]
        frames = np.asarray(frames).reshape(inputs.shape)
        inputs.write(frames)
        count = len(frames)
        if "inverse_count" in self._inputs:
            numbers = self.frames_seen + np.arange(1, count + 1).reshape(-1, 1, 1, 1)
            self._inputs["inverse_count"].write(1.0 / numbers)
            if "position" in self._inputs:
                self._inputs["position"].write(numbers - 1.0)
        self.interpreter.invoke()
        for move in self._moves:
            move()
        self.frames_seen += count
        return self._outputs["predictions"].read()[0]

    def reset(self):
        """Start a new stream: forget all frames."""
        for name in self._state:
            self._inputs[name].view()[...] = self._inputs[name].zero
        self._moves = [_move(self._inputs[name], self._outputs[name]) for name in self._state]
        self.frames_seen = 0

    def _clip(self, clip):
        if self.streaming:
            self.reset()
            return self._steps(clip)
        self._inputs["frames"].write(clip)
        self.interpreter.invoke()
        return self._outputs["predictions"].read()

    def _steps(self, frames):
        size = self.input_shape[1]
        for i in range(0, len(frames), size):
            answer = self.step(frames[i : i + size])
        return answer[None]

    def _load(self, state):
        expected = sorted([*self._state, SEEN])
        if not isinstance(state, dict) or sorted(state) != expected:
            got = sorted(state) if isinstance(state, dict) else type(state).__name__
            raise ValueError(f"state: expected a dict with the keys {expected}, got {got}.")
        for name in self._state:
            view = self._inputs[name].view()
            if np.shape(state[name]) != view.shape:
                raise ValueError(
                    f"state: expected {name} of shape {view.shape}, got {np.shape(state[name])}."
                )
            view[...] = state[name]
        self.frames_seen = int(state[SEEN][0])

    def _save(self):
        state = {name: self._inputs[name].view().copy() for name in self._state}
        return {**state, SEEN: np.array([self.frames_seen], "int32")}

    def _check_stream(self):
        if not self.streaming:
            raise ValueError(
                "file: expected a file for streams, got one for clips. Export a model that was "
                "built with streaming=True."
            )

    def _check(self, frames, batch):
        frames = np.asarray(frames)
        expected = list(self.input_shape)
        expected[0] = batch or "batch"
        step = expected[1]
        fits = frames.ndim == 5 and frames.shape[2:] == tuple(expected[2:]) and len(frames) > 0
        count = frames.shape[1] if fits else 0
        if self.streaming:
            expected[1] = "frames" if step == 1 else f"a multiple of {step}"
            fits = count > 0 and count % step == 0
        else:
            fits = count == step
        if not fits or batch not in (None, len(frames)):
            raise ValueError(
                f"frames: expected shape ({', '.join(map(str, expected))}), got {frames.shape}."
            )
        return frames


class _Tensor:
    """An input or output: its memory, and how real numbers are stored there."""

    def __init__(self, interpreter, details):
        self.view = interpreter.tensor(details["index"])  # a function: views must not be kept
        self.shape = tuple(int(n) for n in details["shape"])
        self.dtype = np.dtype(details["dtype"])
        self.bytes = int(np.prod(self.shape)) * self.dtype.itemsize
        scale, self.zero = details["quantization"]
        self.scale = float(scale)

    def zeros(self):
        return np.full(self.shape, self.zero, self.dtype)

    def like(self, other):
        """Return whether both store real numbers as the same bytes."""
        mine, theirs = ((t.dtype, t.scale, t.zero) for t in (self, other))
        return mine == theirs

    def quantized(self, values):
        """Return real numbers as they are stored here."""
        if not self.scale:
            return values
        if values.dtype == np.uint8 and (self.scale, self.zero) == (1.0, -128):
            return (values ^ 0x80).view(np.int8)  # a pixel minus 128
        limits = np.iinfo(self.dtype)
        numbers = np.rint(values / np.float32(self.scale)) + self.zero
        return np.clip(numbers, limits.min, limits.max)

    def write(self, values):
        self.view()[...] = self.quantized(values)

    def read(self):
        values = self.view()
        if not self.scale:
            return values.copy()
        return (values.astype("float32") - self.zero) * np.float32(self.scale)


def append(state, new):
    """Append `new` along axis 1 and drop as many of the oldest frames, in place.

    Args:
        state, new: arrays `(1, frames, ...)`.
    """
    kept = max(0, state.shape[1] - new.shape[1])
    state[:, :kept] = state[:, state.shape[1] - kept :].copy()
    state[:, kept:] = new[:, new.shape[1] - (state.shape[1] - kept) :]


def _move(old, new):
    """Return a function that appends an output to its state, as `append` does."""
    if not old.like(new):
        return lambda: append(old.view(), old.quantized(new.read()))
    # With batch 1, axis 1 is the outermost, so that appending moves whole blocks of bytes. There is
    # a move for every layer and frame: making NumPy views would take as long as the moves.
    to, source = (tensor.view().ctypes.data for tensor in (old, new))
    kept = max(0, old.bytes - new.bytes)
    taken = old.bytes - kept

    def move():
        if kept:
            ctypes.memmove(to, to + taken, kept)
        ctypes.memmove(to + kept, source + new.bytes - taken, taken)

    return move


def _interpreter(path, threads):
    try:
        with silence():
            from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise missing_extra("Running LiteRT files needs ai-edge-litert.", "litert") from error
    try:
        with silence():
            interpreter = Interpreter(model_path=path, num_threads=threads)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as error:
        text = " ".join(str(error).split())[:300]
        raise ValueError(
            f"path: expected a LiteRT file that can be loaded, got {path}: {text}"
        ) from error
    return interpreter


def _sorted(runner, kind):
    details = runner.get_input_details() if kind == "input" else runner.get_output_details()
    return sorted(details.items())
