"""What the terminal shows while something takes time. It is erased afterwards."""

import contextlib
import os
import sys
import time


@contextlib.contextmanager
def working(label):
    """Says on the terminal what takes a while, and wipes it out afterwards."""
    on_terminal = sys.stderr.isatty()
    if on_terminal:
        print(f"{label} ...", end="", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        if on_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


@contextlib.contextmanager
def silence():
    """Hides what TensorFlow's C++ says when it is imported, beneath `sys.stderr`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def load_keras():
    """Imports Keras, quietly, and returns it."""
    with working("loading Keras"), silence():
        import keras
    return keras


def progress(items, total, label):
    """Passes items on, with a bar on the terminal that is wiped out at the end."""
    on_terminal = sys.stderr.isatty()
    drawn = 0.0
    try:
        for count, item in enumerate(items):
            now = time.monotonic()
            if on_terminal and now - drawn > 0.1:
                drawn = now
                done = min(1.0, count / max(1, total))
                bar = "#" * round(30 * done)
                print(
                    f"\r\x1b[K{label} [{bar:30s}] {100 * done:3.0f} %",
                    end="",
                    file=sys.stderr,
                    flush=True,
                )
            yield item
    finally:
        if on_terminal:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
