"""What a search prints: the best network so far, rejections by cause, the time left."""

import datetime
import sys
import time

from keras_tuner.engine.trial import TrialStatus


class Progress:
    """Print a line per trial and, on a terminal, a status line below.

    Args:
        oracle: `SearchOracle`.
        verbose: int. 0 prints nothing, 2 also a line when a trial begins.
        stream: file to print to; default standard output.
    """

    def __init__(self, oracle, verbose=1, stream=None):
        self.oracle = oracle
        self.verbose = verbose
        self._stream = stream
        self._began = None
        self._ended = 0

    def on_trial_begin(self, trial):
        """Print which trial begins."""
        if self._began is None:
            self._began = time.monotonic()
        origin = self.origin(trial)
        if self._terminal:
            self._status(f"running trial {trial.trial_id}: {origin}")
        elif self.verbose > 1:
            self._line(f"trial {trial.trial_id} begins: {origin}")

    def origin(self, trial):
        """Return a few words on where the network of a trial comes from."""
        values = trial.hyperparameters.values
        if "tuner/round" in values:
            best, number = values.get("tuner/best"), values["tuner/round"] + 1
            return "the most probable network" if best else f"drawn in round {number}"
        mutation = values.get("tuner/mutation")
        return f"{values['tuner/parent']} with {mutation}" if mutation else "a random network"

    def on_trial_end(self, trial):
        """Print how a trial ended. Networks that were measured and rejected get no line."""
        if trial.status == TrialStatus.COMPLETED:
            self._ended += 1
            name = self.oracle.objective.name
            self._line(f"trial {trial.trial_id}  {name} {trial.score:.4f}  {self.summary()}")
        elif trial.status == TrialStatus.FAILED:
            self._ended += 1
            self._line(f"trial {trial.trial_id}  failed: {_last_line(trial.message)}")

    def on_worker_lost(self, worker, trial):
        """Print that a worker is silent."""
        held = f"; trial {trial.trial_id} goes to another" if trial is not None else ""
        self._line(f"worker {worker} is silent{held}")

    def summary(self):
        """Return one line: trials done, best, rejections by cause, trials per hour, time left."""
        oracle = self.oracle
        done = len(oracle.end_order)
        parts = [f"{done}/{oracle.max_trials} done"]
        if oracle.best is not None:
            parts.append(f"best {oracle.best.score:.4f} (trial {oracle.best.trial_id})")
        causes = sorted(oracle.rejected.items(), key=lambda item: -item[1])
        if causes:
            parts.append("rejected " + ", ".join(f"{name} {count:,}" for name, count in causes))
        if self._ended and self._began is not None:
            rate = self._ended / max(time.monotonic() - self._began, 1e-9)
            left = datetime.timedelta(seconds=round((oracle.max_trials - done) / rate))
            parts.append(f"{3600 * rate:,.{0 if rate > 1 / 360 else 1}f} trials/h")
            parts.append(f"{left} left")
        return "  ".join(parts)

    @property
    def _terminal(self):
        return (self._stream or sys.stdout).isatty()

    def _line(self, text):
        if self.verbose:
            print(f"\r\x1b[K{text}" if self._terminal else text, file=self._stream, flush=True)

    def _status(self, text):
        if self.verbose:
            print(f"\r\x1b[K{text}", end="", file=self._stream, flush=True)


def _last_line(message):
    lines = (message or "no message").strip().splitlines()
    return lines[-1][:200]
