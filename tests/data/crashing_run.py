"""A training run whose worker process is killed; also augmentations that fail, for workers.

Workers import this file, so it must not import Keras at the top.
"""

import multiprocessing
import os
import signal
import sys


def fail(clips, labels, rng):
    if 3 in labels:
        raise ArithmeticError("the colors of video 3 overflow")
    return clips, labels


def die(clips, labels, rng):
    if 3 in labels and multiprocessing.parent_process():
        os.kill(os.getpid(), signal.SIGKILL)
    return clips, labels


def run(files):
    """Train on the files until a worker dies."""
    from tests.data.test_dataset_fit import make, small_model

    small_model().fit(make(files, workers=2, use_multiprocessing=True, augment=die), epochs=2)


if __name__ == "__main__":
    run(sys.argv[1:])
