"""The chief of several workers: answers their questions until the search has ended.

`OracleClient`: the oracle as a worker sees it; it outlives its chief.

How workers and their chief talk: JSON over gRPC, one method, all calls repeatable.

KerasTuner's own messages carry metrics in single precision, drop the reasons of failures, and send
and print the whole space each time.

Leases: how the chief notices that a worker is gone.

KerasTuner's environment variables: who is the chief, who is a worker.

`run_team`: a chief and its workers as processes of this machine.
"""

import collections
import contextlib
import json
import os
import socket
import subprocess
import threading
import time
import traceback
from concurrent import futures

import grpc

from keras_video.tuner.search import trials

SERVICE = "keras_video.tuner.Oracle"
METHODS = (
    "create_trial", "end_trial", "get_best_trials", "get_trial", "heartbeat", "remaining_trials",
    "update_trial",
)  # fmt: skip


def encode(content):
    """Bytes of plain values."""
    return json.dumps(content).encode()


def decode(message):
    """Plain values of bytes."""
    return json.loads(message.decode())


def caller(channel):
    """The function that sends bytes over a channel and returns the answer's bytes."""
    return channel.unary_unary(f"/{SERVICE}/Call")


def listen(answer, address):
    """Starts a server.

    Args:
        answer: function of the bytes of a question; returns the bytes of the answer.
        address: string, `"ip:port"`.

    Returns:
        The `grpc.Server`.

    Raises:
        RuntimeError: if the address cannot be listened to, for example because another chief does.
    """
    handler = grpc.unary_unary_rpc_method_handler(lambda message, context: answer(message))
    # Two chiefs at one port would share the workers without knowing of each other. There are more
    # threads than workers, so that none is missed while others wait for a network to be drawn.
    options = [("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=128), options=options)
    generic = grpc.method_handlers_generic_handler(SERVICE, {"Call": handler})
    server.add_generic_rpc_handlers((generic,))
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise RuntimeError(
            f"chief: expected {address} to be free, cannot listen to it; is another chief running "
            f"there? ({error})"
        ) from None
    server.start()
    return server


def pack(result):
    """A result of the oracle as plain values: trials are told by a key of their own."""
    if hasattr(result, "trial_id"):
        return {"trial": trials.to_dict(result)}
    if isinstance(result, list):
        return [pack(item) for item in result]
    return result


def unpack(content, blank):
    """The inverse of `pack`.

    Args:
        content: plain values.
        blank: function that returns new `SearchHyperParameters` of the space.
    """
    if isinstance(content, dict) and set(content) == {"trial"}:
        return trials.from_dict(content["trial"], blank())
    if isinstance(content, list):
        return [unpack(item, blank) for item in content]
    return content


NAMES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


def address():
    """`"ip:port"` of the chief, or `None` if the search is one of a single process.

    Raises:
        ValueError: if only some of the variables are set.
    """
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return None
    missing = [name for name in NAMES if not os.environ.get(name)]
    if missing:
        raise ValueError(f"environment: expected {', '.join(NAMES)}, got none of {missing}.")
    return f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"


def is_chief():
    """bool, whether this process holds the oracle that others ask."""
    return address() is not None and "chief" in os.environ["KERASTUNER_TUNER_ID"]


def is_worker():
    """bool, whether the oracle of this process is that of a chief elsewhere."""
    return address() is not None and not is_chief()


LATECOMERS = 3.0  # seconds


class Chief:
    """Serves an oracle to workers.

    Args:
        oracle: `SearchOracle`, opened.
    """

    def __init__(self, oracle):
        self.oracle = oracle
        self.told = False
        self._refused = set()
        self._lock = threading.Lock()

    def answer(self, message):
        """The answer to a worker's question; both are bytes."""
        try:
            question = decode(message)
            worker, method = question["worker"], question["method"]
            if method not in METHODS:
                raise ValueError(f"method: expected one of {METHODS}, got {method!r}.")
            problem = self._compare(worker, question["search"])
            if problem:
                return encode({"refused": problem})
            with self.oracle.leases.call(worker):
                arguments = unpack(question["arguments"], self.oracle.get_space)
                return encode({"result": pack(self._ask(method, arguments))})
        except Exception:
            # A worker's question must not bring the chief down, nor be left without an answer.
            return encode({"error": traceback.format_exc()})

    def _ask(self, method, arguments):
        result = getattr(self.oracle, method)(*arguments)
        if method == "create_trial" and result.status == "STOPPED":
            self.told = True
        return result

    def _compare(self, worker, theirs):
        """What makes the worker's search another than ours, or None."""
        ours = signature(self.oracle)
        different = [name for name in ours if theirs.get(name) != ours[name]]
        if not different:
            return None
        name = different[0]
        problem = (
            f"worker {worker!r} searches something else than its chief: its {name} is "
            f"{theirs.get(name)!r}, the chief's is {ours[name]!r}. Start the same script on all."
        )
        with self._lock:
            if worker not in self._refused:
                self._refused.add(worker)
                print(f"refused: {problem}", flush=True)
        return problem

    def serve(self):
        """Blocks until no trial is left and all workers have been told, or are gone."""
        server = listen(self.answer, address())
        began = time.monotonic()
        try:
            while not self._over(time.monotonic() - began):
                time.sleep(0.1)
        finally:
            # The last answers are still on their way.
            server.stop(grace=2.0).wait()

    def _over(self, seconds):
        self.oracle.expire()
        if not self.oracle.finished or self.oracle.tuner_ids:
            return False
        # Those who tried to reach a chief that was not there yet come within a second or two. To a
        # chief that was started again nobody may ever come.
        return seconds > (LATECOMERS if self.told else self.oracle.leases.seconds)


def signature(oracle):
    """What chief and workers must agree on: dict of plain values."""
    identity = oracle.identity()
    space = f"{identity['space']}, {len(oracle.space.parameters)} hyperparameters"
    return {
        "space": f"{space}, {oracle.space.digest}",
        "objective": identity["objective"],
        "constraints": identity["constraints"],
    }


PASSING = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
CALL_SECONDS = 60.0  # a question is asked again after that; all of them may be
CHANNEL = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 1000)]


class OracleClient:
    """Asks the chief's oracle, again and again while the chief is away.

    Args:
        oracle: this process's own `SearchOracle`, for the space and the objective.
        worker: string, name of the worker.
        patience: float, seconds that the chief may be away.
    """

    # What KerasTuner asks of an oracle for training on several devices.
    multi_worker = False
    should_report = True

    def __init__(self, oracle, worker, patience=600.0):
        self._oracle = oracle
        self._worker = worker
        self._patience = patience
        self._address = address()
        self._search = signature(oracle)
        self._call = None

    def __getattr__(self, name):
        if name in ("objective", "max_trials", "get_space", "space", "screen", "leases"):
            return getattr(self._oracle, name)
        raise AttributeError(
            f"{name}: a worker cannot ask its chief for that; known are {METHODS}."
        )

    def create_trial(self, tuner_id):
        return self._ask("create_trial", tuner_id)

    def update_trial(self, trial_id, metrics, step=0):
        return self._ask("update_trial", trial_id, metrics, step)

    def end_trial(self, trial):
        self._ask("end_trial", trial)

    def get_trial(self, trial_id):
        return self._ask("get_trial", trial_id)

    def get_best_trials(self, num_trials=1):
        return self._ask("get_best_trials", num_trials)

    def remaining_trials(self):
        return self._ask("remaining_trials")

    @contextlib.contextmanager
    def working(self):
        """Tells the chief now and then that this worker lives, inside this context."""
        done = threading.Event()

        def beat():
            while not done.wait(self._oracle.leases.seconds / 4):
                with contextlib.suppress(ConnectionError, RuntimeError, ValueError):
                    self._ask("heartbeat", self._worker)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join(timeout=1.0)

    def _ask(self, method, *arguments):
        message = encode(
            {
                "worker": self._worker,
                "search": self._search,
                "method": method,
                "arguments": [pack(argument) for argument in arguments],
            }
        )
        answer = decode(self._send(message))
        if "refused" in answer:
            raise ValueError(answer["refused"])
        if "error" in answer:
            raise RuntimeError(f"The chief at {self._address} failed.\n{answer['error']}")
        return unpack(answer["result"], self._oracle.get_space)

    def _send(self, message):
        if self._call is None:
            self._channel = grpc.insecure_channel(self._address, options=CHANNEL)
            self._call = caller(self._channel)
        deadline = time.monotonic() + self._patience
        while True:
            try:
                left = max(0.1, deadline - time.monotonic())
                return self._call(message, timeout=min(CALL_SECONDS, left), wait_for_ready=True)
            except grpc.RpcError as error:
                if error.code() not in PASSING:
                    raise
                if time.monotonic() >= deadline:
                    raise ConnectionError(
                        f"chief: expected one at {self._address}, got no answer for "
                        f"{self._patience:g} s ({error.code().name})."
                    ) from None
                time.sleep(0.2)


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
