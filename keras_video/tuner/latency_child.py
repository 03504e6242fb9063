"""The process in which networks run to be timed: `python -m keras_video.tuner.latency_child`.

It reads one JSON request per line and answers each with one JSON line. Networks come as Keras'
JSON, without weights: their values do not change the time.
"""

import json
import os
import signal
import statistics
import sys
import time

WARM_UP, WARM_UP_SECONDS = 5, 0.5
LEAST_RUNS, MOST_RUNS = 10, 10_000
LEAST_SECONDS = 0.05  # a few runs of a tiny network are over before caches and clock have settled


def main():
    """Serves until the input ends."""
    settings = json.loads(sys.argv[1])
    pin(settings["threads"], settings["device"])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever backends print goes to the errors
    from keras_video.tuner import latency_runtimes

    networks = {"reference": latency_runtimes.reference(settings)}
    networks["reference"]()
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        request = json.loads(line)
        _kill_after(request["timeout"])
        try:
            if "path" in request:
                networks.pop("candidate", None)  # frees its memory first
                run = latency_runtimes.load(request["path"], settings)
                run()
                networks["candidate"] = run
                answer = {"loaded": True}
            else:
                answer = clock(networks[request["network"]], request["seconds"], request["spread"])
        except Exception as error:
            said = str(error).strip().splitlines() or [""]
            answer = {"error": f"{type(error).__name__}: {said[0][:300]}"}
        _kill_after(0)
        answers.write(json.dumps(answer) + "\n")


def pin(threads, device):
    """Keeps this process on as many cores as it may have threads, where the system allows it."""
    if device == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def clock(run, seconds=1.0, spread=0.02, timer=time.perf_counter):
    """Times a function until its median is known, or the time is up.

    Args:
        run: function without arguments, which returns when its work is done.
        seconds: float, how long to go on at most; three runs are made in any case.
        spread: float, stops where half the 95 % interval of the median is below this part of it,
            though not before `LEAST_SECONDS`.
        timer: function that gives seconds.

    Returns:
        Dict of `ms`, the median, `fastest_ms`, `runs`, and `spread`, the half interval reached.
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
    """Half the distribution-free 95 % interval of the median, as a part of the median."""
    ordered, n = sorted(times), len(times)
    reach = 0.98 * n**0.5
    low, high = max(0, int(n / 2 - reach)), min(n - 1, int(n / 2 + reach))
    return (ordered[high] - ordered[low]) / 2 / max(statistics.median(ordered), 1e-12)


def _kill_after(seconds):
    """Has the kernel end this process, so that nothing hangs on once nobody asks any more."""
    if hasattr(signal, "setitimer"):
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)


if __name__ == "__main__":
    main()
