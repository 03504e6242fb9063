"""A lock for all processes of a machine: whoever measures runs alone, trainings pause meanwhile.

The lock files lie in the temporary directory. The kernel holds the locks and releases them when a
process dies, even by `kill -9`. On Windows, which has no such locks, nobody waits.
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

POLL = 0.005  # seconds between two attempts: system locks have no timeout
DIRECTORY = None  # folder of the lock files; None for the system's temporary directory


class MachineLock:
    """The hold of one process on the machine.

    There are two lock files, "gate" and "hall". A measuring process locks the gate, so that nobody
    else enters the hall, and waits until those inside have left. It therefore gets its turn,
    however many processes are computing.
    """

    def __init__(self):
        self._files = []

    @contextlib.contextmanager
    def alone(self, timeout=600.0):
        """Keep other measurements, and trainings that use `enter`, out of this context.

        Args:
            timeout: float, seconds to wait at most.

        Raises:
            TimeoutError: if another process holds the lock for longer than `timeout`.
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
        """Wait until nobody measures, then keep measurements waiting until `release`.

        On timeout, training continues and may disturb the measurement.

        Args:
            timeout: float, seconds to wait at most.
        """
        deadline = time.monotonic() + timeout
        if self._take("gate", False, deadline):
            self._take("hall", False, deadline)
            self._files.pop(0).close()  # leaves the gate

    def release(self):
        """Release all locks of this object."""
        while self._files:
            self._files.pop().close()

    def _take(self, name, exclusively, deadline):
        """Lock a file and keep it open. Return whether this succeeded before the deadline."""
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
    # In protected shared folders, opening another user's file with O_CREAT is refused.
    try:
        return open(path, "rb")
    except FileNotFoundError:
        pass
    with contextlib.suppress(FileExistsError, PermissionError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDONLY, 0o644))
    return open(path, "rb")


class GiveWay(keras.callbacks.Callback):
    """Pause a training between batches while another process of this machine measures a latency.

    A measurement next to two busy processes takes three times as long. A pause lasts a second or
    two. Without a measurement, the callback costs a few microseconds per batch.
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
