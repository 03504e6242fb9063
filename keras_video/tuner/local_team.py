"""`run_team`: a chief and its workers as processes of this machine."""

import contextlib
import os
import socket
import subprocess
import time

GRACE = 60.0  # seconds that workers have to end after their chief
RESTARTS = 3  # of each worker
POLL = 0.2


def run_team(command, workers, folder, threads=None, grace=GRACE):
    """Runs the same command as chief and as workers, told apart by KerasTuner's variables.

    The chief's output goes where ours goes; that of the workers to files in `folder`. A worker
    that dies is started again, three times; its trial is not lost. Returns when the chief has
    ended; nobody is left behind.

    Args:
        command: list of strings, a program that makes a `SearchTuner` and calls `search`.
        workers: int, at least 1.
        folder: string, for the files `worker_0.log` and so on.
        threads: int, of each worker; default the machine's cores shared out.
        grace: float, seconds that workers may go on after their chief.

    Raises:
        RuntimeError: if the chief fails, or all workers do; the message ends in the last lines of
            a worker.
    """
    os.makedirs(folder, exist_ok=True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = threads or max(1, cores // workers)
    address = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(_free_port())}

    def start(name, output=None):
        limits = {} if output is None else {
            variable: str(threads) for variable in
            ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        }  # fmt: skip
        env = {**os.environ, **address, **limits, "KERASTUNER_TUNER_ID": name}
        return subprocess.Popen(
            command, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )

    logs = [os.path.join(folder, f"worker_{i}.log") for i in range(workers)]
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(open(path, "wb")) for path in logs]
        chief = start("chief")
        stack.callback(_end, chief)
        team = [_Worker(lambda i=i: start(f"worker_{i}", files[i])) for i in range(workers)]
        for worker in team:
            stack.callback(lambda worker=worker: _end(worker.process))
        while chief.poll() is None:
            if not any([worker.alive() for worker in team]):
                raise RuntimeError(f"All workers failed. {_last_words(logs)}")
            time.sleep(POLL)
        if chief.returncode:
            raise RuntimeError(
                f"The chief ended with exit code {chief.returncode}. {_last_words(logs)}"
            )
        deadline = time.monotonic() + grace
        for worker in team:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.process.wait(max(0.0, deadline - time.monotonic()))


class _Worker:
    """A process that is started again after it failed."""

    def __init__(self, start):
        self._start, self._left = start, RESTARTS
        self.process = start()

    def alive(self):
        """bool, whether it runs, or has ended as it should."""
        if self.process.poll() and self._left:
            self._left -= 1
            self.process = self._start()
        return not self.process.poll()


def _end(process):
    if process.poll() is None:
        process.kill()
        process.wait(10)


def _free_port():
    with socket.socket() as connection:
        connection.bind(("127.0.0.1", 0))
        return connection.getsockname()[1]


def _last_words(logs):
    """The end of the log that was written last."""
    path = max(logs, key=os.path.getmtime)
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line for line in file.read().splitlines() if line.strip()]
    return f"{path} ends: " + (" / ".join(lines[-3:]) or "(nothing)")
