"""`MeasuringProcess`: the parent's side of the process in which networks run."""

import atexit
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading

from keras_video.tuner import latency_runtimes

START_SECONDS = 180.0  # a backend's import, on a busy machine
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


class MeasurementError(RuntimeError):
    """A network could not be measured.

    Attributes:
        transient: bool, whether the machine is to blame rather than the network, so that it may
            succeed later.
    """

    def __init__(self, message, transient=False):
        super().__init__(message)
        self.transient = transient


class MeasuringProcess:
    """Asks a process to run networks; starts it when needed, also after it died.

    Args:
        settings: dict of `runtime`, `backend`, `threads` and `device`.
    """

    def __init__(self, settings):
        self.settings = settings
        self._process, self._owner = None, None

    def load(self, architecture, timeout):
        """Has the process build a network and run it once.

        Args:
            architecture: string, the model's JSON.
            timeout: float, seconds.

        Raises:
            MeasurementError: if it fails, dies or takes too long.
        """
        self._start()
        path = os.path.join(self._folder, "network.json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(architecture)
        self.ask({"path": path}, timeout)

    def ask(self, request, timeout):
        """The answer to a request, a dict.

        Raises:
            MeasurementError: if the process fails, dies or takes too long.
        """
        self._start()
        request = json.dumps({**request, "timeout": timeout + 10})
        try:
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        except OSError:
            self._died()
        answer = self._answer(timeout)
        if "error" in answer:
            raise MeasurementError(f"The network does not run: {answer['error']}")
        return answer

    def close(self):
        """Ends the process."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.wait(10)
            process.stdin.close()
            self._reader.join(10)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _start(self):
        if self._process is not None and self._owner == os.getpid():
            return
        self._owner = os.getpid()  # a fork must not share its parent's process
        self._folder = tempfile.mkdtemp(prefix="keras_video_measuring_")
        self._errors = os.path.join(self._folder, "errors.txt")
        environment = latency_runtimes.environment(self.settings)
        paths = [ROOT, *environment.get("PYTHONPATH", "").split(os.pathsep)]
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        command = [sys.executable, "-m", "keras_video.tuner.latency_child"]
        with open(self._errors, "wb") as errors:
            self._process = subprocess.Popen(
                [*command, json.dumps(self.settings)], env=environment, stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, stderr=errors, encoding="utf-8",
            )  # fmt: skip
        self._answers = queue.Queue()
        self._reader = threading.Thread(
            target=_read, args=(self._process.stdout, self._answers), daemon=True
        )
        self._reader.start()
        atexit.register(self.close)
        self._answer(START_SECONDS)

    def _answer(self, timeout):
        try:
            line = self._answers.get(timeout=timeout)
        except queue.Empty:
            self.close()
            raise MeasurementError(f"The network took more than {timeout:g} s.") from None
        return self._died() if line is None else json.loads(line)

    def _died(self):
        code = self._process.wait(10)
        with open(self._errors, encoding="utf-8", errors="replace") as file:
            said = file.read().strip().splitlines()
        self.close()
        raise MeasurementError(
            f"The measuring process ended with exit code {code}: {said[-1] if said else ''}"
        )


def _read(stream, answers):
    """Passes lines on, and `None` at the end: one can wait for a queue with a time-out."""
    with stream:
        for line in stream:
            answers.put(line)
    answers.put(None)
