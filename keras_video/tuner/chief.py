"""The chief of several workers: answers their questions until the search has ended."""

import threading
import time
import traceback

from keras_video.tuner import environment, wire

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
            question = wire.decode(message)
            worker, method = question["worker"], question["method"]
            if method not in wire.METHODS:
                raise ValueError(f"method: expected one of {wire.METHODS}, got {method!r}.")
            problem = self._compare(worker, question["search"])
            if problem:
                return wire.encode({"refused": problem})
            with self.oracle.leases.call(worker):
                arguments = wire.unpack(question["arguments"], self.oracle.get_space)
                return wire.encode({"result": wire.pack(self._ask(method, arguments))})
        except Exception:
            # A worker's question must not bring the chief down, nor be left without an answer.
            return wire.encode({"error": traceback.format_exc()})

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
        server = wire.listen(self.answer, environment.address())
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
