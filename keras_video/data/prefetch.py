"""Workers, threads or processes, that make batches ahead of time and return them in order."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading

TIMEOUT = 600.0  # seconds that a batch may take before an error ends the run

_source = None  # the source of the batches, in a worker process


class Prefetcher:
    """Make batches before they are needed.

    The queue of `keras.utils.PyDataset` is not used, for three reasons. Batches that remain in it
    at the end of an epoch come first in the next one. It waits forever for a process that was
    killed. And a process does not report the broken files that it found.

    Args:
        source: object with a method `batch(epoch, index)` and an attribute `num_batches`; it must
            be picklable if `processes`.
        workers: int, number of threads or processes.
        processes: bool. Processes are spawned, not forked: forking a process with threads, which
            every backend has, may hang.
        depth: int, maximum number of batches that are in progress or waiting; `None` means twice
            `workers`.
        timeout: float, seconds that a batch may take.
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
        """Return `source.batch(epoch, index)` and let the workers make the following batches.

        Raises:
            RuntimeError: if a process died, or the batch took longer than `timeout`.
            Exception: any error of the worker.
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
                f"A worker process ended abruptly before batch {index} of epoch {epoch} was ready. "
                "It crashed, was killed (out of memory?), or the script lacks "
                "`if __name__ == '__main__':`. use_multiprocessing=False may tell more."
            ) from error
        except BaseException as error:
            late = isinstance(error, TimeoutError) and future is not None and not future.done()
            self.close(kill=late)
            if late:
                raise RuntimeError(
                    f"Batch {index} of epoch {epoch} was not ready after {self.timeout:g} seconds."
                ) from error
            raise

    def _order(self, epoch, index):
        """Submit a batch and those after it, drop all others, and return the batch's future."""
        ahead = range(index, min(index + self.depth, self.source.num_batches))
        wanted = {(epoch, i) for i in ahead} | {(epoch, index)}
        self._forget(self._pending.keys() - wanted)
        for key in sorted(wanted - self._pending.keys()):
            self._pending[key] = self._submit(*key)
        return self._pending.pop((epoch, index))

    def pause(self):
        """Drop all batches that were made or begun; the workers stay."""
        with self._lock:
            self._forget(list(self._pending))

    def close(self, kill=False):
        """Drop all batches and end the workers; the next `get` starts new ones.

        `kill=True` kills processes that are still working. Otherwise Python would wait for them
        when it exits.
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent handles interrupts
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """End this worker when its parent ends, even if the parent was killed."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _make_batch(epoch, index):
    return _source.batch(epoch, index)
