"""Leases: how the chief notices that a worker is gone."""

import time


class Leases:
    """Remembers when each worker was last heard of.

    Only workers that have been heard of can be missed: the tuner of a search in a single process
    sends no heartbeats and holds its trial for ever.

    Args:
        seconds: float, how long a worker may be silent.
        clock: function, for tests.
    """

    def __init__(self, seconds, clock=time.monotonic):
        if not seconds > 0:
            raise ValueError(f"lease_seconds: expected a positive number, got {seconds!r}.")
        self.seconds = seconds
        self._clock = clock
        self._heard = {}

    def renew(self, worker):
        """Notes that the worker lives."""
        self._heard[worker] = self._clock()

    def forget(self, worker):
        """Expects nothing more of the worker."""
        self._heard.pop(worker, None)

    def take_expired(self):
        """The workers that have been silent for too long; they are forgotten."""
        now = self._clock()
        gone = [w for w, heard in self._heard.items() if now - heard > self.seconds]
        for worker in gone:
            self.forget(worker)
        return gone
