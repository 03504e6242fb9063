"""A lock for all processes of a machine: who measures time is alone, who computes gives way.

It lies in the temporary directory and belongs to the kernel, which releases it when a process
dies, however it dies. Where the system has no such locks (Windows) nobody waits.

`GiveWay`: trainings pause while a latency is measured on the same machine.
"""

import contextlib
import os
import tempfile
import time

import keras

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

POLL = 0.005  # seconds; system locks know no time-out, so one asks again and again
DIRECTORY = None  # where the lock lies; None for the system's temporary directory


class MachineLock:
    """One process's hold on the machine.

    There are two files. Whoever measures takes the gate, which lets nobody new in, and waits until
    those inside have left; so a measurement comes to its turn however many processes compute.
    """

    def __init__(self):
        self._files = []

    @contextlib.contextmanager
    def alone(self, timeout=600.0):
        """Nobody else measures, and nobody who gives way computes, inside this context.

        Raises:
            TimeoutError: after `timeout` seconds of waiting.
        """
        deadline = time.monotonic() + timeout
        try:
            for name in ("gate", "hall"):
                if not self._take(name, True, deadline):
                    raise TimeoutError(
                        f"No turn to measure within {timeout:g} s: {_path(name)} is held by "
                        "another process."
                    )
            yield
        finally:
            self.release()

    def enter(self, timeout=60.0):
        """Waits until nobody measures, at most `timeout` seconds, and keeps measurements waiting.

        `release` ends it. After the time-out one goes on unheeded: better a disturbed measurement
        than a training that stands still.
        """
        deadline = time.monotonic() + timeout
        if self._take("gate", False, deadline):
            self._take("hall", False, deadline)
            self._files.pop(0).close()  # leaves the gate

    def release(self):
        """Gives back whatever is held."""
        while self._files:
            self._files.pop().close()

    def _take(self, name, exclusively, deadline):
        """Locks a file, and keeps it open; bool, whether it came about in time."""
        file = _open(_path(name))
        self._files.append(file)
        if fcntl is None:
            return True
        kind = fcntl.LOCK_EX if exclusively else fcntl.LOCK_SH
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
                return True
            except OSError:
                if time.monotonic() > deadline:
                    return False
            time.sleep(POLL)


def _path(name):
    directory = DIRECTORY or tempfile.gettempdir()
    return os.path.join(directory, f"keras_video_measuring.{name}")


def _open(path):
    # Systems that protect shared directories refuse to "create" what exists and is another's.
    try:
        return open(path, "rb")
    except FileNotFoundError:
        pass
    with contextlib.suppress(FileExistsError, PermissionError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o644))
    return open(path, "rb")


class GiveWay(keras.callbacks.Callback):
    """Pauses between batches as long as another process of this machine measures a latency.

    Two busy processes beside it make a measurement three times as long. A pause lasts a second or
    two; a batch costs a few microseconds more.
    """

    def __init__(self):
        super().__init__()
        self._lock = MachineLock()

    def _enter(self, batch, logs=None):
        self._lock.release()
        self._lock.enter()

    def _leave(self, batch=None, logs=None):
        self._lock.release()

    on_train_batch_begin = on_test_batch_begin = _enter
    on_train_batch_end = on_test_batch_end = on_train_end = _leave
    release = _leave
