"""A process that has imported KerasTuner once and forks searches, which then start at once.

Tests use `Nursery`. Run as a module, this file is the process itself. Its backend is NumPy: the
searches need no other, and TensorFlow does not survive a fork.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SECONDS = 60.0  # longer than any of the tests


class Nursery:
    """Start and watch searches of `ToyTuner` in processes of their own."""

    def __init__(self):
        env = {**os.environ, "KERAS_BACKEND": "numpy", "PYTHONPATH": str(ROOT)}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.tuner.nursery"],
            cwd=ROOT, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        self._pids = []

    def start(self, log, env=None, **options):
        """Fork a search whose output goes to the file `log`. Return a `Child`."""
        pid = self._ask({"env": env or {}, "log": str(log), "options": options})
        self._pids.append(pid)
        return Child(self, pid, Path(log))

    def _ask(self, question):
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        """End all processes."""
        for pid in self._pids:
            if self._ask({"status": pid}) is None:
                os.kill(pid, signal.SIGKILL)
        self._process.stdin.close()
        self._process.wait(timeout=SECONDS)


class Child:
    """A search in a process of its own."""

    def __init__(self, nursery, pid, log):
        self._nursery, self.pid, self._log = nursery, pid, log

    @property
    def status(self):
        """The exit code, negative after a signal, or None."""
        return self._nursery._ask({"status": self.pid})

    @property
    def output(self):
        """The output so far."""
        return self._log.read_text()

    def kill(self):
        """Kill the process with `kill -9`."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def wait(self, seconds=SECONDS):
        """Wait for the end and return the exit code."""
        wait_until(lambda: self.status is not None, seconds, lambda: self.output)
        return self.status


def wait_until(condition, seconds=SECONDS, explain=lambda: ""):
    """Wait for a condition; fail after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"Nothing happened for {seconds} s. {explain()}"
        time.sleep(0.01)


def _main():
    from tests.tuner.toy import run

    codes = {}
    for line in sys.stdin:
        question = json.loads(line)
        if "status" in question:
            pid = question["status"]
            if codes.get(pid) is None:
                ended, code = os.waitpid(pid, os.WNOHANG)
                codes[pid] = os.waitstatus_to_exitcode(code) if ended else None
            answer = codes[pid]
        else:
            answer = os.fork()
            if not answer:
                _search(run, question)
        print(json.dumps(answer), flush=True)


def _search(run, question):
    """In the child: never returns."""
    code = 1
    try:
        log = os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.environ.update(question["env"])
        run(**question["options"])
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


if __name__ == "__main__":
    _main()
