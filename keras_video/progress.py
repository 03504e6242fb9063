"""Messages and progress bars on the terminal, which are erased at the end."""

import contextlib
import os
import sys
import time


@contextlib.contextmanager
def working(label):
    """Show a message on the terminal while the block runs."""
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
    """Hide what C++ code writes to the standard error stream, as TensorFlow does when imported."""
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
    """Import Keras without messages, and return it."""
    with working("loading Keras"), silence():
        import keras
    return keras


def progress(items, total, label):
    """Yield items, with a progress bar on the terminal.

    Args:
        items: iterable.
        total: int, number of items.
        label: string in front of the bar.
    """
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
