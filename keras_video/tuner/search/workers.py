"""Several workers: a chief process owns the oracle, workers ask it for trials and report results.

They exchange JSON over gRPC: one method, whose calls can be repeated. KerasTuner's own messages
carry metrics in single precision, drop the reasons of failures, and send and print the whole space
each time. Its environment variables say which process is the chief and which are workers.
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

from keras_video.checks import check_choice, check_int, check_number
from keras_video.tuner.search import trials

NAMES = ("KERASTUNER_TUNER_ID", "KERASTUNER_ORACLE_IP", "KERASTUNER_ORACLE_PORT")


def address():
    """Return `"ip:port"` of the chief, or `None` if the search runs in a single process.

    Raises:
        ValueError: if only some of the variables are set.
    """
    if "KERASTUNER_ORACLE_IP" not in os.environ:
        return None
    missing = [name for name in NAMES if not os.environ.get(name)]
    if missing:
        raise ValueError(f"environment: expected {', '.join(NAMES)}, got no {', '.join(missing)}.")
    return f"{os.environ['KERASTUNER_ORACLE_IP']}:{os.environ['KERASTUNER_ORACLE_PORT']}"


def is_chief():
    """Return whether this process is the chief, which owns the oracle."""
    return address() is not None and "chief" in os.environ["KERASTUNER_TUNER_ID"]


def is_worker():
    """Return whether this process is a worker, which asks a chief."""
    return address() is not None and not is_chief()


class Leases:
    """Remember when each worker was last heard of. Thread-safe.

    Only workers that have been heard of can expire: the tuner of a search in a single process sends
    no heartbeats and may hold its trial for any time.

    Args:
        seconds: float above 0, how long a worker may be silent.
        clock: function that returns seconds, for tests.

    Raises:
        ValueError: if `seconds` is not a finite number above 0.
    """

    def __init__(self, seconds, clock=time.monotonic):
        self.seconds = check_number("lease_seconds", seconds, above=0)
        self._clock = clock
        self._heard = {}
        self._calls = collections.Counter()
        self._lock = threading.Lock()

    def renew(self, worker):
        """Note that the worker is alive."""
        with self._lock:
            self._heard[worker] = self._clock()

    @contextlib.contextmanager
    def call(self, worker):
        """Keep the worker's lease while it waits for an answer in this context."""
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
        """End the lease of a worker."""
        with self._lock:
            self._heard.pop(worker, None)

    def take_expired(self):
        """Return the workers that have been silent for too long, and end their leases."""
        with self._lock:
            late = self._clock() - self.seconds
            gone = [w for w, t in self._heard.items() if t < late and not self._calls[w]]
            for worker in gone:
                del self._heard[worker]
            return gone


SERVICE = "keras_video.tuner.Oracle"
METHODS = (
    "create_trial", "end_trial", "get_best_trials", "get_trial", "heartbeat", "remaining_trials",
    "update_trial",
)  # fmt: skip


def encode(content):
    """Return plain values as bytes."""
    return json.dumps(content).encode()


def decode(message):
    """Return bytes as plain values."""
    return json.loads(message.decode())


def caller(channel):
    """Return a function that sends bytes over a channel and returns the bytes of the answer."""
    return channel.unary_unary(f"/{SERVICE}/Call")


def listen(answer, address):
    """Start a server.

    Args:
        answer: function of the bytes of a question that returns the bytes of the answer.
        address: string, `"ip:port"`.

    Returns:
        The `grpc.Server`.

    Raises:
        RuntimeError: if the address is in use, for example by another chief.
    """
    handler = grpc.unary_unary_rpc_method_handler(lambda message, context: answer(message))
    # Without port reuse, a second chief at the same port gets an error instead of half of the
    # workers. There are more threads than workers, so that heartbeats get through while other
    # workers wait for a network to be drawn.
    options = [("grpc.so_reuseport", 0)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=128), options=options)
    generic = grpc.method_handlers_generic_handler(SERVICE, {"Call": handler})
    server.add_generic_rpc_handlers((generic,))
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise RuntimeError(
            f"chief: expected {address} to be free, got an error ({error}). Is another chief "
            "running there?"
        ) from None
    server.start()
    return server


def pack(result):
    """Return a result of the oracle as plain values. A dict with the key `"trial"` is a trial."""
    if hasattr(result, "trial_id"):
        return {"trial": trials.to_dict(result)}
    if isinstance(result, list):
        return [pack(item) for item in result]
    return result


def unpack(content, blank):
    """Return the result from plain values, the inverse of `pack`.

    Args:
        content: plain values.
        blank: function that returns new `SearchHyperParameters` of the space.
    """
    if isinstance(content, dict) and set(content) == {"trial"}:
        return trials.from_dict(content["trial"], blank())
    if isinstance(content, list):
        return [unpack(item, blank) for item in content]
    return content


def signature(oracle):
    """Return what chief and workers must agree on, a dict of plain values."""
    identity = oracle.identity()
    space = f"{identity['space']}, {len(oracle.space.parameters)} hyperparameters"
    return {
        "space": f"{space}, {oracle.space.digest}",
        "objective": identity["objective"],
        "constraints": identity["constraints"],
    }


LATECOMERS = 3.0  # seconds that the chief waits for further workers after the search has ended


class Chief:
    """Serve an oracle to workers.

    Args:
        oracle: `SearchOracle`, opened.
    """

    def __init__(self, oracle):
        self.oracle = oracle
        self.told = False
        self._refused = set()
        self._lock = threading.Lock()

    def answer(self, message):
        """Answer a worker's question. Both are bytes."""
        try:
            question = decode(message)
            worker, method = question["worker"], question["method"]
            check_choice("method", method, METHODS)
            problem = self._compare(worker, question["search"])
            if problem:
                return encode({"refused": problem})
            with self.oracle.leases.call(worker):
                arguments = unpack(question["arguments"], self.oracle.get_space)
                return encode({"result": pack(self._ask(method, arguments))})
        except Exception:
            # A worker's question must not crash the chief, and it needs an answer.
            return encode({"error": traceback.format_exc()})

    def _ask(self, method, arguments):
        result = getattr(self.oracle, method)(*arguments)
        if method == "create_trial" and result.status == "STOPPED":
            self.told = True
        return result

    def _compare(self, worker, theirs):
        """Return how the worker's search differs from ours, or `None`."""
        ours = signature(self.oracle)
        different = [name for name in ours if theirs.get(name) != ours[name]]
        if not different:
            return None
        name = different[0]
        problem = (
            f"{name}: expected the chief's {ours[name]!r}, got {theirs.get(name)!r} from worker "
            f"{worker!r}. Start the same script on all machines."
        )
        with self._lock:
            if worker not in self._refused:
                self._refused.add(worker)
                print(f"refused: {problem}", flush=True)
        return problem

    def serve(self):
        """Serve until no trial is left, and all workers have been told so or are gone."""
        server = listen(self.answer, address())
        began = time.monotonic()
        try:
            while not self._over(time.monotonic() - began):
                time.sleep(0.1)
        finally:
            # Let the last answers arrive.
            server.stop(grace=2.0).wait()

    def _over(self, seconds):
        self.oracle.expire()
        if not self.oracle.finished or self.oracle.tuner_ids:
            return False
        # Workers that started before their chief arrive within a second or two. A chief that was
        # started again may have no workers left.
        return seconds > (LATECOMERS if self.told else self.oracle.leases.seconds)


TRANSIENT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
}
CALL_SECONDS = 60.0  # a question is repeated after that; every question may be repeated
CHANNEL = [("grpc.initial_reconnect_backoff_ms", 200), ("grpc.max_reconnect_backoff_ms", 1000)]


class OracleClient:
    """The oracle as a worker sees it: it asks the chief, and keeps trying while the chief is away.

    Args:
        oracle: `SearchOracle` of this process, for the space and the objective.
        worker: string, name of the worker.
        patience: float, seconds that the chief may be away.
    """

    # KerasTuner reads these for training on several devices.
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
            f"{name}: expected one of {METHODS} in a worker, got an attribute that only the chief "
            "has."
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
        """Send heartbeats to the chief inside this context."""
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
                if error.code() not in TRANSIENT:
                    raise
                if time.monotonic() >= deadline:
                    raise ConnectionError(
                        f"chief: expected a chief at {self._address}, got no answer for "
                        f"{self._patience:g} s ({error.code().name})."
                    ) from None
                time.sleep(0.2)


GRACE = 60.0  # seconds that workers may go on after their chief
RESTARTS = 3  # of each worker
POLL = 0.2  # seconds between two looks at the processes


def run_team(command, workers, folder, threads=None, grace=GRACE):
    """Run a command as a chief and as workers, all of them on this machine.

    KerasTuner's environment variables tell each process its role. The chief prints to the output of
    this process, the workers to files in `folder`. A worker that dies is started again up to three
    times; its trial is not lost. The function returns when the chief has ended. No process is left.

    Args:
        command: list of strings, a program that makes a `SearchTuner` and calls `search`.
        workers: int, at least 1.
        folder: string, for the files `worker_0.log` and so on.
        threads: int, threads of each worker; default the number of cores divided by the workers.
        grace: float, seconds that workers may go on after their chief.

    Raises:
        ValueError: if `workers` is not an int of at least 1.
        RuntimeError: if the chief or all workers fail. The message ends with the last lines of a
            worker.
    """
    check_int("workers", workers)
    os.makedirs(folder, exist_ok=True)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = threads or max(1, cores // workers)
    chief_at = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(_free_port())}

    def start(name, output=None):
        limits = {} if output is None else {
            variable: str(threads) for variable in
            ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
        }  # fmt: skip
        env = {**os.environ, **chief_at, **limits, "KERASTUNER_TUNER_ID": name}
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
    """A process that is started again after a failure."""

    def __init__(self, start):
        self._start, self._left = start, RESTARTS
        self.process = start()

    def alive(self):
        """Return whether the process runs, or has ended without an error."""
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
    """Return the last lines of the log that was written last."""
    path = max(logs, key=os.path.getmtime)
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line for line in file.read().splitlines() if line.strip()]
    return f"{path} ends: " + (" / ".join(lines[-3:]) or "(nothing)")
