"""Streaming without end: answers that follow the video and forget what is long past."""

import numpy as np
from keras import ops


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
