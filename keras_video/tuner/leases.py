"""Leases: how the chief notices that a worker is gone."""

import collections
import contextlib
import threading
import time


class Leases:
    """Remembers when each worker was last heard of; may be used by several threads.

    Only workers that have been heard of can be missed: the tuner of a search in a single process
    sends no heartbeats and holds its trial for ever.

    Args:
        seconds: float, how long a worker may be silent.
        clock: function, for tests.

    Raises:
        ValueError: if `seconds` is not positive.
    """

    def __init__(self, seconds, clock=time.monotonic):
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
            raise ValueError(f"lease_seconds: expected a positive number, got {seconds!r}.")
        self.seconds = seconds
        self._clock = clock
        self._heard = {}
        self._calls = collections.Counter()
        self._lock = threading.Lock()

    def renew(self, worker):
        """Notes that the worker lives."""
        with self._lock:
            self._heard[worker] = self._clock()

    @contextlib.contextmanager
    def call(self, worker):
        """The worker waits for an answer in this context, so that it cannot be missed."""
        with self._lock:
            self._heard[worker] = self._clock()
            self._calls[worker] += 1
        try:
            yield
        finally:
            with self._lock:
                self._calls[worker] -= 1
                if worker in self._heard:
                    self._heard[worker] = self._clock()

    def forget(self, worker):
        """Expects nothing more of the worker."""
        with self._lock:
            self._heard.pop(worker, None)

    def take_expired(self):
        """The workers that have been silent for too long; they are forgotten."""
        with self._lock:
            late = self._clock() - self.seconds
            gone = [w for w, t in self._heard.items() if t < late and not self._calls[w]]
            for worker in gone:
                del self._heard[worker]
            return gone
