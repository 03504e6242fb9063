"""`OracleClient`: the oracle as a worker sees it; it outlives its chief."""

import contextlib
import threading
import time

import grpc

from keras_video.tuner import environment, wire
from keras_video.tuner.chief import signature

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
        self._address = environment.address()
        self._search = signature(oracle)
        self._call = None

    def __getattr__(self, name):
        if name in ("objective", "max_trials", "get_space", "space", "screen", "leases"):
            return getattr(self._oracle, name)
        raise AttributeError(
            f"{name}: a worker cannot ask its chief for that; known are {wire.METHODS}."
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
        message = wire.encode(
            {
                "worker": self._worker,
                "search": self._search,
                "method": method,
                "arguments": [wire.pack(argument) for argument in arguments],
            }
        )
        answer = wire.decode(self._send(message))
        if "refused" in answer:
            raise ValueError(answer["refused"])
        if "error" in answer:
            raise RuntimeError(f"The chief at {self._address} failed.\n{answer['error']}")
        return wire.unpack(answer["result"], self._oracle.get_space)

    def _send(self, message):
        if self._call is None:
            self._channel = grpc.insecure_channel(self._address, options=CHANNEL)
            self._call = wire.caller(self._channel)
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
