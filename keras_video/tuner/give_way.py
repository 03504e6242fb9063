"""`GiveWay`: trainings pause while a latency is measured on the same machine."""

import keras

from keras_video.tuner.machine_lock import MachineLock


class GiveWay(keras.callbacks.Callback):
    """Pauses between batches as long as another process of this machine measures a latency.

    Two busy processes beside it make a measurement three times as long. A pause lasts a second or
    two; a batch costs a few microseconds more.
    """

    def __init__(self):
        super().__init__()
        self._lock = MachineLock()

    def _enter(self, batch, logs=None):
        self._lock.release()
        self._lock.enter()

    def _leave(self, batch=None, logs=None):
        self._lock.release()

    on_train_batch_begin = on_test_batch_begin = _enter
    on_train_batch_end = on_test_batch_end = on_train_end = _leave
    release = _leave
