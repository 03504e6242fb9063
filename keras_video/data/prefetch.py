"""Threads or processes that make the batches ahead of time, handed out in order."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading

TIMEOUT = 600.0  # seconds that a batch may take before the run is ended

_source = None  # in a worker process: what makes the batches


class Prefetcher:
    """Makes batches ahead of their use.

    The queue of `keras.utils.PyDataset` is not used, for three reasons: batches left in it when an
    epoch ends come first in the next one, it waits forever for a process that was killed, and what
    a process learns about broken files stays there.

    Args:
        source: has a method `batch(epoch, index)` and `num_batches`; picklable if `processes`.
        workers: int, number of threads or processes.
        processes: bool. Processes are started afresh, not forked, since a fork of a process with
            threads, which every backend has, may hang.
        depth: int, how many batches are under way or waiting at most.
        timeout: seconds that a batch may take.
    """

    def __init__(self, source, workers, processes=False, depth=None, timeout=TIMEOUT):
        self.source = source
        self.workers = workers
        self.processes = processes
        self.depth = max(depth or 2 * workers, 1)
        self.timeout = timeout
        self._pool = None
        self._pending = {}
        self._lock = threading.Lock()  # TensorFlow asks from a thread of its own

    def get(self, epoch, index):
        """Returns `source.batch(epoch, index)` and has the following batches made.

        Raises:
            RuntimeError: if a process died, or no batch came in time.
            Exception: what the worker raised.
        """
        future = None
        try:
            with self._lock:
                future = self._order(epoch, index)
            return future.result(self.timeout)
        except concurrent.futures.CancelledError:  # by `close`, in another thread
            return self.source.batch(epoch, index)
        except concurrent.futures.BrokenExecutor as error:
            self.close()
            raise RuntimeError(
                f"A worker process ended abruptly while batch {index} of epoch {epoch} was waited "
                "for: it crashed, was killed (out of memory?), or the script that starts it lacks "
                "`if __name__ == '__main__':`. `use_multiprocessing=False` may tell more."
            ) from error
        except BaseException as error:
            late = isinstance(error, TimeoutError) and future is not None and not future.done()
            self.close(kill=late)
            if late:
                raise RuntimeError(
                    f"Batch {index} of epoch {epoch} was not there after {self.timeout:g} seconds."
                ) from error
            raise

    def _order(self, epoch, index):
        """Has a batch and those after it made, and drops all others; the future of the batch."""
        ahead = range(index, min(index + self.depth, self.source.num_batches))
        wanted = {(epoch, i) for i in ahead} | {(epoch, index)}
        self._forget(self._pending.keys() - wanted)
        for key in sorted(wanted - self._pending.keys()):
            self._pending[key] = self._submit(*key)
        return self._pending.pop((epoch, index))

    def pause(self):
        """Drops the batches that were made or begun; the workers stay."""
        with self._lock:
            self._forget(list(self._pending))

    def close(self, kill=False):
        """Drops all batches and lets the workers go; the next `get` finds new ones.

        `kill=True` ends processes in the middle of their work: Python waits for them at its end.
        """
        with self._lock:
            self._forget(list(self._pending))
            pool, self._pool = self._pool, None
        if pool is not None:
            processes = list((getattr(pool, "_processes", None) or {}).values()) if kill else []
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                process.kill()

    def _forget(self, keys):
        for key in keys:
            self._pending.pop(key).cancel()

    def _submit(self, epoch, index):
        if not self.processes:
            if self._pool is None:
                self._pool = concurrent.futures.ThreadPoolExecutor(self.workers, "keras_video")
            return self._pool.submit(self.source.batch, epoch, index)
        if self._pool is None:
            self._pool = concurrent.futures.ProcessPoolExecutor(
                self.workers,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start_process,
                initargs=(self.source,),
            )
        return self._pool.submit(_make_batch, epoch, index)


def _start_process(source):
    global _source
    _source = source
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what an interrupt means
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """A parent that was killed can no longer tell its workers to go."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _make_batch(epoch, index):
    return _source.batch(epoch, index)
