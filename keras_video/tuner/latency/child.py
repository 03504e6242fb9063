"""The process in which models are timed: `python -m keras_video.tuner.latency.child SETTINGS`.

It reads one JSON request per line and answers each with one JSON line. Models arrive as Keras' JSON
without weights, because the values of the weights do not change the time. The process must limit
itself to its cores before a backend is imported, so this file imports nothing heavy at the top.
"""

import json
import os
import signal
import statistics
import sys
import time

from keras_video.tuner.latency import runtimes

WARM_UP, WARM_UP_SECONDS = 5, 0.5
LEAST_RUNS, MOST_RUNS = 10, 10_000
LEAST_SECONDS = 0.05  # shorter series of a tiny model end before caches and clock rate settle


def main():
    """Answer requests until the input ends."""
    settings = json.loads(sys.argv[1])
    pin(settings["threads"], settings["device"])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what backends print goes to stderr
    models = {"reference": runtimes.reference(settings)}
    models["reference"]()
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        _kill_after(request["timeout"])
        try:
            if "path" in request:
                models.pop("candidate", None)  # frees its memory first
                run = runtimes.load(request["path"], settings)
                run()
                models["candidate"] = run
                answer = {"loaded": True}
            else:
                answer = clock(models[request["network"]], request["seconds"], request["spread"])
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {said[0][:300]}"}
        _kill_after(0)
        answers.write(json.dumps(answer) + "\n")


def pin(threads, device):
    """Limit this process to as many cores as it has threads, if the system can do that."""
    if device == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def clock(run, seconds=1.0, spread=0.02, timer=time.perf_counter):
    """Time a function until its median is precise enough, or the time is up.

    Args:
        run: function without arguments that returns when its work is done.
        seconds: float, time limit. Three runs are made in any case.
        spread: float, precision at which to stop: half the 95 % interval of the median, relative to
            the median. At least 10 runs and `LEAST_SECONDS` are made before.
        timer: function that returns seconds.

    Returns:
        Dict of `ms`, the median, `fastest_ms`, `runs`, and `spread`, the precision reached.
    """
    least = min(LEAST_SECONDS, seconds)
    begin, count = timer(), 0
    while count < 1 or timer() - begin < (WARM_UP_SECONDS if count < WARM_UP else least):
        run()
        count += 1
    times, begin = [], timer()
    while len(times) < 3 or (len(times) < MOST_RUNS and timer() - begin < seconds):
        start = timer()
        run()
        end = timer()
        times.append(end - start)
        enough = len(times) >= LEAST_RUNS and end - begin >= least
        if enough and len(times) % 5 == 0 and half_interval(times) < spread:
            break
    return {
        "ms": 1e3 * statistics.median(times),
        "fastest_ms": 1e3 * min(times),
        "runs": len(times),
        "spread": half_interval(times),
    }


def half_interval(times):
    """Return half the distribution-free 95 % interval of the median, relative to the median."""
    ordered, n = sorted(times), len(times)
    reach = 0.98 * n**0.5
    low, high = max(0, int(n / 2 - reach)), min(n - 1, int(n / 2 + reach))
    return (ordered[high] - ordered[low]) / 2 / max(statistics.median(ordered), 1e-12)


def _kill_after(seconds):
    """Let the kernel end this process if a request takes longer; 0 cancels that."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
